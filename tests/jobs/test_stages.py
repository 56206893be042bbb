"""Two stages of a student: layers first, then answers; the end of the first; the teacher's outputs kept."""

import json
import math

import numpy as np
import pytest
from interruption import stop_after
from tiny import CONFIG, make_encoder

from minidistil.cli.main import main
from minidistil.errors import ConfigError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.finetune_settings import FirstStageSettings
from minidistil.jobs.results import table
from minidistil.jobs.stages import NoLongerFalls, stage_settings
from minidistil.model import BertModel, load_model
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.settings import TrainSettings

FAST = ["train.epochs=2", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16", "train.save_every=4"]
LAYERS = ["teaching.first.terms={hidden = 1.0, attention = 1.0}", "teaching.first.lr=1e-3"]
WORDS = {"yes": ("warm", "funny"), "no": ("dull", "grim")}


def tune(place, out, *changes, source="encoder", evaluate="dev.tsv", **options):
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
    return FineTuning(
        str(place / source), "classification", place / "train.tsv", recipe, out,
        evaluate=None if evaluate is None else place / evaluate, quiet=True, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("stages")
    make_encoder(here)
    for name, n in (("train.tsv", 96), ("dev.tsv", 24)):
        rows = [f"the film is {WORDS[label][i % 2]}\t{label}" for i in range(n // 2) for label in WORDS]
        (here / name).write_text("\n".join(["text\tlabel", *rows]) + "\n")
    tune(here, here / "teacher").run()
    return here


def student(place, out, *changes, **options):
    changes = ("model.layers=alternate", "teaching.augment=0", *LAYERS, *changes)
    return tune(place, out, *changes, teacher=str(place / "teacher"), **options)


@pytest.fixture(scope="module")
def taught(place):
    return place / "s", student(place, place / "s").run()


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_log_report_and_page_have_both_stages(place, taught):
    out, report = taught
    assert report["stages"] == {"first": 24, "second": 24}
    assert "Stages of 24 and 24 steps." in table(report)
    assert all(len(line) <= 80 for line in table(report).splitlines())
    logged = records(out)
    terms = {"first": {"hidden", "attention"}, "second": {"soft", "hard"}}
    for stage, own in terms.items():
        ours = [r for r in logged if r["stage"] == stage and r["kind"] == "train"]
        assert all(own <= r.keys() and not (r.keys() & (set().union(*terms.values()) - own)) for r in ours)
        assert sum(r["examples"] for r in ours) == 192
    held_out = [r for r in logged if r["stage"] == "first" and r["kind"] == "eval"]
    assert [r["step"] for r in held_out] == [12, 24]
    assert held_out[1]["loss"] < held_out[0]["loss"]
    assert held_out[1]["loss"] == pytest.approx(held_out[1]["hidden"] + held_out[1]["attention"])
    assert "accuracy" not in held_out[0], "a head that has learnt nothing is not measured"
    assert main(["report", str(out), "--out", str(place / "page.html")]) == 0
    page = (place / "page.html").read_text()
    assert "first stage" in page.lower()
    assert "second stage" in page.lower()
    assert "Term of the loss: attention" in page


def test_the_second_stage_begins_as_a_run_from_the_weights_of_the_first(place, taught, tmp_path):
    """Optimiser and schedule are new; head and everything else that inner terms do not reach is as it was."""
    run = student(place, tmp_path / "first")
    model = run.first_model()
    begun = {name: values.copy() for name, values in model.params.items()}
    run.first_stage(model)
    head = {spec.name for spec in model.parts()["head"]}
    assert {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight"} <= head
    for name, values in model.params.items():
        assert np.array_equal(values, begun[name]) == (name in head), name
    assert not model.frozen
    model.save_pretrained(tmp_path / "m", tokenizer=Tokenizer.from_pretrained(place / "encoder"))
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, "teaching.augment=0"])
    FineTuning(
        str(tmp_path / "m"), "classification", place / "train.tsv", recipe, tmp_path / "s",
        evaluate=place / "dev.tsv", teacher=str(place / "teacher"), quiet=True,
    ).run()  # fmt: skip
    one, other = (load_model(out).params.flat for out in (tmp_path / "s", taught[0]))
    np.testing.assert_array_equal(one, other)


def test_a_narrower_student_goes_on_after_its_projections(place, tmp_path, monkeypatch):
    """They are parameters of the first stage's objective, and not of the model that is saved."""
    tokenizer = Tokenizer.from_pretrained(place / "encoder")
    narrow = CONFIG.replace(hidden_size=12, num_hidden_layers=2)
    BertModel(narrow, seed=3).save_pretrained(tmp_path / "narrow", tokenizer=tokenizer)
    about = {"source": tmp_path / "narrow", "teacher": str(place / "teacher")}
    changes = ["teaching.first.terms.hidden=1", "train.epochs=1"]
    tune(place, tmp_path / "s", *changes, **about).run()
    run = tune(place, tmp_path / "t", *changes, **about)
    with run.job.alone():
        run.job.claim(run.identity(), run.check)
        run.first_stage(run.first_model())
    stop_after(4, tune(place, tmp_path / "t", *changes, **about), monkeypatch)
    tune(place, tmp_path / "t", *changes, **about).run()
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "st")
    assert one == other
    assert not any("distillation" in name for name in load_model(tmp_path / "s").params)


def test_a_frozen_parameter_stays_frozen(place, tmp_path):
    run = student(place, tmp_path / "s", "model.freeze=['*.embeddings']")
    model = run.first_model()
    frozen = set(model.frozen)
    run.first_stage(model)
    assert model.frozen == frozen != set()


def test_terms_of_scores_teach_the_head(place, tmp_path):
    run = student(place, tmp_path / "s", "teaching.first.terms.soft=1")
    model = run.first_model()
    before = model.params["classifier.weight"].copy()
    run.first_stage(model)
    assert not np.array_equal(model.params["classifier.weight"], before)


@pytest.mark.parametrize(("stage", "steps"), [("first", 5), ("first", 22), ("second", 0), ("second", 17)])
def test_stopped_in_either_stage_and_started_again(place, taught, tmp_path, monkeypatch, stage, steps):
    out = tmp_path / "s"
    if stage == "second":
        run = student(place, out)
        with run.job.alone():
            run.job.claim(run.identity(), run.check)
            run.first_stage(run.first_model())
    stop_after(steps, student(place, out), monkeypatch)
    logs = {path.parent.name for path in (out / "work").glob("*/metrics.jsonl")}
    assert logs == ({"first"} if stage == "first" else {"first", "second"})
    assert not (out / "config.json").exists()
    assert main(["report", "-q", str(out), "--out", str(out / "page.html")]) == 0
    student(place, out).run()
    assert (out / "model.safetensors").read_bytes() == (taught[0] / "model.safetensors").read_bytes()
    wall = ("seconds", "tokens_per_second", "examples_per_second")
    one, other = (
        [{k: v for k, v in r.items() if k not in wall} for r in records(o)] for o in (out, taught[0])
    )
    assert one == other
    assert not (out / "work").exists()


def test_a_stage_ends_when_its_loss_no_longer_falls(place, tmp_path):
    """None of its losses falls by 90 %, so the second measurement after the first is one too many."""
    rule = ["teaching.first.patience=1", "teaching.first.least_fall=0.9", "teaching.first.eval_every=4"]
    for name, evaluate in (("held-out", "dev.tsv"), ("training", None)):
        changes = [*rule, "data.split=0"] if evaluate is None else rule
        stages = student(place, tmp_path / name, *changes, evaluate=evaluate).run()["stages"]
        assert stages == {"first": 8, "second": 24}, name
        evaluated = [r for r in records(tmp_path / name) if r["stage"] == "first" and r["kind"] == "eval"]
        assert len(evaluated) == (0 if evaluate is None else 2)


def log_of(losses, kind="eval", every=10):
    return [
        {"kind": kind, "step": every * i, "epoch": i / 2, "loss": loss, "examples": 80}
        for i, loss in enumerate(losses, 1)
    ]


@pytest.mark.parametrize(
    ("losses", "ends"),
    [
        ([1.0, 0.9, 0.8], False),
        ([1.0, 0.995, 0.9999], True),
        ([1.0, 0.995, 0.99], False),  # slowly, but twice a half percent is one
        ([1.0, 1.2, 0.9], False),
        ([1.0, 0.9, 1.2, 0.899], True),  # the lowest counts, not the last
        ([1.0], False),
        ([0.0, 0.0, 0.0], True),
    ],
)
def test_the_rule_compares_with_the_lowest_loss(losses, ends):
    rule = NoLongerFalls(patience=2, least_fall=0.0099, every=10)
    assert rule(log_of(losses)) == ends
    assert rule(log_of(losses, "train")) == ends, "where nothing is held out, the training's"


def test_training_losses_are_means_by_interval():
    log = log_of([4.0, 2.0, None, 1.0], "train")
    log[3]["examples"] = 40
    assert NoLongerFalls(1, 0.01, 10).measured(log) == [4.0, 2.0, 1.0]
    assert NoLongerFalls(1, 0.01, "epoch").measured(log) == [3.0, 1.0]
    assert NoLongerFalls(1, 0.01, 40).measured(log) == [pytest.approx((4 * 80 + 2 * 80 + 40) / 200)]
    held_out = [{"kind": "eval", "step": 5, "epoch": 0.1, "loss": loss} for loss in (7.0, None)]
    assert NoLongerFalls(1, 0.01, 10).measured([*log, *held_out]) == [7.0, math.inf]


def test_settings_of_a_stage():
    run = TrainSettings(max_steps=50, epochs=4, keep_best="f1", patience=2)
    same = stage_settings(run, FirstStageSettings(terms={"hidden": 1.0}))
    assert (same.max_steps, same.epochs, same.lr, same.eval_every) == (50, 4, run.lr, "epoch")
    assert same.keep_best is same.patience is None
    own = stage_settings(run, FirstStageSettings(terms={"hidden": 1.0}, epochs=10, lr=1e-3, eval_every=7))
    assert (own.max_steps, own.epochs, own.lr, own.eval_every) == (None, 10, 1e-3, 7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("teaching.first.epochs=3", "teaching.first has settings and no terms"),
        ("teaching.first.terms.hiden=1", "there is no term 'hiden'"),
        ("teaching.keep_dtype=float16", "teaching.keep_dtype=float16 goes with teaching.keep=all"),
        ("teaching.keep=some", "teaching.keep is 'some'"),
        ("teaching.first.least_fall=1.5", "least_fall is 1.5: expected a share"),
    ],
)
def test_what_is_refused(place, tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        tune(place, tmp_path / "s", change, teacher=str(place / "teacher")).run()


def test_a_first_stage_of_weight_0_is_none(place, tmp_path):
    assert "stages" not in tune(
        place, tmp_path / "s", "teaching.first.terms.hidden=0", "train.max_steps=1",
        teacher=str(place / "teacher"),
    ).run()  # fmt: skip


def test_both_stages_read_the_outputs_that_are_kept(place, taught, tmp_path):
    """The teacher runs once over both files, and the bits are those of a teacher that runs on every batch."""
    out, calls = tmp_path / "s", []
    run = student(place, out, "teaching.keep=all")
    forward = run.teaching.teacher.forward

    def counted(batch, **options):
        calls.append(batch.num_sequences)
        return forward(batch, **options)

    run.teaching.teacher.forward = counted
    model = run.first_model()
    run.first_stage(model)
    assert sum(calls) == 96 + 24
    kept = [path.parent.name for path in out.glob("work/teacher_outputs/*/done.json")]
    assert len(kept) == 2
    last = run.first_stage(run.first_model())  # again: it has ended
    assert sum(calls) == 96 + 24
    run.trainer(model, out=last.work, evaluate=None, quiet=True).train()
    assert sum(calls) == 96 + 24 + 96, "its scores, which the first stage did not ask for"
    assert len(list(out.glob("work/**/done.json"))) == 2, "beside the rest"
    np.testing.assert_array_equal(load_model(taught[0]).params.flat, model.params.flat)


def test_a_kept_output_may_be_rounded(place, tmp_path):
    run = student(place, tmp_path / "s", "teaching.keep=all", "teaching.keep_dtype=float16", "train.epochs=1")
    run.first_stage(run.first_model())
    assert [p.name for p in tmp_path.glob("s/work/teacher_outputs/*/*.npy") if "float16" not in p.name] == []
    assert list(tmp_path.glob("s/work/teacher_outputs/*/hidden_states.2.float16.npy"))
