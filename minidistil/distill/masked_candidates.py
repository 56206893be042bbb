"""Candidates of a masked LM for the words of texts; see `minidistil.text.word_replacement`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minidistil.arrays import Int32, Int64
from minidistil.model.model import Model
from minidistil.model.token_heads import MaskedLMHead
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.dataset import Dataset
from minidistil.text.word_replacement import ROWS_AT_ONCE, Bools, Candidates, best_words


def masked_candidates(model: Model, words: Bools, mask_id: int, k: int, *, quiet: bool = True) -> Candidates:
    """Candidates of a masked LM: the likeliest words in a place.

    All words that are to be replaced in a copy are masked together, and it takes one forward pass. TinyBERT
    masks each word alone, with all others in their places, which takes as many passes as there are words.

    Parameters
    ----------
    model : Model
        A masked LM.
    words : bool [V]
        Those that may be chosen.
    mask_id : int
    k : int
        Number of candidates.
    quiet : bool
        Show no progress.
    """
    (head,) = model.heads
    assert isinstance(head, MaskedLMHead)
    weight, bias = model.params.linear(*head.decoder_names)

    def candidates(data: Dataset, at: Int64) -> Int32:
        found = np.zeros((len(at), min(k, int(words.sum()) - 1)), np.int32)
        masked, place = data.input_ids.copy(), np.full(data.num_tokens, -1)
        masked[at], place[at] = mask_id, np.arange(len(at))
        asked = replace(data, input_ids=masked, targets={}, token_targets={}).with_token_targets(
            place=place, own=data.input_ids
        )
        with Progress(len(data), "words for a copy", "sequence", quiet=quiet) as progress:
            for rows in sorted_batches(data.lengths, TOKENS_AT_ONCE):
                batch = asked.batch(rows)
                here = np.flatnonzero(batch.targets["place"] >= 0)
                progress.update(len(rows))
                if not len(here):
                    continue
                features = model.forward(batch, logits=False, keep_cache=False)[0]["features"]
                for begin in range(0, len(here), ROWS_AT_ONCE):
                    some = here[begin : begin + ROWS_AT_ONCE]
                    scores, _ = model.backend.linear_forward(features[some], weight, bias)
                    found[batch.targets["place"][some]] = best_words(
                        scores, words, batch.targets["own"][some], k
                    )
        return found

    return candidates
