"""Load report: the fate of each tensor of a checkpoint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SHOWN = 8  # of the names that a message gives with their nearest
MOST_COMPARED = 1000  # names; comparing two takes some microseconds


@dataclass(frozen=True)
class Absence:
    """A parameter without a tensor, or a tensor without a parameter.

    Attributes
    ----------
    name : str
    expected : bool
        It belongs to a head that the other side lacks, as when a pretrained encoder gets a new classifier.
    reason : str
        In words.
    """

    name: str
    expected: bool
    reason: str


@dataclass(frozen=True)
class Conversion:
    """A tensor that was not taken as it stood.

    Attributes
    ----------
    name, stored_name : str
        Ours, and the file's. The base prefix aside, they differ for legacy and for tied names.
    dtype, stored_dtype : str
        Ours ("float32"), and the file's ("BF16").
    """

    name: str
    stored_name: str
    dtype: str
    stored_dtype: str


@dataclass(frozen=True)
class LoadReport:
    """Load report. `str(report)` is for people, `report.to_dict()` for machines.

    Attributes
    ----------
    source : str
        Source of the weights.
    loaded : tuple of str
        Parameters that were filled.
    missing : tuple of Absence
        Parameters that were not, and keep their initial random values.
    unexpected : tuple of Absence
        Stored tensors that were not used.
    converted : tuple of Conversion
        Tensors with a legacy name or another dtype.
    overridden : tuple of str
        Stored tensors that the model ties to another parameter, but that differ from it in the file.
        The tie wins.
    prefix : str
        Prefix of every name in the file, such as "module.", that the model's names lack.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[Absence, ...] = ()
    unexpected: tuple[Absence, ...] = ()
    converted: tuple[Conversion, ...] = ()
    overridden: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def ok(self) -> bool:
        """True if a change of head explains all that is missing or left over."""
        return not self.overridden and all(item.expected for item in (*self.missing, *self.unexpected))

    @property
    def complete(self) -> bool:
        """True if every parameter was loaded and every tensor used, as `strict=True` demands."""
        return not (self.overridden or self.missing or self.unexpected)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return {"ok": self.ok, "complete": self.complete, **asdict(self)}

    def __repr__(self) -> str:
        return f"LoadReport({self})"

    def __str__(self) -> str:
        lines = [f"{self.source}: {len(self.loaded)} tensors loaded" + ("" if self.ok else ", with problems")]
        for what, items in (("newly initialised", self.missing), ("not used", self.unexpected)):
            for expected in (False, True):
                chosen = [item for item in items if item.expected == expected]
                for reason in dict.fromkeys(item.reason for item in chosen):
                    names = [item.name for item in chosen if item.reason == reason]
                    mark = " " if expected else "!"
                    lines.append(f"{mark} {what}: {shorten(names)} ({reason})")
        if self.overridden:
            lines.append(f"! not used: {shorten(self.overridden)} (differs from the parameter it is tied to)")
        dtypes = [
            (c.stored_dtype, c.dtype) for c in self.converted if not same_dtype(c.stored_dtype, c.dtype)
        ]
        for stored, ours in dict.fromkeys(dtypes):
            lines.append(f"  converted: {dtypes.count((stored, ours))} tensors from {stored} to {ours}")
        renamed = [c for c in self.converted if c.stored_name != c.name]
        if renamed:
            example = f"{renamed[0].stored_name} -> {renamed[0].name}"
            lines.append(f"  renamed: {len(renamed)} tensors with old names, such as {example}")
        if self.prefix:
            lines.append(f"  renamed: {self.prefix!r} was taken off every name")
        return "\n".join(lines)

    def with_nearest(self, names: Iterable[str], *, unknown_only: bool = False) -> str:
        """Names of missing parameters, each with those left over in the file that are most like it.

        With `unknown_only` a tensor of a head that the model lacks is taken for nothing else.
        """
        left_over = [item.name for item in self.unexpected if not (unknown_only and item.expected)]
        return shorten(names_with_nearest(names, left_over), SHOWN)

    @property
    def warning(self) -> str:
        """Warning at loading a model to train it; "" if all is as expected."""
        parts = []
        if new := [item.name for item in self.missing]:
            names = self.with_nearest(new, unknown_only=True)
            parts.append(f"new, at random until they are trained: {names}")
        if unknown := [item.name for item in self.unexpected if not item.expected]:
            parts.append(f"not used, since the model has no place for them: {shorten(unknown)}")
        if self.overridden:
            parts.append(f"not used, since the model ties them to others: {shorten(self.overridden)}")
        return f"{self.source}: {'; '.join(parts)}" if parts else ""


def same_dtype(stored: str, dtype: str) -> bool:
    """Compare a dtype of safetensors ("F32") with NumPy's ("float32")."""
    return dtype == stored.replace("F", "float")


def names_with_nearest(names: Iterable[str], candidates: Sequence[str]) -> list[str]:
    """Each of the first names with what may be meant for it among tensors that the model has no place for."""
    out = list(names)
    for i, name in enumerate(out[:SHOWN]):
        ending = name.rpartition(".")[2]
        alike = [other for other in candidates if other.rpartition(".")[2] == ending] or list(candidates)
        if nearest := difflib.get_close_matches(name, alike[:MOST_COMPARED], n=2) or alike[:1]:
            out[i] = f"{name} (nearest in the file: {', '.join(nearest)})"
    return out


def shorten(names: Iterable[str], limit: int = 4) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
