"""Model of a fine-tuning as training begins."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.distill.student import init_student
from minidistil.jobs.run import freeze
from minidistil.model.families import load_config
from minidistil.model.model import Model
from minidistil.weights.hub import resolve

HEAD_BIASES = ("classifier.bias", "classifier.out_proj.bias")
log = logging.getLogger("minidistil")


def first_model(
    kind: type[Model],
    source: str | Path,
    config: ModelConfig,
    *,
    layers: str | None = None,
    frozen: Sequence[str] = (),
    seed: int = 0,
    bias: npt.ArrayLike | None = None,
    **loading: Any,
) -> Model:
    """A model with the labels and the record of `config`, and the weights of another.

    Parameters
    ----------
    kind : class of models
    source : str or path
        A directory or hub id to begin from.
    config : ModelConfig
    layers, frozen
        See `ModelSettings`.
    seed : int
        For parameters that the source lacks.
    bias : float [C], optional
        Of the scores, where a new head begins, see `first_bias`.
    **loading
        Of `Model.from_pretrained`.
    """
    path = resolve(source)
    if (before := load_config(path)).is_generator and kind.__name__ not in before.architectures:
        log.warning(
            "%s is a generator of ELECTRA, which fine-tunes badly: begin from the discriminator that it was "
            "trained with (ElectraForPreTraining)",
            source,
        )
    labels = {name: getattr(config, name) for name in ("problem_type", "id2label", "extra")}
    model: Model = kind.from_pretrained(path, seed=seed, ignore_mismatched=True, **labels, **loading).train()
    follow_labels(model, before)
    new = set() if model.load_report is None else {absence.name for absence in model.load_report.missing}
    for name in new.intersection(HEAD_BIASES) if bias is not None else ():
        model.params[name][:] = bias
    if layers is not None:
        model = init_student(model, layers, seed=seed)
    freeze(model, frozen)
    return model


def first_bias(labels: npt.NDArray[Any], problem_type: str | None) -> npt.NDArray[np.float64] | None:
    """Bias of a new head that knows how labels are distributed, and nothing else; None: 0 is as good.

    Of a regression that is the mean. Of labels of which any number may hold, it is the log-odds of how
    frequent each is (Lin et al. 2017, arXiv:1708.02002, section 3.3), of k in N examples log((k + 1/2) / (N -
    k + 1/2)). From 0 the first hundreds of steps would do nothing but find these; and where labels are rare,
    all of them push the encoder's output in one direction, in which it ends up the same for every text.

    Parameters
    ----------
    labels : float [N] or [N, C]
    problem_type : str or None
    """
    if problem_type == "regression":
        return np.asarray([labels.mean()], np.float64)
    if problem_type == "multi_label_classification":
        holds = (labels > 0.5).sum(axis=0)
        return np.asarray(np.log((holds + 0.5) / (len(labels) - holds + 0.5)), np.float64)
    return None


def follow_labels(model: Model, before: ModelConfig) -> None:
    """Put the rows of a head in the order of its model's labels, if it learnt the same in another order."""
    new, old = (config.label_names for config in (model.config, before))
    if new == old or sorted(new) != sorted(old):
        return
    for name in ("classifier.weight", "classifier.out_proj.weight", *HEAD_BIASES):
        if name in model.params and len(model.params[name]) == len(new):
            model.params[name][:] = model.params[name][[old.index(label) for label in new]]
