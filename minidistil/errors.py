"""Errors that users can cause, each with its exit code on the command line.

Messages name the file, line, key or tensor at fault, say what was expected, and what to do.
Exit codes: 0 done, 1 a check failed, 2 usage, 3 bad input or configuration,
4 an asset is missing and cannot be fetched, 130 interrupted after saving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class MinidistilError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : str
    remedy : sequence of (str, str)
        Parameters of reading data that would help, and their values. The message ends with them, as the
        caller spells them: `format=tsv`, or the option of the verb that was run.
    """

    exit_code = 3

    def __init__(self, message: str = "", *, remedy: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        return self.told("{}={}".format)

    def told(self, spell: Callable[[str, str], str]) -> str:
        """The message, with the remedy spelled by a function of parameter and value."""
        message, ways = super().__str__(), ", or ".join(spell(*way) for way in self.remedy)
        if ways:
            message += f" say {ways}" if message.endswith(",") else f"; say {ways}"
        return message


class UsageError(MinidistilError):
    """The call itself makes no sense: an unknown option value, two options that exclude each other."""

    exit_code = 2


class ConfigError(MinidistilError):
    """A config.json or a setting that is unknown, missing, or contradicts something else."""


class WeightsError(MinidistilError):
    """A weights file that is damaged, unsafe, or does not fit its model."""


class DataError(MinidistilError):
    """A data file with a bad line or a missing column. `path` and `line` say where."""

    def __init__(
        self,
        message: str,
        *,
        path: object = None,
        line: int | None = None,
        remedy: Sequence[tuple[str, str]] = (),
    ) -> None:
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(where + message, remedy=remedy)
        self.path, self.line = path, line


class InputError(MinidistilError):
    """Model input that cannot be run: token ids outside the vocabulary, texts too long, bad shapes.

    `index` says which of several inputs it is, from 0, where that is known.
    """

    def __init__(
        self, message: str = "", *, index: int | None = None, remedy: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.index = index


class TrainingError(MinidistilError):
    """Training cannot go on: a NaN or an Inf, named with its step and tensor."""


class StorageError(MinidistilError):
    """A file cannot be written: a full disk, no permission. What was there before is untouched."""


class CheckpointError(MinidistilError):
    """No usable checkpoint, or one that belongs to another run."""


class MemoryLimitError(MinidistilError):
    """A request that needs more memory than there is."""


class MissingAssetError(MinidistilError):
    """Something must be fetched and cannot be. The message holds the command that fetches it."""

    exit_code = 4
