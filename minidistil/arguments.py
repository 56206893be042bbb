"""Checks of single values that a caller hands over: names, types, numbers."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn

from minidistil.errors import UsageError

MANY = 24  # names that a message lists


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1, 0.5)
    if near:
        return f" (did you mean {near[0]}?)"
    some = names if len(names) <= MANY else [*names[:MANY], f"and {len(names) - MANY} more"]
    return f"; there are: {', '.join(some)}" if names else "; there are none"


def with_article(name: str) -> str:
    """A name with its article, as it is spoken: "a BERT", "an ALBERT", "an MPNet"."""
    return f"{'an' if name[:1] in 'AEIMOXaeimox' else 'a'} {name}"


def check_names(taker: str, what: str, names: Iterable[str], known: Collection[str], more: str = "") -> None:
    """Raise a UsageError for the first unknown name: `taker` takes no `what` of this name."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.5)
            hint = f" (did you mean {near[0]}?)" if near else ""
            those = ", ".join(known) or "none"
            raise UsageError(f"{taker} takes no {what} {name!r}{hint}; it takes: {those}{more}")


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raise a UsageError unless `value` is one of `choices`."""
    words = tuple(choices)
    if value not in words:
        raise UsageError(f"{what} is {value!r}: expected one of {', '.join(words)}")


def check_type(what: str, value: object, kind: type | tuple[type, ...]) -> None:
    """Raise a UsageError unless `value` is of a type, or of one of several."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
        raise UsageError(f"{what} must be {names}, not {type(value).__name__}: {value!r:.60}")


def check_integer(what: str, value: object, least: int | None = None) -> None:
    """Raise a UsageError unless `value` is an integer (Python's or NumPy's, no bool) of at least `least`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or (least is not None and value < least):  # type: ignore[operator]
        bound = "" if least is None else f" of at least {least}"
        raise UsageError(f"{what} must be an integer{bound}, not {value!r:.60}")


def check_number(what: str, value: object, least: float, most: float) -> None:
    """Raise a UsageError unless `value` is a number from `least` to `most`."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not (number and least <= value <= most):  # type: ignore[operator]
        raise UsageError(f"{what} must be a number from {least:g} to {most:g}, not {value!r:.60}")


def check_device(device: object) -> None:
    """Raise a UsageError for a device that is not the CPU, which None, -1 and "cpu" mean."""
    kind = getattr(device, "type", device)  # of an object of PyTorch
    if kind is not None and str(kind) not in ("-1", "cpu"):
        raise UsageError(f"everything is computed on the CPU; there is no device {str(device)!r:.40}")


class UnknownNameError(UsageError, KeyError):
    """A name that nothing has; a `KeyError` too, as of any mapping."""

    __str__ = Exception.__str__  # a KeyError puts quotes around its message


class Named(dict[str, Any]):
    """Values by name. To ask for a name that is not there is an error with the nearest one.

    Attributes
    ----------
    what : str
        Noun for the values, for the message.
    """

    what: ClassVar[str] = "value"

    def __missing__(self, name: object) -> NoReturn:
        raise UnknownNameError(f"there is no {self.what} {name!r}{did_you_mean(name, self)}")


def matching(names: Iterable[str], pattern: str, of: str) -> list[str]:
    """Names that match a shell pattern, or that begin with parts which do: "encoder.layer.1", not layer 10.

    Parameters
    ----------
    names : iterable of str
        With dots between their parts.
    pattern : str
    of : str
        Owner of the names, for the message.

    Raises
    ------
    UsageError
        There is none; with the nearest name or beginning of a name.
    """
    known = list(names)
    found = [name for name in known if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")]
    if not found:
        parts = [name.split(".") for name in known]
        begun = dict.fromkeys(".".join(p[:i]) for p in parts for i in range(1, len(p) + 1))
        near = difflib.get_close_matches(pattern, begun, 1, 0.6)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UsageError(f"no parameter of {of} matches {pattern!r}{hint}")
    return found
