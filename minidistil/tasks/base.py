"""What fine-tuning, evaluation and prediction need to know of a kind of task."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from minidistil.config import DistilBertConfig, ModelConfig
from minidistil.errors import ConfigError, DataError
from minidistil.model import load_model, model_class
from minidistil.model.base import Model
from minidistil.text.labels import label_name
from minidistil.text.readers import LABELS, Column, Examples, read_examples
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
        Whether lines of a csv or tsv with too few or too many cells are left out, and counted, instead of
        refused; None: as the task's files need it, else no.
    skip_label : str or None
        Examples with this label are left out, and counted.
    separator : str
        Between the labels of an example that may have several.
    max_length : int or None
        Most tokens of an example; longer ones are cut. None: what is usual for the kind of task.
    """

    text: Column | None = None
    pair: Column | None = None
    label: Column | None = None
    label_columns: tuple[str, ...] = ()
    format: str | None = None
    header: bool | None = None
    skip_broken: bool | None = None
    skip_label: str | None = None
    separator: str = ","
    max_length: int | None = None

    @property
    def named_columns(self) -> bool:
        """Whether the first line of a csv or tsv names the columns."""
        return self.header is not False

    def read(self, path: str | Path, *, usual_labels: Sequence[str] = LABELS) -> Examples:
        """The examples of a table, but for those to be left out, which a warning counts.

        Raises
        ------
        DataError
            As of `read_examples`; or nothing is left.
        """
        examples = read_examples(
            path, text=self.text, pair=self.pair, label=self.label, label_columns=self.label_columns,
            format=self.format, header=self.named_columns, skip_broken=bool(self.skip_broken),
            usual_labels=usual_labels,
        )  # fmt: skip
        if self.skip_label is None or examples.labels is None:
            return examples
        kept = [i for i, label in enumerate(examples.labels) if label_name(label) != self.skip_label]
        if not kept:
            raise DataError(f"every example in it is labelled {self.skip_label!r}", path=examples.path)
        if skipped := len(examples) - len(kept):
            log.warning("%s: left out %d examples labelled %r", examples.path, skipped, self.skip_label)
        return examples.subset(kept)


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
        Most tokens of an example, if `data` does not say.
    data : DataSettings
        Of which `max_length` counts for all.
    """

    head: ClassVar[str]
    pipeline_tag: ClassVar[str]
    usual_length: ClassVar[int] = 128
    problem_type: str | None = None
    data: DataSettings

    def max_length(self, config: ModelConfig) -> int:
        """Most tokens of an example, as far as the model takes them."""
        wanted = self.usual_length if self.data.max_length is None else self.data.max_length
        return min(wanted, config.max_position_embeddings)

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
        """A ConfigError if a model, called `what`, is not for this kind of task."""
        if not type(model).__name__.endswith(self.head):
            raise ConfigError(f"{what} is a {type(model).__name__}: {self.kind} needs a ...{self.head}")

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
        path = resolve(str(path_or_id))
        model = load_model(path, mapped=True).eval()
        self.check_model(model, path)
        tokenizer = Tokenizer.from_pretrained(path)
        return self.evaluate(model, tokenizer, examples, quiet=quiet)
