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
from minidistil.report.predictions import (
    Mark,
    answers,
    bars,
    choices,
    entities,
    faq,
    intents,
    labels,
    marked,
    words,
)
from minidistil.text.tokenizer import Tokenizer

EVIL = '<script>alert("x")</script>&amp; <b>film</b>'


def plain(html):
    return unescape(re.sub(r"<small>.*?</small>|<[^>]*>", "", html))


def marks_of(html):
    return [unescape(re.sub(r"<small>.*", "", m)) for m in re.findall(r"<mark[^>]*>(.*?)</mark>", html)]


def test_marks():
    text = "Ada <b> lived in Köln 🎉 & Paris"
    html = marked(text, [Mark(17, 21, "LOC 0.9", 1), Mark(0, 3, "PER"), Mark(18, 23, "X"), Mark(9, 9, "Y")])
    assert marks_of(html) == ["Ada", "Köln"]
    assert plain(html) == text
    assert plain(marked(EVIL, [Mark(0, 8, "")])) == EVIL
    assert marks_of(marked(EVIL, [Mark(0, 8, "")])) == ["<script>"]


def test_facts():
    found = [{"type": "LOC", "start": 4, "end": 8, "score": 0.5, "text": "Bonn"},
             {"type": "<i>", "start": 0, "end": 3, "score": 0.25, "text": "Ada"}]  # fmt: skip
    page = entities({"text": "Ada Bonn", "entities": found})
    assert marks_of(page) == ["Ada", "Bonn"]
    assert "&lt;i&gt; 0.25" in page
    assert page.count("--hue:0,114,178") == page.count("--hue:213,94,0") == 1, "a colour each"
    best = {"text": "Bonn", "score": 0.75, "start": 4, "end": 8}
    page = answers({"question": EVIL, "context": "Ada Bonn", **best, "candidates": [best]})
    assert marks_of(page) == ["Bonn"]
    assert "<script" not in page
    assert "No answer" not in page
    nothing = {"text": "", "score": 0.75, "start": 0, "end": 0}
    assert "No answer" in answers({"question": "?", "context": "Ada", **nothing, "candidates": []})
    page = labels({"text": EVIL, "scores": {"bad": 0.25, "<good>": 0.75}})
    assert plain(page).index("<good>") < plain(page).index("bad")
    page = labels({"text": "a", "pair": EVIL, "scores": {"bad": 0.25}})
    assert EVIL in plain(page)
    page = intents(
        {"text": EVIL, "label": "<b>", "candidates": [{"label": "x", "score": 0.5, "example": EVIL}]}
    )
    assert plain(page).count(EVIL) == 2
    assert "<b>" in plain(page)
    near = [{"question": EVIL, "score": 0.5, "answer": EVIL, "entry": 0}]
    assert plain(faq({"text": "?", "answer": EVIL, "candidates": near})).count(EVIL) == 3
    assert "No answer" in faq({"text": "?", "answer": None, "candidates": near})
    masks = [
        {"start": 4, "end": 10, "candidates": [{"token": "<b>", "score": 0.5}, {"token": "a", "score": 0.2}]}
    ]
    page = words({"text": "the [MASK]", "filled": "the <b>", "masks": masks})
    assert marks_of(page) == ["[MASK]"]
    assert "<small>&lt;b&gt;</small>" in page
    assert "the <b>" not in plain(page), "filled in only if there are several"
    assert "the <b>" in plain(words({"text": "the [MASK]", "filled": "the <b>", "masks": masks * 2}))
    page = choices({"context": EVIL, "start": "it", "choices": ["a", "<i>"], "scores": [0.25, 0.75]})
    assert f"{EVIL} it" in plain(page)
    assert plain(page).index("<i>") < plain(page).index("0.2500")
    assert "width:6.00rem" in bars({"a": 0.75})
    assert "width:8.00rem" in bars({"score of a regression": 4.2})


def test_attention_is_the_models(tmp_path):
    path = make_classifier(tmp_path)
    model, tokenizer = load_model(path).eval(), Tokenizer.from_pretrained(path)
    tokens, attention = attention_map(model, tokenizer, "the film", "a plot", layer=1, head=0)
    assert tokens == ["[CLS]", "the", "film", "[SEP]", "a", "plot", "[SEP]"]
    encoded = tokenizer.encode(["the film"], ["a plot"])
    batch = Batch.from_sequences(encoded.input_ids, encoded.token_type_ids)
    wanted = model.forward(batch, attentions=True)[0]["attentions"][1][0][0]
    np.testing.assert_array_equal(attention, wanted)
    assert attention.sum(1) == pytest.approx(np.ones(7), rel=1e-5)
    assert len(attention_map(model, tokenizer, "film " * 200, layer=0, head=1)[0]) <= 64


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
