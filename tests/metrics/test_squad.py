"""SQuAD's scores against values by hand, and against the scripts' definition written another way.

The other way: normalisation goes character by character and word by word, common words are crossed out of
a list, and every threshold's score is summed anew.
"""

import math
import string
from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minidistil.errors import InputError
from minidistil.metrics import answer_f1, exact_match, normalize_answer, squad_v1, squad_v2

checked = settings(derandomize=True, deadline=None, max_examples=150)
KEYS = ["q1", "q2", "q3", "q4", "q5", "q6"]
words = st.sampled_from(["a", "An", "the", "theory", "cat", "Cat", "dog", ".", "the-cat", "«cat»", "Straße"])
messy = st.lists(words, max_size=5).map(" ".join) | st.text("aAnthe .,-_'’\u00a0\t\né\u0301Ω中", max_size=12)


def words_of(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    runs = ("".join(run) for _, run in groupby(kept, str.isalnum))
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def f1_of(gold, prediction, both_empty):
    left, common = words_of(gold), 0
    for word in words_of(prediction):
        if word in left:
            left.remove(word)
            common += 1
    if not words_of(gold) and not words_of(prediction):
        return both_empty
    if common == 0:
        return 0
    precision, recall = common / len(words_of(prediction)), common / len(words_of(gold))
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat's\tpyjamas!", "cats pyjamas"),
        ("a theatre, an ant & the end", "theatre ant end"),
        ("A.", ""),
        ("the-cat", "thecat"),  # punctuation goes first
        ("«the» cat", "« » cat"),  # only that of ASCII
        ("a's", "as"),
        ("l'été", "lété"),
        ("a\u00a0b", "b"),
        ("", ""),
    ],
)
def test_normalisation_by_hand(text, expected):
    assert normalize_answer(text) == expected


def test_answers_by_hand():
    assert exact_match("The Eiffel Tower", "eiffel tower.") == 1
    assert exact_match("Eiffel", "Eiffel Tower") == 0
    assert answer_f1("the Eiffel Tower", "Tower of Paris") == pytest.approx(2 * (1 / 3) * (1 / 2) / (5 / 6))
    assert answer_f1("no no", "no no no") == pytest.approx(4 / 5)  # each as often as it occurs in both
    assert answer_f1("", "the") == answer_f1("...", "") == 1
    assert answer_f1("", "cat") == answer_f1("cat", "the") == 0


@checked
@given(messy, messy)
@example("_a_", "a\u0301")
def test_answers_are_those_of_the_definition(gold, prediction):
    assert normalize_answer(gold) == " ".join(words_of(gold))
    assert exact_match(gold, prediction) == (words_of(gold) == words_of(prediction))
    assert answer_f1(gold, prediction) == pytest.approx(f1_of(gold, prediction, 1))


def test_v1_by_hand():
    """q1 is right by its second answer, q2 shares 1 of 2 words with 1 of 1, q3 is missing."""
    answers = {"q1": ["Paris", "in Paris"], "q2": ["red house"], "q3": ["x"]}
    predictions = {"q1": "in the Paris", "q2": "House", "unknown": "y"}
    assert squad_v1(answers, predictions) == {
        "exact_match": pytest.approx(100 / 3),
        "f1": pytest.approx(100 * (1 + 2 / 3) / 3),
    }
    assert squad_v1({"q": ["the"]}, {"q": "."}) == {"exact_match": 100, "f1": 0}


@checked
@given(st.dictionaries(st.sampled_from(KEYS), st.lists(messy, min_size=1, max_size=3), min_size=1), st.data())
def test_v1_is_that_of_the_definition(answers, data):
    predictions = data.draw(st.dictionaries(st.sampled_from(KEYS), messy))
    exact = [
        key in predictions and any(words_of(g) == words_of(predictions[key]) for g in gold)
        for key, gold in answers.items()
    ]
    f1 = [
        max(f1_of(g, predictions[key], 0) for g in gold) if key in predictions else 0
        for key, gold in answers.items()
    ]
    assert squad_v1(answers, predictions) == {
        "exact_match": pytest.approx(100 * sum(exact) / len(answers)),
        "f1": pytest.approx(100 * sum(f1) / len(answers)),
    }


def test_v2_by_hand():
    """Three questions have an answer, two have none.

    In the order of null scores: q1 right, n1 answered though there is no answer, q2 half right, q3 wrong, n2
    left open. None answered scores 2 of 5. With q1 it is 3, with n1 too 2, with q2 2.5 (F1: 1 of 2 words with
    1 of 1 is 2/3) or 2 (exact), q3 and n2 change nothing: the best is q1 alone, 3 of 5.
    """
    answers = {"q1": ["Rome"], "q2": ["red house"], "q3": ["x"], "n1": [], "n2": []}
    predictions = {"q1": "rome", "q2": "house", "q3": "y", "n1": "z", "n2": ""}
    plain = {
        "exact": 40,
        "f1": pytest.approx(100 * (1 + 2 / 3 + 1) / 5),
        "total": 5,
        "HasAns_exact": pytest.approx(100 / 3),
        "HasAns_f1": pytest.approx(100 * (1 + 2 / 3) / 3),
        "HasAns_total": 3,
        "NoAns_exact": 50,
        "NoAns_f1": 50,
        "NoAns_total": 2,
    }
    assert squad_v2(answers, predictions) == plain
    null = {"q1": -3.0, "n1": -1.0, "q2": 0.0, "q3": 0.5, "n2": 0.9}
    best = {"best_exact": 60, "best_exact_thresh": -3, "best_f1": 60, "best_f1_thresh": -3}
    assert squad_v2(answers, predictions, null) == plain | best
    applied = squad_v2(answers, predictions, null, threshold=-1.0)  # above it are q2, q3 and n2
    assert applied == plain | best | {
        "f1": 40,
        "HasAns_f1": pytest.approx(100 / 3),
    }
    assert squad_v2(answers, predictions, null, threshold=-2.0)["NoAns_exact"] == 100


def test_v2_of_one_kind_of_question_has_no_scores_of_the_other():
    everything = {"exact": 100, "f1": 100, "total": 1}
    has = {f"HasAns_{name}": value for name, value in everything.items()}
    none = {f"NoAns_{name}": value for name, value in everything.items()}
    assert squad_v2({"q": ["x"]}, {"q": "x"}) == everything | has
    assert squad_v2({"q": []}, {"q": ""}) == everything | none


def test_v2_peculiarities_of_the_script():
    """Right answers without words are none, but the question has one; a prediction of mere punctuation is
    right where there is no answer, yet counts as an answer when the threshold is searched."""
    scores = squad_v2({"q": ["the", "..."]}, {"q": ""})
    assert (scores["HasAns_exact"], scores["HasAns_f1"]) == (100, 100)
    scores = squad_v2({"n": []}, {"n": "."}, {"n": -1.0})
    assert (scores["NoAns_exact"], scores["best_exact"], scores["best_exact_thresh"]) == (100, 100, 0)
    answers, predictions = {"q": ["x"], "n": []}, {"q": "x", "n": "."}
    assert squad_v2(answers, predictions | {"n": ""}, {"n": 0.1, "q": 0.2})["best_f1"] == 100
    assert squad_v2(answers, predictions, {"n": 0.1, "q": 0.2})["best_f1"] == 50
    assert squad_v2(answers, predictions, {"q": 0.2, "n": 0.2})["best_f1"] == 100  # between equal scores
    assert squad_v2(answers, predictions, {"n": 0.2, "q": 0.2})["best_f1"] == 50


questions = st.dictionaries(
    st.sampled_from(KEYS),
    st.tuples(
        st.lists(messy, max_size=2),
        messy,
        st.sampled_from([-2.0, 0.0, 0.3, 0.9, 5.0]),
    ),
    min_size=1,
)


@checked
@given(questions, st.sampled_from([1.0, 0.0, 0.3, -9.0]))
def test_v2_is_that_of_the_definition(drawn, threshold):
    answers = {key: gold for key, (gold, _, _) in drawn.items()}
    predictions = {key: prediction for key, (_, prediction, _) in drawn.items()}
    null = {key: score for key, (_, _, score) in drawn.items()} | {"another": 0.1}
    order = sorted(answers, key=lambda key: (null[key], list(answers).index(key)))
    expected, thresholds = {}, {}
    for name, score in (
        ("exact", lambda g, p: words_of(g) == words_of(p)),
        ("f1", lambda g, p: f1_of(g, p, 1)),
    ):
        raw = {}
        for key, gold in answers.items():
            kept = [g for g in gold if words_of(g)]
            raw[key] = max(score(g, predictions[key]) for g in kept or [""])
        applied = {key: (0 if answers[key] else 1) if null[key] > threshold else raw[key] for key in answers}
        for prefix, keys in (
            ("", list(answers)),
            ("HasAns_", [key for key in answers if answers[key]]),
            ("NoAns_", [key for key in answers if not answers[key]]),
        ):
            if keys:
                expected[prefix + name] = pytest.approx(100 * sum(applied[key] for key in keys) / len(keys))
                expected[prefix + "total"] = len(keys)
        totals = []
        for cut in range(len(order) + 1):
            total = 0
            for i, key in enumerate(order):
                if not answers[key]:
                    total += i >= cut or predictions[key] == ""
                elif i < cut:
                    total += raw[key]
            totals.append(total)
        expected[f"best_{name}"] = pytest.approx(100 * max(totals) / len(order))
        best = [cut for cut, total in enumerate(totals) if total > max(totals) - 1e-9]
        if name == "exact":  # of whole numbers equal ones are known, and the first of them counts
            del best[1:]
        thresholds[name] = {null[order[cut - 1]] if cut else 0.0 for cut in best}
    got = squad_v2(answers, predictions, null, threshold)
    for name, values in thresholds.items():
        assert got.pop(f"best_{name}_thresh") in values
    assert got == expected


def test_questions_that_cannot_be_scored_are_refused():
    for squad in (squad_v1, squad_v2):
        with pytest.raises(InputError, match="answers are empty"):
            squad({}, {})
        with pytest.raises(InputError, match="'q' must be a sequence of strings, not one string"):
            squad({"q": "Paris"}, {"q": "Paris"})
        with pytest.raises(InputError, match="an answer must be a string, not NoneType"):
            squad({"q": ["Paris"]}, {"q": None})
    with pytest.raises(InputError, match="question 'q' has no right answer"):
        squad_v1({"q": []}, {"q": "Paris"})
    with pytest.raises(InputError, match="2 questions have no prediction, the first is 'p'"):
        squad_v2({"p": ["x"], "q": []}, {})
    with pytest.raises(InputError, match="1 questions have no null score, the first is 'q'"):
        squad_v2({"q": []}, {"q": ""}, {"p": 1.0})
    with pytest.raises(InputError, match="a null score is NaN"):
        squad_v2({"q": []}, {"q": ""}, {"q": math.nan})
