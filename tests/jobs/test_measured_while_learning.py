"""Fine-tunings that measure themselves: the loss on other examples, and a share of the file for them."""

import json
import logging

import pytest
from interruption import stop_after
from tiny import make_encoder, make_split

from minidistil import ModelLoss, load_model, mean_loss
from minidistil.cli.main import main
from minidistil.errors import ConfigError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.results import table
from minidistil.settings import load_recipe

FAST = ["train.epochs=2", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16", "train.save_every=4"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("measured")
    make_encoder(here)
    split = make_split(train=240, test=60)
    parts = {"train": (split.train_texts, split.train_labels), "dev": (split.test_texts, split.test_labels)}
    for name, (texts, labels) in parts.items():
        rows = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
        (here / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    return here


def job(place, out, *changes, task="sst2", train="train.tsv", evaluate=None, **options):
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
    evaluate = None if evaluate is None else place / evaluate
    return FineTuning(
        str(place / "encoder"), task, place / train, recipe, out, evaluate=evaluate, quiet=True, **options
    )


def records(out, kind):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture(scope="module")
def split(place):
    run = job(place, place / "split")
    return run, run.run()


# The loss


def test_the_loss_is_that_of_the_model_on_the_file(place, tmp_path):
    run = job(place, tmp_path / "run", evaluate="dev.tsv")
    run.run()
    measured = records(tmp_path / "run", "eval")
    assert [r["epoch"] for r in measured] == [1, 2]
    model = load_model(tmp_path / "run")
    data = run.task.dataset(run.tokenizer, run.held_out, model.config)
    assert measured[-1]["loss"] == pytest.approx(mean_loss(ModelLoss(model), data), rel=1e-6)
    assert {"accuracy", "f1"} <= measured[-1].keys()


def test_the_weights_of_classes_count(place, tmp_path):
    changes = ["train.class_weights.positive=5"]
    run = job(place, tmp_path / "run", *changes, evaluate="dev.tsv")
    run.run()
    model = load_model(tmp_path / "run")
    data = run.task.dataset(run.tokenizer, run.held_out, model.config)
    expected = mean_loss(ModelLoss(model, class_weights=[1, 5]), data)
    assert records(tmp_path / "run", "eval")[-1]["loss"] == pytest.approx(expected, rel=1e-6)
    assert expected != pytest.approx(mean_loss(ModelLoss(model), data), rel=1e-3)


def test_the_best_may_be_that_of_the_least_loss(place, tmp_path):
    best = ["train.keep_best=loss", "train.best_is=min", "train.eval_every=5"]
    job(place, tmp_path / "run", *best, evaluate="dev.tsv").run()
    with pytest.raises(ConfigError, match=r"less loss is better.*goes with train.best_is=min"):
        job(place, tmp_path / "other", "train.keep_best=loss")


def test_a_student_is_measured_against_the_labels(place, tmp_path, split):
    options = {"evaluate": "dev.tsv", "teacher": str(place / "split")}
    job(place, tmp_path / "run", **options).run()
    measured = records(tmp_path / "run", "eval")[-1]
    assert measured["hard"] > 0
    assert "loss" not in measured, "that of the training is of soft labels too"
    assert "hard" in records(tmp_path / "run", "train")[-1]


def test_a_masked_lm_measures_it_once(place, tmp_path):
    (place / "texts.txt").write_text("\n".join(make_split(train=40).train_texts) + "\n")
    job(place, tmp_path / "run", task="masked-lm", train="texts.txt", evaluate="texts.txt").run()
    measured = records(tmp_path / "run", "eval")[-1]
    assert measured["loss"] == measured["masked_lm"] > 0


KINDS = {
    "regression": '{{"text": "{text}", "score": {label}}}',
    "multi-label": '{{"text": "{text}", "labels": ["{label}"]}}',
    "intents": '{{"text": "{text}", "intent": "{label}"}}',
    "token-classification": '{{"tokens": ["the", "{text}"], "ner_tags": ["O", "B-{label}"]}}',
    "multiple-choice": '{{"context": "{text}", "choices": ["warm", "dull"], "label": {label}}}',
    "question-answering": '{{"id": "{i}", "context": "{text}", "question": "the", '
    '"answers": {{"text": ["the"], "answer_start": [0]}}}}',
    "summarization": '{{"document": "{text}. A film.", "summary": "{text}"}}',
}


@pytest.mark.parametrize("task", KINDS)
def test_every_kind_of_task(place, tmp_path, task):
    split = make_split(train=16)
    rows = [
        KINDS[task].format(text=text, label=label, i=i)
        for i, (text, label) in enumerate(zip(split.train_texts, split.train_labels, strict=True))
    ]
    (tmp_path / "file.jsonl").write_text("\n".join(rows) + "\n")
    recipe = load_recipe(FineTuningRecipe, changes=["train.max_steps=2", "train.batch_size=4"])
    FineTuning(
        str(place / "encoder"), task, tmp_path / "file.jsonl", recipe, tmp_path / "run",
        evaluate=tmp_path / "file.jsonl", quiet=True,
    ).run()  # fmt: skip
    (measured,) = records(tmp_path / "run", "eval")
    assert measured["loss"] > 0


# A share of the training file


def test_a_share_is_kept_and_said(place, split, caplog, tmp_path):
    run, report = split
    kept = report["evaluated"]
    assert 0.07 * 240 < kept < 0.13 * 240
    assert (report["examples"], report["split"]) == (240 - kept, 240)
    assert not set(run.examples.texts) & set(run.held_out.texts)
    said = f"learnt from {240 - kept} examples. Measured on {kept} others of the same file."
    assert table(report).endswith(said)
    assert report["models"]["model"]["accuracy"] >= 0
    assert records(place / "split", "eval")[-1]["loss"] > 0
    with caplog.at_level(logging.INFO, "minidistil"):
        job(place, tmp_path / "run", "train.max_steps=1").run()
    assert f"train.tsv: {kept} of 240 examples are kept to measure by, and not learnt from" in caplog.text
    assert "--eval none learns from all" in caplog.text


def test_a_resumed_run_has_the_same_split(place, split, tmp_path, monkeypatch):
    stop_after(7, job(place, tmp_path / "run"), monkeypatch)
    claimed = json.loads((tmp_path / "run" / "run.json").read_text())
    report = job(place, tmp_path / "run").run()
    assert report["evaluated"] == split[1]["evaluated"]
    found = [(out / "model.safetensors").read_bytes() for out in (tmp_path / "run", place / "split")]
    assert found[0] == found[1]
    kept = json.loads((place / "split" / "run.json").read_text())
    for key in ("train", "evaluate", "split"):
        assert claimed[key] == kept[key]


def test_another_file_or_share_is_another_run(place, split, tmp_path):
    lines = (place / "train.tsv").read_text().splitlines()
    (tmp_path / "train.tsv").write_text("\n".join([*lines[:-1], "the film is grim\t0"]) + "\n")
    before = (place / "split" / "report.json").read_bytes()
    for other in (
        {"train": tmp_path / "train.tsv"},
        {"evaluate": "dev.tsv"},
    ):
        with pytest.raises(ConfigError, match="holds another run"):
            job(place, place / "split", **other).run()
    with pytest.raises(ConfigError, match=r"recipe\.data\.split"):
        job(place, place / "split", "data.split=0.3").run()
    assert (place / "split" / "report.json").read_bytes() == before


def test_seeds_are_measured_on_the_same(place, tmp_path):
    one, two = (job(place, tmp_path / "run", f"train.seed={seed}") for seed in (0, 1))
    assert one.held_out == two.held_out


def test_the_numbers_are_those_of_the_examples_kept(place, split, capsys):
    run, report = split
    rows = [f"{text}\t{label}" for text, label in zip(run.held_out.texts, run.held_out.labels, strict=True)]
    (place / "kept.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    arguments = ["evaluate", "-q", str(place / "split"), "--task", "sst2", "--data", str(place / "kept.tsv")]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == report["models"]["model"]["accuracy"]


def test_a_share_of_ones_own_and_none(place, tmp_path):
    assert len(job(place, tmp_path / "a", "data.split=0.5").held_out) > 80
    run = job(place, tmp_path / "b", "data.split=0", "train.max_steps=1")
    report = run.run()
    assert (report["examples"], "evaluated" in report, "split" in report) == (240, False, False)
    assert "split" not in json.loads((tmp_path / "b" / "run.json").read_text())


def test_with_a_file_to_measure_by_nothing_is_kept(place, tmp_path):
    run = job(place, tmp_path / "run", evaluate="dev.tsv")
    assert len(run.examples) == 240
    assert "split" not in run.identity()
    with pytest.raises(ConfigError, match="with --eval FILE there is none"):
        job(place, tmp_path / "run", "data.split=0.1", evaluate="dev.tsv").run()
    assert not (tmp_path / "run").exists()
    assert len(job(place, tmp_path / "run", "data.split=0", evaluate="dev.tsv").examples) == 240


def test_a_small_file_is_learnt_whole_and_that_is_said(place, tmp_path, caplog):
    lines = (place / "train.tsv").read_text().splitlines()
    (tmp_path / "small.tsv").write_text("\n".join(lines[:21]) + "\n")
    with caplog.at_level(logging.INFO, "minidistil"):
        report = job(place, tmp_path / "run", "train.max_steps=1", train=tmp_path / "small.tsv").run()
    assert report["examples"] == 20
    assert "evaluated" not in report
    assert "nothing is measured: " in caplog.text
    assert "has too few examples to keep some for that (--eval FILE measures on others)" in caplog.text


def test_texts_without_labels_measure_nothing(place, tmp_path, caplog):
    terms = "teaching.terms={soft = 1.0, hard = 0.0}"
    with caplog.at_level(logging.INFO, "minidistil"):
        report = job(place, tmp_path / "run", terms, "train.max_steps=1", teacher=str(place / "split")).run()
    assert report["examples"] == 240
    assert "what is learnt from has no labels" in caplog.text


def test_on_the_command_line(place, tmp_path, capsys):
    start = ["finetune", str(place / "encoder"), "--task", "sst2", "--train", str(place / "train.tsv")]
    start += ["--set", "train.max_steps=1", "--set", "train.batch_size=8"]
    assert main([*start, "--out", str(tmp_path / "a")]) == 0
    assert "others of the same file." in capsys.readouterr().out
    assert main([*start, "--out", str(tmp_path / "b"), "--eval", "none"]) == 0
    assert "learnt from 8 of 240 examples." in capsys.readouterr().out
    card = (tmp_path / "b" / "README.md").read_text()
    assert "--set data.split=0" in card, "how to make it again"
    assert main([*start, "--out", str(tmp_path / "c"), "--set", "data.split=2"]) == 3
    assert "data.split is 2" in capsys.readouterr().err


def test_evaluate_says_that_the_model_learnt_from_the_file(place, split, tmp_path, capsys, caplog):
    job(place, tmp_path / "whole", "train.max_steps=1", evaluate="dev.tsv").run()
    for model, file, message in (
        (place / "split", "train.tsv", "learnt from most of these examples; "),
        (tmp_path / "whole", "train.tsv", "learnt from these very examples"),
        (place / "split", "dev.tsv", None),
    ):
        caplog.clear()
        assert main(["evaluate", "-q", str(model), "--task", "sst2", "--data", str(place / file)]) == 0
        assert message in caplog.text if message else not caplog.text
    capsys.readouterr()


def test_the_page_of_the_run_says_that_they_were_kept(place, split, tmp_path, capsys):
    kept = split[1]["evaluated"]
    assert main(["report", str(place / "split"), "--out", str(tmp_path / "page.html")]) == 0
    page = " ".join((tmp_path / "page.html").read_text().split())
    assert f"on all {kept} held-out examples of the training file." in page
    capsys.readouterr()
