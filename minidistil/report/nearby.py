"""Runs in and around a directory, for a message where it holds none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

MOST_NAMES, MOST_ENTRIES = 8, 1000  # that are shown, and that are looked at
MARKS = ("run.json", "report.json")
# What other directories are, by a file in them.
KINDS = {
    "settings.json": "settings.json is of a demo of an earlier version: run it again",
    "model.safetensors": "it is a model: `minidistil inspect` describes one",
}


def runs_within(path: Path) -> list[Path]:
    """Directories in it that hold a run, or several seeds of one, by name: seed-2 before seed-10."""
    found = [place for place in _directories(path) if _is_run(place)]
    return sorted(found, key=lambda place: (len(place.name), place.name))


def _is_run(place: Path) -> bool:
    """True of a directory with run.json, or with a report and seeds."""
    return (place / "run.json").is_file() or any(place.glob("seed-*/run.json"))


def no_run(path: Path) -> str:
    """Message about a directory without a run: what is there, what is expected, and where runs are."""
    expected = "expected run.json, which finetune, distill, pretrain and demo write, or seed-0/run.json"
    if not path.is_dir():
        what = "is a file, and no directory" if path.exists() else "is no directory"
        near = difflib.get_close_matches(
            path.name, [place.name for place in _directories(path.parent)], 1, 0.6
        )
        meant = f" (did you mean {path.parent / near[0]}?)" if near else ""
        return f"{what}{meant}; {expected}{_around(path)}"
    names = [entry.name + "/" * entry.is_dir() for entry in islice(_entries(path), MOST_ENTRIES)]
    there = f"it has {_listed(names)}" if names else "it is empty"
    known = next((text for name, text in KINDS.items() if (path / name).exists()), "")
    inside = [place.name for place in _directories(path) if any((place / mark).is_file() for mark in MARKS)]
    within = f"; these directories in it hold one: {_listed(inside)}" if inside else ""
    return f"holds no run: {expected}; {there}" + (f"; {known}" if known else "") + (within or _around(path))


def _around(path: Path) -> str:
    """Runs above it and beside it."""
    parent = path.parent if path.name not in ("", "..") else path.resolve().parent
    above = [str(parent)] if _is_run(parent) else []
    beside = [str(place) for place in runs_within(parent) if place.name != path.name]
    return f"; runs nearby: {_listed([*above, *beside])}" if above or beside else ""


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    more = f" and {len(some) - MOST_NAMES} more" if len(some) > MOST_NAMES else ""
    return ", ".join(some[:MOST_NAMES]) + more


def _entries(path: Path) -> Iterator[Path]:
    try:
        yield from sorted(islice(path.iterdir(), MOST_ENTRIES))
    except OSError:
        return


def _directories(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.is_dir()]
