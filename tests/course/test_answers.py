"""A student's file as a file: what is missing, broken or odd in it."""

import pytest

from minidistil.course.answers import check_answers, load_answers
from minidistil.course.lessons import LESSONS
from minidistil.errors import DataError


@pytest.fixture
def verdicts(tmp_path):
    """`verdicts(code)`: those of lesson 1, by exercise."""

    def check(code):
        path = tmp_path / "answers.py"
        path.write_text(code, encoding="utf-8")
        return {v.exercise: v for v in check_answers(LESSONS[0], load_answers(path))}

    return check


def test_a_missing_name_and_one_that_was_meant(verdicts):
    found = verdicts("def softmax_backwards(dout, p):\n    return dout\n")
    assert found["softmax_backward"].outcome == "missing"
    assert found["softmax_backward"].message == (
        "there is no softmax_backward; there is softmax_backwards: did you mean softmax_backward?"
    )
    assert found["shift"].message == "there is no shift"
    assert len(found) == 7


def test_the_name_of_another_exercise_is_no_hint(verdicts):
    found = verdicts("def softmax(x):\n    return x\n")
    assert found["softmax_backward"].message == "there is no softmax_backward"


def test_an_exception_is_told_with_its_line(verdicts):
    found = verdicts("import numpy as np\n\ndef softmax(x):\n    return np.exp(x) @ np.exp(x)\n")
    assert found["softmax"].outcome == "wrong"
    assert found["softmax"].message.startswith("raises ValueError: matmul")
    assert ", line 4; given x [4, 6]" in found["softmax"].message


def test_another_signature(verdicts):
    found = verdicts("def softmax(x, axis):\n    return x\n")
    assert "raises TypeError: softmax() missing 1 required positional argument" in found["softmax"].message


def test_a_name_that_is_no_function(verdicts):
    assert verdicts("softmax = 3\n")["softmax"].message == "must be a function, not int"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", "p is None (is there a return?), expected numbers"),
        ("'p'", "p is str, expected numbers"),
        ("[[1, 2], [3]]", "p is list, expected numbers"),
        ("x + 1j", "p is ndarray, expected numbers"),
        ("x[0]", "p has shape [6], expected [4, 6]"),
        ("x.T", "p has shape [6, 4], expected [4, 6] (transposed?)"),
        ("x / 0", "inf"),
        ("exit(1)", "raises SystemExit: 1, line 2"),
    ],
)
def test_results_of_a_wrong_kind(verdicts, result, message):
    assert message in verdicts(f"def softmax(x):\n    return {result}\n")["softmax"].message


def test_results_may_be_lists_and_of_float32(verdicts):
    code = (
        "import numpy as np\nfrom minidistil import ops\n\n\n"
        "def softmax(x):\n    return ops.softmax_forward(x)[0].tolist()\n"
    )
    assert verdicts(code)["softmax"].outcome == "right"
    assert verdicts(code.replace(".tolist()", ".astype(np.float32)"))["softmax"].outcome == "right"


def test_what_a_file_prints_is_not_in_the_output(verdicts, capsys):
    verdicts("print('loaded')\n\n\ndef softmax(x):\n    print('called')\n    return x\n")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split() == ["loaded", "called"]


def test_no_python(tmp_path):
    path = tmp_path / "answers.py"
    path.write_text("shift = 'b'\ndef softmax(x)\n    return x\n")
    with pytest.raises(DataError, match=r"answers.py, line 2: this is no Python: expected ':'"):
        load_answers(path)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("a = 1\nb = a / 0\n", "running it raises ZeroDivisionError: division by zero, line 2"),
        ("import sys\nsys.exit(0)\n", "running it raises SystemExit: 0, line 2"),
        ("import no_such_module\n", "running it raises ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_run(tmp_path, code, message):
    path = tmp_path / "answers.py"
    path.write_text(code)
    with pytest.raises(DataError, match=message):
        load_answers(path)


def test_a_file_may_hold_a_dataclass(verdicts):
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
        "@dataclass\nclass A:\n    x: int\n"
    )
    assert verdicts(code)["shift"].outcome == "missing"
