"""The experiments of the lessons: those that fetch a model run here with a tiny one."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import CONFIG

from minidistil import Batch, BertModel

COURSE = Path(__file__).parents[2] / "docs" / "course"


def load(path):
    spec = importlib.util.spec_from_file_location(f"experiment_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(page, command):
    """Output that stands on a page below a command."""
    text = (COURSE / page).read_text(encoding="utf-8")
    return re.search(rf"^\$ {re.escape(command)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]


def test_softmax_regression_learns():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    labels = (x[:, 0] > 0).astype(int)
    weight, bias, losses = load(COURSE / "experiments" / "softmax.py").descend(x, labels, 1.0, 200)
    assert losses[0] == pytest.approx(np.log(2))
    assert losses[-1] < 0.2
    assert ((x @ weight.T + bias).argmax(1) == labels).mean() > 0.95


def test_attention_without_its_scale():
    module = load(COURSE / "experiments" / "attention.py")
    model, batch = (
        BertModel(CONFIG.replace(initializer_range=0.3), seed=1).eval(),
        Batch.from_sequences([np.arange(9)]),
    )
    lines = module.experiment(model, batch).splitlines()
    assert lines[0] == "9 tokens: at most 3.17 bits"
    rows = np.array([[float(cell) for cell in line.split()] for line in lines[4:]])
    assert rows[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert (rows[:, 4] < rows[:, 1]).all()  # longer queries look at fewer keys
    assert (rows[:, 1:] > 0).all()


def test_the_page_shows_what_the_learning_rates_give():
    command = "python docs/course/experiments/training.py"
    alike = load(COURSE.parent / "run_notebook.py").alike
    script = [sys.executable, str(COURSE / "experiments" / "training.py")]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert alike(shown("4-training.md", command), done.stdout), done.stdout


def test_commands_name_files_that_are_there():
    for page in sorted(COURSE.glob("*.md")):
        for name in re.findall(r"^\$ python (docs/\S+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert (COURSE.parents[1] / name).exists(), (page.name, name)
