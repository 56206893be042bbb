"""Value of each term of a distillation on one batch, and the norm of its gradient layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minidistil.batch import Batch
from minidistil.distill.objective import Distillation
from minidistil.distill.terms import weight_of
from minidistil.losses import IGNORE_INDEX
from minidistil.model.model import Model
from minidistil.parameters import Parameters

EVERY = 7  # one token of so many is masked


@dataclass(frozen=True)
class TermExplained:
    """One term on one batch.

    Attributes
    ----------
    name, formula : str
    weight : float
    value : float
        Its mean, before the weight.
    gradient : mapping of str to float
        Norm of weight * gradient by the parameters of "embeddings", of layers "1", "2", ..., and of "head";
        of layers that share parameters together, "1-12".
    """

    name: str
    formula: str
    weight: float
    value: float
    gradient: Mapping[str, float]


def explain(
    student: Model,
    teacher: Model,
    batch: Batch,
    weights: Mapping[str, float | Mapping[str, Any]],
    *,
    temperature: float = 2.0,
) -> list[TermExplained]:
    """Every term of an objective by itself, without dropout.

    Parameters
    ----------
    student, teacher : Model
    batch : Batch
        With labels if a term needs them.
    weights, temperature
        As for `Distillation`.

    Raises
    ------
    ConfigError
        Terms that do not fit the models.
    """
    found = []
    Distillation(student, weights, teacher=teacher, temperature=temperature)  # do they fit at all?
    for name, given in weights.items():
        if not weight_of(given):
            continue
        objective = Distillation(student, {name: given}, teacher=teacher, temperature=temperature)
        grads = student.params.like()
        total = max(objective.counts(batch)[name], 1)
        sums = objective(student, batch, {name: float(total)}, None, grads)
        norms = gradient_norms(student, grads)
        term = objective.terms[name]
        found.append(TermExplained(name, term.formula, term.weight, sums[name] / total, norms))
    return found


def gradient_norms(model: Model, grads: Parameters) -> dict[str, float]:
    """Euclidean norm of a gradient by part of the model: "embeddings", "1" to "L", "head".

    Layers that share their parameters are one part: "1-12", the first and the last of them.

    An objective's own parameters, such as a projection, are no part of the model.
    """
    own, parts = {spec.name for spec in model.specs(model.config)}, model.parts()

    def norm(part: str) -> float:
        names = [spec.name for spec in parts[part] if spec.name in own]
        return float(sum(float(np.square(grads[name], dtype=np.float64).sum()) for name in names) ** 0.5)

    layers = {}
    for uses in model.encoder.uses().values():
        first, last = uses[0] + 1, uses[-1] + 1
        layers[str(first) if first == last else f"{first}-{last}"] = norm(f"layer {uses[0]}")
    return {"embeddings": norm("embeddings"), **layers, "head": norm("head")}


def mask_some(batch: Batch, mask_id: int, never: list[int]) -> Batch:
    """Mask every seventh word of a batch, with labels; the same ones every time."""
    words = np.flatnonzero(~np.isin(batch.input_ids, never))
    chosen = words[::EVERY]
    labels = np.full(batch.num_tokens, IGNORE_INDEX, np.int64)
    labels[chosen] = batch.input_ids[chosen]
    ids = batch.input_ids.copy()
    ids[chosen] = mask_id
    return replace(batch, input_ids=ids, targets={**batch.targets, "labels": labels})


def table(terms: list[TermExplained]) -> str:
    """Formulas, then a table of values and gradient norms."""
    lines = [f"{term.name:10} {term.formula}" for term in terms]
    parts = list(terms[0].gradient)
    short = {"embeddings": "embed"}
    header = f"{'':10}{'weight':>8}{'value':>9}  " + "".join(f"{short.get(part, part):>8}" for part in parts)
    lines += ["", "norm of the weighted gradient by part of the student:", header]
    for term in terms:
        cells = "".join(f" {term.gradient[part]:7.3g}" for part in parts)
        lines.append(f"{term.name:10}{term.weight:8.3g}{term.value:9.4f}  {cells}")
    return "\n".join(lines)
