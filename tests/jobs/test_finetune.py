"""Fine-tuning from files to a report: kinds, named tasks, seeds, teachers, resuming, what is refused."""

import json

import numpy as np
import pytest
from interruption import stop_after
from tiny import BAD, GOOD, OTHER, make_encoder

from minidistil.cli.main import main
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.results import table
from minidistil.model import BertForSequenceClassification, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.tasks.details import Details
from minidistil.tasks.registry import named_task
from minidistil.text.tokenizer import Tokenizer

FAST = ["train.epochs=6", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16", "train.save_every=4"]


def sentence(i):
    """A sentence whose one telling word decides its class."""
    a, b, c = (int(x) for x in random_order(8, i)[:3])
    word = GOOD[a % 4] if i % 2 else BAD[a % 4]
    return " ".join(["the", OTHER[b], "is", word, *OTHER[: c % 5]])


def write_sst2(path, first, n, labels=True):
    rows = ["sentence\tlabel"] if labels else ["index\tsentence"]
    for i in range(first, first + n):
        rows.append(f"{sentence(i)}\t{i % 2}" if labels else f"{i}\t{sentence(i)}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("finetuning")
    make_encoder(here)
    write_sst2(here / "train.tsv", 0, 120)
    write_sst2(here / "dev.tsv", 120, 40)
    return here


def job(place, out, *changes, task="sst2", train="train.tsv", evaluate="dev.tsv", **options):
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
    evaluate = None if evaluate is None else place / evaluate
    return FineTuning(
        str(place / "encoder"), task, place / train, recipe, out, evaluate=evaluate, quiet=True, **options
    )


@pytest.fixture(scope="module")
def tuned(place):
    return place / "tuned", job(place, place / "tuned").run()


def test_it_learns_and_leaves_a_model(tuned):
    out, report = tuned
    assert report["models"]["model"]["accuracy"] > 0.9
    assert report["evaluated"] == 40
    model = load_model(out, strict=True)
    assert isinstance(model, BertForSequenceClassification)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.problem_type == "single_label_classification"
    kept = {
        "config.json",
        "model.safetensors",
        "vocab.txt",
        "README.md",
        "recipe.toml",
        "run.json",
        "report.json",
    }
    assert kept <= {p.name for p in out.iterdir()}
    assert not (out / "work").exists()
    assert all(len(line) <= 80 for line in table(report).splitlines())


def test_the_details_of_its_evaluation_are_kept(place, tuned):
    """Metrics of the same model measured again, beside its report."""
    out, _ = tuned
    kept = json.loads((out / "evaluation.json").read_text())["models"]["model"]
    task, details = named_task("sst2"), Details()
    task.evaluate_saved(out, task.read(place / "dev.tsv"), details=details)
    assert kept.keys() == details.found.keys() == {"worst", "calibration", "thresholds"}
    again, worst = details.found["worst"]["examples"], kept["worst"]["examples"]
    assert [example["line"] for example in worst] == [example["line"] for example in again]
    assert [x["value"] for x in worst] == pytest.approx([x["value"] for x in again], rel=1e-5)
    assert len(worst) == 20


def test_evaluating_again_finds_the_same(place, tuned, capsys):
    out, report = tuned
    arguments = ["evaluate", "-q", str(out), "--task", "sst2", "--data", str(place / "dev.tsv")]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for metric in ("accuracy", "f1", "matthews", "calibration_error"):
        assert found[metric] == pytest.approx(report["models"]["model"][metric], rel=1e-6)
    assert sum(map(sum, found["confusion"])) == 40
    assert main(arguments) == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_student_learns_from_a_teacher_without_labels(place, tuned, tmp_path):
    (tmp_path / "texts.txt").write_text("".join(sentence(i) + "\n" for i in range(300)))
    recipe = load_recipe(
        FineTuningRecipe, changes=[*FAST, "model.layers=alternate", "teaching.terms={soft = 1.0, hard = 0.0}"]
    )
    run = FineTuning(
        str(tuned[0]), "classification", tmp_path / "texts.txt", recipe, tmp_path / "s",
        evaluate=place / "dev.tsv", teacher=str(tuned[0]), quiet=True,
    )  # fmt: skip
    run.held_out.labels[:] = ["positive" if x == "1" else "negative" for x in run.held_out.labels]
    report = run.run()
    assert report["models"]["student"]["layers"] == 3
    assert report["models"]["student"]["accuracy"] > 0.9
    assert load_model(tmp_path / "s").config.id2label == {0: "negative", 1: "positive"}


@pytest.mark.parametrize("teacher", [False, True])
def test_a_head_keeps_what_it_learnt_when_its_labels_are_sorted_otherwise(place, tuned, tmp_path, teacher):
    other = load_model(tuned[0]).train()
    for name in ("classifier.weight", "classifier.bias"):
        other.params[name][:] = other.params[name][::-1]
    other.config = other.config.replace(id2label={0: "positive", 1: "negative"})
    other.save_pretrained(tmp_path / "other", tokenizer=Tokenizer.from_pretrained(tuned[0]))
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, "train.lr=0", "train.epochs=1"])
    report = FineTuning(
        str(tmp_path / "other"), "sst2", place / "train.tsv", recipe, tmp_path / "o",
        evaluate=place / "dev.tsv", teacher=str(tuned[0]) if teacher else None, quiet=True,
    ).run()  # fmt: skip
    found = report["models"]["student" if teacher else "model"]
    assert found["accuracy"] == tuned[1]["models"]["model"]["accuracy"] > 0.9
    assert load_model(tmp_path / "o").config.id2label == {0: "negative", 1: "positive"}


def test_stopped_and_started_again(place, tuned, tmp_path, monkeypatch):
    stop_after(7, job(place, tmp_path / "run"), monkeypatch)
    assert not (tmp_path / "run" / "config.json").exists()
    job(place, tmp_path / "run").run()
    bits = [(out / "model.safetensors").read_bytes() for out in (tmp_path / "run", tuned[0])]
    assert bits[0] == bits[1]
    with pytest.raises(ConfigError, match="holds another run"):
        job(place, tmp_path / "run", train="dev.tsv").run()


def test_several_seeds(place, tmp_path, capsys):
    arguments = [
        "finetune",
        "-q",
        str(place / "encoder"),
        "--task",
        "sst2",
        "--train",
        str(place / "train.tsv"),
    ]
    arguments += ["--eval", str(place / "dev.tsv"), "--out", str(tmp_path / "runs"), "--epochs", "2"]
    arguments += [x for change in FAST[1:] for x in ("--set", change)]
    assert main([*arguments, "--seeds", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    each = [json.loads((tmp_path / "runs" / f"seed-{i}" / "report.json").read_text()) for i in (0, 1)]
    values = [r["models"]["model"]["accuracy"] for r in each]
    found = report["models"]["model"]["accuracy"]
    assert found == {"mean": pytest.approx(np.mean(values)), "lowest": min(values), "highest": max(values)}
    assert load_model(tmp_path / "runs" / "seed-0").config.num_labels == 2
    assert main([*arguments, "--seeds", "2", "--seed", "5"]) == 2


def test_regression_and_many_labels(place, tmp_path):
    rows = ["text\tscore", *(f"{sentence(i)}\t{2.5 * (i % 2) - 1}" for i in range(80))]
    (tmp_path / "numbers.tsv").write_text("\n".join(rows) + "\n")
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, "train.epochs=10"])
    files = {"evaluate": tmp_path / "numbers.tsv", "quiet": True}
    report = FineTuning(
        str(place / "encoder"), "regression", tmp_path / "numbers.tsv", recipe, tmp_path / "r", **files
    ).run()
    assert report["models"]["model"]["pearson"] > 0.9
    assert load_model(tmp_path / "r").config.problem_type == "regression"
    first = [
        FineTuning(str(source), "regression", tmp_path / "numbers.tsv", recipe, tmp_path / "f", quiet=True)
        .first_model().params["classifier.bias"]
        for source in (place / "encoder", tmp_path / "r")
    ]  # fmt: skip
    assert first[0] == np.float32(0.25), "a new head begins at the mean of what it learns"
    assert first[1] == load_model(tmp_path / "r").params["classifier.bias"] != first[0], "another as it was"

    rows = [{"text": sentence(i), "labels": ["good", "long"] if i % 2 else ["bad"]} for i in range(80)]
    (tmp_path / "sets.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    files["evaluate"] = tmp_path / "sets.jsonl"
    report = FineTuning(
        str(place / "encoder"), "multi-label", tmp_path / "sets.jsonl", recipe, tmp_path / "m", **files
    ).run()
    assert report["models"]["model"]["f1_micro"] > 0.9
    assert load_model(tmp_path / "m").config.id2label == {0: "bad", 1: "good", 2: "long"}
    (tmp_path / "rare.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows[:60:2] + rows[1::8]))
    rare = FineTuning(
        str(place / "encoder"), "multi-label", tmp_path / "rare.jsonl", recipe, tmp_path / "f", quiet=True
    )
    bias = rare.first_model().params["classifier.bias"]
    bad, good = np.log(30.5 / 10.5), np.log(10.5 / 30.5)
    np.testing.assert_allclose(bias, [bad, good, good], rtol=1e-6, err_msg="log-odds of each label")

    taught = FineTuning(  # a softmax over labels that are independent would see nothing in a shift of all
        str(place / "encoder"), "multi-label", tmp_path / "sets.jsonl", recipe, tmp_path / "s",
        teacher=str(tmp_path / "m"), **files,
    )  # fmt: skip
    assert taught.run()["models"]["student"]["f1_micro"] > 0.9
    records = [json.loads(line) for line in (tmp_path / "s" / "metrics.jsonl").read_text().splitlines()]
    assert {"soft", "hard"} <= records[0].keys()
    assert "logits" not in records[0]


def test_with_less_asked_of_it_a_run_is_another(place, tuned, tmp_path):
    whole = {"teacher": str(tuned[0])}
    job(place, tmp_path / "s", "train.epochs=1", **whole).run()
    report = (tmp_path / "s" / "report.json").read_bytes()
    for less in ({}, {**whole, "evaluate": None}):
        with pytest.raises(ConfigError, match="holds another run"):
            job(place, tmp_path / "s", "train.epochs=1", **less).run()
    assert (tmp_path / "s" / "report.json").read_bytes() == report
    with pytest.raises(ConfigError, match="need a teacher: --distill-from"):
        job(place, tmp_path / "t", "teaching.temperature=3")


def test_a_teacher_needs_no_labels_of_a_named_task(place, tuned, tmp_path):
    write_sst2(tmp_path / "texts.tsv", 0, 60, labels=False)  # as GLUE's test.tsv: index, sentence
    changes = ["teaching.terms={soft = 1.0, hard = 0.0}", "train.epochs=1"]
    run = job(place, tmp_path / "s", *changes, train=tmp_path / "texts.tsv", teacher=str(tuned[0]))
    assert run.run()["models"]["student"]["accuracy"] > 0
    with pytest.raises(DataError, match="no column 'label'"):
        job(place, tmp_path / "t", train=tmp_path / "texts.tsv", teacher=str(tuned[0])).run()


def test_triplets_take_the_labels_along(place, tuned, tmp_path):
    changes = ["teaching.terms={soft = 1.0, hard = 0.0, triplet = 1.0}", "train.epochs=1"]
    job(place, tmp_path / "s", *changes, teacher=str(tuned[0])).run()
    records = [json.loads(line) for line in (tmp_path / "s" / "metrics.jsonl").read_text().splitlines()]
    assert records[0]["triplet"] > 0


def test_what_is_refused(place, tmp_path, capsys):
    with pytest.raises(UsageError, match=r"no task 'sst-2' \(did you mean sst2\?\)"):
        named_task("sst-2")
    one = tmp_path / "one.tsv"
    one.write_text("sentence\tlabel\na film\t1\nthe film\t1\n")
    recipe = load_recipe(FineTuningRecipe)
    encoder = str(place / "encoder")
    with pytest.raises(DataError, match="only one class, '1': there is nothing to tell apart"):
        FineTuning(encoder, "classification", one, recipe, tmp_path / "o").run()
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\na film\tgood\n")
    with pytest.raises(DataError, match=r"dev\.tsv.*2.*unknown label 'good'"):
        FineTuning(
            encoder, "sst2", place / "train.tsv", recipe, tmp_path / "o", evaluate=tmp_path / "dev.tsv"
        ).run()
    arguments = ["finetune", "-q", encoder, "--out", str(tmp_path / "o"), "--task"]
    for task, text, message in (
        ("sst2", "text\tlabel\na\t1\n", "no column 'sentence'"),
        ("mrpc", "a\tb\n1\t2\t3\n", "3 cells where there should be 2"),
        ("regression", "text\tscore\na\tmany\n", "a number is expected, not 'many'"),
        ("sst2", "", "no examples"),
    ):
        (tmp_path / "bad.tsv").write_text(text)
        assert main([*arguments, task, "--train", str(tmp_path / "bad.tsv")]) == 3
        assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists(), "nothing half-written is left"


@pytest.mark.parametrize(
    ("best", "direction", "right"),
    [("accuracy", "min", "max"), ("f1", "min", "max"), ("calibration_error", "max", "min")],
)
def test_the_worst_is_never_kept(place, tmp_path, best, direction, right):
    with pytest.raises(ConfigError, match=f"{best} is better.*: .* goes with train.best_is={right}"):
        job(place, tmp_path / "k", f"train.keep_best={best}", f"train.best_is={direction}")
    job(place, tmp_path / "k", f"train.keep_best={best}", f"train.best_is={right}")


def test_standard_input_is_read_once(place, tmp_path, capsys):
    command = [
        "finetune",
        str(place / "encoder"),
        "--task",
        "sst2",
        "--train",
        "-",
        "--out",
        str(tmp_path / "o"),
    ]
    for more in (["--seeds", "2"], ["--eval", "-"]):
        assert main([*command, *more]) == 2
        assert "standard input can be read once" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_directory_of_seeds_is_no_model(tmp_path, capsys):
    (tmp_path / "seed-0").mkdir()
    assert main(["predict", str(tmp_path), "a film"]) == 3
    assert f"it has a model for each seed, such as {tmp_path / 'seed-0'}" in capsys.readouterr().err
