"""Attention of one head of one layer, as a page shows it."""

from __future__ import annotations

from typing import Any

from minidistil.errors import UsageError
from minidistil.model.model import Model
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer

TOKENS_SHOWN = 64  # more cannot be read on a page


def attention_map(
    model: Model, tokenizer: Tokenizer, text: str, pair: str | None = None, *, layer: int, head: int
) -> dict[str, Any]:
    """Attention within a text or a pair of texts.

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
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    if not (0 <= layer < layers and 0 <= head < heads):
        raise UsageError(
            f"there is no head {head} of layer {layer}: layers are 0 to {layers - 1}, heads 0 to {heads - 1}"
        )
    length, pairs = sequence_length(tokenizer, model.config), None if pair is None else [pair]
    dataset = Dataset.from_texts(tokenizer, [text], pairs, max_length=length)
    outputs, _ = model.forward(dataset.batch([0]), attentions=True, logits=False)
    tokens = [tokenizer.id_to_token(int(i)) or "?" for i in dataset.input_ids[:TOKENS_SHOWN]]
    rows = outputs["attentions"][layer][0][head, :TOKENS_SHOWN, :TOKENS_SHOWN].tolist()
    return {"layer": layer, "head": head, "tokens": tokens, "rows": rows}
