"""Reading and writing models as directories of the Hugging Face layout."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy.typing as npt

from minidistil.arguments import check_type
from minidistil.config import ModelConfig, load_config
from minidistil.errors import ConfigError, UsageError
from minidistil.model.arena import Arena, ParameterSpec
from minidistil.model.naming import Naming

if TYPE_CHECKING:
    from minidistil.text.tokenizer import Tokenizer
    from minidistil.weights.report import LoadReport


class Pretrained:
    """`from_pretrained` and `save_pretrained` of every model.

    Attributes
    ----------
    load_report : LoadReport or None
        What `from_pretrained` found.
    """

    naming: ClassVar[Naming]
    # {name of a stored copy: the parameter it equals}, for decoders that share the word table and others.
    tied: ClassVar[Mapping[str, str]] = {}
    untied: ClassVar[Mapping[str, str]] = {}

    config: ModelConfig
    params: Arena
    load_report: LoadReport | None = None

    @classmethod
    def specs(cls, config: ModelConfig) -> list[ParameterSpec]:
        raise NotImplementedError

    def _prepare(
        self, config: ModelConfig, dtype: npt.DTypeLike, backend: str, allocate: bool = True
    ) -> None:
        raise NotImplementedError

    def _initialise(self, names: Collection[str], seed: int) -> None:
        raise NotImplementedError

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        dtype: npt.DTypeLike = "float32",
        backend: str = "numba",
        strict: bool = False,
        ignore_mismatched: bool = False,
        mapped: bool = False,
        revision: str | None = None,
        seed: int = 0,
        **config_changes: Any,
    ) -> Self:
        """Load a directory or a hub id.

        Parameters
        ----------
        path_or_id : directory, or an id such as "google-bert/bert-base-uncased"
        strict : bool
            Raise if any parameter is missing from the file or any tensor of the file is not used.
        ignore_mismatched : bool
            Start head parameters afresh where the file has another shape, e.g. for other labels.
        mapped : bool
            For a model that only predicts: leave its parameters in the file and read them from there, which
            takes less time and memory. They cannot change until `train`, nor may the file.
        revision : str, optional
            Branch, tag or commit on the hub.
        seed : int
            For parameters that the file lacks, such as a new classifier.
        **config_changes
            Fields of the config to change, e.g. `id2label={0: "no", 1: "yes"}`.

        Raises
        ------
        ConfigError, WeightsError, MissingAssetError
        """
        from minidistil.weights.checkpoint import open_checkpoint
        from minidistil.weights.hub import resolve
        from minidistil.weights.load import load_into

        path = resolve(path_or_id, revision=revision)
        config = load_config(path)
        if config_changes:
            try:
                config = config.replace(**config_changes)
            except TypeError as error:
                raise ConfigError(f"not a field of the config: {error}") from error
        model = cls.__new__(cls)
        model._prepare(config, dtype, backend, allocate=not mapped)
        model.load_report = load_into(
            model.params,
            open_checkpoint(path),
            base_prefix=cls.naming.base,
            tied=cls.tied if config.tie_word_embeddings else cls.untied,
            strict=strict,
            ignore_mismatched=ignore_mismatched,
            mapped=mapped,
            source=path,
        )
        model._initialise({absence.name for absence in model.load_report.missing}, seed)
        return model

    def save_pretrained(
        self, path: str | Path, *, tokenizer: Tokenizer | None = None, card: str | None = None
    ) -> None:
        """Write a directory that transformers loads too: config.json, model.safetensors, tokenizer, card.

        All or nothing: an interruption leaves what was there before. Without `card`, a README.md that is
        there stays, or a plain one is written.
        """
        from minidistil.weights.card import plain_card
        from minidistil.weights.save import save_directory

        # Of a file in half precision the config says so; transformers would halve ours again.
        extra = {key: value for key, value in self.config.extra.items() if key != "torch_dtype"}
        config = self.config.replace(
            architectures=(type(self).__name__,), extra={**extra, "dtype": self.params.dtype.name}
        )
        check_type("the directory to write", path, (str, os.PathLike))
        if tokenizer is not None and not hasattr(tokenizer, "files"):
            raise UsageError(f"tokenizer must be a Tokenizer, not {tokenizer!r:.60}")
        if card is None and not (Path(path) / "README.md").exists():
            card = plain_card(config).render()

        # transformers ties its copies itself, but misses those of an untied model.
        untied = {} if self.config.tie_word_embeddings else self.untied
        copies = {alias: self.params[name] for alias, name in untied.items()}
        files = None if tokenizer is None else tokenizer.files(token_type_ids=config.type_vocab_size > 0)
        save_directory(
            Path(path),
            config=config,
            tensors={**{spec.name: self.params[spec.name] for spec in self.specs(self.config)}, **copies},
            tokenizer_files=files,
            card=card,
        )
