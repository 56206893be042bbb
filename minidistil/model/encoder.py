"""The encoder: embeddings, then layers, forward above backward, over either backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.config import ModelConfig
from minidistil.model.context import ATTENTION_OUTPUT_SITE, OUTPUT_SITE, Context
from minidistil.model.modules import Embeddings, FeedForward, Linear, Norm, Residual, SelfAttention
from minidistil.model.relative_bias import RelativeBias
from minidistil.parameters import ParameterSpec


@dataclass(frozen=True)
class Layer:
    """A transformer layer: attention, then the feed-forward block. A decoder's has one more between them."""

    sublayers: tuple[Residual, ...]

    @property
    def attention(self) -> SelfAttention:
        """The attention to the sequence itself."""
        return next(s.f for s in self.sublayers if isinstance(s.f, SelfAttention))

    def specs(self) -> list[ParameterSpec]:
        return [spec for sublayer in self.sublayers for spec in sublayer.specs()]

    def taps(self) -> dict[str, str]:
        """As of `Embeddings`, without the layer's name."""
        return {name: module for sublayer in self.sublayers for name, module in sublayer.taps().items()}

    def forward(self, x: Array, ctx: Context) -> tuple[Array, Any]:
        """[T, H] -> [T, H]."""
        caches = []
        for sublayer in self.sublayers:
            x, cache = sublayer.forward(x, ctx)
            caches.append(cache)
        return x, caches

    def backward(self, dout: Array, cache: Any, ctx: Context) -> Array:
        for sublayer, c in zip(reversed(self.sublayers), reversed(cache), strict=True):
            dout = sublayer.backward(dout, c, ctx)
        return dout

    def forward_cls(self, x: Array, ctx: Context) -> Array:
        """The rows of `forward` for the first token of each sequence, [T, H] -> [B, H].

        It attends to all others, and nothing else is computed of them: nearly all of the layer's arithmetic
        goes. There is no way back.
        """
        first, *others = self.sublayers
        x, _ = first.forward(x, ctx, cls=True)
        for sublayer in others:
            x, _ = sublayer.forward(x, ctx)
        return x


def post_ln_layer(
    c: ModelConfig, *, query: str, key: str, value: str, out: str, attention_norm: str,
    up: str, down: str, output_norm: str,
) -> Layer:  # fmt: skip
    """A layer with the norm after each residual, of BERT and its relatives, from its parameters' names."""
    H, I, eps = c.hidden_size, c.intermediate_size, c.layer_norm_eps  # noqa: E741
    attention = SelfAttention(
        Linear(query, H, H), Linear(key, H, H), Linear(value, H, H), Linear(out, H, H),
        c.num_attention_heads, c.attention_probs_dropout_prob,
    )  # fmt: skip
    feed_forward = FeedForward(Linear(up, I, H), Linear(down, H, I), c.hidden_act)
    return Layer(
        (
            Residual(
                attention,
                Norm(attention_norm, H, eps),
                c.attention_output_dropout_prob,
                ATTENTION_OUTPUT_SITE,
            ),
            Residual(feed_forward, Norm(output_norm, H, eps), c.feed_forward_dropout_prob, OUTPUT_SITE),
        )
    )


@dataclass(frozen=True)
class Encoder:
    """Token ids -> [T, H]: embeddings, then layers, whose attention may share a bias by distance."""

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    relative_bias: RelativeBias | None = None

    def parts(self) -> dict[str, list[ParameterSpec]]:
        """Parameters by part: "embeddings" (a relative bias too), "layer 0", "layer 1", ...

        Those that several layers share are a part of the first; the others then have none.
        """
        uses = self.uses()
        layers = {
            f"layer {i}": layer.specs() if uses[layer][0] == i else [] for i, layer in enumerate(self.layers)
        }
        bias = [] if self.relative_bias is None else self.relative_bias.specs()
        return {"embeddings": self.embeddings.specs() + bias, **layers}

    def uses(self) -> dict[Layer, list[int]]:
        """Layers with parameters of their own, each with the places where it stands."""
        found: dict[Layer, list[int]] = {}
        for i, layer in enumerate(self.layers):
            found.setdefault(layer, []).append(i)
        return found

    def specs(self) -> list[ParameterSpec]:
        return [spec for part in self.parts().values() for spec in part]

    def taps(self) -> dict[str, str]:
        """Names of the numbers inside, in order, each with the `Linear` or `Norm` that writes it."""
        found = self.embeddings.taps()
        for i, layer in enumerate(self.layers):
            found |= {f"layer.{i}.{name}": module for name, module in layer.taps().items()}
        return found

    def forward(self, ctx: Context, states: list[Array] | None = None) -> tuple[Array, Any]:
        """Run embeddings and layers.

        Parameters
        ----------
        ctx : Context
        states : list, optional
            The output of the embeddings and of each layer are put here.

        Returns
        -------
        out : [T, H], or [B, H] with `ctx.cls_only`
        caches : list, or None if no backward pass follows
        """
        x, cache = self.embeddings.forward(ctx)
        distances = None
        if self.relative_bias is not None:
            ctx.bias, distances = self.relative_bias.forward(ctx)
        caches = [(cache, ctx.bias, distances)] if ctx.needs_backward else None
        del cache  # nothing that only a backward pass needs may outlive its module
        for ctx.layer, layer in enumerate(self.layers):
            if states is not None:
                states.append(x)
            if ctx.cls_only and ctx.layer == len(self.layers) - 1:
                x, cache = layer.forward_cls(x, ctx), None
            else:
                x, cache = layer.forward(x, ctx)
            if caches is not None:
                caches.append(cache)
            del cache  # it holds the layer's matrices: of a model left in its file one is in memory
        if states is not None:
            states.append(x)
        ctx.layer = len(self.layers)
        return x, caches

    def backward(
        self, dx: Array, caches: Any, ctx: Context, dstates: Mapping[int, Array], lowest: int
    ) -> None:
        """The same in reverse.

        Parameters
        ----------
        dx : [T, H]
            Gradient of the output; overwritten.
        caches : from `forward`
        ctx : Context
        dstates : mapping of int to array
            Gradients [T, H] of the states that `forward` gave, by their index.
        lowest : int
            The lowest part that learns, 0 for the embeddings, i + 1 for layer i: there is no way below it.
        """
        embeddings, ctx.bias, distances = caches[0]
        if ctx.bias is not None and ctx.dbias is None and lowest == 0:
            ctx.dbias = np.zeros_like(ctx.bias)
        for ctx.layer in reversed(range(len(self.layers))):
            above = ctx.layer + 1
            if above in dstates:
                dx += dstates[above]
            if above < lowest:
                return
            dx = self.layers[ctx.layer].backward(dx, caches[above], ctx)
        if 0 in dstates:
            dx += dstates[0]
        if lowest == 0:
            self.embeddings.backward(dx, embeddings, ctx)
            if self.relative_bias is not None and ctx.dbias is not None:
                self.relative_bias.backward(ctx.dbias, distances, ctx)
