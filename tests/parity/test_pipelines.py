"""Pipelines beside those of transformers: the same answers under the same keys, in the same shape."""

import numpy as np
import pytest
import transformers
from tiny import CONFIG, LABELS, make_tokenizer

from minidistil import pipeline
from minidistil.model import BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification

TEXTS = ["the warm film", "a dull plot with the tired cast", "lovely"]
PAIR = {"text": "the film", "text_pair": "is grim"}
TAGS = {0: "O", 1: "B-FUN", 2: "I-FUN", 3: "B-SAD", 4: "I-SAD"}
THREE = {**LABELS, 2: "neither"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("pipelines")
    tokenizer = make_tokenizer(here / "vocabulary")
    for name, model in {
        "classes": BertForSequenceClassification(CONFIG.replace(id2label=THREE), seed=1),
        "several": BertForSequenceClassification(
            CONFIG.replace(id2label=THREE, problem_type="multi_label_classification"), seed=1
        ),
        "number": BertForSequenceClassification(
            CONFIG.replace(id2label={0: "stars"}, problem_type="regression"), seed=1
        ),
        "tags": BertForTokenClassification(CONFIG.replace(id2label=TAGS, initializer_range=0.4), seed=1),
        "words": BertForMaskedLM(CONFIG, seed=1),
    }.items():
        model.save_pretrained(here / name, tokenizer=tokenizer)
    return here


def both(task, place, **options):
    return (
        pipeline(task, model=str(place), **options),
        transformers.pipeline(task, model=str(place), device="cpu", **options),
    )


def same(ours, theirs):
    """Equal but for the rounding of scores; the keys in one order."""
    if isinstance(theirs, list):
        assert isinstance(ours, list)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, (float, np.floating)):
        assert isinstance(ours, float)
        assert ours == pytest.approx(float(theirs), abs=1e-5)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", ["classes", "several", "number"])
def test_classes(name, place):
    ours, theirs = both("sentiment-analysis", place / name)
    for inputs in (TEXTS, TEXTS[0], PAIR, [PAIR, PAIR]):
        for options in ({}, {"top_k": None}, {"top_k": 2}, {"top_k": 1}, {"batch_size": 2}):
            if name == "several" and "top_k" not in options:
                continue  # all that are likely are one answer here, and the likeliest there
            same(ours(inputs, **options), theirs(inputs, **options))
    made = both("text-classification", place / name, top_k=None)
    assert [len(some) for some in made[0](TEXTS)] == [len(some) for some in made[1](TEXTS, top_k=None)]


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_entities(strategy, place):
    ours, theirs = both("ner", place / "tags", aggregation_strategy=strategy)
    found = ours(TEXTS)
    assert sum(map(len, found)) > 1
    for some, expected in zip(found, theirs(TEXTS), strict=True):
        assert [list(entity) for entity in some] == [list(entity) for entity in expected]
        ends = [(e["start"], e["end"], e["entity_group"]) for e in some]
        assert ends == [(e["start"], e["end"], e["entity_group"]) for e in expected]
    assert ours(TEXTS[0])[0] == found[0], "of one text a list of one: without that list in transformers"


def test_tokens(place):
    ours, theirs = both("token-classification", place / "tags", aggregation_strategy="none")
    for some, expected in zip(ours(TEXTS), theirs(TEXTS), strict=True):
        assert [(e["start"], e["end"], e["entity"]) for e in some] == [
            (e["start"], e["end"], e["entity"]) for e in expected
        ]
        assert [e["score"] for e in some] == pytest.approx([float(e["score"]) for e in expected], abs=1e-5)


def test_words(place):
    ours, theirs = both("fill-mask", place / "words", top_k=5)
    (filling,), expected = ours("the [MASK] is warm"), theirs("the [MASK] is warm")
    ordinary = [
        c for c in expected if not c["token_str"].startswith("[")
    ]  # special tokens are never proposed here
    for candidate, theirs_ in zip(filling.masks[0].candidates, ordinary, strict=False):
        assert list(candidate) == list(theirs_)
        same({k: candidate[k] for k in ("score", "token")}, {k: theirs_[k] for k in ("score", "token")})
        assert candidate["token_str"].removeprefix("##") == theirs_["token_str"].removeprefix("##")
    if ordinary == expected:
        assert filling["token"] == expected[0]["token"]
