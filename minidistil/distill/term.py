"""Base of all terms of a distillation objective, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.errors import ConfigError
from minidistil.model.model import Model
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.train.objective import LabelLoss


@dataclass(frozen=True)
class Pair:
    """A student and its teacher, and the options of an objective that terms of their scores share.

    Attributes
    ----------
    student : Model
    teacher : Model or None
    labels : LabelLoss
        Of the student.
    temperature, soft_on
        See `Distillation`.
    """

    student: Model
    teacher: Model | None
    labels: LabelLoss
    temperature: float
    soft_on: Literal["all", "masked"]

    @property
    def several_labels(self) -> bool:
        """True if each score is of a label by itself, of which any number may hold."""
        head = self.student.heads[0]
        models = [model for model in (self.student, self.teacher) if model is not None]
        return bool(head.classes() and not head.by_token) and any(
            model.config.problem_type == "multi_label_classification" for model in models
        )

    def widths(self) -> tuple[int, int]:
        """Hidden sizes of student and teacher."""
        assert self.teacher is not None
        return self.student.config.hidden_size, self.teacher.config.hidden_size

    def check_same_width(self, term: str) -> None:
        """Raise a ConfigError unless hidden states of the two can be compared entry by entry."""
        ours, theirs = self.widths()
        if ours != theirs:
            raise ConfigError(
                f"the {term} term needs equal widths; the teacher has {theirs}, the student {ours}: "
                "use hidden (which learns a projection) or relations"
            )


@dataclass(frozen=True)
class TermInputs:
    """Inputs of a term.

    Attributes
    ----------
    batch : Batch
    student, teacher : mapping of str to arrays
        Outputs of `Model.forward`, with those that the term `requires` among them. The teacher's may come
        from elsewhere, and be no more than the term's `teacher_outputs`.
    pair : Pair
    grads : Parameters
        Gradients; a term adds those of its own parameters.
    """

    batch: Batch
    student: Mapping[str, Any]
    teacher: Mapping[str, Any]
    pair: Pair
    grads: Parameters


class Gradients:
    """Gradients by outputs as `Model.backward` takes them, summed as they come."""

    def __init__(self) -> None:
        self.by_output: dict[str, Any] = {}

    def add(self, output: str, grad: Array, layer: int | None = None) -> None:
        """Add a gradient by an output; `layer` is the index in an output that is a list."""
        place: dict[Any, Any] = self.by_output if layer is None else self.by_output.setdefault(output, {})
        key = output if layer is None else layer
        place[key] = place[key] + grad if key in place else grad


@dataclass(frozen=True)
class Term:
    """One term: its weight in the sum, and its options.

    Attributes
    ----------
    formula : str
        Of one item, s and t being the student's and the teacher's.
    order : int
        Terms are added up in this order, and those of equal order as they are given: rounding depends on it.
    of_scores : bool
        Compares the scores of the student's head, with labels or a teacher's.
    needs_teacher : bool
        Compares what only the teacher itself has; a batch cannot carry it.
    needs_labels : bool
    """

    weight: float = 1.0
    formula: ClassVar[str] = ""
    order: ClassVar[int] = 3
    of_scores: ClassVar[bool] = False
    needs_teacher: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False

    @property
    def requires(self) -> tuple[str, ...]:
        """Some of "hidden_states" and "qkv", which both models must give."""
        return ()

    def check(self, pair: Pair) -> None:
        """Raise a ConfigError if the two models do not fit."""

    def specs(self, pair: Pair) -> list[ParameterSpec]:
        """Parameters of the term itself, trained beside the student's; called only with a teacher."""
        return []

    def carried(self, pair: Pair) -> tuple[str, ...]:
        """Outputs of the teacher that a batch may carry instead, as `teacher_<name>` in its targets."""
        return ()

    def teacher_outputs(self, pair: Pair) -> list[str]:
        """Outputs of the teacher that are compared, by the names of `minidistil.distill.teacher_cache`."""
        return []

    def count(self, batch: Batch, pair: Pair) -> float:
        """Items that the term averages over: tokens, unless a subclass says otherwise."""
        return batch.num_tokens

    def __call__(self, inputs: TermInputs, scale: float, gradients: Gradients) -> float:
        """The sum of the term; adds `scale` times its gradient."""
        raise NotImplementedError
