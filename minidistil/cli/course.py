"""minidistil course"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidistil.course.answers import Verdict
    from minidistil.course.exercises import Lesson

HELP = "the course: list its exercises, start a file of answers, check it"
EXAMPLES = """\
  minidistil course                             the lessons
  minidistil course 2                           the exercises of lesson 2
  minidistil course start 2 > answers.py        a file to fill in
  minidistil course check 2 answers.py          runs that file, here and with your rights
"""
ACTIONS = ("list", "start", "check")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", default="list", metavar="ACTION", help="list, start or check (list)"
    )
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help="number of a lesson, 1 to 6")
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="Python file with your answers; check runs it"
    )
    parser.add_argument("--json", action="store_true", help="print the list or the verdicts as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 1 if an answer is wrong or missing."""
    from minidistil.arguments import did_you_mean
    from minidistil.course.answers import check_answers, load_answers
    from minidistil.course.lessons import LESSONS, lesson_of
    from minidistil.errors import UsageError
    from minidistil.files import to_json

    if args.lesson is None and args.action.isdecimal():
        args.action, args.lesson = "list", args.action
    if args.action not in ACTIONS:
        raise UsageError(f"course has no action {args.action!r}{did_you_mean(args.action, ACTIONS)}")
    if args.file is not None and args.action != "check":
        raise UsageError(f"{args.action} takes no file; minidistil course check {args.lesson} {args.file}")
    if args.action == "list":
        lessons = LESSONS if args.lesson is None else (lesson_of(args.lesson),)
        if args.json:
            print(to_json([_facts(lesson) for lesson in lessons], indent=1))
        else:
            print(_overview(lessons) if args.lesson is None else lessons[0].listed())
        return 0
    if args.lesson is None or (args.action == "check" and args.file is None):
        what = "a lesson" if args.action == "start" else "a lesson and the file with your answers"
        example = {"start": "start 2", "check": "check 2 answers.py"}[args.action]
        raise UsageError(f"{args.action} needs {what}: minidistil course {example}")
    lesson = lesson_of(args.lesson)
    if args.action == "start":
        print(lesson.starter(), end="")
        return 0
    verdicts = check_answers(lesson, load_answers(args.file))
    passed = all(verdict.outcome == "right" for verdict in verdicts)
    if args.json:
        rows = [vars(verdict) for verdict in verdicts]
        print(to_json({"lesson": lesson.number, "passed": passed, "exercises": rows}, indent=1))
    else:
        print(_table(lesson, verdicts))
    return 0 if passed else 1


def _facts(lesson: Lesson) -> dict[str, object]:
    exercises = [
        {"name": exercise.name, "title": exercise.title, "text": f"{exercise.kind()} {exercise.statement}"}
        for exercise in lesson.exercises
    ]
    return {"lesson": lesson.number, "title": lesson.title, "page": lesson.page, "exercises": exercises}


def _overview(lessons: tuple[Lesson, ...]) -> str:
    """Each lesson with its page and the names of its exercises."""
    import textwrap

    lines = []
    for lesson in lessons:
        names = ", ".join(exercise.name for exercise in lesson.exercises)
        lines.append(f"{lesson.number}  {lesson.title}  ({lesson.page})")
        lines.append(textwrap.fill(names, 100, initial_indent="   ", subsequent_indent="   "))
    return "\n".join(lines)


def _table(lesson: Lesson, verdicts: list[Verdict]) -> str:
    """A line for each exercise, and the number that are right."""
    width = max(len(verdict.exercise) for verdict in verdicts)
    lines = [f"lesson {lesson.number}: {lesson.title}"]
    for v in verdicts:
        told = f": {v.message}" if v.message else ""
        lines.append(f"{v.number}  {v.exercise:{width}}  {v.outcome}{told}")
    right = sum(verdict.outcome == "right" for verdict in verdicts)
    return "\n".join([*lines, f"{right} of {len(verdicts)} right"])
