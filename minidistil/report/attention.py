"""Attention within a text, as a page shows it: of one head, or of all heads of all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidistil.arrays import Array
from minidistil.errors import UsageError
from minidistil.model.model import Model
from minidistil.report.maps import legend, packed, png
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer

TOKENS_SHOWN = 64  # more cannot be read on a page


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Attention of all heads of a model within a text.

    Attributes
    ----------
    name : str
        Of the model, where there are several.
    tokens : list of str
    values : float32 [L, A, T, T]
        In row i of a head how much of its attention token i pays to each token.
    """

    name: str
    tokens: Sequence[str]
    values: Array

    @property
    def legend(self) -> list[tuple[float, str]]:
        """Some colours of the maps, and their values."""
        return legend(1.0, root=True)

    @property
    def pictures(self) -> list[list[str]]:
        """Address of a picture of each head, layer by layer; colours grow with the square root."""
        return [[png(np.sqrt(head)) for head in layer] for layer in self.values]

    @property
    def data(self) -> dict[str, Any]:
        """All of it for the script."""
        return {"name": self.name, "values": packed(self.values)}


def attention_map(
    model: Model, tokenizer: Tokenizer, text: str, pair: str | None = None, *, layer: int, head: int
) -> dict[str, Any]:
    """Attention of one head within a text or a pair of texts.

    Parameters
    ----------
    layer, head : int
        Counted from 0, as in the names of parameters.

    Returns
    -------
    dict
        "layer" and "head"; "tokens", the first 64, special tokens included; "rows": in row i how much of its
        attention token i pays to each token, which sums to 1 if all are shown.

    Raises
    ------
    UsageError
        The model has no such layer or head.
    """
    layers, heads = model.config.depth, model.config.num_attention_heads
    if not (0 <= layer < layers and 0 <= head < heads):
        raise UsageError(
            f"there is no head {head} of layer {layer}: layers are 0 to {layers - 1}, heads 0 to {heads - 1}"
        )
    tokens, maps = _attention(model, tokenizer, text, pair)
    return {"layer": layer, "head": head, "tokens": tokens, "rows": maps[layer][head].tolist()}


def attention_maps(model: Model, tokenizer: Tokenizer, text: str, pair: str | None = None) -> AttentionMaps:
    """Attention of all heads within a text or a pair of texts, to and from its first 64 tokens."""
    tokens, maps = _attention(model, tokenizer, text, pair)
    return AttentionMaps("", tokens, stacked(maps, len(tokens), model))


def stacked(maps: Sequence[Array], tokens: int, model: Model) -> Array:
    """Maps [A, T, T] of each layer as one array [L, A, T, T], also of a model without layers."""
    none = np.zeros((0, model.config.num_attention_heads, tokens, tokens), np.float32)
    return np.concatenate([none, *(layer[None] for layer in maps)])


def _attention(
    model: Model, tokenizer: Tokenizer, text: str, pair: str | None
) -> tuple[list[str], list[Array]]:
    """The first tokens, and the maps [A, T, T] of each layer between them."""
    length, pairs = sequence_length(tokenizer, model.config), None if pair is None else [pair]
    dataset = Dataset.from_texts(tokenizer, [text], pairs, max_length=length)
    outputs, _ = model.forward(dataset.batch([0]), attentions=True, logits=False, keep_cache=False)
    tokens = [tokenizer.shown_token(int(i)) for i in dataset.input_ids[:TOKENS_SHOWN]]
    return tokens, [layer[0][:, :TOKENS_SHOWN, :TOKENS_SHOWN] for layer in outputs["attentions"]]
