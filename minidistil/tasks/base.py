"""Protocol of a kind of task, and of predictors.

A kind of task is one folder of `minidistil.tasks`, and one class there that has all that is particular to the
kind. `minidistil.tasks.registry` has a line for each name of a task, and imports a class when it is asked.

- `Task`: what a saved model can be evaluated on (`read`, `evaluate_saved`). Similarity is no more than that.
- `PredictingTask`: it also answers texts. `open` gives a `Predictor`; the command line asks `read_inputs`,
  `show` and `template`. FAQ is one: an encoder answers by entries, without training.
- `TrainableTask`: a model with a head learns it (`config_overrides`, `dataset`), answers (`predict`) and is
  evaluated (`evaluate`). `open` and `evaluate_saved` are here; a kind adds the others.
"""

from __future__ import annotations

import argparse
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from minidistil.arguments import check_type
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.model import load_to_answer
from minidistil.model.families import class_with, load_config
from minidistil.model.model import Model
from minidistil.tasks.data import DataSettings, NamedData
from minidistil.tasks.inputs import Input, Shown, read_texts
from minidistil.tasks.loading import load as load
from minidistil.tasks.loading import tokenizer_of as tokenizer_of
from minidistil.tasks.predictor import Predictor as Predictor
from minidistil.tasks.predictor import keyword_names
from minidistil.tasks.training_settings import TrainingRecord
from minidistil.text.lengths import sequence_length
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import TrainingData
from minidistil.weights.hub import resolve

if TYPE_CHECKING:
    from minidistil.tasks.details import Details


class Task(ABC):
    """A task that a model can be evaluated on. One object stands for one: a kind, its columns and names.

    Parameters
    ----------
    data : DataSettings
    settings : settings_type
        Of this task alone, if it has some.

    Attributes
    ----------
    kind : str
        As `--task` takes it.
    data_settings : tuple of str
        The fields of `DataSettings` that count for it; `named_task` refuses others.
    settings_type : type or None
        A dataclass of settings that only this task has.
    files : int
        Most files that a set of examples may be in.
    main_metric : str
        The metric that a model is judged by.
    lower_is_better : tuple of str
        Metrics of which less is better.
    """

    kind: ClassVar[str]
    data_settings: ClassVar[tuple[str, ...]]
    settings_type: ClassVar[type[Any] | None] = None
    files: ClassVar[int] = 1
    main_metric: str
    lower_is_better: ClassVar[tuple[str, ...]] = ()
    data: DataSettings
    settings: Any

    def __init__(self, data: DataSettings | None = None, settings: Any = None) -> None:
        self.data, self.settings = data or DataSettings(), settings
        if settings is None and self.settings_type is not None:
            self.settings = self.settings_type()

    @abstractmethod
    def read(self, path: str | Path) -> Any:
        """Examples of a file.

        Raises
        ------
        DataError
            Not what the task's files look like; file and line are named.
        """

    @abstractmethod
    def evaluate_saved(
        self, path_or_id: str | Path, examples: Any, *, quiet: bool = True, details: Details | None = None
    ) -> dict[str, Any]:
        """Metrics of a saved model on examples: numbers, or for reports tables of them.

        `details`, if given, is filled in with what a page shows beside them.
        """


class PredictingTask(Task):
    """A task that texts can be asked of, in Python (`open`) and on the command line.

    Attributes
    ----------
    inputs : tuple of str
        Names of the text that it reads, or of the two texts, as a call or the columns of a table have them.
    least_inputs : int
        How many of these it needs.
    ranks : bool
        Whether a call may ask for the `top_k` best answers, each of its own (`ranked` of an answer).
    setup : tuple of str
        Options of the command line that `open` takes.
    options : tuple of str
        Options of the command line that `show` takes.
    required : tuple of str
        Options that it cannot do without, unless texts are from a file.
    whole_documents : bool
        Whether a text is a document: standard input is then one, not one a line, and there is a blank line
        between results.
    template : str
        Name of the template that shows its answers on a page, in `report/templates/predictions`.
    """

    inputs: ClassVar[tuple[str, ...]] = ("text",)
    least_inputs: ClassVar[int] = 1
    ranks: ClassVar[bool] = False
    setup: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[tuple[str, ...]] = ()
    whole_documents: ClassVar[bool] = False
    template: ClassVar[str]

    @classmethod
    @abstractmethod
    def open(cls, path_or_id: str | Path, **options: Any) -> Predictor:
        """Load a directory or hub id; options are those of `setup`, `tokenizer`, and of loading."""

    @classmethod
    @abstractmethod
    def bind(cls, model: Model, tokenizer: Tokenizer, **setup: Any) -> Predictor:
        """A predictor of a model in memory."""

    @classmethod
    def call_options(cls) -> tuple[str, ...]:
        """Names of the options of a call: of those of `predict` that have no place."""
        return keyword_names(cls.predict)

    @classmethod
    def loading_options(cls) -> tuple[str, ...]:
        """Further names of options of `open`."""
        return ()

    @abstractmethod
    def predict(self, *args: Any, **options: Any) -> list[Any]:
        """An answer for each text, in order; none depends on another."""

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Texts of the file that `minidistil predict --data` names."""
        return read_texts(args)

    def check_lines(self, lines: Iterable[str]) -> None:
        """Raise a UsageError for lines of standard input that are not texts, but a file's contents."""

    @abstractmethod
    def show(self, predictor: Predictor, *args: Any, **options: Any) -> Iterator[Shown]:
        """Answers to texts as `minidistil predict` prints them.

        Arguments are the texts, `pairs` if each has a second text, and those of `options` that were given.
        """


class TrainableTask(PredictingTask):
    """A kind of task that a model with a head for it learns.

    Attributes
    ----------
    head : str
        Ending of the name of a model class for it.
    pipeline_tag : str
        The hub's name of the task.
    does : str
        Ability that a model without the head lacks, for messages.
    labelled, empty : bool
        Whether the examples of a file need labels, and whether a text may be empty.
    loss_metric : str or None
        The metric that is the loss itself.
    problem_type : str or None
        Of a model's config, if the task decides it.
    default_training_length : int
        Most tokens of an example in training, unless `data` says.
    default_length : int or None
        Most tokens of an example for a model whose training is not known; None: all that it takes.
    """

    head: ClassVar[str]
    pipeline_tag: ClassVar[str]
    does: ClassVar[str]
    labelled: bool = True
    empty: bool = False
    default_training_length: ClassVar[int] = 128
    loss_metric: ClassVar[str | None] = None
    problem_type: str | None = None
    default_length: ClassVar[int | None] = None

    setup: ClassVar[tuple[str, ...]] = ("max_length",)

    # A predictor

    @classmethod
    def open(cls, path_or_id: str | Path, **options: Any) -> Predictor:
        """Load a directory or hub id; all is in memory then, but with `mapped=True`.

        Raises
        ------
        ConfigError, WeightsError
            See `bind`.
        """
        ours = {name: options.pop(name) for name in cls.setup if name in options}
        return cls.bind(*load(path_or_id, cls.head, **options), **ours)

    @classmethod
    def bind(cls, model: Model, tokenizer: Tokenizer, **setup: Any) -> Predictor:
        """A predictor of a model in memory.

        Raises
        ------
        ConfigError
            The model has no head for it.
        WeightsError
            It has, but nobody has trained it.
        """
        check_type("the model of a pipeline", model, Model)
        if not cls.fits(model):
            raise ConfigError(f"{type(model).__name__} does not {cls.does}")
        model.check_trained([head for head in model.heads if head.pipeline_tag == cls.pipeline_tag])
        return cls.of_model(model, DataSettings(**setup)).predictor(model, tokenizer)

    @classmethod
    def fits(cls, model: Model) -> bool:
        """True if a model has the head for it."""
        return any(head.pipeline_tag == cls.pipeline_tag for head in model.heads)

    @classmethod
    def of_model(cls, model: Model, data: DataSettings) -> TrainableTask:
        """The task that a model's config says it has learnt."""
        return cls(data)

    def predictor(self, model: Model, tokenizer: Tokenizer) -> Predictor:
        """The task with a model."""
        return Predictor(self, model, tokenizer)

    # Learning

    def max_length(self, tokenizer: Tokenizer, config: ModelConfig) -> int:
        """Most tokens of an example that a model reads, in every verb.

        That of the settings, else that of its training, else see `sequence_length`.

        Raises
        ------
        ConfigError
            `data` asks for more than the model has positions.
        """
        kept = TrainingRecord.of(config).max_length
        if self.data.max_length is None and kept is not None:
            return min(kept, config.max_sequence_length)
        return self._length(tokenizer, config, self.default_length)

    def training_length(self, tokenizer: Tokenizer, config: ModelConfig) -> int:
        """Most tokens of an example that a new model with this config learns from, and keeps.

        That of the settings, else the task's default. The length of an earlier training is ignored; that of
        the tokenizer of a foreign model counts. Errors as of `max_length`.
        """
        if TrainingRecord.of(config).max_length is not None:
            tokenizer = tokenizer.with_max_length(None)
        return self._length(tokenizer, config, self.default_training_length)

    def _length(self, tokenizer: Tokenizer, config: ModelConfig, usual: int | None) -> int:
        return sequence_length(tokenizer, config, self.data.max_length, usual=usual, name="data.max_length")

    def training_record(
        self,
        examples: Any,
        config: ModelConfig,
        tokenizer: Tokenizer,
        teacher: tuple[Model, Tokenizer] | None = None,
    ) -> TrainingRecord:
        """Settings of its training that a new model, with this config and its labels, keeps."""
        return TrainingRecord(max_length=self.training_length(tokenizer, config))

    def tokenizer_to_save(self, tokenizer: Tokenizer, config: ModelConfig) -> Tokenizer:
        """The tokenizer saved with a model of this task: other programs then cut in the same place."""
        return tokenizer.with_max_length(self.max_length(tokenizer, config))

    def _reading(self, **data: Any) -> Self:
        """The same task with other settings of its data."""
        other = copy.copy(self)
        other.data = replace(self.data, **data)
        return other

    def as_trained(self) -> Self:
        """The same task, with the length of a model's own training."""
        return self._reading(max_length=None)

    def with_columns_of(self, examples: Any) -> Self:
        """The same task, reading other files by the columns of these examples, unless settings name them."""
        columns = getattr(examples, "columns", {})
        unnamed = {r for r in self.data_settings if r in columns and getattr(self.data, r) is None}
        return self._reading(**{role: columns[role] for role in unnamed})

    def with_columns_of_model(self, path_or_id: str | Path) -> Self:
        """The same task, looking first for the columns of a saved model's training."""
        columns = TrainingRecord.of(load_config(resolve(path_or_id))).columns
        named = isinstance(self.data, NamedData) and columns
        return self._reading(first=columns) if named else self

    def for_prediction(self) -> Self:
        """The same task, reading a text from every row: labels are not needed, and a text may be empty."""
        other = self.without_labels()
        other.empty = True
        return other

    def keeping_rows(self, keep: bool) -> Self:
        """The same task; with `keep` the examples that it reads have all columns of their rows."""
        return self._reading(keep_rows=True) if keep and isinstance(self.data, NamedData) else self

    def without_labels(self) -> Self:
        """The same task, reading files without labels."""
        other = self._reading(label=None, label_columns=())
        other.labelled = False
        return other

    def read_unlabelled(self, path: str | Path) -> Any:
        """Examples of a file whose labels, if it has some, are not looked at; errors as of `read`."""
        return self.without_labels().read(path)

    def model_class(self, config: ModelConfig) -> type[Model]:
        """The class of a model for it, in the family of `config`."""
        return class_with(self.head, config.model_type)

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
        """Raise a ConfigError for examples of another form than the model, called `what`, learnt from."""

    def shared_texts(self, examples: Any) -> Any:
        """Of each example the text that others may have too: a split does not part those."""
        return examples.texts

    def classes_of(self, examples: Any) -> Sequence[tuple[str, ...]]:
        """Classes of each example, each of which a split shares out; none by default."""
        return [()] * len(examples)

    @abstractmethod
    def config_overrides(self, examples: Any) -> dict[str, Any]:
        """Fields of a new model's config, such as names of labels, from the examples that it learns from."""

    @abstractmethod
    def dataset(
        self, tokenizer: Tokenizer, examples: Any, config: ModelConfig, *, labelled: bool = True
    ) -> TrainingData:
        """Tokens, and with `labelled` the targets that a model with this config learns from."""

    @abstractmethod
    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Any, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Metrics of a model on examples with labels; as of `evaluate_saved`."""

    def calibrate(self, model: Model, tokenizer: Tokenizer, examples: Any) -> dict[str, Any]:
        """Further keys of a finished model's config.json, from examples that it did not learn from."""
        return {}

    def evaluate_saved(
        self, path_or_id: str | Path, examples: Any, *, quiet: bool = True, details: Details | None = None
    ) -> dict[str, Any]:
        path = resolve(path_or_id)
        model = load_to_answer(path, self.head, mapped=True)
        self.check_model(model, path)
        self.check_examples(examples, model.config, path)
        tokenizer = fit_tokenizer(Tokenizer.from_pretrained(path), model.config, path)
        return self.evaluate(model, tokenizer, examples, quiet=quiet, details=details)
