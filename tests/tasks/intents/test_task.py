"""Intents from files to answers: learnt by a classifier or shown to an encoder, in scope and out of it."""

import json

import numpy as np
import pytest
from tiny import BAD, GOOD, make_classifier, make_encoder

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.metrics import auroc, best_threshold, rejection_accuracy
from minidistil.model import load_model
from minidistil.settings import load_recipe
from minidistil.tasks.intents.out_of_scope import ScopeSettings
from minidistil.tasks.intents.task import IntentTask, intent_numbers
from minidistil.tasks.training_settings import stored_threshold

OUTSIDE = ["plot plot plot", "of of", "a cast of a cast", "with a plot"]


def write(path, rows):
    path.write_text("".join(json.dumps({"text": t, "intent": x}) + "\n" for t, x in rows))
    return path


def rows(n):
    """Texts whose one telling word is the intent, and some with none."""
    found = []
    for i in range(n):
        word = (GOOD if i % 2 else BAD)[i % 4]
        found.append((f"{['the', 'a'][i // 2 % 2]} film is {word}", "praise" if i % 2 else "complain"))
    return found + [(text, None) for text in OUTSIDE]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("intents")
    make_encoder(here)
    write(here / "train.jsonl", rows(80))
    write(here / "dev.jsonl", rows(20))
    return here


@pytest.fixture(scope="module")
def tuned(place):
    recipe = load_recipe(
        FineTuningRecipe,
        changes=["train.epochs=6", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16"],
    )
    run = FineTuning(
        str(place / "encoder"), "intents", place / "train.jsonl", recipe, place / "out",
        evaluate=place / "dev.jsonl", quiet=True,
    )  # fmt: skip
    return place / "out", run.run()["models"]["model"]


def test_what_is_out_of_scope_is_not_learnt_but_sets_the_threshold(place, tuned):
    out, report = tuned
    config = load_model(out).config
    assert config.id2label == {0: "complain", 1: "praise"}
    assert report["accuracy"] > 0.9
    threshold = stored_threshold(config)
    task = IntentTask()
    examples = task.read(place / "dev.jsonl")
    found = pipeline("text-classification", out)(examples.texts, threshold=0)
    labels = intent_numbers(examples, ["complain", "praise"])
    best = np.array([p.score for p in found])
    right = np.array([p.label for p in found]) == np.array(examples.labels)
    assert report["threshold"] == pytest.approx(threshold)
    cut = best_threshold(right, labels < 0, best)
    assert threshold == pytest.approx(cut.value, rel=1e-5)
    assert report["accuracy_with_none"] == report["best_accuracy_with_none"] == pytest.approx(cut.accuracy)
    assert report["auroc"] == pytest.approx(auroc(labels >= 0, best))
    assert task.evaluate_saved(out, examples)["accuracy_with_none"] == report["accuracy_with_none"]
    other = IntentTask(settings=ScopeSettings(threshold=0.0)).evaluate_saved(out, examples)
    assert other["accuracy_with_none"] == pytest.approx(rejection_accuracy(right, labels < 0, best, 0))


def test_predictions_below_the_threshold_are_none(place, tuned, capsys):
    out, _ = tuned
    texts = [text for text, _ in rows(20)]
    threshold = stored_threshold(load_model(out).config)
    found = pipeline("text-classification", out)(texts)
    assert [p.label == "none" for p in found] == [p.score < threshold for p in found]
    assert all(p.label == "none" for p in pipeline("text-classification", out)(texts, threshold=1.0))
    assert main(["predict", str(out), "--threshold", "1", "--json", "--", texts[0]]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "none"


def test_a_threshold_does_not_outlive_its_head(place, tuned, tmp_path):
    """What begins from such a model, for other classes, has its own threshold or none."""
    recipe = load_recipe(FineTuningRecipe, changes=["train.epochs=1"])
    dev = write(tmp_path / "in.jsonl", rows(20)[:-4])
    FineTuning(str(tuned[0]), "intents", dev, recipe, tmp_path / "again", evaluate=dev, quiet=True).run()
    assert stored_threshold(load_model(tmp_path / "again").config) is None


def test_by_examples_alone(place, capsys):
    """Each example finds itself, so all is right; what the entries have out of scope sets the threshold."""
    entries = write(place / "entries.jsonl", rows(8))
    arguments = ["evaluate", str(place / "encoder"), "--task", "intents", "--data", str(entries), "-q"]
    assert main([*arguments, "--entries", str(entries), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] == found["auroc"] == 1
    assert set(found["classes"]) == {"complain", "praise"}
    predict = pipeline("intents", place / "encoder", entries=entries)
    assert found["threshold"] == pytest.approx(predict.threshold)
    free = write(place / "free.jsonl", rows(8)[:-4])
    assert pipeline("intents", place / "encoder", entries=free).threshold is None


def test_labels_that_mean_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        "\ufefftext,intent\r\n\r\na,x\r\nb,\r\nc,OOS\r\nd,None\r\ne,out_of_scope\r\nf,y\r\n".encode()
    )
    examples = IntentTask().read(path)
    assert examples.labels == ["x", "none", "none", "none", "none", "y"]
    assert examples.lines == [3, 4, 5, 6, 7, 8]
    assert intent_numbers(examples, ["x", "y"]).tolist() == [0, -1, -1, -1, -1, 1]
    for none in ("none", "oos"):
        assert intent_numbers(examples, [none, "x", "y"]).tolist() == [1, 0, 0, 0, 0, 2]
    assert IntentTask().config_overrides(examples)["id2label"] == {0: "x", 1: "y"}
    path = tmp_path / "b.jsonl"
    path.write_text('{"text": "a", "intent": "x"}\n{"text": "b", "intent": ["y", "z"]}\n')
    with pytest.raises(DataError, match=r"b\.jsonl, line 2: one label is expected, not \['y', 'z'\]"):
        IntentTask().read(path)


def test_clinc(tmp_path):
    path = tmp_path / "data_full.json"
    parts = {"train": [["a", "x"], ["b", "y"]], "oos_train": [["c", "oos"]], "val": [["d", "y"]]}
    path.write_text(json.dumps(parts))
    examples = IntentTask().read(f"{path}#train")
    assert (examples.texts, examples.labels) == (["a", "b", "c"], ["x", "y", "none"])
    assert IntentTask().read(f"{path}#val").texts == ["d"]
    for given in (path, f"{path}#tset"):
        with pytest.raises(UsageError, match=r"say which part, such as .*#train; there are: train, val"):
            IntentTask().read(given)
    for content, part, message in (
        ("[1]", "train", "an object with lists"),
        ("{", "train", "line 1: not valid JSON"),
        ("[" * 100_000, "train", "JSON that cannot be read"),
        ('{"train": 5}', "train", r"lists of \[text, intent\]"),
        ('{"train": [["a", "x"], ["b"]]}', "train", r"json#train, line 2: \[text, intent\] is expected"),
        ('{"train": []}', "train", "no examples"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            IntentTask().read(f"{path}#{part}")


def test_what_is_refused(place, tuned, tmp_path, capsys):
    out, encoder = str(tuned[0]), str(place / "encoder")
    unknown = write(tmp_path / "unknown.jsonl", [("a film", "praise"), ("the film", "prise")])
    outside = write(tmp_path / "outside.jsonl", [("a film", None), ("the film", "oos")])
    one = write(tmp_path / "one.jsonl", [("a film", "praise"), ("the film", "praise")])
    unlabelled = tmp_path / "unlabelled.jsonl"
    unlabelled.write_text('{"text": "a film"}\n')
    entries = ["--entries", str(place / "train.jsonl")]
    learn = ["finetune", "-q", encoder, "--task", "intents", "--out", str(tmp_path / "o"), "--train"]
    for code, message, arguments in (
        (3, "unknown.jsonl, line 2: unknown label 'prise'", ["evaluate", out, "--data", unknown]),
        (
            3,
            "unknown.jsonl, line 2: unknown label 'prise'",
            ["evaluate", encoder, *entries, "--data", unknown],
        ),
        (3, "every example is out of scope", ["evaluate", out, "--data", outside]),
        (3, "every example is out of scope", ["evaluate", encoder, "--data", one, "--entries", outside]),
        (3, "no column of intents", ["evaluate", out, "--data", unlabelled]),
        (3, "every example is out of scope", [*learn, outside]),
        (3, "only one class, 'praise'", [*learn, one]),
        (3, "no column of intents", [*learn, unlabelled]),
    ):
        task = [] if "--task" in arguments else ["--task", "intents", "-q"]
        assert main([*map(str, arguments), *task]) == code, message
        assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_damaged_threshold(tmp_path):
    path = make_classifier(tmp_path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "none_threshold": "high"}))
    with pytest.raises(ConfigError, match=r"none_threshold in config\.json must be a number, not 'high'"):
        pipeline("text-classification", path)("film")
