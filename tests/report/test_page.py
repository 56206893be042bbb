"""Pages from templates: every text is escaped, and a user's own templates go first."""

import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import StrictUndefined

import minidistil
from minidistil.cli.main import main
from minidistil.errors import DataError, UsageError
from minidistil.report.page import TEMPLATES, Page, environment
from minidistil.report.run import RunRecord, Stage
from minidistil.report.run_page import run_page

EVIL = """</pre></style><script>alert("x")</script><img src=x onerror='alert(1)'>"""
SPAN = {"start": 0, "end": 6, "score": 0.5, "text": EVIL}
FACTS = {  # of each kind of prediction, and how often a text is shown; every text is one that would run
    "text-classification": ({"text": EVIL, "pair": EVIL, "scores": {EVIL: 0.5}}, 3),
    "token-classification": ({"text": EVIL, "entities": [{**SPAN, "type": EVIL}]}, 1),
    "question-answering": ({"question": EVIL, "context": EVIL, **SPAN, "candidates": [SPAN]}, 2),
    "fill-mask": (
        {
            "text": EVIL,
            "filled": EVIL,
            "masks": [{**SPAN, "candidates": [{"token": EVIL, "score": 0.5}]}] * 2,
        },
        4,
    ),
    "multiple-choice": ({"context": EVIL, "start": EVIL, "choices": [EVIL], "scores": [0.5]}, 3),
    "summarization": ({"text": EVIL, "sentences": [SPAN]}, 0),
    "intents": (
        {"text": EVIL, "label": EVIL, "candidates": [{"label": EVIL, "score": 0.5, "example": EVIL}]},
        4,
    ),
    "faq": (
        {"text": EVIL, "answer": EVIL, "candidates": [{"question": EVIL, "score": 0.5, "answer": EVIL}]},
        4,
    ),
}


class Reader(HTMLParser):
    """Texts, and each tag with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.attributes, self.links = "", set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.links += [value for name, value in attributes if name == "href"]

    def handle_data(self, data):
        self.text += data


def check(html, links=()):
    """Nothing that runs, nothing that is fetched, and no other links; the page's text."""
    page = Reader(html)
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert ("a" in page.tags) == bool(links)
    assert not {name for name in page.attributes if name.startswith("on") or name == "src"}
    assert page.links == list(links)
    return page.text


@pytest.mark.parametrize("task", FACTS)
def test_predictions_are_escaped(task):
    facts, times = FACTS[task]
    attention = {"layer": 0, "head": 0, "tokens": [EVIL], "rows": [[1.0]]}
    text = check(Page("predictions.html").render(title=EVIL, task=task, results=[(facts, attention)]))
    assert text.count(EVIL) == times + 4, "title twice, token twice; marks cut what they stand in"


def test_runs_are_escaped(tmp_path):
    def evil(place):
        places.add(EVIL + place)
        return EVIL + place

    places = set()
    stage = Stage()
    stage.add({"kind": "train", "step": 1, "loss": 1.0, evil("term"): 2.0, "z": 1.0})
    stage.add({"kind": "eval", "step": 1, evil("metric"): 2.0})
    seed = RunRecord(
        tmp_path, {"models": {"student": {evil("number"): 0.5}}}, {}, {}, {evil("seed's"): stage}, {}
    )
    example = {
        "value": 1.0,
        "line": 3,
        "probability": 0.5,
        "texts": {evil("name"): evil("text"), "b": evil("second")},
        "right": evil("right"),
        "given": evil("given"),
    }
    evaluation = {
        "worst": {"measure": evil("measure"), "about": evil("about"), "of": 9, "examples": [example]},
        "classes": {evil("class"): {evil("score"): 0.5}},
        "confusion": [[1]],
        "counted": evil("counted"),
        "calibration": [{"low": 0, "high": 1, "examples": 3, "confidence": 0.5, "accuracy": 0.5}],
        "thresholds": [{"threshold": 0.5, evil("column"): 0.5}],
    }
    run = RunRecord(
        path=tmp_path / "<script>'a'",
        report={
            "primary": evil("primary"),
            "models": {evil("model"): {evil("field"): 0.5}},
            "comparison": {"sentences": [evil("sentence")]},
        },
        settings={"note": EVIL},
        made_with={evil("key"): evil("value")},
        stages={evil("stage"): stage},
        teacher={EVIL + "metric": 0.5},
        evaluation={"student": evaluation},
        parts={evil("seed"): seed},
    )
    run.models["teacher"] = run.models["student"] = {EVIL + "primary": 0.5}
    address = "./" + EVIL
    html = run_page(run, links={EVIL + "seed": address})
    text = check(html, [address])
    assert places - {EVIL + "seed's"} == {place for place in places if place in text}
    assert "<script>'a': a run" in text
    assert text.count("onerror") == text.count(EVIL) + 1, "settings are written as TOML, which escapes quotes"
    assert html.count("<svg") == len(re.findall(r'aria-label="[^"<>]*"', html)) == 8


def test_no_template_takes_a_text_for_html():
    """Every `{{ ... }}` is escaped: no template and no module can say that a text is safe."""
    files = [*TEMPLATES.rglob("*"), *TEMPLATES.parent.glob("*.py")]
    texts = {file.name: file.read_text() for file in files if file.is_file()}
    assert {"base.html", "style.css", "faq.html", "page.py"} <= texts.keys()
    assert not [
        name for name, text in texts.items() if re.search(r"\bsafe\b|Markup|autoescape (false|off)", text)
    ]
    assert environment().autoescape is True
    assert environment().undefined is StrictUndefined


def test_templates_are_in_the_package():
    root = Path(minidistil.__file__).parent
    data = tomllib.loads((root.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in data["minidistil"] for path in root.glob(pattern)}
    assert {path for path in TEMPLATES.rglob("*") if path.is_file()} <= packed


def test_jinja_is_for_pages_alone():
    script = "import sys, minidistil.cli.main, minidistil.tasks.base; sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture
def run(tmp_path):
    """The smallest directory of a run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"recipe": {"seed": 0}}))
    return tmp_path / "run"


def test_templates_of_the_user(run, tmp_path, capsys):
    own = tmp_path / "own"
    own.mkdir()
    (own / "style.css").write_text("h1 { color: red }")
    page = tmp_path / "page.html"
    arguments = ["report", str(run), "--out", str(page), "--templates", str(own)]
    assert main(arguments) == 0
    assert "h1 { color: red }" in page.read_text()
    assert "Okabe" not in page.read_text()
    assert "seed = 0" in page.read_text()
    (own / "run.html").write_text(
        "{% extends 'base.html' %}\n{% block content %}\n{{ run.pth }}\n{% endblock %}"
    )
    assert main(arguments) == 3
    told = capsys.readouterr().err
    assert f"{own / 'run.html'}, line 3: UndefinedError: " in told
    assert "pth" in told
    (own / "run.html").write_text("<p>\n{% for %}")
    assert main(arguments) == 3
    assert f"{own / 'run.html'}, line 2: TemplateSyntaxError" in capsys.readouterr().err
    (own / "run.html").write_bytes(b"\xff")
    assert main(arguments) == 3
    assert f"{own}: UnicodeDecodeError" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "nothing")]) == 2
    assert f"nothing is not a folder of templates; copy those of {TEMPLATES}" in capsys.readouterr().err
    assert main(["predict", "nothing", "a", "--templates", str(own)]) == 2
    assert "--templates is part of a page: say --html FILE" in capsys.readouterr().err
    assert main(["predict", "nothing", "a", "--html", str(page), "--templates", str(tmp_path / "no")]) == 2
    assert "is not a folder of templates" in capsys.readouterr().err, "said before a model is read"


def test_what_is_wrong_with_a_template_of_ours_is_no_fault_of_the_user():
    with pytest.raises(Exception, match="title") as raised:
        Page("run.html").render()
    assert not isinstance(raised.value, (DataError, UsageError))
