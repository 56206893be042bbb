"""Masked language modelling: how well a model guesses words."""

from __future__ import annotations

import math

import numpy as np

from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.base import Model
from minidistil.model.token_heads import MaskedLMHead
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.masking import MaskedDataset


def masked_lm_head(model: Model) -> MaskedLMHead:
    """The head of a masked LM.

    Raises
    ------
    InputError
        The model has none.
    """
    for head in model.heads:
        if isinstance(head, MaskedLMHead):
            return head
    raise InputError(f"{type(model).__name__} does not guess words; a ...ForMaskedLM is needed")


def evaluate_masked_lm(
    model: Model, dataset: MaskedDataset, *, label: str = "evaluating", quiet: bool = True
) -> dict[str, float]:
    """Cross-entropy, accuracy and perplexity over the masked tokens of a dataset.

    Parameters
    ----------
    model : Model
        A masked LM; runs in evaluation mode.
    dataset : MaskedDataset
        With `fixed` masks the numbers of two models, or of two moments, can be compared.
    label, quiet
        Of the progress shown.

    Returns
    -------
    dict
        "masked_lm": nats a masked token; "accuracy": share guessed right; "perplexity": e^masked_lm.
    """
    head, total, right, count = masked_lm_head(model), 0.0, 0, 0
    with Progress(len(dataset), label, "sequence", quiet=quiet) as progress:
        for indices in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
            batch = dataset.batch(indices)
            labels = batch.targets["labels"]
            rows = np.flatnonzero(labels != IGNORE_INDEX)
            outputs, _ = model.forward(batch, logits=False, keep_cache=False)
            last = model.params.linear(*head.decoder_names(model.config))
            logits, _ = model.backend.linear_forward(outputs["features"][rows], *last)
            total += cross_entropy(logits, labels[rows]).sum
            right += int((logits.argmax(1) == labels[rows]).sum())
            count += len(rows)
            progress.update(len(indices))
    mean = total / max(count, 1)
    perplexity = math.exp(mean) if mean < 700 else math.inf
    return {"masked_lm": mean, "accuracy": right / max(count, 1), "perplexity": perplexity}
