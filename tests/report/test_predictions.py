"""Pages of predictions: what is marked is what was found, every text is escaped, nothing is fetched."""

import re
from html import unescape

import numpy as np
import pytest
from tiny import CONFIG, make_classifier, make_tokenizer

from minidistil.batch import Batch
from minidistil.cli.main import main
from minidistil.model import BertForQuestionAnswering, BertForTokenClassification, load_model
from minidistil.report.attention import attention_map
from minidistil.report.marks import pieces
from minidistil.report.page import Page, environment
from minidistil.tasks.registry import PREDICTED
from minidistil.text.tokenizer import Tokenizer

EVIL = '<script>alert("x")</script>&amp; <b>film</b>'


def plain(html):
    return unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", html))


def marks_of(html):
    return [unescape(re.sub(r"<small>.*", "", m)) for m in re.findall(r"<mark[^>]*>(.*?)</mark>", html)]


def show(task, facts):
    """Body of the page of one result."""
    html = Page("predictions.html").render(title="", task=task, results=[(facts, None)])
    return html.split("</h1>")[1].split("</body>")[0].strip()


def macro(template, name, *values, **more):
    return str(getattr(environment().get_template(template).module, name)(*values, **more)).strip()


def marked(text, *marks, **options):
    """A text with marks of (start, end, note)."""
    marks = [{"start": start, "end": end, "note": note} for start, end, note in marks]
    return macro("marks.html", "marked", text, marks, caller=lambda mark: mark["note"], **options)


def test_marks():
    text = "Ada <b> lived in Köln 🎉 & Paris"
    html = marked(text, (17, 21, "LOC 0.9"), (0, 3, "PER"), (18, 23, "X"), (9, 9, "Y"), colour_by="note")
    assert marks_of(html) == ["Ada", "Köln"]
    assert plain(html) == text
    assert "<small>LOC 0.9</small>" in html
    assert plain(marked(EVIL, (0, 8, ""))) == EVIL
    assert marks_of(marked(EVIL, (0, 8, ""))) == ["<script>"]
    assert list(pieces("ab")) == [("ab", None, 0)]
    assert plain(marked("  two\n\nlines ")) == "  two\n\nlines ", "as it stands"


def test_facts():
    found = [{"type": "LOC", "start": 4, "end": 8, "score": 0.5, "text": "Bonn"},
             {"type": "<i>", "start": 0, "end": 3, "score": 0.25, "text": "Ada"}]  # fmt: skip
    page = show("token-classification", {"text": "Ada Bonn", "entities": found})
    assert marks_of(page) == ["Ada", "Bonn"]
    assert "&lt;i&gt; 0.25" in page
    assert page.count('<mark class="hue-0">') == page.count('<mark class="hue-1">') == 1, "a colour each"
    best = {"text": "Bonn", "score": 0.75, "start": 4, "end": 8}
    page = show("question-answering", {"question": EVIL, "context": "Ada Bonn", **best, "candidates": [best]})
    assert marks_of(page) == ["Bonn"]
    assert "<script" not in page
    assert "No answer" not in page
    assert "<td>Bonn</td><td>0.7500</td><td>4-8</td>" in page
    nothing = {"text": "", "score": 0.75, "start": 0, "end": 0}
    page = show("question-answering", {"question": "?", "context": "Ada", **nothing, "candidates": []})
    assert "No answer" in page
    page = show("text-classification", {"text": EVIL, "scores": {"bad": 0.25, "<good>": 0.75}})
    assert plain(page).index("<good>") < plain(page).index("bad")
    page = show("text-classification", {"text": "a", "pair": EVIL, "scores": {"bad": 0.25}})
    assert EVIL in plain(page)
    assert "3.1416" in show("text-classification", {"text": "a", "score": 3.14159})
    page = show(
        "intents",
        {"text": EVIL, "label": "<b>", "candidates": [{"label": "x", "score": 0.5, "example": EVIL}]},
    )
    assert plain(page).count(EVIL) == 2
    assert "<b>" in plain(page)
    near = [{"question": EVIL, "score": 0.5, "answer": EVIL, "entry": 0}]
    assert plain(show("faq", {"text": "?", "answer": EVIL, "candidates": near})).count(EVIL) == 3
    assert "No answer" in show("faq", {"text": "?", "answer": None, "candidates": near})
    masks = [
        {"start": 4, "end": 10, "candidates": [{"token": "<b>", "score": 0.5}, {"token": "a", "score": 0.2}]}
    ]
    page = show("fill-mask", {"text": "the [MASK]", "filled": "the <b>", "masks": masks})
    assert marks_of(page) == ["[MASK]"]
    assert "<small>&lt;b&gt;</small>" in page
    assert "the <b>" not in plain(page), "filled in only if there are several"
    page = show("fill-mask", {"text": "the [MASK]", "filled": "the <b>", "masks": masks * 2})
    assert "the <b>" in plain(page)
    page = show(
        "multiple-choice",
        {"context": EVIL, "start": "it", "choices": ["a", "<i>"], "scores": [0.25, 0.75]},
    )
    assert f"{EVIL} it" in plain(page)
    assert plain(page).index("<i>") < plain(page).index("0.2500")
    page = show("summarization", {"text": "One. Two.", "sentences": [{"start": 5, "end": 9, "score": 0.5}]})
    assert marks_of(page) == ["Two."]
    assert "--share:0.7500" in macro("charts.html", "bars", [("a", 0.75)], 0, 1)
    assert "--share:1.0000" in macro("charts.html", "bars", [("score of a regression", 4.2)], 0, 1)


def test_every_task_has_a_template():
    shown = {name.removeprefix("predictions/") for name in environment().list_templates() if "/" in name}
    assert shown == {f"{task}.html" for task in PREDICTED}


def test_attention_is_the_models(tmp_path):
    path = make_classifier(tmp_path)
    model, tokenizer = load_model(path).eval(), Tokenizer.from_pretrained(path)
    found = attention_map(model, tokenizer, "the film", "a plot", layer=1, head=0)
    assert found["tokens"] == ["[CLS]", "the", "film", "[SEP]", "a", "plot", "[SEP]"]
    encoded = tokenizer.encode(["the film"], ["a plot"])
    batch = Batch.from_sequences(encoded.input_ids, encoded.token_type_ids)
    wanted = model.forward(batch, attentions=True)[0]["attentions"][1][0][0]
    np.testing.assert_array_equal(found["rows"], wanted)
    assert np.sum(found["rows"], 1) == pytest.approx(np.ones(7), rel=1e-5)
    assert len(attention_map(model, tokenizer, "film " * 200, layer=0, head=1)["tokens"]) <= 64


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    here = tmp_path_factory.mktemp("pages")
    tokenizer = make_tokenizer(here / "vocabulary")
    tags = {0: "O", 1: "B-FUN", 2: "I-FUN"}
    BertForTokenClassification(CONFIG.replace(id2label=tags), seed=5).save_pretrained(
        here / "tokens", tokenizer=tokenizer
    )
    BertForQuestionAnswering(CONFIG, seed=6).save_pretrained(here / "questions", tokenizer=tokenizer)
    (here / "labels").mkdir()
    return {
        "tokens": here / "tokens",
        "questions": here / "questions",
        "labels": make_classifier(here / "labels"),
    }


@pytest.mark.parametrize("kind", ["labels", "tokens", "questions"])
def test_the_command_line(kind, places, tmp_path, capsys):
    page = tmp_path / "page.html"
    arguments = ["predict", str(places[kind]), EVIL, "the film", "--html", str(page)]
    if kind == "questions":
        arguments += ["--question", EVIL]
    assert main([*arguments, "--attention", "1", "0"]) == 0
    html = page.read_text(encoding="utf-8")
    assert capsys.readouterr().out, "printed as well"
    assert "<script" not in html
    assert not re.search(r"(src|href)=|url\(", html)
    assert html.count('class="heat"') == 2
    assert EVIL in plain(html)
    page.unlink()
    assert main([*arguments, "--attention", "9", "0"]) == 2
    assert "there is no head 0 of layer 9: layers are 0 to" in capsys.readouterr().err
    assert not page.exists()
    assert main(["predict", str(places[kind]), "film", "--attention", "0", "0"]) == 2
