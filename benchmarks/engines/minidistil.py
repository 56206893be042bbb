"""minidistil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minidistil
import minidistil.kernels  # now, not with the first model: what is imported is measured apart
from benchmarks.jobs import ForwardJob, Job, TextJob, TrainJob
from benchmarks.workloads import (
    ADAMW,
    CLIP,
    MODELS,
    TEACHER,
    TEMPERATURE,
    TRIPLE,
    WINDOW,
    Array,
    Examples,
    Workload,
)
from minidistil.batch import Batch
from minidistil.distill.objective import Distillation
from minidistil.model.model import Model
from minidistil.ops.dropout import Dropout
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.question_answering.task import QuestionAnsweringTask
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import ModelLoss, Objective
from minidistil.train.optimizer import AdamW


def build(workload: Workload, threads: int) -> Job:
    minidistil.set_num_threads(threads)
    if workload.task in ("label", "answer"):
        return (Labels if workload.task == "label" else Answers)(
            workload, load(workload.saved, workload.kind, mapped=True)
        )
    if workload.task == "forward":
        return Forward(workload, load(workload.saved, workload.kind, mapped=True))
    model = load(workload.saved, workload.kind)
    if workload.task == "classify":
        return Training(workload, model, ModelLoss(model))
    teacher = load(*TEACHER, mapped=True)
    return Training(workload, model, Distillation(model, TRIPLE, teacher=teacher, temperature=TEMPERATURE))


def load(saved: str, kind: str, *, mapped: bool = False) -> Model:
    model: Model = getattr(minidistil, kind).from_pretrained(MODELS / saved, mapped=mapped)
    return model


class Forward(ForwardJob):
    def __init__(self, workload: Workload, model: Model) -> None:
        super().__init__(workload, workload.batches())
        self.model = model.eval()

    def forward(self, sequences: Sequence[Array]) -> dict[str, Any]:
        return self.model.forward(Batch.from_sequences(sequences), keep_cache=False)[0]

    def arrays(self, outputs: dict[str, Any]) -> dict[str, Array]:
        return outputs


class Labels(TextJob):
    def __init__(self, workload: Workload, model: Model) -> None:
        super().__init__(workload)
        self.predict = ClassificationTask.bind(
            model.eval(), Tokenizer.from_pretrained(MODELS / workload.saved)
        )

    def scores(self) -> dict[str, Array]:
        found = self.predict(self.texts.texts)
        return {"probabilities": np.array([list(prediction.scores.values()) for prediction in found])}


class Answers(TextJob):
    def __init__(self, workload: Workload, model: Model) -> None:
        super().__init__(workload)
        self.model, self.tokenizer = model.eval(), Tokenizer.from_pretrained(MODELS / workload.saved)

    def scores(self) -> dict[str, Array]:
        texts = self.texts
        assert texts.pairs is not None
        task = QuestionAnsweringTask(DataSettings(max_length=WINDOW))
        parts = task.span_logits(self.model, self.tokenizer, texts.texts, texts.pairs)
        starts, ends = zip(*(logits for *_, logits in parts), strict=True)
        return {"starts": np.concatenate(starts), "ends": np.concatenate(ends)}


class Training(TrainJob):
    def __init__(self, workload: Workload, model: Model, objective: Objective) -> None:
        super().__init__(workload, workload.batches())
        self.model, self.objective = model.train(), objective
        self.optimizer = AdamW(model.params, model.backend, frozen=model.frozen, **ADAMW)
        self.grads = model.params.like()
        self.scale = 1.0

    def step(self, examples: Examples, *, dropout: bool) -> float:
        batch = Batch.from_sequences(examples.sequences, targets={"labels": examples.labels})
        totals = {term: float(count) for term, count in self.objective.counts(batch).items()}
        masks = Dropout(0, self.optimizer.steps) if dropout else None
        self.grads.flat.fill(0)
        sums = self.objective(self.model, batch, totals, masks, self.grads)
        norm = self.optimizer.global_norm(self.grads)
        self.scale = min(1.0, CLIP / (norm + 1e-6))
        self.optimizer.step(self.grads, scale=self.scale)
        return sum(self.objective.weights.get(term, 1.0) * sums[term] / totals[term] for term in sums)

    def gradient(self, name: str) -> Array:
        return self.grads[name] * self.scale
