"""Loading whatever a directory holds, as the class that it names or that its tensors fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.model.families import (
    FAMILIES,
    class_with,
    head_in,
    load_config,
    model_classes,
    names_of,
    public,
    unit_of,
)
from minidistil.model.model import Model


def load_model(path_or_id: str | Path, *, revision: str | None = None, **options: Any) -> Model:
    """Load whatever a directory or hub id holds, as the class that config.json names.

    Takes the options of `Model.from_pretrained`.
    """
    from minidistil.weights.hub import resolve

    path = resolve(path_or_id, revision=revision)
    return class_of(load_config(path), path).from_pretrained(path, **options)


def load_to_answer(path_or_id: str | Path, head: str | None = None, **options: Any) -> Model:
    """Load a model for prediction or evaluation, without a warning about new parameters.

    Callers that use a head check that it was trained, see `Model.check_trained`.

    Parameters
    ----------
    path_or_id : directory or hub id
    head : str, optional
        End of the class's name if config.json names none: "ForSequenceClassification", or "Model"
        for an encoder of which no head is asked.
    **options
        Of `Model.from_pretrained`: `mapped=True` for a command, which ends soon. Without it all is in memory,
        and what becomes of the file makes no difference.
    """
    from minidistil.weights.hub import resolve

    path = resolve(path_or_id)
    kind = class_of(load_config(path), path, head)
    return kind.from_pretrained(path, quiet=True, **options).eval()


def class_of(config: ModelConfig, path: Path, head: str | None = None) -> type[Model]:
    """The class that a directory is to be loaded as.

    Parameters
    ----------
    config : ModelConfig
        The directory's. The class that it names comes first.
    path : Path
        The directory, whose tensors decide where config.json names no class that is known here.
    head : str, optional
        End of the class's name in their place, see `load_to_answer`.

    Raises
    ------
    ConfigError
        The tensors fit no class, or several.
    """
    named = config.architectures[0] if config.architectures else None
    kind = None if named is None else public(named)
    if isinstance(kind, type) and issubclass(kind, Model):
        return kind
    if head is None:
        head = _head_in(path, config)
    if head is not None:
        return class_with(head, config.model_type)
    what = "names no architecture" if named is None else f"names the architecture {named!r}, unknown here"
    classes = ", ".join(name for name in model_classes() if name.startswith(FAMILIES[config.model_type]))
    raise ConfigError(
        f"{path}/config.json {what}, and its tensors do not tell which it is: say the task (--task), or load "
        f"it with its class, one of {classes}"
    )


def class_or_encoder(config: ModelConfig, path: Path) -> type[Model]:
    """As `class_of`, but the bare encoder where the class is in doubt: for facts that go by the encoder."""
    try:
        return class_of(config, path)
    except ConfigError:
        return class_of(config, path, "Model")


def _head_in(path: Path, config: ModelConfig) -> str | None:
    """Head of the class that a directory's tensors fit, if it is just one; "Model" without any."""
    from minidistil.weights.checkpoint import open_checkpoint
    from minidistil.weights.names import is_buffer

    kind = class_with("Model", config.model_type)
    names, base = names_of(kind, config), kind.base
    outside = [n for n in open_checkpoint(path).without_wrapper(base) if not names.in_encoder(n)]
    return head_in({unit_of(name, base) for name in outside if not is_buffer(name, base)}, config)
