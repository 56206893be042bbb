"""Model of a fine-tuning as training begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minidistil.config import ModelConfig
from minidistil.distill.student import init_student
from minidistil.jobs.run import freeze
from minidistil.model.families import load_config
from minidistil.model.model import Model
from minidistil.weights.hub import resolve

HEAD_BIAS = "classifier.bias"


def first_model(
    kind: type[Model],
    source: str | Path,
    config: ModelConfig,
    *,
    layers: str | None = None,
    frozen: Sequence[str] = (),
    seed: int = 0,
    mean: float | None = None,
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
    mean : float, optional
        Of the targets of a regression: a new head begins there.
    **loading
        Of `Model.from_pretrained`.
    """
    path = resolve(source)
    labels = {name: getattr(config, name) for name in ("problem_type", "id2label", "extra")}
    model: Model = kind.from_pretrained(path, seed=seed, ignore_mismatched=True, **labels, **loading).train()
    follow_labels(model, load_config(path))
    new = set() if model.load_report is None else {absence.name for absence in model.load_report.missing}
    if mean is not None and HEAD_BIAS in new:
        # From 0 its first hundreds of steps would do nothing but find the mean.
        model.params[HEAD_BIAS][:] = mean
    if layers is not None:
        model = init_student(model, layers, seed=seed)
    freeze(model, frozen)
    return model


def follow_labels(model: Model, before: ModelConfig) -> None:
    """Put the rows of a head in the order of its model's labels, if it learnt the same in another order."""
    new, old = (config.label_names for config in (model.config, before))
    if new == old or sorted(new) != sorted(old):
        return
    for name in ("classifier.weight", "classifier.bias"):
        if name in model.params and len(model.params[name]) == len(new):
            model.params[name][:] = model.params[name][[old.index(label) for label in new]]
