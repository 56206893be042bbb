"""Base of the answers of all tasks: an object with fields, and a mapping under the keys of transformers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from minidistil.arguments import did_you_mean


class Result(dict[str, Any]):
    """One answer: `answer.label` and `answer["label"]`, `dict(answer)`, `f(**answer)`, JSON.

    A kind of answer is a dataclass of its fields. Its keys are those of transformers' pipelines, which are
    fewer or have other names: `keyed` says which. Every field can be asked for by its own name too. Results
    were named tuples once: a number or a slice indexes the fields in their order, and a tuple of all of them
    is equal to the result.
    """

    def __post_init__(self) -> None:
        self.update(self.keyed())

    def keyed(self) -> dict[str, Any]:
        """Content of the mapping: by default all fields under their names."""
        return self._asdict()

    def _asdict(self) -> dict[str, Any]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def _tuple(self) -> tuple[Any, ...]:
        return tuple(self._asdict().values())

    def __getitem__(self, key: Any) -> Any:
        return self._tuple()[key] if isinstance(key, (int, slice)) else super().__getitem__(key)

    def __missing__(self, key: object) -> Any:
        fields = self._asdict()
        if key in fields:
            return fields[str(key)]
        names = dict.fromkeys([*self, *fields])
        raise KeyError(f"this {type(self).__name__} has no {key!r}{did_you_mean(key, names)}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Result):
            return type(self) is type(other) and self._tuple() == other._tuple() and dict(self) == dict(other)
        if isinstance(other, tuple):
            return self._tuple() == other
        return isinstance(other, Mapping) and dict(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as of any dict
