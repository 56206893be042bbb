"""The module of a relative position bias: one table for the attention of all layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minidistil.arrays import Array
from minidistil.model.context import Context
from minidistil.parameters import ParameterSpec


@dataclass(frozen=True)
class RelativeBias:
    """A bias on attention scores by the distance of query and key, of a batch [A, 2N - 1].

    It is looked up once a pass, for the N tokens of the longest sequence, and serves all layers; their
    gradients add up before they go into the table.

    Attributes
    ----------
    name : str
        Of the table [buckets, A].
    key : str
        Field of the config that has the number of buckets.
    buckets, heads : int
    max_distance : int
        All distances from here on are alike.
    bidirectional : bool
        Keys before and after a query have buckets of their own; False in a decoder.
    """

    name: str
    key: str
    buckets: int
    heads: int
    max_distance: int = 128
    bidirectional: bool = True

    def specs(self) -> list[ParameterSpec]:
        return [ParameterSpec(self.name, (self.buckets, self.heads), "embedding", key=self.key)]

    def forward(self, ctx: Context) -> tuple[Array, Any]:
        bias, cache = ctx.ops.relative_bias_forward(
            ctx.params.array(self.name), int(ctx.batch.lengths.max(initial=0)), self.max_distance,
            bidirectional=self.bidirectional,
        )  # fmt: skip
        return bias, cache

    def backward(self, dbias: Array, cache: Any, ctx: Context) -> None:
        ctx.ops.relative_bias_backward(dbias, cache, *ctx.gradients(self.name))
