"""minidistil course: its lists, its starter, its verdicts and exit codes."""

import json
from pathlib import Path

import pytest

from minidistil.cli.main import main
from minidistil.course.lessons import LESSONS

SOLUTIONS = Path(__file__).parents[1] / "course" / "solutions"


def call(*words):
    return main(["course", *map(str, words)])


def test_the_list_of_lessons(capsys):
    assert call() == 0
    out = capsys.readouterr().out
    for lesson in LESSONS:
        assert f"{lesson.number}  {lesson.title}  ({lesson.page})" in out
        assert all(exercise.name in out for exercise in lesson.exercises)
    assert max(map(len, out.splitlines())) <= 110


def test_the_exercises_of_a_lesson(capsys):
    for words in (("list", 2), (2,)):
        assert call(*words) == 0
        assert capsys.readouterr().out == LESSONS[1].listed() + "\n"
    assert call("list", 2, "--json") == 0
    (lesson,) = json.loads(capsys.readouterr().out)
    assert [e["name"] for e in lesson["exercises"]] == [e.name for e in LESSONS[1].exercises]


def test_start_then_check(tmp_path, capsys):
    assert call("start", 3) == 0
    path = tmp_path / "answers.py"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert call("check", 3, path) == 1
    out = capsys.readouterr().out
    assert out.startswith("lesson 3: a layer\n1  layer_parameters ")
    assert out.endswith("0 of 8 right\n")
    assert out.count("missing: not answered yet") == 8


def test_right_answers_give_exit_code_0(capsys):
    assert call("check", 1, SOLUTIONS / "softmax.py") == 0
    out = capsys.readouterr().out
    assert out.endswith("7 of 7 right\n")
    assert "4  softmax_backward   right\n" in out


def test_verdicts_as_json(tmp_path, capsys):
    path = tmp_path / "answers.py"
    path.write_text("print('mine')\nuniform_loss = 1.5\nshift = 'fb'\n", encoding="utf-8")
    assert call("check", 1, path, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["lesson"], report["passed"]) == (1, False)
    assert report["exercises"][:2] == [
        {
            "number": 1,
            "exercise": "uniform_loss",
            "outcome": "wrong",
            "message": "not right within 0.1 %",
        },
        {"number": 2, "exercise": "shift", "outcome": "right", "message": ""},
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["chek", 1, "a.py"], 2, "course has no action 'chek' (did you mean check?)"),
        (
            ["check", 1],
            2,
            "check needs a lesson and the file with your answers: minidistil course check 2 answers.py",
        ),
        (["start"], 2, "start needs a lesson: minidistil course start 2"),
        (["start", 9], 2, "there is no lesson '9'; lessons are 1 to 6"),
        (["start", 1, "answers.py"], 2, "start takes no file; minidistil course check 1 answers.py"),
        (["check", 1, "no_such_file.py"], 3, "no_such_file.py: it cannot be read: No such file or directory"),
    ],
)
def test_words_that_make_no_sense(words, code, message, capsys):
    assert call(*words) == code
    assert message in capsys.readouterr().err


def test_a_broken_file_is_bad_input(tmp_path, capsys):
    path = tmp_path / "answers.py"
    path.write_text("def softmax(x:\n", encoding="utf-8")
    assert call("check", 1, path) == 3
    assert f"minidistil course: {path}, line 1: this is no Python" in capsys.readouterr().err
