"""Answers: fields, keys, and the tuples that they once were."""

import copy
import json
import pickle
from dataclasses import dataclass

import pytest

from minidistil.tasks.classification.scores import Prediction
from minidistil.tasks.intents.faq import AnswerCandidate, FaqAnswer
from minidistil.tasks.intents.task import Intent, IntentCandidate
from minidistil.tasks.masked_lm.fill import Candidate, Filling, Mask
from minidistil.tasks.multiple_choice.task import Choice
from minidistil.tasks.question_answering.spans import Answer, Answers
from minidistil.tasks.result import Result
from minidistil.tasks.summarization.summary import Extract, Summary
from minidistil.tasks.token_classification.entities import Entity, EntityToken

ENTITY = Entity("Bonn", "LOC", 0.75, 3, 7)
ANSWER = Answer("Bonn", 0.5, 3, 7)
WORD = Candidate("film", 0.5, "the film", 11)
SENTENCE = Extract("It is.", 0, 6, 0, 0.5)
SPAN = {"start": 3, "end": 7}
EVERY = [
    (Prediction("good", 0.75, {"bad": 0.25, "good": 0.75}), {"label": "good", "score": 0.75}),
    (ENTITY, {"entity_group": "LOC", "score": 0.75, "word": "Bonn", **SPAN}),
    (EntityToken("Bonn", "B-LOC", 0.75, 3, 7), {"entity": "B-LOC", "score": 0.75, "word": "Bonn", **SPAN}),
    (ANSWER, {"answer": "Bonn", "score": 0.5, **SPAN}),
    (Answers(ANSWER, [ANSWER], 0.0, float("inf")), dict(ANSWER)),
    (WORD, {"score": 0.5, "token": 11, "token_str": "film", "sequence": "the film"}),
    (Mask(4, 10, [WORD]), {"start": 4, "end": 10, "candidates": [dict(WORD)]}),
    (Filling("the film", 0.5, ["film"], [Mask(4, 10, [WORD])], [11]), dict(WORD)),
    (
        Filling("a b", 0.25, ["a", "b"], [], [5, 6]),
        {"score": 0.25, "token": [5, 6], "token_str": ["a", "b"], "sequence": "a b"},
    ),
    (
        Choice(1, "yes", 0.75, [0.25, 0.75]),
        {"number": 1, "text": "yes", "score": 0.75, "scores": [0.25, 0.75]},
    ),
    (
        Intent("pay", 0.5, [IntentCandidate("pay", 0.5, "bill")]),
        {"label": "pay", "score": 0.5, "candidates": [{"label": "pay", "score": 0.5, "example": "bill"}]},
    ),
    (
        FaqAnswer(None, 0.5, [AnswerCandidate("No.", 0.5, "why?", 2)]),
        {
            "answer": None,
            "score": 0.5,
            "candidates": [{"answer": "No.", "score": 0.5, "question": "why?", "entry": 2}],
        },
    ),
    (
        Summary("It is.", [SENTENCE], "mmr"),
        {"summary_text": "It is.", "sentences": [dict(SENTENCE)], "method": "mmr"},
    ),
]
every_kind = pytest.mark.parametrize(("result", "keyed"), EVERY, ids=lambda value: type(value).__name__)


@every_kind
def test_a_mapping_under_the_keys_of_transformers(result, keyed):
    assert isinstance(result, dict)
    assert dict(result) == keyed == {**result} == dict(**result)
    assert list(result) == list(keyed)
    assert json.loads(json.dumps(result)) == keyed
    for key in keyed:
        assert result[key] == keyed[key]


@every_kind
def test_fields_as_attributes_and_by_their_own_names(result, keyed):
    fields = result._asdict()
    for name, value in fields.items():
        assert getattr(result, name) == value
        if name not in keyed:
            assert result[name] == value
    assert repr(result).startswith(f"{type(result).__name__}({next(iter(fields))}=")


@every_kind
def test_the_tuple_that_it_was(result, keyed):
    values = tuple(result._asdict().values())
    assert result == values
    assert result[0] == values[0]
    assert result[-1] == values[-1]
    assert result[1:] == values[1:]
    assert (result != values) is False
    assert result != (*values, 0)


@every_kind
def test_copies_are_equal(result, keyed):
    for other in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert type(other) is type(result)
        assert other == result
        assert other._asdict() == result._asdict()
        assert dict(other) == keyed


def test_what_is_not_equal():
    assert Prediction("a", 0.5, {"a": 0.5, "b": 0.5}) != Prediction("a", 0.5, {"a": 0.5, "b": 0.25})
    assert EntityToken(*ENTITY[:]) != ENTITY
    assert dict(ENTITY) == ENTITY
    assert ENTITY != {**ENTITY, "score": 0.5}
    assert ENTITY not in (None, 3, "Bonn")


def test_a_key_that_there_is_not():
    with pytest.raises(KeyError, match="this Entity has no 'entitygroup' \\(did you mean entity_group\\?\\)"):
        ENTITY["entitygroup"]
    assert ENTITY.get("lable") is None
    assert "word" in ENTITY
    with pytest.raises(AttributeError):
        ENTITY.score = 1


def test_a_kind_of_ones_own():
    """Without `keyed` its keys are its fields."""

    @dataclass(frozen=True, eq=False)
    class Topic(Result):
        name: str
        weight: float

    topic = Topic("film", 0.5)
    assert (dict(topic), topic.name, topic[1]) == ({"name": "film", "weight": 0.5}, "film", 0.5)
    topic["text"] = "a film"  # a mapping that a program may add to
    assert topic["text"] == "a film"


def test_ranked():
    best = Prediction("b", 0.5, {"a": 0.25, "b": 0.5, "c": 0.25})
    assert [dict(p) for p in best.ranked(2)] == [{"label": "b", "score": 0.5}, {"label": "a", "score": 0.25}]
    assert len(best.ranked(None)) == 3
    none = Answer("", 1.0, 0, 0)
    assert Answers(none, [ANSWER], 1.0, 2.0).ranked(3) == [none]
    assert Answers(ANSWER, [ANSWER, ANSWER], 0.0, 2.0).ranked(1) == [ANSWER]
