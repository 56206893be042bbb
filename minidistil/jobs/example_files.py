"""Examples of a fine-tuning: those to learn from, and those to measure by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from minidistil.errors import ConfigError
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.split import Split, split_examples


@dataclass(frozen=True)
class ExampleFiles:
    """One file to learn from, and another to measure by or a share of the first.

    Parameters
    ----------
    task : TrainableTask
        Reads them.
    train : path
    evaluate : path or None
        None: a share of `train` is kept for it.
    share : float or None
        See `TrainingFile.split`.
    labelled : bool
        Whether examples are learnt from with their labels; without, they can measure nothing.

    Raises
    ------
    ConfigError
        A share, and a file.
    """

    task: TrainableTask
    train: str | Path
    evaluate: str | Path | None
    share: float | None
    labelled: bool

    def __post_init__(self) -> None:
        if self.evaluate is not None and self.share:
            raise ConfigError(
                "data.split is the share of the training file that is kept to measure by; with --eval FILE "
                "there is none"
            )

    @cached_property
    def whole(self) -> Any:
        """All examples of the training file."""
        return (self.task if self.labelled else self.task.without_labels()).read(self.train)

    @cached_property
    def split(self) -> Split | None:
        """Parts of the training file, if it has both."""
        if self.evaluate is not None or self.share == 0 or not self.labelled:
            return None
        texts, classes = self.task.shared_texts(self.whole), self.task.classes_of(self.whole)
        return split_examples(self.whole, texts, classes, self.share)

    @property
    def learnt(self) -> Any:
        """Examples to learn from."""
        return self.whole if self.split is None else self.split.train

    @cached_property
    def held_out(self) -> Any:
        """Examples to measure by; None if there are none."""
        if self.evaluate is not None:
            return self.task.with_columns_of(self.whole).read(self.evaluate)
        return None if self.split is None else self.split.held_out

    def measured_by(self) -> str:
        """Sentence on what is measured by, where no file was given for it."""
        if self.split is not None:
            kept, count = len(self.split.held_out), len(self.whole)
            return (
                f"{self.train}: {kept:,} of {count:,} examples are kept to measure by, and not learnt from "
                "(--eval FILE measures on others, --eval none learns from all)"
            )
        if self.share == 0:
            why = ""
        elif self.labelled:
            why = f": {self.train} has too few examples to keep some for that"
        else:
            why = ": what is learnt from has no labels"
        return f"nothing is measured{why} (--eval FILE measures on others)"
