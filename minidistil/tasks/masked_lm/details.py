"""Details of an evaluation of a masked LM: words with the highest loss, in their texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.losses.base import log_softmax
from minidistil.tasks.details import Details
from minidistil.text.masking import MaskedDataset
from minidistil.text.tokenizer import Tokenizer

AROUND = 24  # tokens that are shown before and behind a word
ROWS_AT_ONCE = 64  # of scores of all words


class MaskedWords:
    """Loss of each masked token of a dataset, and the likeliest token in its place.

    Parameters
    ----------
    dataset : MaskedDataset
        With `fixed` masks.
    tokenizer : Tokenizer
    """

    def __init__(self, dataset: MaskedDataset, tokenizer: Tokenizer) -> None:
        self.dataset, self.tokenizer = dataset, tokenizer
        # Rows of: sequence, token in it, right id, likeliest id; and loss, probability of the likeliest.
        self._places: list[npt.NDArray[np.int64]] = []
        self._numbers: list[npt.NDArray[np.float64]] = []

    def add(
        self,
        indices: npt.NDArray[np.int64],
        batch: Batch,
        tokens: npt.NDArray[np.int64],
        scores: Array,
        labels: npt.NDArray[np.int64],
    ) -> None:
        """Take in n masked tokens of a batch.

        Parameters
        ----------
        indices : int64 [B]
            Sequences of the dataset that the batch has.
        batch : Batch
        tokens : int64 [n]
            Their indices in the batch.
        scores : float [n, V]
        labels : int64 [n]
        """
        which = np.searchsorted(batch.cu_seqlens, tokens, "right") - 1
        best, numbers = scores.argmax(1), np.zeros((len(tokens), 2))
        for i in range(0, len(tokens), ROWS_AT_ONCE):
            some = slice(i, i + ROWS_AT_ONCE)
            logs = log_softmax(scores[some].astype(np.float64))
            row = np.arange(len(logs))
            numbers[some] = np.stack([-logs[row, labels[some]], np.exp(logs[row, best[some]])], axis=1)
        place = tokens - batch.cu_seqlens[which]
        self._places.append(np.stack([np.asarray(indices)[which], place, labels, best], axis=1))
        self._numbers.append(numbers)

    def keep(self, details: Details) -> None:
        """Add the tokens with the highest loss to the details."""
        if not self._places:
            return
        places, numbers = np.concatenate(self._places), np.concatenate(self._numbers)

        def describe(i: int) -> dict[str, Any]:
            sequence, place, label, best = places[i].tolist()
            ids = self.dataset.batch([sequence]).input_ids
            before = self.tokenizer.decode(ids[max(0, place - AROUND) : place])
            behind = self.tokenizer.decode(ids[place + 1 : place + 1 + AROUND])
            return {
                "texts": {"text": f"{before} {self.tokenizer.special_tokens['mask_token']} {behind}".strip()},
                "right": self._shown(label),
                "given": self._shown(best),
                "probability": float(numbers[i, 1]),
            }

        details.keep_worst(
            numbers[:, 0],
            describe,
            measure="loss (nats)",
            about="Minus the logarithm of the probability that the model gives to the right word.",
        )

    def _shown(self, token_id: int) -> str:
        known = self.tokenizer.id_to_token(token_id) is not None
        return self.tokenizer.shown_token(token_id) if known else f"id {token_id}"
