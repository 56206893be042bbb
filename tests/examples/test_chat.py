"""The examples run, with any encoder."""

import runpy
import sys
from pathlib import Path

import pytest
from tiny import make_classifier, make_encoder

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("intents", "it is none of them"),
        ("faq", "do you ship to Oslo?"),
        ("similarity", "rank correlation: "),
    ],
)
def test_with_an_encoder(name, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, str(make_encoder(tmp_path))])
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert says in capsys.readouterr().out


def test_with_a_classifier(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["classify", str(make_classifier(tmp_path)), "a film"])
    runpy.run_path(str(EXAMPLES / "classify.py"))
    assert capsys.readouterr().out.startswith("'a film': ")
