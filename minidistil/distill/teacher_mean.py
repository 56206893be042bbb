"""Several teachers as one: the mean of their distributions, or of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import AnyArray
from minidistil.batch import Batch
from minidistil.model.heads import Head

Teacher = Callable[[Batch], dict[str, Any]]


class TeacherMean:
    """Scores that stand for those of several teachers: `mean(batch)` gives them, as a `TeacherCache` one's.

    For soft labels it is the arithmetic mean of the distributions at temperature T:

        p = 1/K sum_k softmax(z_k / T),    z = T log p

    so that softmax(z / T) = p. The loss against p is the mean of the losses against each teacher, less a
    number that does not depend on the student: 1/K sum_k KL(p_k || q) = KL(p || q) + 1/K sum_k KL(p_k || p).
    Hinton et al. 2015, arXiv:1503.02531, section 1, name this mean and the geometric one, that of the scores.
    You et al. 2017, "Learning from Multiple Teacher Networks", average the softened outputs too.

    Of labels of which any number may hold, each is such a distribution: p = sigmoid(z / T) and 1 - p.
    Without a temperature it is the mean of the scores, for the term `logits`.

    Parameters
    ----------
    teachers : sequence of callables
        A `TeacherCache` of each, or another function from a batch to the outputs of a head.
    head : Head
        The student's.
    temperature : float > 0 or None
    orders : sequence of int arrays or None, optional
        Of each teacher the indices of the student's labels among its own; None: the same order.
    several_labels : bool
        Any number of labels may hold.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        head: Head,
        temperature: float | None,
        orders: Sequence[npt.NDArray[np.intp] | None] | None = None,
        *,
        several_labels: bool = False,
    ) -> None:
        self.several_labels = several_labels
        self.teachers, self.head, self.temperature = list(teachers), head, temperature
        self.orders = [None] * len(self.teachers) if orders is None else list(orders)

    def __repr__(self) -> str:
        what = "scores" if self.temperature is None else f"distributions at T = {self.temperature:g}"
        return f"{type(self).__name__}({len(self.teachers)} teachers: mean of {what})"

    def __call__(self, batch: Batch) -> dict[str, Any]:
        each = [teacher(batch) for teacher in self.teachers]
        return {
            name: self._mean(
                [
                    outputs[name] if order is None else outputs[name][:, order]
                    for outputs, order in zip(each, self.orders, strict=True)
                ],
                batch,
            )
            for name in self.head.score_outputs
        }

    def _mean(self, scores: Sequence[AnyArray], batch: Batch) -> AnyArray:
        dtype, temperature = scores[0].dtype, self.temperature
        if temperature is None:
            mean: AnyArray = np.mean(scores, axis=0, dtype=np.float64).astype(dtype)
            return mean
        if self.several_labels:
            scaled = [z.astype(np.float64) / temperature for z in scores]
            yes, no = (
                np.logaddexp.reduce([-np.logaddexp(0, sign * z) for z in scaled], axis=0) for sign in (-1, 1)
            )  # the number of teachers cancels
            odds: AnyArray = (temperature * (yes - no)).astype(dtype)
            return odds
        rows = [self.head.score_rows(z, batch).astype(np.float64) / temperature for z in scores]
        logs = [row - np.logaddexp.reduce(row, axis=-1, keepdims=True) for row in rows]
        mean = np.logaddexp.reduce(logs, axis=0) - math.log(len(logs))
        back: AnyArray = self.head.from_score_rows(temperature * mean, batch).astype(dtype)
        return back
