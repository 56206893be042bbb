"""Settings of the grid: tasks with their examples and the recipe that teacher and students share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.retention import examples, vectors
from benchmarks.retention.examples import Examples
from benchmarks.retention.files import Files
from benchmarks.retention.finetuned import FineTuned
from benchmarks.retention.vectors import SentenceEncoders
from minidistil.errors import DataError


@dataclass(frozen=True)
class Setting:
    """A task of the grid.

    Attributes
    ----------
    by : FineTuned or SentenceEncoders
        How its models are made.
    examples : callable
        Gives the rows of the folder of the data.
    recipe : tuple of str
        Changes of the default recipe, as `--set` takes them, for teacher and students alike.
    best : tuple of str
        Further changes for the arm `best`. Without them, texts and further teachers there is no such arm.
    best_teachers : int >= 1
        Teachers of the arm `best`.
    metric : str, optional
        Metric that is compared; by default the task's main one.
    texts : {"best", "taught"} or None
        Students that learn from the texts without labels, too: of the arm `best`, or every taught one.
    from_data : bool
        Whether it needs the folder of the data; if not, its examples are those of the demo.
    without : tuple of str
        Arms of the table that it lacks.
    """

    by: FineTuned | SentenceEncoders
    examples: Examples
    recipe: tuple[str, ...] = ()
    best: tuple[str, ...] = ()
    best_teachers: int = 1
    metric: str | None = None
    texts: Literal["best", "taught"] | None = "best"
    from_data: bool = True
    without: tuple[str, ...] = ()

    @property
    def has_best(self) -> bool:
        """True if the arm `best` is another than the default."""
        return bool(self.best) or self.best_teachers > 1 or self.texts == "best"


CLASSES = FineTuned("classification")
# A small encoder learns at higher rates than BERT, and longer: a teacher of ratings has a correlation of 76.0
# after 3 epochs at 5e-5, and 79.3 after 5 at 1e-4 (one seed).
FAST, FASTER = "train.lr=1e-4", "train.lr=2e-4"
ANSWERS = ("train.epochs=4", FASTER, "train.batch_size=16", "data.max_length=192")
# The cheapest first, by tokens that a teacher reads.
SETTINGS = {
    "spam": Setting(CLASSES, examples.spam),
    "sentences": Setting(CLASSES, examples.sentences, (FAST,)),
    "captions": Setting(FineTuned("multi-label"), examples.captions, (FASTER,)),
    "intents": Setting(CLASSES, examples.intents, ("train.epochs=8", FASTER)),
    "entities": Setting(FineTuned("token-classification"), examples.entities, ("train.epochs=4", FASTER)),
    "ratings": Setting(FineTuned("regression"), examples.ratings, ("train.epochs=4", FAST), from_data=False),
    "paraphrases": Setting(CLASSES, examples.paraphrases, ("train.epochs=5", FAST)),
    "few_labels": Setting(
        CLASSES,
        examples.few_labels,
        ("train.epochs=4", FAST),
        texts="taught",
        from_data=False,
    ),
    "answers_or_none": Setting(FineTuned("question-answering"), examples.answers_or_none, ANSWERS),
    "answers": Setting(FineTuned("question-answering"), examples.answers, ANSWERS),
    # Its teacher is the encoder: the layers of both are the same.
    "vectors": Setting(
        SentenceEncoders(),
        vectors.questions,
        best=("train.epochs=10",),
        texts="taught",
        without=("teacher-steps", "teacher-recipe", "teacher-cost"),
    ),
}


def files_of(name: str, setting: Setting, out: Path, data: Path | None, *, write: bool) -> Files | None:
    """Files of a setting in `out`, written of the data; those of an earlier run if they cannot be written.

    Parameters
    ----------
    name : str
    setting : Setting
    out : Path
        Folder that has one for each setting.
    data : Path or None
        Folder of the data sets.
    write : bool
        Whether they may be written.

    Returns
    -------
    Files or None
        None if they are not there.

    Raises
    ------
    DataError
        `data` lacks a file.
    """
    here = out / name
    unlabelled = None if setting.texts is None else here / "unlabelled.jsonl"
    files = Files(here / "train.jsonl", here / "eval.jsonl", unlabelled)
    if not write or (data is None and setting.from_data):
        return files if all(path.exists() for path in files.all().values()) else None
    folder = Path() if data is None else data
    try:
        split = setting.examples(folder)
    except OSError as error:
        raise DataError(
            f"{error.strerror or error}: the examples of {name} are made of it; --settings names others",
            path=error.filename,
        ) from error
    examples.write(split.learnt, files.train)
    examples.write(split.measured, files.evaluate)
    if unlabelled is not None:
        examples.write(split.texts, unlabelled)
    return files
