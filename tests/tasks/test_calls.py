"""Texts in every form that a predictor is called with, and the form of its answers."""

import json
import logging

import numpy as np
import pandas
import pyarrow
import pytest
from tiny import CONFIG, LABELS, make_tokenizer

from minidistil import pipeline
from minidistil.errors import InputError, UsageError
from minidistil.model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minidistil.tasks.training_settings import KEY

TEXTS = ["the warm film", "a dull plot", ""]
SECONDS = ["warm", "the cast is grim", "a"]
PAIRS = list(zip(TEXTS, SECONDS, strict=True))
TAGS = {0: "O", 1: "B-FUN", 2: "I-FUN"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="module")
def tokenizer(place):
    return make_tokenizer(place / "vocabulary")


@pytest.fixture(scope="module")
def classify(tokenizer):
    model = BertForSequenceClassification(CONFIG.replace(id2label={**LABELS, 2: "neither"}), seed=3)
    return pipeline("sentiment-analysis", model, tokenizer)


@pytest.fixture(scope="module")
def qa(tokenizer):
    return pipeline("qa", BertForQuestionAnswering(CONFIG, seed=6), tokenizer)


def tables(columns):
    """The same columns as a table of every kind."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [columns, pandas.DataFrame(columns), pyarrow.table(columns), rows, iter(rows)]


def test_one_text_and_many(classify):
    together = classify(TEXTS)
    assert [type(p).__name__ for p in together] == ["Prediction"] * 3
    assert classify(TEXTS[0]) == together[:1], "one text has a list of one, as in transformers"
    for texts in (tuple(TEXTS), np.array(TEXTS), pandas.Series(TEXTS), (t for t in TEXTS), TEXTS):
        assert classify(texts) == together
    assert classify([]) == []


def test_tables_by_column(classify):
    together = classify(TEXTS)
    for table in tables({"id": [1, 2, 3], "text": TEXTS}):
        assert classify(table) == together
    for table in tables({"id": [1, 2, 3], "review": TEXTS}):
        assert classify(table, text="review") == together
    for table in tables({"id": [1, 2, 3], "review": TEXTS})[:3]:
        with pytest.raises(
            InputError, match="which column holds the text: there are 'id', 'review'; say text='NAME'"
        ):
            classify(table)
        with pytest.raises(InputError, match=r"no column 'reviw' \(did you mean review\?\)"):
            classify(table, text="reviw")


def test_pairs(classify):
    together = classify(TEXTS, SECONDS)
    assert together != classify(TEXTS)
    assert classify(PAIRS) == classify(TEXTS, pairs=SECONDS) == classify(TEXTS, text_pair=SECONDS) == together
    assert classify(iter(PAIRS)) == together
    for table in tables({"text": TEXTS, "text_pair": SECONDS}):
        assert classify(table) == together
    for table in tables({"first": TEXTS, "second": SECONDS}):
        assert classify(table, text="first", text_pair="second") == together
    assert classify(TEXTS[0], SECONDS[0]) == together[:1]
    assert classify({"text": TEXTS[0], "text_pair": SECONDS[0]}) == together[0]
    assert classify(text=TEXTS[0], text_pair=SECONDS[0]) == together[0]


def test_a_mapping_has_an_answer_without_a_list(classify):
    assert classify({"text": TEXTS[0]}) == classify(TEXTS)[0]
    assert classify([{"text": text} for text in TEXTS]) == classify(TEXTS)
    assert classify({"text": TEXTS}) == classify(TEXTS)


def test_columns_of_training_are_remembered(tokenizer):
    extra = {KEY: {"columns": {"text": "premise", "pair": "hypothesis"}, "pairs": True}}
    model = BertForSequenceClassification(CONFIG.replace(id2label=LABELS, extra=extra), seed=3)
    classify = pipeline("text-classification", model, tokenizer)
    for table in tables({"hypothesis": SECONDS, "premise": TEXTS, "text": ["a"] * 3}):
        assert classify(table) == classify(TEXTS, SECONDS)
    assert classify({"text": TEXTS, "text_pair": SECONDS}) == classify(TEXTS, SECONDS)


def test_top_k(classify):
    best, every = classify(TEXTS), classify(TEXTS, top_k=None)
    assert [[p["score"] for p in some] for some in every] == [
        sorted(p.scores.values(), reverse=True) for p in best
    ]
    assert [some[0] for some in every] == best
    assert [some[:2] for some in every] == classify(TEXTS, top_k=2)
    assert classify(TEXTS[0], top_k=2) == every[0][:2], "of one text a list alone, as in transformers"
    assert classify({"text": TEXTS[0]}, top_k=1) == every[0][:1]
    for wrong in (0, -1, 2.5, "3"):
        with pytest.raises(UsageError, match="top_k must be an integer of at least 1"):
            classify(TEXTS, top_k=wrong)


def test_batches_and_devices_change_nothing(classify):
    for options in ({"batch_size": 1}, {"batch_size": 64, "device": "cpu"}, {"device": -1}, {"device": None}):
        assert classify(TEXTS, **options) == classify(TEXTS)
    for options, message in (
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"device": 0}, "CPU"),
        ({"device": "cuda"}, "CPU"),
    ):
        with pytest.raises(UsageError, match=message):
            classify(TEXTS, **options)


def test_options_that_are_none(classify, qa):
    with pytest.raises(UsageError, match=r"no option 'topk' \(did you mean top_k\?\)"):
        classify(TEXTS, topk=2)
    with pytest.raises(UsageError, match=r"no option 'max_length'.* max_length: when the pipeline is made"):
        classify(TEXTS, max_length=5)
    with pytest.raises(UsageError, match="no option 'threshold'"):
        qa("the film", TEXTS[0], threshold=0.5)
    with pytest.raises(UsageError, match="the text is given twice"):
        classify(TEXTS, text=TEXTS)
    with pytest.raises(UsageError, match="the text is missing"):
        classify()
    with pytest.raises(UsageError, match="say which, text_pair="):
        classify({"text": TEXTS}, SECONDS)
    with pytest.raises(InputError, match=r"texts\[1\] is no pair"):
        classify([("a", "b"), "c"])
    with pytest.raises(InputError, match=r"texts\[1\] has no 'text'"):
        classify([{"text": "a"}, {"review": "b"}])


def test_questions(qa):
    question, context = "the film", "a warm film with the cast"
    (found,) = qa(question, context)
    assert qa(question=question, context=context) == found == qa({"question": question, "context": context})
    assert dict(found) == dict(found.best)
    assert (found["answer"], found["start"]) == (found.best.text, found.best.start)
    many = qa([question] * 3, [context, *TEXTS[:2]])
    for table in tables({"question": [question] * 3, "context": [context, *TEXTS[:2]]}):
        assert qa(table) == many
    assert qa([(question, text) for text in (context, *TEXTS[:2])]) == many
    three = qa(question=question, context=context, top_k=3)
    assert three == qa(question, context, n_best=3)[0].candidates
    assert len(qa(question=question, context=context, top_k=7)) == 7
    with pytest.raises(UsageError, match="the context is missing: give question and context"):
        qa(question)
    with pytest.raises(InputError, match="which column holds the context"):
        qa({"question": question, "text": context})


def test_entities(tokenizer):
    model = BertForTokenClassification(CONFIG.replace(id2label=TAGS), seed=5)
    find = pipeline("ner", model, tokenizer)
    assert find(TEXTS[0]) == find(TEXTS)[:1]
    simple = pipeline("ner", model, tokenizer, aggregation_strategy="simple")
    assert simple(TEXTS) == find(TEXTS, aggregation="simple") == find(TEXTS, aggregation_strategy="simple")
    assert simple(TEXTS, aggregation="first") == find(TEXTS, aggregation="first")
    apart = [entity for found in find(TEXTS, aggregation="none") for entity in found]
    assert apart, "something is found"
    assert all(list(entity) == ["entity", "score", "word", "start", "end"] for entity in apart)
    assert find({"text": TEXTS[0]}) == find(TEXTS)[0]
    with pytest.raises(UsageError, match="no option 'text_pair'"):
        find(TEXTS, text_pair=TEXTS)


def test_words(tokenizer):
    guess = pipeline("fill-mask", BertForMaskedLM(CONFIG, seed=4), tokenizer, top_k=3)
    (found,) = guess("the [MASK] is warm")
    assert len(found.masks[0].candidates) == 3
    best = found.masks[0].candidates[0]
    assert {**found, "sequence": best.text} == dict(best)
    assert tokenizer.id_to_token(best["token"]) == best["token_str"] == best.token
    assert len(guess("the [MASK]", top_k=2)[0].masks[0].candidates) == 2
    assert guess({"text": ["the [MASK]"]}) == guess(["the [MASK]"])


def test_choices(tokenizer):
    choose = pipeline("multiple-choice", BertForMultipleChoice(CONFIG, seed=2), tokenizer)
    assert choose(TEXTS[:2], choices=["warm", "dull"]) == choose(TEXTS[:2], ["warm", "dull"])
    assert choose({"text": TEXTS[0]}, ["warm", "dull"]) == choose(TEXTS[0], ["warm", "dull"])[0]


def test_answers_are_json_and_rows_of_a_frame(classify):
    found = classify(TEXTS)
    assert json.loads(json.dumps(found)) == [{"label": p.label, "score": p.score} for p in found]
    frame = pandas.DataFrame(found)
    assert list(frame.columns) == ["label", "score"]
    assert frame["score"].tolist() == [p.score for p in found]


def test_texts_alone_where_pairs_were_learnt(tokenizer, caplog):
    extra = {KEY: {"pairs": True}}
    model = BertForSequenceClassification(CONFIG.replace(id2label=LABELS, extra=extra), seed=3)
    with caplog.at_level(logging.WARNING):
        pipeline("text-classification", model, tokenizer)(TEXTS)
    assert "these are texts alone, and the model learnt from pairs of texts" in caplog.text
