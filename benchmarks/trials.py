"""Trials of an experiment: results kept by the hash of their settings, and statistics of paired seeds.

A trial is settings, anything that JSON can say, and a result, numbers by name. A result is kept in a file
that its settings name; so a command that was stopped goes on where it was, other settings are other trials,
and tables are made from whatever is there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from minidistil.errors import MinidistilError
from minidistil.files import read_json, write_json
from minidistil.metrics import standard_error

Settings = Mapping[str, Any]
Result = dict[str, Any]
T = TypeVar("T")
NOTHING = "–"
INTERRUPTED = 130  # exit code


def key(settings: Settings) -> str:
    """The first 16 digits of the SHA-256 of settings, whatever the order of their entries."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Trials:
    """Results in a folder, a JSON file each: {"settings": ..., "result": ...}.

    The folder has no lock. A command that adds to it holds `minidistil.files.only_writer(folder)`; one that
    shows it does not.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, settings: Settings) -> Path:
        """File of a result."""
        return self.folder / f"{key(settings)}.json"

    def find(self, settings: Settings) -> Result | None:
        """The result of these settings; None if there is none yet."""
        path = self.path(settings)
        if not path.exists():
            return None
        found: Result = read_json(path)["result"]
        return found

    def keep(self, settings: Settings, result: Mapping[str, Any]) -> None:
        """Write a result, wholly or not at all."""
        write_json(self.path(settings), {"settings": dict(settings), "result": dict(result)})

    def once(self, settings: Settings, run: Callable[[], Mapping[str, Any]]) -> Result:
        """The result of these settings, of before or of `run`."""
        found = self.find(settings)
        if found is None:
            self.keep(settings, run())
            found = self.find(settings)
            assert found is not None
        return found


class Difference(NamedTuple):
    """Mean of paired differences.

    Attributes
    ----------
    mean : float
        NaN without a pair.
    error : float
        Standard error of the mean: the differences' standard deviation (n - 1 in its denominator) by the
        root of n. NaN of fewer than two pairs.
    pairs : int
    """

    mean: float
    error: float
    pairs: int

    def cell(self, form: str = "+.1f") -> str:
        """As "+0.4 ± 0.2", of a single pair without the error, of none a dash."""
        if not self.pairs:
            return NOTHING
        error = "" if self.pairs < 2 else f" ± {self.error:{form.lstrip('+')}}"
        return f"{self.mean:{form}}{error}"


def paired(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> Difference:
    """Differences ours - theirs of the seeds, or other names of pairs, that both have."""
    differences = [value - theirs[name] for name, value in ours.items() if name in theirs]
    if not differences:
        return Difference(math.nan, math.nan, 0)
    return Difference(statistics.fmean(differences), standard_error(differences), len(differences))


def spread(values: Iterable[float], form: str = ".1f") -> str:
    """Mean with the lowest and the highest: "88.1 (87.5 to 88.9)"; of one value it alone, of none a dash."""
    values = list(values)
    if not values:
        return NOTHING
    mean = f"{statistics.fmean(values):{form}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines)


def run_each(items: Iterable[T], run: Callable[[T], str]) -> None:
    """Run one after the other, and print what each says; after an error the others go on.

    Raises
    ------
    TrialError
        At the end, if any failed.
    """
    failed = 0
    for item in items:
        try:
            print(run(item), flush=True)
        except MinidistilError as error:
            failed += 1
            print(f"{item}: FAILED: {error}", file=sys.stderr, flush=True)
    check_none(failed)


class TrialError(MinidistilError):
    """Trials that failed."""

    exit_code = 1


def check_none(failed: int) -> None:
    """Raise a TrialError if this number of failed trials is not 0."""
    if failed:
        raise TrialError(f"{failed} failed; the same command tries them again")


@contextmanager
def errors_alone() -> Iterator[None]:
    """Keep warnings of the package out of the output: of every student, that its classifier is new."""
    log = logging.getLogger("minidistil")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def exit_code(command: Callable[[], object]) -> int:
    """Run a command. Its error, or that it was stopped, is said in a line on standard error.

    Returns
    -------
    int
        0, that of an error of minidistil's (1: trials failed), 130 if it was interrupted.
    """
    try:
        command()
    except MinidistilError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print(f"{str(stop) or 'stopped'}; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return 0
