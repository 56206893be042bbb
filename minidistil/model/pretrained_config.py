"""Configs of the families: a `ModelConfig` that is read from a model's directory, and written to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from minidistil.config import ModelConfig, frozen_config
from minidistil.errors import ConfigError
from minidistil.files import atomic_write
from minidistil.model.families import load_config


@frozen_config
@dataclass(frozen=True, kw_only=True)
class PretrainedConfig(ModelConfig):
    """Base of the configs of all families."""

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, revision: str | None = None, **changes: Any) -> Self:
        """Read the config of a directory or hub id.

        Parameters
        ----------
        path_or_id : directory, or an id such as "google-bert/bert-base-uncased"
        revision : str, optional
            Branch, tag or commit on the hub.
        **changes
            Fields to change, or `num_labels`, `id2label`, `label2id`.

        Raises
        ------
        ConfigError
            No config.json, one that makes no sense, or one of another family.
        MissingAssetError
            A hub id that cannot be fetched.
        """
        config = read_config(path_or_id, revision, changes)
        if not isinstance(config, cls):
            raise ConfigError(
                f"{path_or_id} holds a {type(config).__name__}, which is no {cls.__name__}: say "
                f"AutoConfig or {type(config).__name__}"
            )
        return config

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json into a directory."""
        with atomic_write(Path(path) / "config.json") as temporary:
            self.save(temporary)


def read_config(path_or_id: str | Path, revision: str | None, changes: dict[str, Any]) -> ModelConfig:
    """The config of a directory or hub id, whatever its family, with some fields changed."""
    from minidistil.weights.hub import resolve

    config = load_config(resolve(path_or_id, revision=revision))
    return config.replace(**changes) if changes else config
