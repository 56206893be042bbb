"""Labels as a named task's files have them, as the task calls them, and as a model has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minidistil.errors import ConfigError, DataError
from minidistil.text.labels import LabelMap, class_labels, label_name, plain_name
from minidistil.text.readers import Examples


@dataclass(frozen=True)
class FileLabels:
    """Names of labels by how they stand in the files, in the order of a model's outputs.

    Empty for a task whose labels are those that its files have.
    """

    names: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def all(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self.names.values())

    def of_file(self, label: Any) -> Any:
        """Name of a label of the files; the label itself if it is none of theirs."""
        name = label_name(label) if not isinstance(label, list) else ""
        return self.names.get(name, self.names.get(plain_name(name), label))

    def check_first_line(self, examples: Examples, named_columns: bool) -> None:
        """Raise a DataError if the first line names columns, where the authors' files have no such line."""
        labels = examples.labels or []
        if not named_columns and [label in self.all for label in labels[:2]] == [False, True]:
            raise DataError(
                f"unknown label {labels[0]!r:.60}; if this line names the columns,",
                path=examples.path,
                line=examples.lines[0],
                remedy=(("header", "true"),),
            )

    def check_known(self, examples: Examples, ours: LabelMap) -> None:
        """Raise a ConfigError if none of the labels in a file are the model's."""
        theirs = LabelMap.fit(self.as_written(class_labels(examples), ours)).names
        if theirs and all(ours.number(name) is None for name in theirs):
            raise ConfigError(
                f"the labels of {examples.path} are {', '.join(theirs[:8])}, the model's "
                f"{', '.join(ours.names)}: rename them in id2label of its config.json"
            )

    def as_written(self, labels: Sequence[Any], ours: LabelMap) -> list[Any]:
        """Labels as the model has them: others write the task's in capitals, or number them."""
        if not self.names:
            return list(labels)
        known = {name.casefold(): name for name in ours.names}
        if ours.are_numbers and list(self.names) == [str(i) for i in range(len(ours.names))]:
            known = {name.casefold(): number for number, name in self.names.items()}
        return [known.get(str(label).casefold(), label) for label in labels]

    def number(self, name: str, ours: LabelMap) -> int | None:
        """The number of a class of the task among a model's; None if the model has none of this name."""
        return ours.number(label_name(*self.as_written([name], ours)))
