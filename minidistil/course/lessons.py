"""Table of the lessons."""

from __future__ import annotations

from minidistil.course import attention, distillation, layer, softmax, speed, training
from minidistil.course.exercises import Lesson
from minidistil.errors import UsageError

LESSONS: tuple[Lesson, ...] = tuple(
    module.LESSON for module in (softmax, attention, layer, training, distillation, speed)
)


def lesson_of(number: str | int) -> Lesson:
    """A lesson by its number.

    Raises
    ------
    UsageError
        There is none.
    """
    for lesson in LESSONS:
        if str(lesson.number) == str(number):
            return lesson
    raise UsageError(f"there is no lesson {number!r}; lessons are 1 to {len(LESSONS)}")
