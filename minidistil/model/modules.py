"""Modules: the parts that a transformer is composed of, each forward pass above its backward pass.

A module is a frozen dataclass with the names and sizes of its parameters, and three methods:

- `specs()` declares the parameters, in the order in which they lie in memory;
- `forward(x, ctx) -> (y, cache)` reads them from `ctx.params`;
- `backward(dy, cache, ctx) -> dx` takes the same steps in reverse, and adds to `ctx.grads`.

It holds no arrays. One that stands in several layers (ALBERT) is one set of parameters, whose gradients add
up by themselves. A family composes modules: see `minidistil.model.families`.

Letters of the shapes: T tokens, B sequences, H hidden size, I intermediate size, A attention heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from minidistil.arrays import Array, IntArray
from minidistil.batch import Batch
from minidistil.model.context import ATTENTION_SITE, EMBEDDING_SITE, Context
from minidistil.model.taps import (
    put_attention,
    put_attention_gradients,
    put_feed_forward,
    put_feed_forward_gradients,
    put_residual,
)
from minidistil.parameters import ParameterSpec


class Module(Protocol):
    """Parameters, a forward pass, and below it the same steps in reverse."""

    def specs(self) -> list[ParameterSpec]: ...

    def forward(self, x: Array, ctx: Context) -> tuple[Array, Any]: ...

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array: ...


@dataclass(frozen=True)
class _Named:
    """A module with two parameters, `name.weight` and `name.bias`."""

    name: str

    @cached_property
    def names(self) -> tuple[str, str]:
        return f"{self.name}.weight", f"{self.name}.bias"


@dataclass(frozen=True)
class Linear(_Named):
    """x W^T + b, [T, I] -> [T, O].

    Attributes
    ----------
    name : str
        Of weight [O, I] and bias [O], which are called `name.weight` and `name.bias`.
    outputs, inputs : int
        O and I.
    """

    outputs: int
    inputs: int

    def specs(self) -> list[ParameterSpec]:
        weight, bias = self.names
        return [
            ParameterSpec(weight, (self.outputs, self.inputs), "weight"),
            ParameterSpec(bias, (self.outputs,), "bias"),
        ]

    def forward(self, x: Array, ctx: Context) -> tuple[Array, Any]:
        y, cache = ctx.ops.linear_forward(x, *ctx.params.linear(*self.names))
        return y, cache

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array:
        dx, _, _ = ctx.ops.linear_backward(dout, cache, *ctx.gradients(*self.names))
        return np.asarray(dx)


@dataclass(frozen=True)
class Norm(_Named):
    """Layer normalisation of each row, with gain and bias [H]; alone, or of a sum with a residual."""

    width: int
    eps: float

    def specs(self) -> list[ParameterSpec]:
        return [ParameterSpec(name, (self.width,), "norm") for name in self.names]

    def forward(self, x: Array, ctx: Context) -> tuple[Array, Any]:
        y, cache = ctx.ops.layernorm_forward(x, *ctx.params.arrays(*self.names), self.eps)
        return y, cache

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array:
        dx, _, _ = ctx.ops.layernorm_backward(dout, cache, *ctx.gradients(*self.names))
        return np.asarray(dx)


@dataclass(frozen=True)
class Table:
    """An embedding table [N, H].

    Attributes
    ----------
    name : str
    key : str
        Field of the config that has N.
    rows, width : int
        N and H.
    ids : str
        Field of `Batch` that has the row of each token.
    """

    name: str
    key: str
    rows: int
    width: int
    ids: str

    def specs(self) -> list[ParameterSpec]:
        return [ParameterSpec(self.name, (self.rows, self.width), "embedding", key=self.key)]

    def ids_of(self, batch: Batch) -> IntArray:
        """int32 [T]: the row of each token; the first where the batch does not say."""
        ids: IntArray | None = getattr(batch, self.ids)
        return np.zeros(batch.num_tokens, np.int32) if ids is None else ids


@dataclass(frozen=True)
class PositionTable(Table):
    """An embedding table of positions [P, H], whose rows are taken in turn if nobody chooses others.

    Attributes
    ----------
    padding : int or None
        None: a token's row is its column, so that padding on the left counts, as in BERT. Else the id of
        padding, after which the rows begin: the first token has row `padding` + 1, and a padding token that
        is not masked has row `padding` and is not counted (RoBERTa, Liu et al. 2019, arXiv:1907.11692;
        fairseq's `make_positions`).
    """

    padding: int | None = None

    @property
    def first(self) -> int:
        """Row of the first token."""
        return 0 if self.padding is None else self.padding + 1

    def ids_of(self, batch: Batch) -> IntArray:
        if batch.position_ids is not None:
            return batch.position_ids
        if self.padding is None:
            return batch.columns
        counted = batch.input_ids != self.padding
        count = np.cumsum(counted, dtype=np.int32)
        before = (count - counted)[batch.cls_rows]  # of earlier sequences
        rows = (count - before[batch.sequence_ids]) * counted + np.int32(self.padding)
        return np.asarray(rows, np.int32)


@dataclass(frozen=True)
class Embeddings:
    """norm(word + types + position) with dropout: token ids -> [T, H].

    Where the tables have another width E than the layers (ALBERT, ELECTRA), a linear layer E -> H follows.
    A family without a norm here (GPT-2, T5) would leave it out.
    """

    word: Table
    position: PositionTable
    types: tuple[Table, ...]
    norm: Norm
    dropout: float
    project: Linear | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        return (self.word, self.position, *self.types)

    def specs(self) -> list[ParameterSpec]:
        return [spec for part in (*self.tables, *self.modules) for spec in part.specs()]

    @property
    def modules(self) -> tuple[Norm | Linear, ...]:
        """Modules behind the tables, in order."""
        return (self.norm,) if self.project is None else (self.norm, self.project)

    def taps(self) -> dict[str, str]:
        """Names of the numbers inside, in order, each with the `Linear` or `Norm` that writes it."""
        found = {"embeddings.sum": "", "embeddings.norm": self.norm.name}
        return found if self.project is None else {**found, "embeddings.projected": self.project.name}

    def forward(self, ctx: Context) -> tuple[Array, Any]:
        params, batch, others = ctx.params, ctx.batch, (*self.types, self.position)
        word, ids = params.rows(self.word.name, batch.input_ids)  # of a table left in its file, some rows
        tables = [word, *(params.array(table.name) for table in others)]
        x, embedding = ctx.ops.embedding_forward(tables, [ids, *(t.ids_of(batch) for t in others)])
        if ctx.taps is not None:
            ctx.taps.put("embeddings", sum=x)
        x, norm = self.norm.forward(x, ctx)
        if ctx.taps is not None:
            ctx.taps.put("embeddings", norm=x)
        x, drop = ctx.ops.dropout_forward(x, ctx.token_mask(self.dropout, EMBEDDING_SITE))
        project = None
        if self.project is not None:
            x, project = self.project.forward(x, ctx)  # [T, E] -> [T, H]
            if ctx.taps is not None:
                ctx.taps.put("embeddings", projected=x)
        return x, (embedding, norm, drop, project)

    def backward(self, dout: Array, cache: Any, ctx: Context) -> None:
        embedding, norm, drop, project = cache
        if self.project is not None:
            if ctx.taps is not None:
                ctx.taps.put("embeddings", projected=dout)
            dout = self.project.backward(dout, project, ctx)
        dx = ctx.ops.dropout_backward(dout, drop)
        if ctx.taps is not None:
            ctx.taps.put("embeddings", norm=dx)
        dx = self.norm.backward(dx, norm, ctx)
        if ctx.taps is not None:
            ctx.taps.put("embeddings", sum=dx)
        tables = (self.word, *self.types, self.position)
        ctx.ops.embedding_backward(dx, embedding, *ctx.gradients(*(table.name for table in tables)))


@dataclass(frozen=True)
class SelfAttention:
    """Multi-head attention of every token to its own sequence, and the output projection.

    Query, key and value lie side by side, so that one product makes all three. `docs/architecture.md` says
    where causal attention and attention to another sequence go.
    """

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    heads: int
    dropout: float
    place: ClassVar[str] = "attention"

    @cached_property
    def names(self) -> tuple[str, str]:
        """Weight [3H, H] and bias [3H] of query, key and value together."""
        together = self.query.name.rpartition(".")[0] + ".qkv"
        return f"{together}.weight", f"{together}.bias"

    def specs(self) -> list[ParameterSpec]:
        parts = [part.specs() for part in (self.query, self.key, self.value)]
        specs = []
        for fused, members in zip(self.names, zip(*parts, strict=True), strict=True):
            specs += [ParameterSpec(s.name, s.shape, s.role, fused) for s in members]
        return specs + self.out.specs()

    def taps(self) -> dict[str, str]:
        """As of `Embeddings`, without the layer's name."""
        products = {"q": self.query.name, "k": self.key.name, "v": self.value.name}
        maps = {"scores": "", "probabilities": ""}
        return {"input": "", **products, **maps, "context": "", "output": self.out.name}

    def forward(self, x: Array, ctx: Context) -> tuple[Array, Any]:
        mask = ctx.token_mask(self.dropout, ATTENTION_SITE)
        qkv, linear = ctx.ops.linear_forward(x, *ctx.params.linear(*self.names))  # [T, H] -> [T, 3H]
        if ctx.qkv is not None:
            ctx.qkv.append(qkv)
        context, attention = ctx.ops.attention_forward(qkv, ctx.batch.cu_seqlens, self.heads, mask, ctx.bias)
        y, out = self.out.forward(context, ctx)  # [T, H] -> [T, H]
        if ctx.taps is not None:
            put_attention(ctx.taps, ctx, ctx.part(self.place), self.heads, x, qkv, context, y)
        return y, (linear, attention, out, qkv, mask) if ctx.needs_backward else None

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array:
        linear, attention, out, qkv, mask = cache
        dcontext = self.out.backward(dout, out, ctx)
        if ctx.dbias is None:
            dqkv = ctx.ops.attention_backward(dcontext, attention)
        else:
            dqkv, _ = ctx.ops.attention_backward(dcontext, attention, ctx.dbias)
        if ctx.layer in ctx.dqkv:
            dqkv += ctx.dqkv[ctx.layer]
        dx, _, _ = ctx.ops.linear_backward(dqkv, linear, *ctx.gradients(*self.names))
        if ctx.taps is not None:
            at, heads = ctx.part(self.place), self.heads
            put_attention_gradients(ctx.taps, ctx, at, heads, qkv, mask, dout, dcontext, dqkv, dx)
        return np.asarray(dx)

    def forward_cls(self, x: Array, ctx: Context) -> Array:
        """The output for the first token of each sequence alone, [B, H]; there is no way back from it."""
        weight, bias = ctx.params.linear(*self.names)
        context = ctx.ops.cls_attention(x, ctx.batch.cu_seqlens, weight, bias, self.heads, ctx.bias)
        return self.out.forward(context, ctx)[0]


@dataclass(frozen=True)
class FeedForward:
    """act(x U^T + b) D^T + c of each token: [T, H] -> [T, I] -> [T, H]."""

    up: Linear
    down: Linear
    activation: str
    place: ClassVar[str] = "feed_forward"

    def specs(self) -> list[ParameterSpec]:
        return self.up.specs() + self.down.specs()

    def taps(self) -> dict[str, str]:
        """As of `Embeddings`, without the layer's name."""
        return {"input": "", "up": self.up.name, "activated": "", "output": self.down.name}

    def forward(self, x: Array, ctx: Context) -> tuple[Array, Any]:
        up, down = ctx.params.linear(*self.up.names), ctx.params.linear(*self.down.names)
        y, cache = ctx.ops.feed_forward_forward(x, *up, *down, self.activation, keep_cache=ctx.needs_backward)
        if ctx.taps is not None:
            put_feed_forward(ctx.taps, ctx, ctx.part(self.place), self.activation, x, up, y)
        return y, (cache, x) if ctx.needs_backward else None

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array:
        inner, x = cache
        grads = ctx.gradients(*self.up.names, *self.down.names)
        dx, *_ = ctx.ops.feed_forward_backward(dout, inner, *grads)
        if ctx.taps is not None:
            up, down = ctx.params.linear(*self.up.names), ctx.params.linear(*self.down.names)
            put_feed_forward_gradients(
                ctx.taps, ctx, ctx.part(self.place), self.activation, x, up, down, dout, dx
            )
        return np.asarray(dx)


@dataclass(frozen=True)
class Residual:
    """norm(x + dropout(f(x))): a sub-layer of a post-LN transformer.

    The norm before the sub-layer, x + dropout(f(norm(x))), is a module beside this one.
    """

    f: SelfAttention | FeedForward
    norm: Norm
    dropout: float
    site: int

    def specs(self) -> list[ParameterSpec]:
        return self.f.specs() + self.norm.specs()

    def taps(self) -> dict[str, str]:
        """As of `Embeddings`, without the layer's name: "attention.q"."""
        inside = {**self.f.taps(), "residual": "", "norm": self.norm.name}
        return {f"{self.f.place}.{name}": module for name, module in inside.items()}

    def forward(self, x: Array, ctx: Context, *, cls: bool = False) -> tuple[Array, Any]:
        """[T, H] -> [T, H]; with `cls` the rows of the first token of each sequence alone, [B, H]."""
        if cls:
            assert isinstance(self.f, SelfAttention)
            y, inner, x = self.f.forward_cls(x, ctx), None, x[ctx.batch.cls_rows]
        else:
            y, inner = self.f.forward(x, ctx)
        out, norm = ctx.ops.residual_layernorm_forward(
            y, x, *ctx.params.arrays(*self.norm.names), self.norm.eps,
            ctx.token_mask(self.dropout, self.site), keep_cache=ctx.needs_backward,
        )  # fmt: skip
        if ctx.taps is not None:
            mask = ctx.token_mask(self.dropout, self.site)
            put_residual(ctx.taps, ctx, ctx.part(self.f.place), y, x, mask, out)
        return out, (inner, norm)

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array:
        """x is used twice, by `f` and by the sum: its gradients add.

        In place: without dropout the two gradients that `residual_layernorm_backward` returns are one array,
        so the first must be used up before the second is added to, as it is here.
        """
        inner, norm = cache
        dy, dx, _, _ = ctx.ops.residual_layernorm_backward(dout, norm, *ctx.gradients(*self.norm.names))
        if ctx.taps is not None:
            ctx.taps.put(ctx.part(self.f.place), norm=dout, residual=dx)
        dx += self.f.backward(dy, inner, ctx)
        return np.asarray(dx)


def unique(specs: Sequence[ParameterSpec]) -> list[ParameterSpec]:
    """Specs without repetition, in order: a parameter may serve several modules."""
    return list({spec.name: spec for spec in specs}.values())
