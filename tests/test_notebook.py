"""The tour as a notebook: every cell runs, and prints what is stored in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def run(notebook, *options):
    script = [sys.executable, str(DOCS / "run_notebook.py"), str(notebook), *options]
    return subprocess.run(script, capture_output=True, text=True)


@pytest.fixture
def notebook(tmp_path):
    """`notebook(source, tags, outputs)`: a notebook of one code cell."""

    def write(source, tags=(), outputs=()):
        cell = {
            "cell_type": "code",
            "metadata": {"tags": list(tags)},
            "source": [source],
            "outputs": list(outputs),
        }
        path = tmp_path / "one.ipynb"
        path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
        return path

    return write


def printed(text):
    return [{"name": "stdout", "output_type": "stream", "text": [text]}]


def test_the_tour():
    done = run(DOCS / "tour.ipynb")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tour_is_small_and_says_nothing_of_a_machine():
    text = (DOCS / "tour.ipynb").read_text(encoding="utf-8")
    tour = json.loads(text)
    assert text == json.dumps(tour, indent=1, ensure_ascii=False) + "\n"
    assert len(text) < 60_000
    assert (tour["nbformat"], tour["nbformat_minor"]) == (4, 4)
    assert set(tour["metadata"]) == {"kernelspec", "language_info"}
    assert 25 <= len(tour["cells"]) <= 40
    for cell in tour["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        source = "".join(cell["source"])
        assert cell["cell_type"] == "markdown" or not any(
            line[:1] in "%!" for line in source.splitlines() if line
        )
        stored = json.dumps(cell.get("outputs", ""))
        assert not any(word in stored for word in ("/root", "/home", "/tmp", "/work", " at 0x"))


def test_another_output_fails(notebook):
    done = run(notebook("print(1 + 1)", outputs=printed("3\n")))
    assert done.returncode == 1
    assert "code cell 1 prints something else:" in done.stdout
    assert "-3\n+2" in done.stdout


def test_about_lets_numbers_differ_a_little_and_words_not(notebook):
    assert (
        run(notebook("print('loss 0.52, 1,050')", ["about"], printed("loss 0.55, 1,000\n"))).returncode == 0
    )
    assert run(notebook("print('loss 0.52')", ["about"], printed("loss 0.75\n"))).returncode == 1
    assert run(notebook("print('loss 0.52')", ["about"], printed("cost 0.52\n"))).returncode == 1


def test_a_cell_that_raises_is_named(notebook):
    done = run(notebook("x = 1\n1 / 0"))
    assert done.returncode == 1
    assert '"<code cell 1>", line 2' in done.stderr


def test_writing_stores_what_is_printed_and_the_last_expression(notebook):
    path = notebook("from pathlib import Path\nprint(len(list(Path().iterdir())))\n[1, 2]")
    assert run(path, "--write").returncode == 0
    (cell,) = json.loads(path.read_text())["cells"]
    assert cell["execution_count"] == 1
    assert cell["outputs"] == [
        *printed("0\n"),
        {
            "data": {"text/plain": ["[1, 2]"]},
            "execution_count": 1,
            "metadata": {},
            "output_type": "execute_result",
        },
    ]
    assert run(path).returncode == 0
