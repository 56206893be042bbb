"""Workloads to measure, each with its model, data, arithmetic and goals."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Quantity = Literal["speed", "memory", "seconds", "megabytes"]

FOLDER = Path("runs/bench")
MODELS = FOLDER / "models"
SENTENCES = FOLDER / "sentences.npz"
TEXTS = FOLDER / "texts.json"

OURS, TORCH, COMPILED, ORT = "minidistil", "torch", "torch.compile", "onnxruntime"
ENGINES = (OURS, TORCH, COMPILED, ORT)
TRAINERS = (OURS, TORCH, COMPILED)

VOCABULARY = 30522
MASK_ID = 103  # [MASK] in BERT's vocabulary
NO_LABEL = -100  # of a token that is not masked, as in PyTorch and transformers
MASKED_SHARE = 0.15
WINDOW, OVERLAP = 384, 128  # of questions with their contexts, in tokens: BERT's for SQuAD
CLIP = 1.0
ADAMW: dict[str, Any] = {"lr": 5e-5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
# DistilBERT's triple objective: weights and temperature as in the published recipe (docs/recipe.md).
TRIPLE = {"soft": 5.0, "hard": 2.0, "cosine": 1.0}
TEMPERATURE = 2.0


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder that decide its arithmetic."""

    layers: int
    hidden: int
    heads: int
    intermediate: int


SHAPES = {
    "bert-base": Shape(12, 768, 12, 3072),
    "distilbert": Shape(6, 768, 12, 3072),
    "minilm": Shape(6, 384, 12, 1536),
}


@dataclass(frozen=True)
class Examples:
    """One batch: token ids of each sequence, and labels [B] of sequences or [T] of tokens."""

    sequences: list[Array]
    labels: Array


@dataclass(frozen=True)
class Texts:
    """Texts, or questions with their contexts, and the tokens of each sequence that they become."""

    texts: list[str]
    pairs: list[str] | None
    lengths: list[int]


@dataclass(frozen=True)
class Goal:
    """A number to reach.

    "speed": their seconds over ours, at least. "memory": our peak over theirs, at most. "seconds" and
    "megabytes": ours alone, at most.
    """

    quantity: Quantity
    bound: float
    against: str | None = None


@dataclass(frozen=True)
class Workload:
    """One thing to time.

    Attributes
    ----------
    name : str
        What `--only` chooses by.
    task : str
        "forward"; "classify" (fine-tuning); "distil"; "label" and "answer" (from texts to scores); "start" (a
        fresh process; see startup.py).
    model : str
        Key of `SHAPES`.
    saved : str
        Directory below `MODELS`.
    kind : str
        Class that loads it, of the same name in minidistil and in transformers.
    batch : (B, L) or None
        B sequences of L random tokens; None for real sentences.
    sentences : int
        How many, in batches of 32 as they come.
    goals : tuple of Goal
    quick : bool
        Part of a quick run.
    """

    name: str
    task: Literal["forward", "classify", "distil", "label", "answer", "start"]
    model: str = ""
    saved: str = ""
    kind: str = ""
    batch: tuple[int, int] | None = None
    sentences: int = 0
    goals: tuple[Goal, ...] = ()
    quick: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines that take part."""
        pair = (OURS, TORCH)
        return {"forward": ENGINES, "start": pair, "label": pair, "answer": pair}.get(self.task, TRAINERS)

    @property
    def gradients(self) -> tuple[str, ...]:
        """Parameters whose gradients must agree: the first, one of the first layer, one of the last."""
        last = SHAPES[self.model].layers - 1
        if self.kind.startswith("Distil"):
            layer, first, norm = "distilbert.transformer.layer", "attention.q_lin", "output_layer_norm"
        else:
            layer, first, norm = "bert.encoder.layer", "attention.self.query", "output.LayerNorm"
        word = f"{layer.partition('.')[0]}.embeddings.word_embeddings.weight"
        return word, f"{layer}.0.{first}.weight", f"{layer}.{last}.{norm}.weight"

    def batches(self) -> list[Examples]:
        """The data, the same for every engine; of texts, only how long they are."""
        if self.task in ("label", "answer"):
            return [Examples([np.zeros(n, np.int32) for n in self.texts().lengths], np.zeros(0))]
        return random_batch(self) if self.batch else sentence_batches(self.sentences)

    def texts(self) -> Texts:
        """Texts of a workload that begins with texts."""
        return Texts(**json.loads(TEXTS.read_text(encoding="utf-8"))[self.task])

    def flops(self, batches: Sequence[Examples]) -> float:
        """Multiplications and additions of one run over real tokens: backward counts twice forward."""
        lengths = np.array([len(s) for examples in batches for s in examples.sequences], float)
        own = encoder_flops(SHAPES[self.model], lengths)
        if self.task in ("forward", "label", "answer"):
            return own
        if self.task == "classify":
            return 3 * own
        head = 2 * lengths.sum() * SHAPES[self.model].hidden * (SHAPES[self.model].hidden + VOCABULARY)
        return encoder_flops(SHAPES["bert-base"], lengths) + head + 3 * (own + head)


def encoder_flops(shape: Shape, lengths: Array) -> float:
    """Of the matrix products of a forward pass: a product [m, k] [k, n] takes 2 m k n."""
    projections = 2 * lengths.sum() * (4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate)
    attention = 4 * shape.hidden * (lengths**2).sum()
    return float(shape.layers * (projections + attention))


def random_batch(workload: Workload) -> list[Examples]:
    """One batch of B sequences of L random tokens; for distillation with 15 % of them masked."""
    assert workload.batch is not None
    rng = np.random.default_rng(0)
    ids = rng.integers(1000, VOCABULARY, workload.batch, np.int32)
    if workload.task != "distil":
        return [Examples(list(ids), rng.integers(0, 2, len(ids)))]
    flat = ids.reshape(-1)
    chosen = rng.permutation(len(flat))[: round(MASKED_SHARE * len(flat))]
    labels = np.full(len(flat), NO_LABEL)
    labels[chosen] = flat[chosen]
    flat[chosen] = MASK_ID
    return [Examples(list(ids), labels)]


def sentence_batches(count: int, size: int = 32) -> list[Examples]:
    """The first `count` sentences of the fixed sample, in batches as they come."""
    with np.load(SENTENCES) as file:
        sequences = np.split(file["input_ids"], file["offsets"][1:-1])
        labels = file["labels"]
    return [Examples(sequences[i : i + size], labels[i : i + size]) for i in range(0, count, size)]


def _forward(model: str, batch: tuple[int, int] | None = None) -> Workload:
    saved = "distilbert-mlm" if model == "distilbert" else model
    kind = "DistilBertModel" if model == "distilbert" else "BertModel"
    if batch is None:
        goals = (Goal("speed", 2.0, TORCH), Goal("speed", 1.7, ORT))
        return Workload(f"forward/{model}/sentences", "forward", model, saved, kind, None, 512, goals, True)
    goals = (Goal("speed", 1.15, TORCH), Goal("speed", 1.05, ORT))
    quick = (model, batch) in (("minilm", (1, 16)), ("minilm", (8, 128)), ("distilbert", (1, 128)))
    name = f"forward/{model}/{batch[0]}x{batch[1]}"
    return Workload(name, "forward", model, saved, kind, batch, 0, goals, quick)


BATCHES = ((1, 16), (1, 128), (8, 128), (16, 64), (1, 512), (4, 512))
CLASSIFIER = "BertForSequenceClassification"

WORKLOADS = (
    Workload("start/import", "start", goals=(Goal("seconds", 0.3),), quick=True),
    Workload(
        "start/predict",
        "start",
        "minilm",
        "minilm",
        goals=(Goal("seconds", 1.0), Goal("megabytes", 200)),
        quick=True,
    ),
    *(_forward(model, batch) for model in ("minilm", "distilbert", "bert-base") for batch in BATCHES),
    _forward("minilm"),
    Workload(
        "predict/minilm/sentences",
        "label",
        "minilm",
        "minilm",
        CLASSIFIER,
        goals=(Goal("speed", 1.5, TORCH),),
        quick=True,
    ),
    Workload(
        "predict/minilm/questions",
        "answer",
        "minilm",
        "minilm-answers",
        "BertForQuestionAnswering",
        goals=(Goal("speed", 1.5, TORCH),),
    ),
    Workload(
        "finetune/minilm/sentences",
        "classify",
        "minilm",
        "minilm",
        CLASSIFIER,
        sentences=128,
        goals=(Goal("speed", 1.7, TORCH),),
        quick=True,
    ),
    Workload(
        "finetune/bert-base/8x128",
        "classify",
        "bert-base",
        "bert-base",
        CLASSIFIER,
        (8, 128),
        goals=(Goal("speed", 1.25, TORCH),),
    ),
    Workload(
        "distil/bert-base/8x128",
        "distil",
        "distilbert",
        "distilbert-mlm",
        "DistilBertForMaskedLM",
        (8, 128),
        goals=(Goal("speed", 2.0, TORCH), Goal("memory", 0.5, TORCH)),
    ),
)
TEACHER = ("bert-base-mlm", "BertForMaskedLM")
# Over all forward passes without padding: the median of their speed ratios.
OVERALL = Goal("speed", 1.25, TORCH)


def find(name: str) -> Workload:
    """The workload of this name."""
    return next(workload for workload in WORKLOADS if workload.name == name)


def choose(patterns: Sequence[str], quick: bool) -> list[Workload]:
    """Works with a name that contains one of the patterns (* and ? allowed); all without patterns."""
    return [
        workload
        for workload in WORKLOADS
        if (workload.quick or not quick)
        and (not patterns or any(fnmatch.fnmatch(workload.name, f"*{pattern}*") for pattern in patterns))
    ]
