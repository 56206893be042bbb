"""Objective of a taught student by the kind of its task, where the recipe says nothing.

Half of the loss are the labels, half the teacher, at DistilBERT's temperature. What that is worth on each
kind of task, beside the same student alone, is measured by `python -m benchmarks.retention`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Objective(NamedTuple):
    """Weights of the terms, and the temperature of soft labels."""

    terms: Mapping[str, Any]
    temperature: float = 2.0


SOFT = Objective({"soft": 0.5, "hard": 0.5})
USUAL: dict[str, Objective] = {"regression": Objective({"logits": 0.5, "hard": 0.5})}


def usual_objective(kind: str, problem_type: str | None) -> Objective:
    """The objective of a kind of task, as `--task` takes it, and of a problem type of `ModelConfig`."""
    return USUAL.get(problem_type or kind) or USUAL.get(kind, SOFT)
