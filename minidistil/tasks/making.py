"""Making of a predictor, from a directory or hub id, or from a model in memory: `minidistil.pipeline`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidistil.arguments import check_names, check_type
from minidistil.config import ModelConfig
from minidistil.embeddings.encoder import ENCODING, SentenceEncoder
from minidistil.errors import UsageError
from minidistil.model.model import Model
from minidistil.tasks.base import PredictingTask, load, tokenizer_of
from minidistil.tasks.predictor import ANY, ELSEWHERE, Predictor, without_any
from minidistil.tasks.registry import EMBEDDINGS, predicting_task, task_of
from minidistil.text.tokenizer import Tokenizer

LOADING = (
    *("dtype", "backend", "strict", "ignore_mismatched", "ignore_mismatched_sizes", "config", "mapped"),
    *("revision", "seed"),
)


def make(
    task: str | None,
    model: Model | str | Path | None,
    tokenizer: Tokenizer | str | Path | None,
    **options: Any,
) -> Predictor | SentenceEncoder:
    """A predictor; the arguments are those of `pipeline`."""
    if "path_or_id" in options:
        raise UsageError("path_or_id is now called model: pipeline(task, model)")
    if model is None:
        raise UsageError(_no_model(task))
    check_type("the model of a pipeline", model, (Model, str, os.PathLike))
    options = without_any(options)
    kind = predicting_task(task) if task is not None and task not in EMBEDDINGS else None
    loading = {name: options.pop(name) for name in _loading_options() if name in options}
    found = model if isinstance(model, Model) else None
    if found is not None:
        _check_loaded(found, tokenizer, loading)
    if task is None:
        if not isinstance(model, Model):
            found, tokenizer = load(model, tokenizer=tokenizer, **loading)
        assert found is not None
        kind = None if found.pipeline_tag == "feature-extraction" else task_of(found)
    if kind is None:
        check_names("pipeline", "option", options, [*ENCODING, *ANY])
        if isinstance(model, Model):
            assert tokenizer is not None
            return SentenceEncoder.of_model(model, tokenizer_of(tokenizer), **options)
        return SentenceEncoder.from_pretrained(model, tokenizer=tokenizer, **loading, **options)
    making, calls = _divided(kind, options)
    if found is not None:
        assert tokenizer is not None
        return kind.bind(found, tokenizer_of(tokenizer), **making).with_defaults(**calls)
    assert not isinstance(model, Model)
    return kind.open(model, tokenizer=tokenizer, **loading, **making).with_defaults(**calls)


def _check_loaded(model: Model, tokenizer: object, loading: Mapping[str, Any]) -> None:
    """Raise a UsageError for a model in memory without a tokenizer, or with options of loading it."""
    name = type(model).__name__
    if tokenizer is None:
        raise UsageError(f"this {name} needs its tokenizer: pipeline(task, model, tokenizer=tokenizer)")
    if loading:
        said = ", ".join(loading)
        raise UsageError(f"this {name} is loaded: {said} can only be said of a directory or hub id")


def _divided(kind: type[PredictingTask], options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of making a predictor, and those of its calls; what both take is of making.

    Raises
    ------
    UsageError
        An option that neither takes.
    """
    making = [*kind.setup, *kind.loading_options()]
    calls = [*kind.call_options(), *(["top_k"] if kind.ranks else [])]
    ours = {ELSEWHERE.get(name, name): value for name, value in options.items()}
    known = list(dict.fromkeys([*making, *calls, *ANY]))
    check_names("pipeline", "option", ours, known, f"; of loading: {', '.join(LOADING)}")
    return (
        {name: value for name, value in ours.items() if name in making},
        {name: value for name, value in ours.items() if name not in making},
    )


def _loading_options() -> list[str]:
    """Options of loading a model, among them the fields of its config."""
    return [*LOADING, "num_labels", "label2id", *(field.name for field in dataclasses.fields(ModelConfig))]


def _no_model(task: str | None) -> str:
    if task is not None and os.path.isdir(task):
        return f"{task} is a model, and no task: pipeline(model={task!r}), or pipeline(task, {task!r})"
    return "pipeline needs a model: a directory, a hub id, or a model in memory with its tokenizer"
