"""Every lesson: a right solution passes, a starter passes nothing, and its page has its exercises."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from minidistil.course.answers import check_answers, load_answers
from minidistil.course.exercises import Choice, Function
from minidistil.course.lessons import LESSONS, lesson_of
from minidistil.errors import UsageError

ROOT = Path(__file__).parents[2]
SOLUTIONS = Path(__file__).parent / "solutions"

every_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)


@every_lesson
def test_a_right_solution_passes(lesson):
    for verdict in check_answers(lesson, load_answers(SOLUTIONS / f"{lesson.name}.py")):
        assert (verdict.outcome, verdict.message) == ("right", ""), verdict


@every_lesson
def test_a_starter_is_python_in_which_all_is_missing(lesson, tmp_path):
    path = tmp_path / "answers.py"
    path.write_text(lesson.starter(), encoding="utf-8")
    for verdict in check_answers(lesson, load_answers(path)):
        assert (verdict.outcome, verdict.message) == ("missing", "not answered yet"), verdict


@every_lesson
def test_a_function_of_zeros_does_not_pass(lesson):
    """Nothing that is checked is zero, so that no check is empty."""
    right = load_answers(SOLUTIONS / f"{lesson.name}.py")

    def zeros(function):
        def answer(*args, **settings):
            result = function(*args, **settings)
            results = result if isinstance(result, tuple | list) else [result]
            nothing = [np.zeros(np.shape(r)) for r in results]
            return nothing if len(nothing) > 1 else nothing[0]

        return answer

    functions = [exercise.name for exercise in lesson.exercises if isinstance(exercise, Function)]
    for verdict in check_answers(lesson, {**right, **{name: zeros(right[name]) for name in functions}}):
        assert verdict.outcome == ("wrong" if verdict.exercise in functions else "right"), verdict


@every_lesson
def test_letters_are_not_written_down(lesson):
    """A digest stands in the place of each right choice, and no other choice has it."""
    right = load_answers(SOLUTIONS / f"{lesson.name}.py")
    for exercise in lesson.exercises:
        if isinstance(exercise, Choice):
            letters = "".join(sorted(set(right[exercise.name].lower()) - set(", ")))
            digest = hashlib.sha256(f"{exercise.name} {letters}".encode()).hexdigest()[:16]
            assert exercise.digest == digest, exercise.name


@every_lesson
def test_the_page_has_the_exercises(lesson):
    """`minidistil course N` prints this part of the page."""
    assert lesson.listed() in (ROOT / lesson.page).read_text(encoding="utf-8")


@every_lesson
def test_the_page_has_the_parts_of_a_lesson(lesson):
    headings = re.findall(r"^## (.*)$", (ROOT / lesson.page).read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Reading"
    assert headings[-2:] == ["Experiment", "Exercises"]
    assert 5 <= len(lesson.exercises) <= 9


def test_names_are_used_once():
    names = [exercise.name for lesson in LESSONS for exercise in lesson.exercises]
    assert len(names) == len(set(names))
    assert [lesson.number for lesson in LESSONS] == [1, 2, 3, 4, 5, 6]


def test_an_unknown_lesson():
    with pytest.raises(UsageError, match="there is no lesson '7'; lessons are 1 to 6"):
        lesson_of("7")
