"""Labels as a named task's files have them, as the task calls them, and as a model has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minidistil.text.labels import LabelMap, label_name, plain_name


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
