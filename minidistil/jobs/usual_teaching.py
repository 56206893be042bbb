"""Objective of a taught student by the kind of its task, where the recipe says nothing.

Half of the loss are the labels, half the teacher, at DistilBERT's temperature. Beside every example the
student learns the teacher's answer to a copy of it with replaced words (Jiao et al. 2019, section 3.2): of
examples that it has learnt by heart a teacher says little more than their labels. With half of the layers,
twice as many steps cost what its teacher's own training did. What all that is worth on each kind of task,
beside the same student alone, is measured by `python -m benchmarks.retention`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Objective(NamedTuple):
    """Weights of the terms, temperature of soft labels, and copies of every example with replaced words."""

    terms: Mapping[str, Any]
    temperature: float = 2.0
    copies: int = 1


SOFT = Objective({"soft": 0.5, "hard": 0.5})
USUAL: dict[str, Objective] = {"regression": Objective({"logits": 0.5, "hard": 0.5})}


def usual_objective(kind: str, problem_type: str | None) -> Objective:
    """The objective of a kind of task, as `--task` takes it, and of a problem type of `ModelConfig`."""
    return USUAL.get(problem_type or kind) or USUAL.get(kind, SOFT)
