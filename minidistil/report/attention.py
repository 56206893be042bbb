"""Where one head of one layer looks, as a table of a page."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import UsageError
from minidistil.model.model import Model
from minidistil.report.chart import heat_map
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer

TOKENS_SHOWN = 64  # more cannot be read on a page


def attention_map(
    model: Model, tokenizer: Tokenizer, text: str, pair: str | None = None, *, layer: int, head: int
) -> tuple[list[str], npt.NDArray[np.floating[Any]]]:
    """Attention within a text or a pair of texts.

    Parameters
    ----------
    layer, head : int
        Counted from 0, as in the names of parameters.

    Returns
    -------
    tokens : list of str
        The first 64, special tokens included.
    attention : [L, L]
        Row i: how much of its attention token i pays to each token; rows sum to 1 if all are shown.

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
    return tokens, outputs["attentions"][layer][0][head, :TOKENS_SHOWN, :TOKENS_SHOWN]


def attention_figure(tokens: list[str], attention: npt.NDArray[Any], *, layer: int, head: int) -> str:
    """The table, with what it says."""
    title = f"Head {head} of layer {layer}, both counted from 0: what each token (down) looks at (across)."
    return f"<p>{escape(title)}</p>" + heat_map(attention.tolist(), row_names=tokens, column_names=tokens)
