"""Multiple choice: the continuation, or answer, that goes with a context."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.arrays import Array
from minidistil.config import ModelConfig
from minidistil.errors import DataError, InputError, UsageError
from minidistil.model.model import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.progress import Progress
from minidistil.tasks.base import Predictor, TrainableTask
from minidistil.tasks.details import Details
from minidistil.tasks.inference import predict_logits
from minidistil.tasks.inputs import Input, Shown, read_texts, with_origins
from minidistil.tasks.multiple_choice.details import choice_details
from minidistil.tasks.multiple_choice.swag import ChoiceRow, Choices, choice_row, read_choices
from minidistil.tasks.result import Result
from minidistil.text.dataset import Dataset, MultipleChoiceDataset
from minidistil.text.json_text import json_object
from minidistil.text.texts import as_items, as_texts
from minidistil.text.tokenizer import Tokenizer, Truncation


@dataclass(frozen=True, eq=False)
class Choice(Result):
    """The choice for one text.

    Attributes
    ----------
    number : int
        Index of the choice, from 0.
    text : str
        The choice itself.
    score : float
        Its probability among the choices.
    scores : list of float
        The probability of every choice, in their order.
    """

    number: int
    text: str
    score: float
    scores: list[float]


class MultipleChoiceTask(TrainableTask):
    """Multiple choice: the one of several texts that goes with a context.

    The context is the first text of a pair, each choice the second (Zellers et al. 2018, section 5).

    Parameters
    ----------
    data : DataSettings
        `text` is the column of the context, `pair` of what the choices go on with, `label` of the right one.
    """

    kind = "multiple-choice"
    data_settings = ("text", "pair", "label", "format", "header", "max_length")
    head = "ForMultipleChoice"
    pipeline_tag = "multiple-choice"
    does = "choose"
    options = ("choices", "no_truncation")
    template = "multiple-choice"
    main_metric = "accuracy"

    def read(self, path: str | Path) -> Choices:
        d = self.data
        return read_choices(
            path, text=d.text, start=d.pair, label=d.label, format=d.format, header=d.named_columns
        )

    def read_unlabelled(self, path: str | Path) -> Choices:
        d = self.data
        return read_choices(
            path, text=d.text, start=d.pair, format=d.format, header=d.named_columns, labelled=False
        )

    def shared_texts(self, examples: Choices) -> Sequence[str]:
        return examples.contexts

    def config_overrides(self, examples: Choices) -> dict[str, Any]:
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
        """Tokens of contexts with their choices, each of which continues `starts[i]`."""
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

    def predict(
        self,
        model: Model,
        tokenizer: Tokenizer,
        texts: str | Sequence[str],
        choices: Sequence[str] | Sequence[Sequence[str]],
        *,
        starts: Sequence[str] | None = None,
        truncation: bool = True,
    ) -> list[Choice]:
        """The likeliest choice for each text.

        Parameters
        ----------
        texts : str or sequence of str
        choices : sequence of str, or of sequences of str
            The same for every text, or some for each; their number may differ from text to text.
        starts : sequence of str, optional
            For each text what its choices go on with, as SWAG's second sentence.
        truncation : bool
            False: what is longer than the model takes is an error, and not cut.

        Raises
        ------
        InputError
            Fewer than two choices, or an empty one.
        """
        texts = as_texts("texts", texts, one=True)
        if isinstance(choices, str):
            raise InputError("choices must be a list of texts, not one")
        choices = as_items("choices", choices)
        flat = [choice for choice in choices if isinstance(choice, str)]
        same = len(flat) == len(choices)
        lists = [flat] * len(texts) if same else [as_texts("choices", some) for some in choices]
        begun = [""] * len(texts) if starts is None else as_texts("starts", starts)
        if len(lists) != len(texts) or len(begun) != len(texts):
            raise InputError(f"{len(texts)} texts, but choices for {len(lists)} and starts for {len(begun)}")
        for some in lists:
            if len(some) < 2:
                raise InputError(f"{len(some) or 'no'} choice: there is nothing to choose from")
            if not all(choice.strip() for choice in some):
                raise InputError(f"a choice is empty: {some!r:.80}")
        data = self.grouped(tokenizer, texts, begun, lists, model.config, truncation=truncation)
        found = []
        for some, probabilities in zip(lists, choice_probabilities(model, data), strict=True):
            best = int(probabilities.argmax())
            found.append(Choice(best, some[best], float(probabilities[best]), probabilities.tolist()))
        return found

    @classmethod
    def call_options(cls) -> tuple[str, ...]:
        return ("choices", *super().call_options())

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Choices, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Accuracy, and "chance", what guessing would come to: the mean of 1 / number of choices."""
        data = self.dataset(tokenizer, examples, model.config)
        found = choice_probabilities(model, data, quiet=quiet)
        chosen = np.array([int(row.argmax()) for row in found])
        if details is not None:
            choice_details(details, examples, data.targets["labels"], found)
        return {
            "accuracy": metrics.accuracy(data.targets["labels"], chosen),
            "chance": float(np.mean([1 / len(row) for row in found])),
        }

    # On the command line

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Texts that --choices go with; or without them examples as of the task, each as a JSON object."""
        if args.choices is not None:
            return read_texts(args)
        found = read_choices(
            args.data, text=args.text_column, format=args.format, header=not args.no_header, empty=True
        )
        texts = [
            json.dumps({"context": context, "question": start, "choices": choices})
            for context, start, choices in zip(found.contexts, found.starts, found.choices, strict=True)
        ]
        return with_origins(found, texts)

    def show(
        self,
        predictor: Predictor,
        texts: Sequence[str],
        *,
        choices: Sequence[str] | None = None,
        no_truncation: bool = False,
    ) -> Iterator[Shown]:
        if choices is None:
            given = [choices_of(text) for text in texts]
        else:
            given = [ChoiceRow(text, "", list(choices), None) for text in texts]
        found = self.predict(
            predictor.model,
            predictor.tokenizer,
            [row.context for row in given],
            [row.choices for row in given],
            starts=[row.start for row in given],
            truncation=not no_truncation,
        )
        for row, best in zip(given, found, strict=True):
            facts = {"context": row.context, "start": row.start, "choices": row.choices}
            chosen = {"number": best.number, "choice": best.text, "score": best.score, "scores": best.scores}
            cells = {key: chosen[key] for key in ("number", "choice", "score")}
            yield Shown([[best.number, best.score, best.text]], {**facts, **chosen}, [cells])


def choices_of(text: str) -> ChoiceRow:
    """Choices of a text that is a JSON object with some of its own, as in the files of the task."""
    if not text.lstrip().startswith("{"):
        raise UsageError(
            "which are the choices? Say --choices, or let each text be a JSON object with context and choices"
        )
    name = f"{text:.60}"
    return choice_row(json_object(text, name, 1), path=name, line=1, empty=True)


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
    """Probabilities of the choices of each example, float64 [C_i]. Batches are made by length inside.

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
