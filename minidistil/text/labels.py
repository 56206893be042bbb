"""Labels as a model takes them: class numbers, several classes at once, or plain numbers."""

from __future__ import annotations

import difflib
import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.errors import DataError
from minidistil.text.readers import Examples
from minidistil.text.tables import listed

log = logging.getLogger("minidistil")

SOME_NUMBERS = 10  # as classes: ratings are few
WHOLE = re.compile(r"(-?\d+)\.0+")  # as a table writes whole numbers as soon as a cell of the column is empty


@dataclass(frozen=True)
class LabelMap:
    """Names of the classes, numbered from 0.

    Attributes
    ----------
    names : tuple of str
        `dict(enumerate(names))` is a config's id2label.
    """

    names: tuple[str, ...]

    @classmethod
    def fit(cls, labels: Iterable[Any]) -> Self:
        """Number the distinct labels in sorted order; whole numbers by value, however they are written.

        So integers that already run from 0 to n - 1 keep their numbers, also where a table has 1.0 for 1.
        """
        found = {label_name(label) for label in labels} - {""}  # `encode` says on which line one is empty
        whole = {WHOLE.sub(r"\1", name) for name in found}
        if all(_is_whole(name) for name in whole):
            return cls(tuple(sorted(whole, key=int)))
        return cls(tuple(sorted(found)))

    @classmethod
    def fit_sets(cls, labels: Iterable[Any], separator: str = ",") -> Self:
        """As `fit`, for examples with several labels each."""
        return cls.fit(name for label in labels for name in _split(label, separator))

    def encode(self, examples: Examples) -> npt.NDArray[np.int64]:
        """Class numbers, int64 [N].

        Raises
        ------
        DataError
            No labels, or one that is not among the names (file and line named).
        """
        return np.array(
            [self._id(label, examples, i) for i, label in enumerate(class_labels(examples))], np.int64
        )

    def encode_sets(self, examples: Examples, separator: str = ",") -> npt.NDArray[np.float32]:
        """1 for each class an example has, float32 [N, C]. Labels are lists, or names between separators."""
        labels = class_labels(examples, several=True)
        out = np.zeros((len(labels), len(self.names)), np.float32)
        for i, label in enumerate(labels):
            for name in _split(label, separator):
                out[i, self._id(name, examples, i)] = 1
        return out

    @property
    def are_numbers(self) -> bool:
        """True if the names only number the classes: LABEL_0, LABEL_1, ..., transformers' default."""
        return self.names == tuple(f"LABEL_{i}" for i in range(len(self.names)))

    def number(self, name: str) -> int | None:
        """The number of a class, None if there is none of this name; LABEL_3 can only mean 3, and 3 it."""
        exact, others = self._numbers
        return exact[name] if name in exact else others.get(plain_name(name))

    @cached_property
    def _numbers(self) -> tuple[dict[str, int], dict[str, int]]:
        """Numbers of the classes by their names, and by `plain_name` where that can only mean one of them."""
        exact = dict(reversed([(name, i) for i, name in enumerate(self.names)]))
        times = Counter(map(plain_name, self.names))
        others = {plain_name(name): i for name, i in exact.items() if times[plain_name(name)] == 1}
        if self.are_numbers:
            others |= {str(i): i for i in range(len(self.names))}
        elif self.names == tuple(map(str, range(len(self.names)))):
            others |= {f"LABEL_{i}": i for i in range(len(self.names))}
        return exact, others

    def _id(self, label: Any, examples: Examples, i: int) -> int:
        name = label_name(label)
        number = self.number(name)
        if number is not None:
            return number
        near = difflib.get_close_matches(name, self.names[:1000], 1)
        raise DataError(
            (f"unknown label {name!r}" if name else "the label is empty")
            + f"; the labels are: {listed(self.names)}."
            + (f" Did you mean {near[0]!r}?" if near else ""),
            path=examples.path,
            line=examples.lines[i],
        )


def encode_numbers(examples: Examples) -> npt.NDArray[np.float64]:
    """Targets of a regression, float64 [N], as the file has them.

    Raises
    ------
    DataError
        No labels, or one that is not a finite number (file and line named).
    """
    values = np.zeros(len(examples))
    for i, label in enumerate(_labels_of(examples)):
        try:
            value = math.nan if "_" in str(label) else float(label)  # 1_000 is a number to Python alone
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not abs(value) <= float(np.finfo(np.float32).max):
            raise DataError(
                f"a number is expected, not {label!r}", path=examples.path, line=examples.lines[i]
            )
        values[i] = value
    return values


def class_labels(examples: Examples, *, several: bool = False) -> Sequence[Any]:
    """Labels as they stand in the file, each a name, or with `several` a name or a list of them.

    Raises
    ------
    DataError
        There are none, or a list or an object stands where a name should (file and line named).
    """
    labels = _labels_of(examples)
    for label, line in zip(labels, examples.lines, strict=True):
        parts = label if several and isinstance(label, list) else [label]
        if any(isinstance(part, (list, dict)) for part in parts):
            what = f"{'labels are' if several else 'one label is'} expected, not {label!r:.60}"
            raise DataError(what, path=examples.path, line=line)
    return labels


def _labels_of(examples: Examples) -> Sequence[Any]:
    if examples.labels is None:
        raise DataError("there is no label column", path=examples.path)
    return examples.labels


def _is_whole(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isdecimal() and len(digits) < 20  # of thousands Python makes no number


def plain_name(name: str) -> str:
    """Key that names which can only mean the same share: 1 and 1.0, and as in `label_name` True and 1."""
    return {"true": "1", "false": "0"}.get(name.casefold(), WHOLE.sub(r"\1", name))


def check_classes(names: Sequence[str], examples: Examples) -> None:
    """Check the names of classes to be learnt; warn of names that probably mean the same.

    Raises
    ------
    DataError
        They are numbers with decimals, hardly any of them twice.
    """
    first: dict[str, str] = {}
    for name in names:
        before = first.setdefault(plain_name(name).casefold(), name)
        if before != name:
            log.warning("%s: the labels %r and %r are two classes", examples.path, before, name)
    if len(names) <= SOME_NUMBERS or not _are_numbers(names):
        return
    what = f"{len(names):,} different numbers in {len(examples):,} examples, such as {', '.join(names[:3])}"
    whole, rare = all(_is_whole(name) for name in names), 2 * len(names) > len(examples)
    if rare and not whole:
        raise DataError(
            f"the labels are {what}: to predict numbers, take the task regression", path=examples.path
        )
    if rare or not whole:
        log.warning("%s: the classes are %s; the task regression predicts numbers", examples.path, what)


def _are_numbers(names: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(name)) for name in names)
    except ValueError:
        return False


def names_in(label: Any, separator: str | None) -> tuple[str, ...]:
    """Plain names of what a label of a file says, sorted: one class, or between separators several."""
    names = [label_name(label)] if separator is None else _split(label, separator)
    return tuple(sorted(map(plain_name, names)))


def label_name(label: Any) -> str:
    """One name for a label however it is written: 1, 1.0, "1" and true are all "1"; none and NaN are ""."""
    if isinstance(label, float) and math.isnan(label):
        return ""
    if isinstance(label, bool) or (isinstance(label, float) and label.is_integer()):
        label = int(label)
    return "" if label is None else str(label).strip()


def _split(label: Any, separator: str) -> list[str]:
    parts = label if isinstance(label, list) else label_name(label).split(separator)
    return [name for part in parts if (name := label_name(part))]
