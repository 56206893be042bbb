"""Split of a training file: a share of its examples is kept to measure by, where no file is given for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minidistil.errors import ConfigError
from minidistil.ops.philox import random_order
from minidistil.tasks.data import DataSettings

SHARE, MOST = 0.1, 2_000  # unless a share is set: a tenth, and no more examples than tell 81 % from 82 %
FEWEST = 10  # texts without which a number would say nothing
SEED = 20191002  # the same for every seed of a training, so that seeds are measured alike


@dataclass(frozen=True)
class TrainingFile(DataSettings):
    """Settings of reading the files of a training.

    Attributes
    ----------
    split : float in [0, 1) or None
        Share of the training file that is kept to measure by, where no file is given for that; by class where
        there are classes. None: a tenth, at most 2,000 examples. 0: nothing is measured.
    """

    split: float | None = None

    def __post_init__(self) -> None:
        if self.split is not None and not 0 <= self.split < 1:
            raise ConfigError(f"data.split is {self.split!r}: expected a share of at least 0 and less than 1")


@dataclass(frozen=True)
class Split:
    """Examples to learn from, and examples to measure by. No text is in both."""

    train: Any
    held_out: Any


def split_examples(
    examples: Any, texts: Sequence[str], classes: Sequence[tuple[str, ...]], share: float | None
) -> Split | None:
    """Split examples, always in the same way.

    Parameters
    ----------
    examples : dataclass
        Its lists with an entry for each example are split.
    texts : sequence of str
        Of each example the text that others may have too: examples that share it stay together.
    classes : sequence of tuple of str
        The classes of each example. Each has its share on either side, and all are learnt.
    share : float, optional
        See `TrainingFile.split`.

    Returns
    -------
    Split or None
        None if there are too few texts, or none is to be kept.
    """
    members: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        members.setdefault(text, []).append(row)
    count = len(members)
    usual = min(SHARE, MOST / max(len(texts), 1))
    wanted = round(count * usual) if share is None else min(max(round(count * share), 1), count - 1)
    if share == 0 or wanted < (FEWEST if share is None else 1):
        return None
    # In the order of classes, and at random within one: every so-and-so-many-th then has each in its share.
    names = list(members)
    shuffled = [names[i] for i in random_order(count, SEED)]
    in_order = sorted(shuffled, key=lambda text: classes[members[text][0]])
    kept = {in_order[(2 * i + 1) * count // (2 * wanted)] for i in range(wanted)}
    learnt = {name for text, rows in members.items() if text not in kept for i in rows for name in classes[i]}
    kept = {text for text in kept if all(learnt.issuperset(classes[i]) for i in members[text])}
    if not kept:
        return None
    rows = range(len(texts))
    return Split(
        some_of(examples, [i for i in rows if texts[i] not in kept]),
        some_of(examples, [i for i in rows if texts[i] in kept]),
    )


def some_of(examples: Any, rows: Iterable[int]) -> Any:
    """Some of the examples that a task has read, in that order."""
    chosen, count = list(rows), len(examples)
    lists = {field.name: getattr(examples, field.name) for field in dataclasses.fields(examples)}
    return dataclasses.replace(
        examples,
        **{
            name: [values[i] for i in chosen]
            for name, values in lists.items()
            if isinstance(values, list) and len(values) == count
        },
    )
