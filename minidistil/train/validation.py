"""Loss on examples that a model does not learn from."""

from __future__ import annotations

from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.train.objective import ModelLoss, TrainingData, window_losses

WORDS_AT_ONCE = 256  # tokens of a masked LM: each has a score for every word


def mean_loss(objective: ModelLoss, dataset: TrainingData) -> float:
    """The loss of a model on a dataset, without dropout and without a change of the model.

    Parameters
    ----------
    objective : ModelLoss
        Its weights of terms and of classes count.
    dataset : Dataset
        With the targets of the loss.

    Returns
    -------
    float
        Sum over the terms of weight * mean, as a trainer logs it; 0 if no term has an item.

    Raises
    ------
    InputError
        Targets that do not fit the model.
    """
    labels, sums, counts = objective.labels, dict[str, float](), dict[str, float]()
    model = labels.model
    many = any(head.over_vocabulary for head in model.heads)
    for indices in sorted_batches(dataset.lengths, WORDS_AT_ONCE if many else TOKENS_AT_ONCE):
        batch = dataset.batch(indices)
        outputs, _ = model.forward(batch, keep_cache=False, scores_only=True)
        some = labels.counts(batch)
        losses = labels.losses(outputs, batch, dict.fromkeys(some, 1.0), None)
        for term, count in some.items():
            counts[term] = counts.get(term, 0.0) + count
            sums[term] = sums.get(term, 0.0) + losses.sums[term]
    return window_losses(objective, sums, counts).get("loss", 0.0)
