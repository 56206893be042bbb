"""What fine-tuning, evaluation and prediction need to know of a kind of task."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from minidistil.config import DistilBertConfig, ModelConfig, load_config
from minidistil.errors import ConfigError, DataError
from minidistil.model import load_to_answer, model_class
from minidistil.model.base import Model
from minidistil.recipes import ANY_TEXT
from minidistil.tasks.learnt import Learnt
from minidistil.text.labels import label_name, plain_name
from minidistil.text.lengths import sequence_length
from minidistil.text.readers import IDS, LABELS, PAIRS, TEXTS, Examples, read_examples
from minidistil.text.tables import FORMATS, Column, read_rows, suffix_of
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import TrainingData
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")

TABLE = ("text", "label", "format", "header", "skip_broken", "skip_label")  # settings of one, see below


@dataclass(frozen=True)
class DataSettings:
    """How files become examples. A named task knows most of it.

    Attributes
    ----------
    text, pair, label : str or None
        Columns, by name or by number from 0; None: a usual name, see `minidistil.text.readers`.
    label_columns : tuple of str
        Of several labels, if each has a column of its own, 0 or 1: those columns.
    format : str or None
        "csv", "tsv", "jsonl" or "text"; None: what the file's name says.
    header : bool or None
        Whether the first line of a csv or tsv names the columns; None: as the task's files have it, else yes.
    skip_broken : bool or None
        Whether lines of a csv or tsv with too few or too many cells, and rows without a text, are left out,
        and counted, instead of refused; None: as the task's files need it, else no.
    skip_label : str, int or None
        Examples with this label are left out, and counted; with "" those without a label.
    separator : str
        Between the labels of an example that may have several.
    max_length : int or None
        Most tokens of an example; longer ones are cut. None: to learn, what is usual for the kind of task;
        afterwards what the model learnt with, which its directory keeps.
    scheme : str or None
        Of tags: how they mark entities, see `minidistil.tasks.schemes`; None: as they look, IOB2 for a new
        model.
    """

    text: Column | None = field(default=None, metadata=ANY_TEXT)
    pair: Column | None = field(default=None, metadata=ANY_TEXT)
    label: Column | None = field(default=None, metadata=ANY_TEXT)
    label_columns: tuple[str, ...] = ()
    format: str | None = None
    header: bool | None = None
    skip_broken: bool | None = None
    skip_label: Column | None = field(default=None, metadata=ANY_TEXT)
    separator: str = ","
    max_length: int | None = None
    scheme: str | None = None

    @property
    def named_columns(self) -> bool:
        """Whether the first line of a csv or tsv names the columns."""
        return self.header is not False

    def read(self, path: str | Path, *, usual_labels: Sequence[str] = LABELS) -> Examples:
        """The examples of a table, but for those to be left out, which a warning counts.

        Parameters
        ----------
        path : str or Path
        usual_labels : sequence of str
            Where to look for the label, if no column is named.

        Raises
        ------
        DataError
            As of `read_examples`; or nothing is left.
        """
        return self._without_skipped(self._read(path, usual_labels=usual_labels))

    def _read(self, path: str | Path, **more: Any) -> Examples:
        return read_examples(
            path, text=self.text, pair=self.pair, label=self.label, label_columns=self.label_columns,
            format=self.format, header=self.named_columns, skip_broken=bool(self.skip_broken),
            usual_ids=IDS, **more,
        )  # fmt: skip

    def _without_skipped(self, examples: Examples, *also: str) -> Examples:
        """Examples but for those with `skip_label`, or one of these names."""
        if self.skip_label is None or examples.labels is None:
            return examples
        skipped = {plain_name(label_name(self.skip_label)), *also}
        kept = [i for i, label in enumerate(examples.labels) if plain_name(label_name(label)) not in skipped]
        if not kept:
            raise DataError(f"every example in it is labelled {self.skip_label!r}", path=examples.path)
        if left_out := len(examples) - len(kept):
            log.warning("%s: left out %d examples labelled %r", examples.path, left_out, self.skip_label)
        return examples.subset(kept)

    def format_of(self, path: str | Path) -> str | None:
        """What is said of the format of a file; None: its name tells."""
        return self.format

    def like(self, columns: Mapping[str, str], roles: Sequence[str]) -> Self:
        """The same settings for another file, which is to be read as one with these columns was.

        Parameters
        ----------
        columns : mapping of str to str
            Columns by role, as of `Examples`.
        roles : sequence of str
            Those that count.
        """
        unsaid: dict[str, Any] = {
            role: column for role, column in columns.items() if role in roles and getattr(self, role) is None
        }
        return replace(self, **unsaid)


# Cells by which a line of names is told from an example, in any case of the letters.
HEADINGS = {*TEXTS, *LABELS, *IDS, "title", "description", "class", "class index", "category", "message"}


@dataclass(frozen=True)
class NamedData(DataSettings):
    """Settings of a task by its name: those that nobody set are of its authors' files.

    A table whose name tells another format is not the authors' file, but has the same examples, as the
    `datasets` library hands them out. There the authors' columns are looked for before the usual ones, and
    examples without a label are left out where the authors have a word for them. A copy that has a line of
    names where the authors' file has none is read with it.

    Attributes
    ----------
    known : tuple of str
        The settings that are the authors'.
    empty : bool
        Whether an empty text is an example: where something is said of every row.
    first : mapping of str to str
        By role, where to look first for a column that nobody named: those that a model learnt from.
    """

    known: tuple[str, ...] = ()
    empty: bool = False
    first: Mapping[str, str] = field(default_factory=dict)

    def _other_format(self, path: str | Path) -> bool:
        told = FORMATS.get(suffix_of(path), "text")  # .txt tells nothing: authors name tables so
        return "format" in self.known and told not in ("text", self.format)

    def format_of(self, path: str | Path) -> str | None:
        return None if self._other_format(path) else self.format

    def _columns_named(self, path: str | Path) -> tuple[str, ...]:
        """The names in the first line of a file, if it has them where the authors' file has none."""
        if not ("header" in self.known and self.header is False and Path(path).is_file()):
            return ()
        _, row = next(read_rows(path, format=self.format, header=False), (0, {}))
        cells = tuple(str(cell).strip() for cell in row.values())
        return cells if sum(cell.casefold() in HEADINGS for cell in cells) > 1 else ()

    def _read(self, path: str | Path, **more: Any) -> Examples:
        first = {role: column for role, column in self.first.items() if getattr(self, role, None) is None}
        usual: dict[str, Any] = {"usual_texts": TEXTS, "usual_pairs": PAIRS, **more}
        return super()._read(path, empty=self.empty, **usual_first(first, usual))

    def read(self, path: str | Path, *, usual_labels: Sequence[str] = LABELS) -> Examples:
        if not self._other_format(path):
            heading = self._columns_named(path)
            if not heading:
                return super().read(path, usual_labels=usual_labels)
            numbers = [column for column in (self.text, self.pair, self.label) if isinstance(column, int)]
            if max(numbers, default=0) < len(heading):
                return replace(self, header=True).read(path, usual_labels=usual_labels)
        roles = [role for role in ("text", "pair", "label") if role in self.known]
        names = {role: str(getattr(self, role)) for role in roles}
        layout: dict[str, Any] = dict.fromkeys((*roles, "format", "header"))
        free = replace(self, **{key: value for key, value in layout.items() if key in self.known})
        examples = free._read(
            path,
            usual_texts=(*(names[role] for role in roles if role == "text"), *TEXTS),
            usual_pairs=(*((names["text"], names["pair"]) for role in roles if role == "pair"), *PAIRS),
            usual_labels=(*(names[role] for role in roles if role == "label"), *usual_labels),
        )
        if "pair" in roles and examples.pairs is None:
            raise DataError(
                "which column holds the second text?", path=examples.path, remedy=(("pair", "NAME"),)
            )
        return free._without_skipped(examples, *([""] if "skip_label" in self.known else []))


def usual_first(first: Mapping[str, str], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Where `read_examples` is to look for columns: before the usual names for those of `first`, by role."""
    found = dict(usual)
    if "text" in first:
        found["usual_texts"] = (first["text"], *usual["usual_texts"])
    if "text" in first and "pair" in first:
        found["usual_pairs"] = ((first["text"], first["pair"]), *usual["usual_pairs"])
    if "label" in first and usual.get("usual_labels"):
        found["usual_labels"] = (first["label"], *usual["usual_labels"])
    return found


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
        """What a new model keeps of how it learns; `config` is of what it begins as."""
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
        family = "DistilBert" if isinstance(config, DistilBertConfig) else "Bert"
        return model_class(family + self.head)

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
