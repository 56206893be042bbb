"""A student's file: running it, and a verdict on each answer in it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from minidistil.course.comparison import WrongAnswerError
from minidistil.course.exercises import MODULE, Exercise, Lesson, raised
from minidistil.errors import DataError


@dataclass(frozen=True)
class Verdict:
    """Verdict on one exercise; `message` says what is wrong or missing."""

    number: int
    exercise: str
    outcome: Literal["right", "wrong", "missing"]
    message: str = ""


def load_answers(path: str | Path) -> dict[str, Any]:
    """Names that a student's file defines. The file is run, in this process; it prints to standard error.

    Raises
    ------
    DataError
        It cannot be read, is no Python, or raises an exception.
    """
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}", path=path) from error
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module  # dataclasses and Numba look there
    try:
        code = compile(source, str(path), "exec")
        with redirect_stdout(sys.stderr):
            exec(code, module.__dict__)
    except SyntaxError as error:
        raise DataError(f"this is no Python: {error.msg}", path=path, line=error.lineno) from error
    except (Exception, SystemExit) as error:
        raise DataError(f"running it {raised(error)}", path=path) from error
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


def check_answers(lesson: Lesson, answers: Mapping[str, Any]) -> list[Verdict]:
    """Verdicts on all exercises of a lesson, in order."""
    return [_verdict(i, exercise, lesson, answers) for i, exercise in enumerate(lesson.exercises, 1)]


def _verdict(number: int, exercise: Exercise, lesson: Lesson, answers: Mapping[str, Any]) -> Verdict:
    name = exercise.name
    if name not in answers:
        known = {other.name for other in lesson.exercises}
        near = difflib.get_close_matches(name, [other for other in answers if other not in known], 1, 0.6)
        hint = f"; there is {near[0]}: did you mean {name}?" if near else ""
        return Verdict(number, name, "missing", f"there is no {name}{hint}")
    try:
        exercise.check(answers[name])
    except NotImplementedError:
        return Verdict(number, name, "missing", "not answered yet")
    except WrongAnswerError as wrong:
        return Verdict(number, name, "wrong", str(wrong))
    return Verdict(number, name, "right")
