"""Scores by class and by label against scikit-learn, and labels that have a column each."""

import json

import numpy as np
import pytest
import sklearn.metrics as sk
from tiny import CONFIG, make_classifier, make_encoder, make_split

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.model import load_model
from minidistil.tasks.classification.scores import answer_scores, class_scores, label_scores, sigmoid
from minidistil.tasks.data import DataSettings
from minidistil.tasks.registry import named_task

NAMES = ["a", "b", "c", "d"]


def test_classes_are_scored_as_by_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)  # nothing is a "d"
    chosen = np.where(rng.random(60) < 0.6, labels, rng.integers(0, 4, 60))
    found = class_scores(labels, chosen, NAMES)
    report = sk.classification_report(
        labels, chosen, labels=range(4), target_names=NAMES, output_dict=True, zero_division=0
    )
    for name in NAMES:
        ours = found["classes"][name]
        assert [ours["precision"], ours["recall"], ours["f1"], ours["support"]] == pytest.approx(
            list(report[name].values())
        )
    assert np.array(found["confusion"]).shape == (4, 4)
    assert sum(found["confusion"][i][i] for i in range(4)) / 60 == pytest.approx(found["accuracy"])
    assert "f1" not in found
    assert class_scores(labels % 2, chosen % 2, NAMES[:2])["f1"] == pytest.approx(
        sk.f1_score(labels % 2, chosen % 2)
    )


def test_of_many_classes_the_most_frequent_mistakes_are_listed():
    names = [f"c{i}" for i in range(201)]
    labels, chosen = np.arange(201), np.arange(201)
    chosen[:5] = 7
    labels[1:3] = 0
    found = class_scores(labels, chosen, names)
    assert "confusion" not in found
    assert found["confusions"] == [
        {"label": label, "chosen": "c7", "examples": n} for label, n in (("c0", 3), ("c3", 1), ("c4", 1))
    ]
    assert "confusions" not in class_scores(labels % 3, chosen % 3, names[:3])


def test_f1_is_of_the_same_class_whatever_the_order_of_a_models_labels():
    task, rng = named_task("sms", DataSettings()), np.random.default_rng(0)
    spam, logits = rng.random(200) < 0.2, rng.normal(size=(200, 2))
    for names in (("ham", "spam"), ("SPAM", "HAM")):
        where = [name.lower() for name in names].index("spam")
        labels = np.where(spam, where, 1 - where)
        expected = sk.f1_score(spam, logits.argmax(1) == where)
        config = CONFIG.replace(id2label=dict(enumerate(names)))
        scores = answer_scores(logits, config)
        assert task.score(scores, labels, config)["f1"] == pytest.approx(expected)


def test_labels_are_scored_as_by_scikit_learn():
    rng = np.random.default_rng(1)
    right, logits = rng.random((40, 4)) < 0.4, rng.normal(size=(40, 4))
    right[:, 2], right[:, 3] = False, True
    found = label_scores(right, sigmoid(logits), NAMES)
    for i, name in enumerate(NAMES[:2]):
        ours = found["classes"][name]
        assert ours["auroc"] == pytest.approx(sk.roc_auc_score(right[:, i], logits[:, i]))
        area = sk.average_precision_score(right[:, i], logits[:, i])
        assert ours["average_precision"] == pytest.approx(area)
        assert ours["f1"] == pytest.approx(sk.f1_score(right[:, i], logits[:, i] >= 0))
    assert all("auroc" not in found["classes"][name] for name in "cd"), "there is nothing to tell apart"
    assert found["auroc_macro"] == pytest.approx(sk.roc_auc_score(right[:, :2], logits[:, :2]))
    assert "auroc_macro" not in label_scores(right[:, 2:], sigmoid(logits[:, 2:]), NAMES[2:])


def test_of_several_labels_those_from_one_half_on_are_given(tmp_path):
    names = dict(enumerate("abcdefgh"))
    kind = {"problem_type": "multi_label_classification", "id2label": names}
    found = pipeline("text-classification", make_classifier(tmp_path, **kind))(["a warm film", "a dull plot"])
    assert any(0.4 < score < 0.5 for one in found for score in one.scores.values())
    for one in found:
        assert one.label == ", ".join(name for name, score in one.scores.items() if score >= 0.5)
        assert one.score == max(one.scores.values())


def test_moderation_from_files_to_labels(tmp_path, capsys):
    """Jigsaw's columns: comments with all labels but one, and comments with none."""
    make_encoder(tmp_path)
    split = make_split(80, 2)
    rows = ["id,comment_text,toxic,severe_toxic,obscene,threat,insult,identity_hate"]
    for text, good in zip(split.train_texts, split.train_labels, strict=True):
        rows.append(f'x,"{text},\nfilm",{1 - good},{1 - good},{1 - good},0,{1 - good},{1 - good}')
    path = tmp_path / "train.csv"
    path.write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    arguments = ["finetune", str(tmp_path / "encoder"), "--task", "moderation", "--train", str(path), "-q"]
    arguments += ["--eval", str(path), "--epochs", "10", "--lr", "3e-3", "--batch-size", "8", "--out"]
    assert main([*arguments, str(out)]) == 0
    assert "auroc macro" in capsys.readouterr().out
    names = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    assert list(load_model(out).config.id2label.values()) == names, "in the order of the columns"
    found = named_task("moderation").evaluate_saved(out, named_task("moderation").read(path))
    assert found["f1_micro"] > 0.95
    assert found["auroc_macro"] > 0.95
    assert main(["evaluate", str(out), "--task", "moderation", "--data", str(path), "-q"]) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "identity_hate" in shown
    predict = pipeline("text-classification", out)
    assert predict(split.test_texts)[0].label == "toxic, severe_toxic, obscene, insult, identity_hate"
    assert predict(split.test_texts)[1].label == ""
    assert predict(split.test_texts, threshold=1.0)[0].label == ""
    assert len(predict(split.test_texts, threshold=0)[1].label.split(", ")) == 6
    assert main(["predict", str(out), split.test_texts[1]]) == 0
    assert capsys.readouterr().out.startswith("none\t")
    assert main(["predict", str(out), split.test_texts[0], "--top-k", "2", "--json"]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    assert len(top) == 2
    assert "threat" not in {row["label"] for row in top}
    path.write_text("\n".join([*rows[:2], rows[1].replace(",1,1", ",1,-1", 1)]) + "\n")
    assert main([*arguments, str(tmp_path / "no")]) == 3
    assert "line 4: column 'severe_toxic' should hold 0 or 1, not '-1'" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
