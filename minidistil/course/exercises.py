"""Exercises of three kinds: a number, a choice of letters, a function to write."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from numbers import Real
from types import FrameType
from typing import Any

import numpy as np

from minidistil.course.comparison import WrongAnswerError, difference, named_results

MODULE = "minidistil_answers"  # name under which a student's file runs
SEED = 17
LETTERS = "abcdefghij"
BY_DIFFERENCES: dict[str, Any] = {"tolerance": 1e-6, "source": "finite differences"}  # of a `Call`


@dataclass(frozen=True)
class Exercise:
    """An exercise, of which a student's file holds the answer.

    Attributes
    ----------
    name : str
        Name of the answer in the file.
    title, text : str
        Markdown; the text may be indented.
    """

    name: str
    title: str
    text: str

    @property
    def statement(self) -> str:
        """The text, without its indentation."""
        return inspect.cleandoc(self.text)

    def kind(self) -> str:
        """Name and form of the answer, in Markdown."""
        raise NotImplementedError

    def stub(self) -> str:
        """Code that a student completes."""
        raise NotImplementedError

    def check(self, answer: Any) -> None:
        """Raise `WrongAnswerError` for a wrong answer, and NotImplementedError for none."""
        raise NotImplementedError


@dataclass(frozen=True)
class Number(Exercise):
    """A number.

    Attributes
    ----------
    value : callable
        Gives it.
    tolerance : float
        Largest relative error of an answer.
    """

    value: Callable[[], float]
    tolerance: float = 1e-3

    def kind(self) -> str:
        return f"`{self.name}`, a number."

    def stub(self) -> str:
        return f"{as_comment(self.statement)}\n{self.name} = None"

    def check(self, answer: Any) -> None:
        if answer is None:
            raise NotImplementedError
        if isinstance(answer, np.ndarray) and answer.ndim == 0:
            answer = answer[()]
        if isinstance(answer, bool) or not isinstance(answer, Real):
            raise WrongAnswerError(f"must be a number, not {type(answer).__name__}")
        number: Any = answer  # float, Fraction, NumPy's: all of them compare
        margin = self.tolerance * abs(value := self.value())
        if not value - margin <= number <= value + margin:  # NaN is wrong
            raise WrongAnswerError(f"not right within {100 * self.tolerance:g} %")


@dataclass(frozen=True)
class Choice(Exercise):
    """One or several of some options, as letters.

    Attributes
    ----------
    options : sequence of str
        Of a, b, c, ... in this order.
    digest : str
        `digest_of` the right letters, so that they do not stand here to be read.
    """

    options: tuple[str, ...]
    digest: str

    def kind(self) -> str:
        return f'`{self.name}`, one or more letters, such as `"cd"`.'

    @property
    def statement(self) -> str:
        listed = "\n".join(
            f"- {letter}: {option}" for letter, option in zip(LETTERS, self.options, strict=False)
        )
        return f"{inspect.cleandoc(self.text)}\n\n{listed}"

    def stub(self) -> str:
        return f"{as_comment(self.statement)}\n{self.name} = None"

    def check(self, answer: Any) -> None:
        if answer is None:
            raise NotImplementedError
        if not isinstance(answer, str):
            raise WrongAnswerError(f'must be letters, such as "cd", not {type(answer).__name__}')
        letters = "".join(sorted(set(answer.lower()) - set(" ,")))
        known = LETTERS[: len(self.options)]
        if not letters or not set(letters) <= set(known):
            raise WrongAnswerError(f"{answer!r:.40}: expected letters from a to {known[-1]}")
        if digest_of(self.name, letters) != self.digest:
            raise WrongAnswerError(f'"{letters}" is not right')


def digest_of(name: str, letters: str) -> str:
    """Digest of the letters, in alphabetical order, that answer a choice."""
    return hashlib.sha256(f"{name} {letters}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Call:
    """A call of a student's function.

    Attributes
    ----------
    arguments : mapping
        Given by position, in this order.
    expected : mapping of str to number or array, or callable
        Results by name; or a function that says of the result what is wrong with it, "" for nothing.
    settings : mapping
        Arguments that are given by name.
    tolerance : float
        Largest difference, as a share of the largest number expected or of 1.
    source : str
        Origin of what is expected.
    """

    arguments: Mapping[str, Any]
    expected: Mapping[str, Any] | Callable[[Any], str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-7
    source: str = ""

    def check(self, answer: Callable[..., Any]) -> None:
        """Raise `WrongAnswerError` for a result that differs, an exception, or a changed argument."""
        given = deepcopy(dict(self.arguments))
        try:
            with redirect_stdout(sys.stderr), np.errstate(all="ignore"):
                result = answer(*given.values(), **self.settings)
        except NotImplementedError:
            raise
        except (Exception, SystemExit) as error:
            raise WrongAnswerError(self._told(raised(error))) from error
        changed = [name for name, value in self.arguments.items() if not same(value, given[name])]
        if changed:
            raise WrongAnswerError(f"writes into its argument {changed[0]}: work on a copy")
        if callable(self.expected):
            found = self.expected(result)
        else:
            results = named_results(result, list(self.expected))
            differences = (
                difference(name, results[name], np.asarray(value, np.float64), self.tolerance)
                for name, value in self.expected.items()
            )
            found = next(filter(None, differences), "")
        if found:
            raise WrongAnswerError(self._told(found))

    def _told(self, message: str) -> str:
        """A message, with the shapes of the arguments and the source of what is expected."""
        given = ", ".join(f"{name} {shape_of(value)}" for name, value in self.arguments.items())
        return f"{message}{f' (by {self.source})' if self.source else ''}; given {given}"


@dataclass(frozen=True)
class Function(Exercise):
    """A function to write.

    Attributes
    ----------
    parameters : str
        Of its signature, without parentheses.
    calls : callable
        Makes the calls that it is checked with, of random numbers.
    """

    parameters: str
    calls: Callable[[np.random.Generator], Iterable[Call]]

    def kind(self) -> str:
        return f"`{self.name}({self.parameters})`, a function."

    def stub(self) -> str:
        lines = self.statement.splitlines()
        body = "\n".join(f"    {line}".rstrip() for line in lines[1:])
        rest = f"\n{body}\n    " if len(lines) > 1 else ""
        return (
            f'def {self.name}({self.parameters}):\n    """{lines[0]}{rest}"""\n    raise NotImplementedError'
        )

    def check(self, answer: Any) -> None:
        if answer is None:
            raise NotImplementedError
        if not callable(answer):
            raise WrongAnswerError(f"must be a function, not {type(answer).__name__}")
        for call in self.calls(np.random.default_rng(SEED)):
            call.check(answer)


@dataclass(frozen=True)
class Lesson:
    """A lesson: `docs/course/{number}-{name}.md`, and its exercises in order."""

    number: int
    name: str
    title: str
    exercises: tuple[Exercise, ...]

    @property
    def page(self) -> str:
        """Path of its page in the repository."""
        return f"docs/course/{self.number}-{self.name}.md"

    def listed(self) -> str:
        """The exercises in Markdown, as they stand on the page."""
        return "\n\n".join(
            f"### {i}. {exercise.title}\n\n{exercise.kind()}\n\n{exercise.statement}"
            for i, exercise in enumerate(self.exercises, 1)
        )

    def starter(self) -> str:
        """A file for the answers, with a place for each."""
        head = (
            f'"""Answers to lesson {self.number} of the course: {self.title}.\n\n'
            f"Read {self.page}, fill in what is missing, and check it as often as you like:\n\n"
            f"    minidistil course check {self.number} answers.py\n\n"
            'The check runs this file.\n"""\n\nimport numpy as np\n'
        )
        stubs = (
            f"# --- {i}. {exercise.title}\n\n{exercise.stub()}\n"
            for i, exercise in enumerate(self.exercises, 1)
        )
        return "\n\n".join([head, *stubs])


def as_comment(text: str) -> str:
    """A text as comment lines."""
    return "\n".join(f"# {line}".rstrip() for line in text.splitlines())


def shape_of(value: Any) -> str:
    """Shape of an array, number of the entries of a list, or the value itself."""
    if isinstance(value, np.ndarray):
        return str(list(value.shape))
    return f"of {len(value)} entries" if isinstance(value, list) else f"{value:.6g}"


def same(a: Any, b: Any) -> bool:
    """True if two arguments are equal, entry by entry."""
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=isinstance(a, np.ndarray) and a.dtype.kind == "f")


def raised(error: BaseException) -> str:
    """An exception of the student's code, with the last line of that code that it passed."""
    frames: list[tuple[FrameType, int]] = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == MODULE:
            frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    where = f", line {frames[-1][1]}" if frames else ""
    text = " ".join(str(error).split())
    return f"raises {type(error).__name__}{f': {text:.200}' if text else ''}{where}"
