"""Labels and numbers on the command line and on a page."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from minidistil.config import ModelConfig
from minidistil.errors import UsageError
from minidistil.tasks.base import PredictingTask, Predictor, TrainableTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.inputs import Input, Shown, read_table, with_origins
from minidistil.text.readers import Examples
from minidistil.text.sources import STDIN, lines_of
from minidistil.text.tables import suffix_of

UNNAMED = ("score", "LABEL_0")  # names of a number that nobody named


class ShownLabels(PredictingTask):
    """`minidistil predict` with a classifier, or a model of a number."""

    options: ClassVar[tuple[str, ...]] = ("no_truncation", "top_k", "threshold", "pair", "pair_column")
    template: ClassVar[str] = "text-classification"

    @abstractmethod
    def is_number(self, config: ModelConfig) -> bool:
        """True if an answer is a number, and no probability."""

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Texts of a table, or pairs of them; of a task by its name as its authors' files have them."""
        found = authors_examples(args) or read_table(args, pair=args.pair_column)
        if found.pairs is not None and args.pair is not None:
            raise UsageError(
                f"{args.data} has second texts of its own: leave out --pair, or say --text-column"
            )
        return with_origins(found, found.texts, found.pairs or [args.pair] * len(found))

    def show(
        self,
        predictor: Predictor,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        no_truncation: bool = False,
    ) -> Iterator[Shown]:
        found = predictor(texts, pairs, threshold=threshold, truncation=not no_truncation)
        for i, (text, prediction) in enumerate(zip(texts, found, strict=True)):
            given = {"text": text} if pairs is None else {"text": text, "pair": pairs[i]}
            if self.is_number(predictor.model.config):
                called = {} if prediction.label in UNNAMED else {"label": prediction.label}
                number = {**given, **called, "score": prediction.score}
                yield Shown([[*called.values(), prediction.score, *given.values()]], number)
                continue
            facts = {**given, **prediction._asdict()}
            chosen: list[tuple[str, float]] = [(prediction.label or "none", prediction.score)]
            if top_k is not None:
                chosen = sorted(prediction.scores.items(), key=lambda item: -item[1])[:top_k]
                facts["top"] = [{"label": label, "score": score} for label, score in chosen]
            yield Shown([[label, score, *given.values()] for label, score in chosen], facts)


def authors_examples(args: argparse.Namespace) -> Examples | None:
    """Rows of `--data` as the files of the task `--task` are read; None where they are read as any others."""
    from minidistil.tasks.registry import TASKS, named_task, task_name

    if args.task is None or (args.format is None and args.data == STDIN):
        return None
    data = DataSettings(
        text=args.text_column, pair=args.pair_column, format=args.format,
        header=False if args.no_header else None,
    )  # fmt: skip
    task, known = named_task(args.task, data), TASKS[task_name(args.task)].data
    if not isinstance(task, TrainableTask) or not (known or args.task.startswith("trec")):
        return None
    if args.format is None and "format" in known and suffix_of(args.data) == ".txt":
        first = next((line for _, line in lines_of(args.data, args.data) if line.strip()), "")
        if "\t" not in first:  # authors name tables so, and people lines of text
            return None
    found: Examples = task.for_prediction().read(args.data)
    return found
