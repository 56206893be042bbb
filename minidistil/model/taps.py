"""Taps: numbers inside the layers of one pass by name, and the gradients at the same points.

Modules hand what they compute to `ctx.taps`, if there is one. A fused operation never makes some numbers
(scores and probabilities, what an activation reads, the sum before a norm). These the functions below compute
again from what the operation was given, by elementary operations of the same backend. `docs/taps.md` has the
table of names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from minidistil.arguments import did_you_mean
from minidistil.arrays import AnyArray, Array
from minidistil.batch import Batch
from minidistil.errors import UsageError
from minidistil.model.outputs import unpack_attention
from minidistil.ops.activations import activation_of
from minidistil.ops.dropout import Mask

if TYPE_CHECKING:
    from minidistil.model.context import Context

GRADIENT = "grad."
Value = Array | list[Array]
Patterns = bool | str | Iterable[str] | None


class Taps:
    """Numbers of one pass that were asked for.

    Parameters
    ----------
    wanted : collection of str
        Names of taps.
    prefix : str
        What the names in `found` begin with: "grad." on the way back.

    Attributes
    ----------
    found : dict of str to array, or to list of arrays
        In order of computation: copies [T, ...], [B, ...], or B maps [A, L, L].
    """

    def __init__(self, wanted: Collection[str], prefix: str = "") -> None:
        self.wanted, self.prefix = frozenset(wanted), prefix
        self.found: dict[str, Value] = {}

    def put(self, part: str, **values: Array | Callable[[], Value]) -> None:
        """Keep what is wanted of a part's numbers: a copy of an array, or what a function computes."""
        for name, value in values.items():
            if f"{part}.{name}" in self.wanted:
                self.found[f"{self.prefix}{part}.{name}"] = value() if callable(value) else np.array(value)


def selected(
    owner: str, patterns: Patterns, known: Collection[str], prefix: str = ""
) -> frozenset[str] | None:
    """Names that shell patterns select, all for True; None where there is nothing to select.

    Raises
    ------
    UsageError
        No pattern, or one that matches no name; the nearest name is given.
    """
    if patterns is None or patterns is False:
        return None
    if patterns is True:
        return frozenset(known)
    words = [patterns] if isinstance(patterns, str) else patterns
    words = list(words) if isinstance(words, Iterable) else [words]
    if not all(isinstance(word, str) for word in words):
        raise UsageError(f"taps are True, or patterns of names such as 'layer.0.*', not {patterns!r:.60}")
    found: set[str] = set()
    for word in words:
        word = word.removeprefix(prefix)
        matched = [word] if word in known else [name for name in known if fnmatchcase(name, word)]
        if not matched:
            raise UsageError(f"no tap of {owner} matches {word!r}{did_you_mean(word, known)}")
        found.update(matched)
    return frozenset(found)


def unpack_taps(
    taps: Mapping[str, Value], batch: Batch, by_sequence: Collection[str]
) -> dict[str, AnyArray]:  # fmt: skip
    """Taps in the rectangular form: [B, L, ...], maps [B, A, L, L], and [B, ...] of those `by_sequence`."""

    def unpacked(name: str, value: Value) -> AnyArray:
        if isinstance(value, list):
            return unpack_attention(value, batch)
        return value if name.removeprefix(GRADIENT) in by_sequence else batch.unpack(value)

    return {name: unpacked(name, value) for name, value in taps.items()}


# What modules put


def put_attention(
    taps: Taps, ctx: Context, part: str, heads: int, x: Array, qkv: Array, context: Array, out: Array
) -> None:
    """Numbers of an attention: x [T, H], qkv [T, 3H], context and out [T, H]."""
    ops, given = ctx.ops, (qkv, ctx.batch.cu_seqlens, heads, ctx.bias)
    q, k, v = np.split(qkv, 3, axis=1)
    taps.put(
        part, input=x, q=q, k=k, v=v,
        scores=lambda: ops.attention_scores(*given),
        probabilities=lambda: ops.attention_probabilities(*given),
        context=context, output=out,
    )  # fmt: skip


def put_attention_gradients(
    taps: Taps, ctx: Context, part: str, heads: int, qkv: Array, mask: Mask | None,
    dout: Array, dcontext: Array, dqkv: Array, dx: Array,
) -> None:  # fmt: skip
    """The gradients at the same numbers, from the last to the first."""
    given = (dcontext, qkv, ctx.batch.cu_seqlens, heads, mask, ctx.bias)

    def maps(i: int) -> list[Array]:
        found: list[Array] = ctx.ops.attention_map_gradients(*given)[i]
        return found

    dq, dk, dv = np.split(dqkv, 3, axis=1)
    taps.put(
        part, output=dout, context=dcontext,
        probabilities=partial(maps, 1), scores=partial(maps, 0),
        v=dv, k=dk, q=dq, input=dx,
    )  # fmt: skip


def put_feed_forward(
    taps: Taps, ctx: Context, part: str, activation: str, x: Array, up: tuple[Any, Any], out: Array
) -> None:
    """Numbers of a feed-forward block: x and out [T, H]; `up` is its first matrix and bias."""
    ops = ctx.ops
    taps.put(
        part, input=x,
        up=lambda: ops.linear_forward(x, *up)[0],
        activated=lambda: ops.linear_activation_forward(x, *up, activation, keep_cache=False)[0],
        output=out,
    )  # fmt: skip


def put_feed_forward_gradients(
    taps: Taps, ctx: Context, part: str, activation: str, x: Array,
    up: tuple[Any, Any], down: tuple[Any, Any], dout: Array, dx: Array,
) -> None:  # fmt: skip
    """The gradients at the same numbers, from the last to the first."""
    ops = ctx.ops

    def activated() -> Array:
        wide, _ = ops.linear_activation_forward(x, *up, activation, keep_cache=False)
        _, linear = ops.linear_forward(wide, *down)
        found: Array = ops.linear_backward(dout, linear)[0]
        return found

    taps.put(
        part, output=dout, activated=activated,
        up=lambda: activation_gradient(ops, activation, activated(), x, up), input=dx,
    )  # fmt: skip


def activation_gradient(
    ops: ModuleType, activation: str, dout: Array, x: Array, up: tuple[Any, Any]
) -> Array:
    """Gradient at a product x W^T + b [T, O] from `dout`, that at its activation."""
    forward, backward = activation_of(ops, activation)
    y, _ = ops.linear_forward(x, *up)
    found: Array = backward(dout, forward(y)[1])
    return found


def put_residual(
    taps: Taps, ctx: Context, part: str, y: Array, x: Array, mask: Mask | None, out: Array
) -> None:  # fmt: skip
    """Numbers behind a sub-layer: y is what it gave, x what it was given, out the norm of the sum; [T, H]."""
    taps.put(part, residual=lambda: x + ctx.ops.dropout_forward(y, mask)[0], norm=out)
