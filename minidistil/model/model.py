"""Models: read from directories of the Hugging Face layout, and written."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_device, check_type
from minidistil.errors import UsageError, WeightsError
from minidistil.model.families import load_config, names_of
from minidistil.model.packed_model import get_backend
from minidistil.model.rectangular import RectangularModel

if TYPE_CHECKING:
    from minidistil.config import ModelConfig
    from minidistil.model.heads import Head
    from minidistil.text.tokenizer import Tokenizer
    from minidistil.weights.report import LoadReport

log = logging.getLogger("minidistil")


class Model(RectangularModel):
    """Base of all models, which are read from directories of the Hugging Face layout, and written.

    Use a class such as `BertForSequenceClassification`; it takes what `PackedModel` takes.

    Attributes
    ----------
    load_report : LoadReport or None
        Load report of `from_pretrained`.
    """

    load_report: LoadReport | None = None
    _new: Mapping[str, bytes] = {}  # of parameters that the file lacked: a hash of what they began as

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        dtype: npt.DTypeLike = "float32",
        backend: str = "numba",
        strict: bool = False,
        ignore_mismatched: bool = False,
        ignore_mismatched_sizes: bool = False,
        config: ModelConfig | None = None,
        mapped: bool = False,
        revision: str | None = None,
        seed: int = 0,
        quiet: bool = False,
        **config_changes: Any,
    ) -> Self:
        """Load a directory or a hub id, ready to predict: see `eval`.

        Parameters that the file lacks, such as a new classifier, begin at random, with a warning. Predictors,
        evaluations and teachers refuse such a model until it is trained (`check_trained`).

        Parameters
        ----------
        path_or_id : directory, or an id such as "google-bert/bert-base-uncased"
        strict : bool
            Raise if any parameter is missing from the file or any tensor of the file is not used.
        ignore_mismatched, ignore_mismatched_sizes : bool
            Start head parameters afresh where the file has another shape, e.g. for other labels. The second
            is the name in transformers.
        config : ModelConfig, optional
            In place of the one in the directory.
        mapped : bool
            For a model that only predicts: leave its matrices in the file and read them when they are used,
            which takes less memory. They cannot change until `train`. If somebody writes into the file,
            reading it is a WeightsError; replacing it by another changes nothing.
        revision : str, optional
            Branch, tag or commit on the hub.
        seed : int
            For parameters that the file lacks, such as a new classifier.
        quiet : bool
            No warning; `load_report` has what it would say.
        **config_changes
            Fields of the config to change, e.g. `id2label={0: "no", 1: "yes"}`, or `num_labels`, `label2id`.

        Raises
        ------
        ConfigError, WeightsError, MissingAssetError
        """
        from minidistil.weights.checkpoint import open_checkpoint
        from minidistil.weights.hub import resolve
        from minidistil.weights.load import check_depth, load_into, stored_copies_differ

        path = resolve(path_or_id, revision=revision)
        config = load_config(path) if config is None else config
        if config_changes:
            config = config.replace(**config_changes)
        checkpoint = open_checkpoint(path).without_wrapper(cls.base)
        if cls.is_of(config):  # `_prepare` refuses others
            names = names_of(cls, config)
            check_depth(checkpoint, config.layers_stored[1], names, path)
            if config.tie_word_embeddings and stored_copies_differ(checkpoint, cls.copies(config), cls.base):
                config = config.replace(tie_word_embeddings=False)
        model = cls.__new__(cls)
        model._prepare(config, dtype, backend, allocate=False)
        model.load_report = load_into(
            model.params,
            checkpoint,
            names=names,
            tied=cls.copies(config),
            strict=strict,
            ignore_mismatched=ignore_mismatched or ignore_mismatched_sizes,
            mapped=mapped,
            source=path,
        )
        missing = [absence.name for absence in model.load_report.missing]
        model._initialise(missing, seed)
        model._new = {name: _hash(model.params[name]) for name in missing}
        if not quiet and model.load_report.warning:
            log.warning("%s", model.load_report.warning)
        return model if mapped else model.eval()

    def __repr__(self) -> str:
        from minidistil.model.description import described, lines, state

        rows = described(self)
        return lines(rows.pop("architecture"), {**rows, "precision": state(self)})

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle: every parameter once, and the backend by its name."""
        return {**vars(self), "backend": self.backend.name, "packed": self.params.packed}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        rest = {name: value for name, value in state.items() if name != "packed"}
        vars(self).update({**rest, "backend": get_backend(state["backend"])})
        if state["packed"]:
            self.eval()

    @property
    def pipeline_tag(self) -> str:
        """The hub's name of its task: that of the first head."""
        return self.heads[0].pipeline_tag if self.heads else "feature-extraction"

    # Parameters, under the names of transformers

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Every parameter by its name, and copies of tied ones under theirs, as in transformers."""
        copies = self.copies(self.config)
        return {**self.params, **{alias: self.params[name] for alias, name in copies.items()}}

    def named_parameters(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Every parameter with its name; a tied one once."""
        return iter(self.params.items())

    def parameters(self) -> Iterator[npt.NDArray[Any]]:
        """Every parameter; a tied one once."""
        return iter(self.params.values())

    def num_parameters(self, only_trainable: bool = False) -> int:
        """Number of parameters, or of those that are not frozen."""
        left_out = self.frozen if only_trainable else set()
        return sum(spec.size for spec in self.params.specs if spec.name not in left_out)

    @property
    def device(self) -> str:
        """The CPU, always."""
        return "cpu"

    def to(self, device: object) -> Self:
        """The same model: everything is computed on the CPU. A UsageError for another device."""
        check_device(device)
        return self

    # What was trained

    def untrained(self) -> tuple[str, ...]:
        """Names of the parameters that the file lacked, as long as none of them has changed."""
        if any(_hash(self.params[name]) != began for name, began in self._new.items()):
            self.mark_trained()
        return tuple(self._new)

    def mark_trained(self) -> None:
        """Mark all parameters as trained, as a trainer does, however little they change."""
        self._new = {}

    def check_trained(self, heads: Iterable[Head] | None = None) -> None:
        """Refuse to answer from parameters that were never trained.

        Parameters
        ----------
        heads : iterable of Head, optional
            Heads that the answer comes from; all of the model's by default.

        Raises
        ------
        WeightsError
            Naming the parameters that the file lacked, and the names in the file that are most like them.
        """
        untrained = self.untrained()
        if not untrained:
            return
        needed = {spec.name for head in (self.heads if heads is None else heads) for spec in head.specs()}
        if lacking := [name for name in untrained if name in needed]:
            assert self.load_report is not None
            raise WeightsError(
                f"{self.load_report.source} lacks {self.load_report.with_nearest(lacking)}: this "
                f"{type(self).__name__} would answer from random numbers, which nobody has trained. Give the "
                f"tensors the model's names, or train it for its task first (minidistil finetune)"
            )

    def save_pretrained(
        self, path: str | Path, *, tokenizer: Tokenizer | None = None, card: str | None = None
    ) -> None:
        """Write a directory that transformers loads too: config.json, model.safetensors, tokenizer, card.

        All or nothing: an interruption leaves what was there before. Without `card`, a README.md that is
        there stays, or a plain one is written. Parameters that nobody has trained (`untrained`) are left out,
        so that whoever loads the directory is told.
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
            card = plain_card(config, self.pipeline_tag).render()

        # transformers ties its copies itself, but misses those of an untied model.
        untied = {} if self.config.tie_word_embeddings else self.copies(self.config)
        untrained = self.untrained()
        copies = {alias: self.params[name] for alias, name in untied.items() if name not in untrained}
        files = None if tokenizer is None else tokenizer.files(token_type_ids=config.type_vocab_size > 1)
        save_directory(
            Path(path),
            config=config,
            tensors={
                **{s.name: self.params[s.name] for s in self.specs(self.config) if s.name not in untrained},
                **copies,
            },
            tokenizer_files=files,
            card=card,
        )


def _hash(values: npt.NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).data).digest()
