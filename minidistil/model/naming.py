"""What each family calls the same parameters, and where they lie in the arena.

The encoder is written once. It asks for "the output projection of layer 3"; these tables say that BERT
calls it `bert.encoder.layer.3.attention.output.dense` and DistilBERT
`distilbert.transformer.layer.3.attention.out_lin`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.parameters import Parameters, ParameterSpec

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Naming:
    """Hugging Face names of one family's encoder, below `prefix`; `layer` takes the layer's number."""

    base: str
    prefix: str
    word: str
    position: str
    token_type: str
    embedding_norm: str
    layer: str
    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    up: str
    down: str
    output_norm: str

    def bare(self) -> Naming:
        """The same without prefix: how the encoder alone (`BertModel`) names its parameters."""
        return replace(self, prefix="")

    def layer_prefix(self, i: int) -> str:
        """What the names of layer `i` begin with."""
        return self.prefix + self.layer.format(i)


BERT = Naming(
    base="bert",
    prefix="bert.",
    word="embeddings.word_embeddings.weight",
    position="embeddings.position_embeddings.weight",
    token_type="embeddings.token_type_embeddings.weight",
    embedding_norm="embeddings.LayerNorm",
    layer="encoder.layer.{}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    output_norm="output.LayerNorm",
)

DISTILBERT = Naming(
    base="distilbert",
    prefix="distilbert.",
    word="embeddings.word_embeddings.weight",
    position="embeddings.position_embeddings.weight",
    token_type="",
    embedding_norm="embeddings.LayerNorm",
    layer="transformer.layer.{}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    up="ffn.lin1",
    down="ffn.lin2",
    output_norm="output_layer_norm",
)


def linear_specs(name: str, outputs: int, inputs: int) -> list[ParameterSpec]:
    """Weight [O, I] and bias [O] of a linear layer."""
    return [
        ParameterSpec(f"{name}.weight", (outputs, inputs), "weight"),
        ParameterSpec(f"{name}.bias", (outputs,), "bias"),
    ]


def norm_specs(name: str, width: int) -> list[ParameterSpec]:
    """Gain and bias [H] of a layernorm."""
    return [ParameterSpec(f"{name}.{part}", (width,), "norm") for part in ("weight", "bias")]


def encoder_specs(config: ModelConfig, naming: Naming) -> list[ParameterSpec]:
    """Layout of the embeddings and of every layer, in the order a forward pass meets them."""
    H, I = config.hidden_size, config.intermediate_size  # noqa: E741
    base = naming.prefix
    specs = [
        ParameterSpec(base + naming.word, (config.vocab_size, H), "embedding"),
        ParameterSpec(base + naming.position, (config.max_position_embeddings, H), "embedding"),
    ]
    if config.type_vocab_size:
        specs.append(ParameterSpec(base + naming.token_type, (config.type_vocab_size, H), "embedding"))
    specs += norm_specs(base + naming.embedding_norm, H)
    for i in range(config.num_hidden_layers):
        layer = naming.layer_prefix(i)
        qkv = [layer + part for part in (naming.query, naming.key, naming.value)]
        # Side by side, so that [3H, H] and [3H] are views and one product makes q, k and v.
        specs += [
            ParameterSpec(f"{name}.weight", (H, H), "weight", fused=f"{layer}qkv.weight") for name in qkv
        ]
        specs += [ParameterSpec(f"{name}.bias", (H,), "bias", fused=f"{layer}qkv.bias") for name in qkv]
        specs += linear_specs(layer + naming.attention_output, H, H)
        specs += norm_specs(layer + naming.attention_norm, H)
        specs += linear_specs(layer + naming.up, I, H)
        specs += linear_specs(layer + naming.down, H, I)
        specs += norm_specs(layer + naming.output_norm, H)
    return specs


class Embeddings(NamedTuple):
    """Views of the embedding parameters, or of their gradients."""

    word: Array  # [V, H]
    position: Array  # [P, H]
    token_type: Array | None  # [S, H]
    norm_weight: Array  # [H]
    norm_bias: Array  # [H]

    def tables(self) -> list[Array]:
        """Tables in the order in which their rows are added."""
        return [table for table in (self.word, self.token_type, self.position) if table is not None]


class Layer(NamedTuple):
    """Views of one layer's parameters, or of their gradients. Matrices may be packed."""

    qkv_weight: Array  # [3H, H]
    qkv_bias: Array  # [3H]
    out_weight: Array  # [H, H]
    out_bias: Array  # [H]
    attention_norm_weight: Array  # [H]
    attention_norm_bias: Array  # [H]
    up_weight: Array  # [I, H]
    up_bias: Array  # [I]
    down_weight: Array  # [H, I]
    down_bias: Array  # [H]
    output_norm_weight: Array  # [H]
    output_norm_bias: Array  # [H]


def embedding_views(arena: Parameters, naming: Naming, word: Array | None = None) -> Embeddings:
    """Views of the embeddings; `word` in the place of the whole word table, see `Parameters.rows`."""
    base = naming.prefix
    token_type = base + naming.token_type
    return Embeddings(
        arena.array(base + naming.word) if word is None else word,
        arena.array(base + naming.position),
        arena.array(token_type) if token_type in arena else None,
        arena.array(f"{base}{naming.embedding_norm}.weight"),
        arena.array(f"{base}{naming.embedding_norm}.bias"),
    )


@cache
def _layer_names(naming: Naming, i: int) -> list[tuple[str, str]]:
    """Weight and bias of each part of layer `i`."""
    n, layer = naming, naming.layer_prefix(i)
    parts = ("qkv", n.attention_output, n.attention_norm, n.up, n.down, n.output_norm)
    return [(f"{layer}{part}.weight", f"{layer}{part}.bias") for part in parts]


def layer_views(arena: Parameters, naming: Naming, i: int) -> Layer:
    qkv, attention_output, attention_norm, up, down, output_norm = _layer_names(naming, i)

    def norm(weight: str, bias: str) -> tuple[Array, Array]:
        return arena.array(weight), arena.array(bias)

    return Layer(
        *arena.linear(*qkv),
        *arena.linear(*attention_output),
        *norm(*attention_norm),
        *arena.linear(*up),
        *arena.linear(*down),
        *norm(*output_norm),
    )
