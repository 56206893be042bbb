"""Importance of each attention head, measured on data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import InputError
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.train.objective import TrainingData


def head_importance(
    model: Model, data: TrainingData, *, examples: int = 256, quiet: bool = True
) -> npt.NDArray[np.float64]:
    """The mean over examples of |dLoss/dgate|, for a gate that multiplies a head's output.

    Parameters
    ----------
    model : Model
        With a loss of its own, such as a masked LM or a classifier.
    data : Dataset or other training data
        With labels. The first `examples` are used, each by itself.
    examples : int
    quiet : bool
        Show no progress.

    Returns
    -------
    float64 [L, A]
        For `head_importance` of `init_student` and `prune_width`, which compare heads of one layer.

    Raises
    ------
    InputError
        No examples, or a model without a loss.

    Notes
    -----
    Michel, Levy and Neubig 2019 ("Are Sixteen Heads Really Better than One?", arXiv:1905.10650, equation 2).
    The gate xi, 1 in the model as it is, stands between a head's context c [T, D] and the D columns W of the
    output projection that read it: y = xi c W^T + the other heads. Then

        dL/dxi = sum_t dL/dy_t . (W c_t) = sum(W * dL/dW)

    with dL/dW = sum_t dL/dy_t c_t^T: no gate needs to be built, the gradient of the projection says it all.
    """
    count = min(examples, len(data))
    if count < 1:
        raise InputError("importance of heads is measured on examples, and there are none")
    config = model.config
    names = [layer.attention.out.names[0] for layer in model.encoder.layers]
    total = np.zeros((config.depth, config.num_attention_heads))
    grads: Any = model.params.like()
    with Progress(count, "measuring heads", "example", quiet=quiet) as progress:
        for i in range(count):
            batch = data.batch(np.array([i]))
            grads.flat.fill(0)
            outputs, cache = model.forward(batch, logits=False)
            losses = model.losses(outputs, batch, grads=grads)
            model.backward(losses.douts, cache, grads)
            for layer, name in enumerate(names):
                by_column = (model.params[name] * grads[name]).sum(0, dtype=np.float64)  # [H]
                total[layer] += np.abs(by_column.reshape(config.num_attention_heads, -1).sum(1))
            progress.update(1)
    return total / count


def stream_sample(
    model: Model, data: TrainingData, *, examples: int = 128, rows: int = 20_000
) -> npt.NDArray[np.floating[Any]]:
    """Hidden states of all layers together, [<= rows, H], for `hidden_states` of `prune_width`.

    Parameters
    ----------
    model : Model
    data : Dataset or other training data
        The first `examples` are run.
    examples, rows : int
        Of the states, every k-th token is taken, with k such that there are no more than `rows`.
    """
    parts = []
    for begin in range(0, min(examples, len(data)), 16):
        batch = data.batch(np.arange(begin, min(begin + 16, examples, len(data))))
        outputs, _ = model.forward(batch, hidden_states=True, logits=False, keep_cache=False)
        parts += outputs["hidden_states"]
    states = np.concatenate(parts)
    return states[:: max(1, -(-len(states) // rows))]
