"""Details of an evaluation: the examples that are kept, what is cut, thresholds."""

import json

import numpy as np
import pytest

from minidistil import metrics
from minidistil.tasks.classification.details import answer_details
from minidistil.tasks.details import LONGEST, Details, answered_above, excerpt, line_of, nats
from minidistil.text.readers import Examples


def keep(values, *, most=3, **options):
    details = Details(most=most)
    details.keep_worst(values, lambda i: {"texts": {"text": str(i)}}, measure="m", about="a", **options)
    worst = details.found["worst"]
    return worst, [int(example["texts"]["text"]) for example in worst["examples"]]


def test_which_are_kept():
    worst, order = keep([1.0, 3.0, 2.0, 3.0, 0.0])
    assert order == [1, 3, 2], "the highest, of equal ones the first"
    assert [example["value"] for example in worst["examples"]] == [3, 3, 2]
    assert (worst["of"], worst["lowest"]) == (5, False)
    assert keep([1.0, 3.0, 2.0, 3.0, 0.0], lowest=True)[1] == [4, 0, 2]
    assert keep([0.0, 0.0, 0.0, 1.0], lowest=True, ties=[0.1, 0.9, 0.5, 1.0])[1] == [1, 2, 0]
    assert keep([])[1] == []
    assert len(keep(range(100), most=Details().most)[1]) == 20


def test_texts_are_cut_and_can_be_written():
    details = Details()
    facts = {"texts": {"text": "x" * 10_000}, "right": "y" * 10_000, "given": "a\ud800", "probability": 0.5}
    details.keep_worst([1.0], lambda i: facts, measure="m", about="a")
    (example,) = details.found["worst"]["examples"]
    assert len(example["texts"]["text"]) == len(example["right"]) == LONGEST
    assert example["texts"]["text"].endswith("…")
    assert (example["given"], example["probability"]) == ("a?", 0.5)
    json.dumps(details.found, ensure_ascii=False).encode()


def test_by_hand():
    assert nats([1.0, 0.5, 0.0]) == pytest.approx([0, np.log(2), 708.396], rel=1e-6)
    rows = answered_above(np.array([0.65, 0.95]), np.array([False, True]))
    assert [row["threshold"] for row in rows] == [0.6, 0.7, 0.8, 0.9, 0.95, 0.99], "0.6 still answers all"
    assert (rows[0]["answered"], rows[0]["accuracy"]) == (1, 0.5)
    assert (rows[1]["answered"], rows[1]["accuracy"]) == (0.5, 1)
    assert (rows[-1]["answered"], rows[-1]["accuracy"]) == (0, None)
    assert excerpt("0123456789", 4, 6, around=2) == "…234567…"
    assert excerpt("0123456789", 0, 9, around=2) == "0123456789"
    assert line_of(object(), 0) == {}


EXAMPLES = Examples(["a", "b", "c"], ["x", "y", "z"], None, [2, 3, 4], "file")


def test_one_label_of_several():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    details = Details()
    answer_details(details, "single", probabilities, np.array([0, 0, 1]), ["no", "yes"], EXAMPLES)
    first, second, third = details.found["worst"]["examples"]
    assert first == {
        "value": pytest.approx(-np.log(0.2)), "line": 3, "texts": {"text": "b", "second text": "y"},
        "right": "no", "given": "yes", "probability": 0.8,
    }  # fmt: skip
    assert (second["line"], third["line"]) == (4, 2)
    bins = details.found["calibration"]
    error = metrics.expected_calibration_error([0, 0, 1], probabilities)
    gaps = [row["examples"] * abs(row["accuracy"] - row["confidence"]) for row in bins]
    assert sum(gaps) / 3 == pytest.approx(error)


def test_several_labels():
    probabilities, right = np.array([[0.9, 0.4], [0.2, 0.8], [0.6, 0.6]]), np.array([[1, 0], [1, 0], [0, 0]])
    details = Details()
    answer_details(details, "multi", probabilities, right, ["p", "q"], EXAMPLES)
    first, second, _ = details.found["worst"]["examples"]
    assert first["value"] == pytest.approx(-np.log(0.2) - np.log(0.2))
    assert (first["right"], first["given"]) == ("p", "q")
    assert (second["right"], second["given"]) == ("none", "p, q")
    (row,) = [row for row in details.found["thresholds"] if row["threshold"] == 0.5]
    assert row["f1"] == metrics.multilabel_f1(right, probabilities >= 0.5, "micro")


def test_numbers():
    details = Details()
    answer_details(
        details, "regression", np.array([[1.0], [2.0], [3.0]]), np.array([1.5, 2.0, 0.0]), (), EXAMPLES
    )
    (first, second, _) = details.found["worst"]["examples"]
    assert (first["value"], first["right"], first["given"]) == (9, 0, 3)
    assert second["value"] == 0.25
