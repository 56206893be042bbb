"""What fine-tuning, evaluation and prediction need to know of a kind of task."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.model import load_to_answer
from minidistil.model.families import load_config, sibling
from minidistil.model.model import Model
from minidistil.tasks.data import DataSettings, NamedData
from minidistil.tasks.training_settings import Learnt
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import TrainingData
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")


class Measurable(ABC):
    """Something that a model can be measured by. One object stands for one: a kind, its columns and names.

    Attributes
    ----------
    kind : str
        As `--task` takes it.
    reads : tuple of str
        Which settings of its data count for it; `named_task` refuses others.
    files : int
        In how many files a set of examples may be.
    primary : str
        The metric that a model is judged by.
    lower_is_better : tuple of str
        Those of its metrics of which less is better.
    """

    kind: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    files: ClassVar[int] = 1
    primary: str
    lower_is_better: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def read(self, path: str | Path) -> Any:
        """Examples of a file.

        Raises
        ------
        DataError
            Not what the task's files look like; file and line are named.
        """

    @abstractmethod
    def measure(self, path_or_id: str | Path, examples: Any, *, quiet: bool = True) -> dict[str, Any]:
        """Metrics of a saved model on examples: numbers, or for reports tables of them."""


class Task(Measurable):
    """A kind of task that a model with a head for it learns.

    Attributes
    ----------
    head : str
        What the name of a model class for it ends with.
    pipeline_tag : str
        The hub's word for it.
    problem_type : str or None
        Of a model's config, if the task decides it.
    usual_length : int
        Most tokens of an example that is learnt, if `data` does not say.
    unsaid_length : int or None
        Most tokens of an example for a model that keeps no length of its own; None: all that it takes.
    data : DataSettings
        Of which `max_length` counts for all.
    """

    head: ClassVar[str]
    pipeline_tag: ClassVar[str]
    usual_length: ClassVar[int] = 128
    problem_type: str | None = None
    unsaid_length: ClassVar[int | None] = None
    data: DataSettings

    def max_length(self, tokenizer: Tokenizer, config: ModelConfig) -> int:
        """Most tokens of an example that a model reads, whichever verb asks it.

        What the settings say, else what the model learnt with, else see `sequence_length`.

        Raises
        ------
        ConfigError
            `data` asks for more than the model has positions.
        """
        kept = Learnt.of(config).max_length
        if self.data.max_length is None and kept is not None:
            return min(kept, config.max_position_embeddings)
        return self._length(tokenizer, config, self.unsaid_length)

    def learning_length(self, tokenizer: Tokenizer, config: ModelConfig) -> int:
        """Most tokens of an example that a model of this config is to learn from, and keeps.

        What the settings say, else what is usual for the task. What it learnt another task with is of no
        account; what the tokenizer of a foreign model says is. Errors as of `max_length`.
        """
        if Learnt.of(config).max_length is not None:
            tokenizer = tokenizer.with_max_length(None)
        return self._length(tokenizer, config, self.usual_length)

    def _length(self, tokenizer: Tokenizer, config: ModelConfig, usual: int | None) -> int:
        return sequence_length(tokenizer, config, self.data.max_length, usual=usual, name="data.max_length")

    def learns(
        self,
        examples: Any,
        config: ModelConfig,
        tokenizer: Tokenizer,
        teacher: tuple[Model, Tokenizer] | None = None,
    ) -> Learnt:
        """Settings that a new model, with this config and its labels, keeps of its training."""
        return Learnt(max_length=self.learning_length(tokenizer, config))

    def kept_tokenizer(self, tokenizer: Tokenizer, config: ModelConfig) -> Tokenizer:
        """The tokenizer that is saved with a model of this task: whoever loads it cuts in the same place."""
        return tokenizer.with_max_length(self.max_length(tokenizer, config))

    def as_kept(self) -> Self:
        """The same task, asked of a model as the model itself keeps that it learnt."""
        other = copy.copy(self)
        other.data = replace(self.data, max_length=None)
        return other

    def like(self, examples: Any) -> Self:
        """The same task, reading other files by the columns that these examples were read by."""
        other = copy.copy(self)
        other.data = self.data.like(getattr(examples, "columns", {}), self.reads)
        return other

    def as_learnt_by(self, path_or_id: str | Path) -> Self:
        """The same task, looking first for the columns that a saved model learnt from."""
        columns = Learnt.of(load_config(resolve(path_or_id))).columns
        other = copy.copy(self)
        if isinstance(other.data, NamedData) and columns:
            other.data = replace(other.data, first=columns)
        return other

    def to_predict(self) -> Self:
        """The same task, reading files whose rows are all to be answered: without labels, empty texts too."""
        other = self.without_labels()
        if isinstance(other.data, NamedData):
            other.data = replace(other.data, empty=True)
        return other

    def without_labels(self) -> Self:
        """The same task, reading files whose labels are not needed and may be missing."""
        other = copy.copy(self)
        other.data = replace(self.data, label=None, label_columns=())
        return other

    def model_class(self, config: ModelConfig) -> type[Model]:
        """The class of a model for it, in the family of `config`."""
        return sibling(config, self.head)

    def check_model(self, model: Model, what: object) -> None:
        """Refuse a model, called `what`, that is not for this kind of task, or not yet trained.

        Raises
        ------
        ConfigError, WeightsError
        """
        if not type(model).__name__.endswith(self.head):
            raise ConfigError(f"{what} is a {type(model).__name__}: {self.kind} needs a ...{self.head}")
        model.check_trained()

    def check_examples(self, examples: Any, config: ModelConfig, what: object) -> None:
        """A ConfigError for examples of another form than a model, called `what`, learnt from."""

    @abstractmethod
    def changes(self, examples: Any) -> dict[str, Any]:
        """What a new model's config must say, such as the names of the labels, from what it learns from."""

    @abstractmethod
    def dataset(
        self, tokenizer: Tokenizer, examples: Any, config: ModelConfig, *, labelled: bool = True
    ) -> TrainingData:
        """Tokens, and with `labelled` the targets that a model with this config learns from."""

    @abstractmethod
    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Any, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Metrics of a model on examples with labels; numbers, or for reports tables of them."""

    def calibrate(self, model: Model, tokenizer: Tokenizer, examples: Any) -> dict[str, Any]:
        """What a finished model's config.json should say beside, from examples that it did not learn from."""
        return {}

    def measure(self, path_or_id: str | Path, examples: Any, *, quiet: bool = True) -> dict[str, Any]:
        path = resolve(path_or_id)
        model = load_to_answer(path, self.head, mapped=True)
        self.check_model(model, path)
        self.check_examples(examples, model.config, path)
        tokenizer = Tokenizer.from_pretrained(path).for_model(model.config.vocab_size)
        return self.evaluate(model, tokenizer, examples, quiet=quiet)
