"""Compare two models, or a model and what another implementation computed, tensor by tensor.

Two collections of tensors (see `capture`) are compared in the order in which a run makes them, so that the
first divergence points at the operation at fault and not at what it spoiled further on.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, dropwhile

import numpy as np
import numpy.typing as npt

from minidistil.arrays import AnyArray
from minidistil.errors import InputError
from minidistil.model.taps import GRADIENT
from minidistil.verify.capture import INPUTS, capture, questions
from minidistil.verify.operations import BY_HEAD, MAPS, inputs_of, is_parameter, order, tap_of

__all__ = ["Comparison", "Largest", "TensorComparison", "capture", "compare", "order", "questions"]

AROUND = 3  # numbers shown on each side of the largest difference


@dataclass(frozen=True)
class Largest:
    """Numbers of both sides around the largest difference of a tensor.

    Attributes
    ----------
    index : tuple of int
        Its place in the tensor.
    first : int
        Index in the last axis of the first number of `a` and `b`.
    a, b : tuple of float
        Along the last axis.
    """

    index: tuple[int, ...]
    first: int
    a: tuple[float, ...]
    b: tuple[float, ...]


@dataclass(frozen=True)
class TensorComparison:
    """Distance of one tensor of A from that of B.

    Attributes
    ----------
    name : str
    max_abs : float
        Largest |a - b|.
    relative : float
        |a - b| / |b| in the Euclidean norm. Gradients that are zero on both sides but for rounding (at
        most the tolerance times the largest gradient) are measured against that largest one.
    cosine : float
        Of the angle between the two as vectors; 1 where both are zero, or zero but for rounding.
    passed : bool
        `relative` is within the tolerance. NaN is not, nor are two different shapes.
    shapes : pair of shapes, or None
        Given only where they differ.
    tolerance : float
    largest : Largest or None
        Given only where the tensor has not passed.
    transposed : pair of int, or None
        Axes of B that are swapped: with them as in A the tensor would pass.
    """

    name: str
    max_abs: float
    relative: float
    cosine: float
    passed: bool
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    tolerance: float = 0.0
    largest: Largest | None = None
    transposed: tuple[int, int] | None = None


@dataclass(frozen=True)
class Comparison:
    """All tensors that both sides have, in the order a run makes them, and the names only one has.

    Attributes
    ----------
    tensors : tuple of TensorComparison
    only_in_a, only_in_b : tuple of str
    other_loss : bool
        Loss and gradients were left out, as the two sides had different targets.
    tolerance : float
        Of all tensors that have none of their own.
    modules : mapping of str to str
        {module: the tap that it writes}.
    """

    tensors: tuple[TensorComparison, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    other_loss: bool
    tolerance: float
    modules: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> TensorComparison | None:
        """The first tensor beyond the tolerance."""
        return next((t for t in self.tensors if not t.passed), None)

    @property
    def first_divergence(self) -> str | None:
        """Name of the first tensor beyond the tolerance."""
        return None if self.first is None else self.first.name

    @property
    def passed(self) -> bool:
        return self.first is None

    def agree_after(self) -> list[str]:
        """Tensors after the first divergence that agree again."""
        after = dropwhile(lambda t: t.passed, self.tensors)
        return [t.name for t in after if t.passed]

    def inputs(self) -> tuple[list[str], list[str]]:
        """Inputs of the first divergence: those that agree, and those that were not compared.

        In place of one that was not compared its own inputs are looked at. Those of a gradient are gradients.
        A tensor that is no tap has none.
        """
        compared = {t.name for t in self.tensors}
        agree: dict[str, None] = {}
        between: dict[str, None] = {}
        ahead = [] if self.first is None else inputs_of(self.first.name, self.modules)
        while ahead:
            name = ahead.pop(0)
            if name in compared:
                agree[name] = None
            elif name not in between:
                between[name] = None
                ahead += inputs_of(name, self.modules)
        return list(agree), list(between)


def compare(
    a: Mapping[str, AnyArray],
    b: Mapping[str, AnyArray],
    *,
    tolerance: float,
    tolerances: Mapping[str, float] | None = None,
    modules: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare all tensors that both sides have, except the inputs.

    Parameters
    ----------
    a, b : mappings
        From `capture`, or read from a file. Where one has an `attention_mask`, what stands on padding is
        left out: other implementations leave noise there. Queries, keys, values and context may be split by
        heads, [B, A, L, D] or [B, L, A, D], and the axis of sequences may be missing where there is one.
    tolerance : float
        Largest `relative` that passes.
    tolerances : mapping of str to float, optional
        Of single tensors, such as those stored in half precision.
    modules : mapping of str to str, optional
        {module: the tap that it writes}, to say where a parameter's gradient comes from.

    Raises
    ------
    InputError
        The two have no tensor in common, or were run on different inputs.
    """
    for name in INPUTS:
        if name in a and name in b and not np.array_equal(a[name], b[name]):
            raise InputError(f"the two sides were run on different {name}; nothing else can be compared")
    asked = questions(a).keys() | questions(b).keys()
    other_loss = any(
        name not in a or name not in b or not np.array_equal(a[name], b[name]) for name in asked - {*INPUTS}
    )

    def comparable(side: Mapping[str, AnyArray]) -> list[str]:
        names = [name for name in side if name not in asked]
        if other_loss:
            names = [name for name in names if name != "loss" and not name.startswith(GRADIENT)]
        return sorted(names, key=order)

    in_a, in_b = comparable(a), comparable(b)
    shared = [name for name in in_a if name in b]
    if not shared:
        left_out = "; loss and gradients are left out, as the targets differ" if other_loss else ""
        raise InputError(
            f"the two sides have no tensor in common that can be compared{left_out}. "
            f"A has {with_nearest(in_a, in_b)}. B has {with_nearest(in_b, in_a)}"
        )
    mask = a["attention_mask"] if "attention_mask" in a else b.get("attention_mask")
    if mask is not None and mask.ndim == 3:  # of choices; states are of all of them, one below the other
        mask = mask.reshape(-1, mask.shape[-1])
    limits = dict(tolerances or {})
    norms = dict.fromkeys((False, True), 0.0)  # the largest gradient: of taps, of parameters
    for name in shared:
        if name.startswith(GRADIENT):
            kind, norm = is_parameter(name), float(np.linalg.norm(np.asarray(b[name], np.float64)))
            norms[kind] = max(norms[kind], norm)
    return Comparison(
        tensors=tuple(
            compare_tensor(
                name, a[name], b[name], mask, limits.get(name, tolerance),
                norms[is_parameter(name)] if name.startswith(GRADIENT) else 0.0,
            )
            for name in shared
        ),
        only_in_a=tuple(name for name in in_a if name not in b),
        only_in_b=tuple(name for name in in_b if name not in a),
        other_loss=other_loss,
        tolerance=tolerance,
        modules=modules or {},
    )  # fmt: skip


def with_nearest(names: Sequence[str], known: Sequence[str], most: int = 6) -> str:
    """List of names that one side has; those of the smaller side each with the nearest of the other."""
    others = [name for name in known if name not in names] if len(names) <= len(known) else []
    parts = [name + nearest(name, others) for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(parts) or "none") + more


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint at the nearest of the known names, if one is near."""
    near = difflib.get_close_matches(name, known, 1, 0.7)
    return f" (did you mean {near[0]}?)" if near else ""


def compare_tensor(
    name: str, a: AnyArray, b: AnyArray, mask: AnyArray | None, tolerance: float, largest: float
) -> TensorComparison:
    """One row of the comparison; `largest` is the norm of the largest gradient of its kind."""
    a, b = same_layout(name, np.asarray(a, np.float64), np.asarray(b, np.float64))
    found = _compared(name, a, b, mask, tolerance, largest)
    if not found.passed:
        for axes in combinations(range(min(a.ndim, b.ndim)), 2):
            turned = b.swapaxes(*axes)
            if turned.shape == a.shape and _compared(name, a, turned, mask, tolerance, largest).passed:
                return replace(found, transposed=axes)
    return found


def _compared(
    name: str, a: AnyArray, b: AnyArray, mask: AnyArray | None, tolerance: float, largest: float
) -> TensorComparison:
    """The row of two tensors in one layout."""
    if a.shape != b.shape:
        return TensorComparison(name, np.inf, np.inf, np.nan, False, (a.shape, b.shape), tolerance)
    kept = tokens_of(name, a.shape, mask)
    whole_a, whole_b = a, b
    if kept is not None:
        a, b = a[kept], b[kept]
    with np.errstate(invalid="ignore", over="ignore"):  # Inf - Inf
        difference = a - b
        distance, norm_a, norm_b = (float(np.linalg.norm(x)) for x in (difference, a, b))
        noise = name.startswith(GRADIENT) and max(norm_a, norm_b) <= tolerance * largest
        scale = largest if noise else norm_b
        relative = distance / scale if scale else distance and np.inf
        cosine = float((a * b).sum()) / (norm_a * norm_b) if norm_a and norm_b else float(norm_a == norm_b)
        max_abs = float(np.abs(difference).max(initial=0))
        passed = relative <= tolerance
        around = None if passed else _around(whole_a, whole_b, kept, np.abs(difference))
    return TensorComparison(
        name, max_abs, relative, 1.0 if noise else cosine, passed, None, tolerance, around
    )  # fmt: skip


def _around(a: AnyArray, b: AnyArray, kept: npt.NDArray[np.bool_] | None, distances: AnyArray) -> Largest:
    """Numbers around the largest of `distances`, those of the `kept` numbers. NaN is the largest."""
    place = int(np.argmax(distances))
    if kept is not None:
        place = int(np.flatnonzero(kept)[place])
    index = tuple(int(i) for i in np.unravel_index(place, a.shape))
    if not index:
        return Largest((), 0, (float(a),), (float(b),))
    first = max(0, index[-1] - AROUND)
    rows = (x[index[:-1]][first : index[-1] + AROUND + 1] for x in (a, b))
    return Largest(index, first, *(tuple(float(number) for number in row) for row in rows))


def tokens_of(name: str, shape: tuple[int, ...], mask: AnyArray | None) -> npt.NDArray[np.bool_] | None:
    """Numbers that belong to tokens, and not to padding; None where all do."""
    if mask is None or is_parameter(name):
        return None
    tap, real = tap_of(name), mask != 0
    if tap is not None and tap.operation in MAPS:
        if len(shape) != 4 or (shape[0], shape[2]) != real.shape:
            return None
        return np.broadcast_to(real[:, None, :, None] & real[:, None, None, :], shape)
    if shape[:2] == real.shape and (len(shape) > 2 or name in ("start_logits", "end_logits")):
        return np.broadcast_to(real.reshape(*real.shape, *(1,) * (len(shape) - 2)), shape)
    return None


def same_layout(name: str, a: AnyArray, b: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Both sides as they were; or both in the layout of one of them, where the other's fits."""
    if a.shape == b.shape:
        return a, b
    tap = tap_of(name)
    if tap is not None and tap.operation in BY_HEAD:
        return _heads_joined(a, b), _heads_joined(b, a)
    if a.shape == (1, *b.shape):
        return a, b[None]
    if b.shape == (1, *a.shape):
        return a[None], b
    return a, b


def _heads_joined(x: AnyArray, like: AnyArray) -> AnyArray:
    """[B, A, L, D] or [B, L, A, D] -> [B, L, H], if `like` is that. Where both fit, the nearer of the two."""
    whole = x[None] if like.shape[:1] == (1,) and x.ndim in (2, 3) else x
    if whole.shape == like.shape:
        return whole
    found = []
    for rows in (whole.transpose(0, 2, 1, 3), whole) if whole.ndim == 4 else ():
        if (*rows.shape[:2], rows.shape[2] * rows.shape[3]) == like.shape:
            found.append(rows.reshape(like.shape))
    with np.errstate(invalid="ignore", over="ignore"):
        return min(found, key=lambda y: float(np.nan_to_num(np.abs(y - like)).sum()), default=x)
