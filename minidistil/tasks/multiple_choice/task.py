"""Multiple choice: which of some continuations, or answers, goes with a context."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.config import ModelConfig
from minidistil.errors import DataError, InputError
from minidistil.model.model import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.progress import Progress
from minidistil.tasks.base import Task
from minidistil.tasks.classification.predict import predict_logits
from minidistil.tasks.data import DataSettings
from minidistil.tasks.multiple_choice.swag import Choices, read_choices
from minidistil.text.choices import MultipleChoiceDataset
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer, Truncation

Array = npt.NDArray[np.floating[Any]]


class ChoiceTask(Task):
    """One of several texts that goes with a context.

    The context is the first text of a pair, each choice the second (Zellers et al. 2018, section 5).

    Parameters
    ----------
    data : DataSettings
        `text` is the column of the context, `pair` of what the choices go on with, `label` of the right one.
    """

    kind: ClassVar[str] = "multiple-choice"
    reads: ClassVar[tuple[str, ...]] = ("text", "pair", "label", "format", "header", "max_length")
    head: ClassVar[str] = "ForMultipleChoice"
    pipeline_tag: ClassVar[str] = "multiple-choice"

    def __init__(self, data: DataSettings | None = None) -> None:
        self.data = data or DataSettings()
        self.primary = "accuracy"

    def read(self, path: str | Path) -> Choices:
        d = self.data
        return read_choices(
            path, text=d.text, start=d.pair, label=d.label, format=d.format, header=d.named_columns
        )

    def changes(self, examples: Choices) -> dict[str, Any]:
        right_choices(examples)  # complains where there are none
        return {}

    def dataset(
        self, tokenizer: Tokenizer, examples: Choices, config: ModelConfig, *, labelled: bool = True
    ) -> MultipleChoiceDataset:
        data = self.grouped(tokenizer, examples.contexts, examples.starts, examples.choices, config)
        if not labelled:
            return data
        return MultipleChoiceDataset(data.sequences, data.offsets, {"labels": right_choices(examples)})

    def grouped(
        self,
        tokenizer: Tokenizer,
        contexts: Sequence[str],
        starts: Sequence[str],
        choices: Sequence[Sequence[str]],
        config: ModelConfig,
        *,
        truncation: Truncation = True,
    ) -> MultipleChoiceDataset:
        """Tokens of contexts with their choices, each of which goes on with `starts[i]`."""
        length = self.max_length(tokenizer, config)
        sizes = [len(some) for some in choices]
        first = [context for context, n in zip(contexts, sizes, strict=True) for _ in range(n)]
        second = [
            f"{start} {choice}".strip()
            for start, some in zip(starts, choices, strict=True)
            for choice in some
        ]
        sequences = Dataset.from_texts(tokenizer, first, second, max_length=length, truncation=truncation)
        return MultipleChoiceDataset(sequences, np.cumsum([0, *sizes], dtype=np.int64))

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Choices, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Accuracy, and "chance", what guessing would come to: the mean of 1 / number of choices."""
        data = self.dataset(tokenizer, examples, model.config)
        found = choice_probabilities(model, data, quiet=quiet)
        chosen = np.array([int(row.argmax()) for row in found])
        return {
            "accuracy": metrics.accuracy(data.targets["labels"], chosen),
            "chance": float(np.mean([1 / len(row) for row in found])),
        }


def right_choices(examples: Choices) -> npt.NDArray[np.int64]:
    """Labels, int64 [N].

    Raises
    ------
    DataError
        An example without one; file and line are named.
    """
    for label, line in zip(examples.labels, examples.lines, strict=True):
        if label is None:
            raise DataError("there is no label: which choice is right?", path=examples.path, line=line)
    return np.array(examples.labels, np.int64)


def choice_probabilities(model: Model, data: MultipleChoiceDataset, *, quiet: bool = True) -> list[Array]:
    """Of each example the probabilities of its choices, float64 [C_i]. Batches are made by length inside.

    Raises
    ------
    InputError
        The model is not one for multiple choice, or its scores are not finite.
    """
    if not model.over_choices:
        raise InputError(f"{type(model).__name__} does not choose; a ...ForMultipleChoice is needed")
    sequences = data.sequences
    with Progress(len(sequences), "choosing", "choice", quiet=quiet) as progress:
        scores = predict_logits(model, sequences, progress=progress)
    parts = np.split(scores.astype(np.float64), data.offsets[1:-1]) if len(data) else []
    return [softmax_forward(part[None])[0][0] for part in parts]
