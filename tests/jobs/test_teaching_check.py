"""Check of a teacher: facts by hand, each sentence where it holds, and what a run says and keeps."""

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import RANDOM, make_encoder, make_split, random_dataset

from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.teaching_check import EXAMPLES, FEW, TOKENS, facts_on, sentences
from minidistil.model import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minidistil.settings import load_recipe


def fixed(scores, cls=BertForSequenceClassification, **config):
    """A model of fixed scores, by the number of the example, or of the token."""
    model = cls(RANDOM.replace(**config), backend="numpy")
    scores, asked = np.asarray(scores), []

    def forward(batch, **_):
        asked.append(batch)
        rows = batch.input_ids if model.heads[0].by_token else batch.input_ids[batch.cls_rows]
        names = model.heads[0].score_outputs
        return dict.fromkeys(names, scores[rows]), None

    return SimpleNamespace(heads=model.heads, config=model.config, forward=forward, asked=asked)


def numbered(n, **targets):
    """Examples of one token, the number of the example."""
    data = random_dataset(n, longest=1, **targets)
    return replace(data, input_ids=np.arange(n, dtype=np.int32))


TWO = {"id2label": {0: "no", 1: "yes"}, "problem_type": "single_label_classification"}


def test_classes_by_hand():
    """Probabilities 3/4 and 1/4 of the right label; at T = 2 the odds are the root of 3."""
    scores = [[np.log(3), 0], [np.log(3), 0], [np.log(3), 0]]
    found = facts_on(fixed(scores, **TWO), numbered(3, labels=np.array([0, 0, 1])), 2.0)
    soft = np.sqrt(3) / (1 + np.sqrt(3))
    assert found == {
        "examples": 3,
        "tokens": 3,
        "rows": 3,
        "entropy": pytest.approx(-soft * np.log(soft) - (1 - soft) * np.log(1 - soft)),
        "accuracy": pytest.approx(2 / 3),
        "probability": pytest.approx((0.75 + 0.75 + 0.25) / 3),
        "probability_at_temperature": pytest.approx((1 + soft) / 3),
        "loss": pytest.approx(-(2 * np.log(0.75) + np.log(0.25)) / 3),
        "guess": pytest.approx(2 / 3),
        "guess_loss": pytest.approx(-(2 * np.log(2 / 3) + np.log(1 / 3)) / 3),
    }
    assert facts_on(fixed(scores, **TWO), numbered(3), 2.0).keys() == {"examples", "tokens", "entropy"}


def test_labels_by_themselves():
    """A guess of several labels knows how frequent each of them is."""
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], np.float32)
    names = {"id2label": {0: "a", 1: "b"}}
    found = facts_on(
        fixed(np.zeros((4, 2)), **names), numbered(4, labels=labels), 1.0, None, "multi_label_classification"
    )
    assert found["rows"] == 8
    assert found["guess"] == pytest.approx((0.75 + 1) / 2)
    assert found["guess_loss"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / 2)
    assert found["loss"] == pytest.approx(np.log(2))
    assert found["accuracy"] == pytest.approx(5 / 8)


def test_numbers():
    labels = np.array([0.0, 1.0, 2.0, 3.0], np.float32)
    model = fixed(labels[:, None] + 0.5, id2label={0: "score"}, problem_type="regression")
    found = facts_on(model, numbered(4, labels=labels), 2.0)
    assert found == {"examples": 4, "tokens": 4, "rows": 4, "explained": pytest.approx(1 - 0.25 / 1.25)}


def test_tokens_and_places():
    """Tokens without a label do not count; an answer's place has no most frequent one."""
    data = random_dataset(6)
    labels = np.full(len(data.input_ids), -100)
    labels[:3] = [0, 1, 1]
    data = replace(data, token_targets={"labels": labels})
    model = fixed(np.tile([0.0, 2.0], (60, 1)), BertForTokenClassification, **TWO)
    found = facts_on(model, data, 1.0)
    assert (found["rows"], found["accuracy"]) == (3, pytest.approx(2 / 3))
    places = {"start_positions": np.zeros(6, np.int64), "end_positions": np.full(6, 99)}
    span = facts_on(fixed(np.zeros(60), BertForQuestionAnswering), random_dataset(6, **places), 1.0)
    assert span["rows"] == 6, "an answer behind the end of the text is none"
    assert "guess" not in span
    assert facts_on(fixed(np.zeros(60), BertForMaskedLM), data, 1.0) == {}


def test_a_sample_is_small():
    many = random_dataset(3000, longest=1, labels=np.zeros(3000, np.int64))
    model = fixed(np.zeros((60, 2)), **TWO)
    assert facts_on(model, many, 1.0)["examples"] == EXAMPLES == sum(b.num_sequences for b in model.asked)
    long = random_dataset(300, longest=1000, labels=np.zeros(300, np.int64))
    found = facts_on(fixed(np.zeros((60, 2)), **TWO), long, 1.0)
    assert 80 < found["examples"] < 300
    assert found["tokens"] < 1.2 * TOKENS


GOOD = {"rows": 500, "accuracy": 0.9, "guess": 0.6, "loss": 0.3, "guess_loss": 0.67}
TEACHING = {
    "texts": 5000,
    "temperature": 2.0,
    "problem": None,
    "teacher_on_examples": {"rows": 500, "probability_at_temperature": 0.8},
    "teacher_on_held_out": GOOD,
}


@pytest.mark.parametrize(
    ("changed", "warning", "remark"),
    [
        ({}, None, None),
        ({"teacher_on_held_out": {}, "teacher_on_examples": {}}, None, None),
        (
            {"teacher_on_examples": {"probability_at_temperature": 0.97}}, None,
            "the teacher knows the labels that are learnt from by heart: 97.0 % of a soft label (T = 2) is "
            "the label itself, so soft labels say little else; of texts without labels (--unlabelled) it can "
            "say more",
        ),
        (
            {"teacher_on_held_out": {**GOOD, "accuracy": 0.6, "loss": 0.7}},
            "the teacher is right in 60.0 % of 500 held-out answers, and the most frequent answer alone "
            "in 60.0 %: it has nothing to teach", None,
        ),
        ({"teacher_on_held_out": {**GOOD, "rows": 40, "accuracy": 0.6, "loss": 0.7}}, None, None),
        # As often wrong as a guess, but its probabilities know more.
        ({"teacher_on_held_out": {**GOOD, "accuracy": 0.6, "loss": 0.5}}, None, None),
        (
            {"start_on_held_out": {**GOOD, "accuracy": 0.91}},
            "the teacher is right in 90.0 % of 500 held-out answers, and the student in 91.0 % before it "
            "learns: it has little to teach", None,
        ),
        ({"start_on_held_out": {**GOOD, "accuracy": 0.89}}, None, None),
        (
            {"problem": "regression", "teacher_on_examples": {"explained": 0.7}}, None,
            "a regression has no soft labels: a teacher's answer is one number, as a label is; of texts "
            "without labels (--unlabelled) it can say more",
        ),
        (
            {"problem": "regression", "teacher_on_examples": {"explained": 0.98}}, None,
            "the teacher knows the numbers that are learnt from by heart: its own explain 98.0 % of their "
            "variance, and say little else; of texts without labels (--unlabelled) it can say more",
        ),
        (
            {"teacher_on_held_out": {"rows": 500, "explained": -0.1}},
            "the teacher's numbers are further from those of 500 held-out answers than their mean is: it has "
            "nothing to teach", None,
        ),
        (
            {"teacher_on_held_out": {"rows": 500, "explained": 0.5}, "start_on_held_out": {"explained": 0.6}},
            "the teacher explains 50.0 % of the variance of 500 held-out answers, and the student 60.0 % "
            "before it learns: it has little to teach", None,
        ),
        (
            {"texts": FEW - 1}, None,
            "499 texts are few: a teacher can say little of them beyond their labels; of texts without "
            "labels (--unlabelled) it can say more",
        ),
    ],
)  # fmt: skip
def test_each_sentence_where_it_holds(changed, warning, remark):
    warnings, remarks = sentences({**TEACHING, **changed}, unlabelled=False)
    assert warnings == ([] if warning is None else [warning])
    assert remarks == ([] if remark is None else [remark])
    assert sentences({**TEACHING, **changed}, unlabelled=True) == (warnings, [])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("checked")
    make_encoder(here)
    split = make_split(60, 60)
    for name, texts, labels in (("train", *split[:2]), ("dev", *split[2:])):
        rows = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
        (here / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    tune(here, here / "teacher", "train.epochs=6").run()
    return here


def tune(place, out, *changes, source="encoder", teacher=None):
    fast = ["train.lr=3e-3", "train.batch_size=8", "data.max_length=16", *changes]
    return FineTuning(
        str(place / source), "sst2", place / "train.tsv", load_recipe(FineTuningRecipe, changes=fast), out,
        evaluate=place / "dev.tsv", teacher=None if teacher is None else str(place / teacher), quiet=True,
    )  # fmt: skip


def test_a_run_says_it_before_it_trains_and_keeps_the_facts(place, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="minidistil")
    run = tune(place, tmp_path / "s", "train.epochs=1", source="teacher", teacher="teacher")
    monkeypatch.setattr(FineTuning, "trainer", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.run()
    monkeypatch.undo()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, text in said if "it has little to teach" in text] == ["WARNING"]
    assert [level for level, text in said if "60 texts are few" in text] == ["INFO"]
    kept = json.loads((tmp_path / "s" / "run.json").read_text())["teaching"]
    assert kept["teacher_on_held_out"] == kept["start_on_held_out"], "they are one model"
    assert kept["teacher_on_examples"]["examples"] == 60
    caplog.clear()
    report = tune(place, tmp_path / "s", "train.epochs=1", source="teacher", teacher="teacher").run()
    assert not any("to teach" in record.getMessage() for record in caplog.records), "it is said once"
    assert report["teaching"] == kept
    alone = tune(place, tmp_path / "a", "train.epochs=1").run()
    assert "teaching" not in alone


def test_a_student_with_a_new_head_learns_from_its_teacher(place, tmp_path, caplog):
    run = tune(place, tmp_path / "s", "train.epochs=1", "model.layers=alternate", teacher="teacher")
    facts = run.run()["teaching"]
    assert facts["teacher_on_held_out"]["accuracy"] > facts["start_on_held_out"]["accuracy"]
    assert not any("to teach" in record.getMessage() for record in caplog.records)
