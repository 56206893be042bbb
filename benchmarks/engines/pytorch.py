"""PyTorch with transformers: eager, or through torch.compile.

With what a careful user would turn on: scaled_dot_product_attention, inference_mode, fused AdamW (six
times as fast as the default here), no mask where nothing is padded, dynamic padding, huge pages and an
allocator that keeps freed memory (see worker.py); for torch.compile one shape at a time where there is
only one, and frozen weights for inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch.nn import functional

from benchmarks.jobs import ForwardJob, Job, TextJob, TrainJob
from benchmarks.padding import pad
from benchmarks.workloads import (
    ADAMW,
    CLIP,
    MODELS,
    NO_LABEL,
    OVERLAP,
    TEACHER,
    TEMPERATURE,
    TRIPLE,
    VOCABULARY,
    WINDOW,
    Array,
    Examples,
    Workload,
)

BATCH = 32  # for prediction
Inputs = dict[str, torch.Tensor]
# (the model's arguments, labels of those that have one, which these are)
LossFunction = Callable[[Inputs, torch.Tensor, torch.Tensor], torch.Tensor]


def build(workload: Workload, threads: int, *, compiled: bool) -> Job:
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = load(workload.saved, workload.kind)
    if workload.task in ("label", "answer"):
        return (Labels if workload.task == "label" else Answers)(workload, model.eval())
    if workload.task == "forward":
        return Forward(workload, model.eval(), compiled)
    loss = Distillation(model, load(*TEACHER).eval()) if workload.task == "distil" else classification(model)
    return Training(workload, model, loss, compiled)


def load(saved: str, kind: str) -> Any:
    return getattr(transformers, kind).from_pretrained(MODELS / saved, attn_implementation="sdpa")


def tensors(sequences: Sequence[Array], compiled: bool) -> Inputs:
    """The model's arguments. Of padded batches, each has its width: a compiled graph must not fix it."""
    ids, mask = pad(sequences)
    inputs = {"input_ids": torch.from_numpy(ids)}
    if mask is not None:
        inputs["attention_mask"] = torch.from_numpy(mask)
        if compiled:
            for tensor in inputs.values():
                torch._dynamo.mark_dynamic(tensor, 1)
    return inputs


class Forward(ForwardJob):
    def __init__(self, workload: Workload, model: Any, compiled: bool) -> None:
        super().__init__(workload, workload.batches())
        self.model, self.compiled = model, compiled
        if compiled:
            torch._inductor.config.freezing = True
            self.model = torch.compile(model)

    def forward(self, sequences: Sequence[Array]) -> dict[str, Any]:
        with torch.inference_mode():
            outputs: dict[str, Any] = self.model(**tensors(sequences, self.compiled))
        return outputs

    def arrays(self, outputs: dict[str, Any]) -> dict[str, Array]:
        return {name: tensor.numpy() for name, tensor in outputs.items()}


class FromTexts(TextJob):
    """Prediction as in a careful script: tokenise all, sort by length, pad each batch to its longest."""

    def __init__(self, workload: Workload, model: Any) -> None:
        super().__init__(workload)
        self.model = model
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(MODELS / workload.saved)

    def outputs(self, encodings: Any) -> list[tuple[list[int], Any]]:
        """Indices of each batch, and the model's outputs for it."""
        ids, types = encodings["input_ids"], encodings["token_type_ids"]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        found = []
        with torch.inference_mode():
            for begin in range(0, len(order), BATCH):
                rows = order[begin : begin + BATCH]
                inputs = tensors([np.array(ids[i]) for i in rows], compiled=False)
                inputs["token_type_ids"] = torch.from_numpy(pad([np.array(types[i]) for i in rows])[0])
                found.append((rows, self.model(**inputs)))
        return found


class Labels(FromTexts):
    def scores(self) -> dict[str, Array]:
        encodings = self.tokenizer(self.texts.texts, truncation=True)
        probabilities = np.zeros((len(self.texts.texts), self.model.config.num_labels))
        for rows, outputs in self.outputs(encodings):
            probabilities[rows] = outputs.logits.softmax(-1).numpy()
        return {"probabilities": probabilities}


class Answers(FromTexts):
    def scores(self) -> dict[str, Array]:
        encodings = self.tokenizer(
            self.texts.texts, self.texts.pairs, truncation="only_second", max_length=WINDOW, stride=OVERLAP,
            return_overflowing_tokens=True,
        )  # fmt: skip
        windows = encodings["input_ids"]
        starts: list[Array] = [np.zeros(0)] * len(windows)
        ends = list(starts)
        for rows, outputs in self.outputs(encodings):
            for i, start, end in zip(rows, outputs.start_logits, outputs.end_logits, strict=True):
                starts[i], ends[i] = (x[: len(windows[i])].numpy() for x in (start, end))
        return {"starts": np.concatenate(starts), "ends": np.concatenate(ends)}


def classification(model: Any) -> LossFunction:
    def loss(inputs: Inputs, labels: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = model(**inputs, labels=labels).loss
        return value

    return loss


class Distillation:
    """DistilBERT's triple loss: soft labels and cosine over all tokens, cross-entropy over the masked."""

    def __init__(self, student: Any, teacher: Any) -> None:
        self.student, self.teacher = student, teacher

    def __call__(self, inputs: Inputs, labels: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = self.teacher.bert(**inputs).last_hidden_state
            target_logits = self.teacher.cls(target).view(-1, VOCABULARY)
        student = self.student
        hidden = student.distilbert(**inputs).last_hidden_state
        transformed = student.vocab_layer_norm(student.activation(student.vocab_transform(hidden)))
        logits = student.vocab_projector(transformed).view(-1, VOCABULARY)
        soft = TEMPERATURE**2 * functional.kl_div(
            functional.log_softmax(logits / TEMPERATURE, -1),
            functional.softmax(target_logits / TEMPERATURE, -1),
            reduction="batchmean",
        )
        hard = functional.cross_entropy(logits[labelled], labels)
        cosine = 1 - functional.cosine_similarity(hidden.flatten(0, 1), target.flatten(0, 1)).mean()
        return TRIPLE["soft"] * soft + TRIPLE["hard"] * hard + TRIPLE["cosine"] * cosine


class Training(TrainJob):
    def __init__(self, workload: Workload, model: Any, loss: LossFunction, compiled: bool) -> None:
        super().__init__(workload, workload.batches())
        self.model, self.compiled = model, compiled
        self.loss = torch.compile(loss) if compiled else loss
        self.parameters = dict(model.named_parameters())
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        vectors = [p for p in self.parameters.values() if p.ndim == 1]  # biases and layernorms do not decay
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], fused=True, **ADAMW
        )

    def step(self, examples: Examples, *, dropout: bool) -> float:
        self.model.train(dropout)
        self.optimizer.zero_grad()
        inputs = tensors(examples.sequences, self.compiled)
        labelled = np.flatnonzero(examples.labels != NO_LABEL)
        loss = self.loss(inputs, torch.from_numpy(examples.labels[labelled]), torch.from_numpy(labelled))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP, foreach=True)
        self.optimizer.step()
        return loss.item()

    def gradient(self, name: str) -> Array:
        gradient = self.parameters[name].grad
        assert gradient is not None
        return gradient.numpy()
