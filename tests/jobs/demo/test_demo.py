"""The main job, on a tiny encoder and corpus: whole, stopped and resumed, killed, refused."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import make_encoder, make_split

from minidistil.errors import ConfigError
from minidistil.jobs.demo import demo as reviews
from minidistil.jobs.demo.demo import ReviewDistillation, ReviewSettings, table
from minidistil.model import BertForSequenceClassification
from minidistil.report.run_page import write_run_page

SETTINGS = ReviewSettings(
    labels=30, teacher_epochs=10, alone_epochs=2, student_epochs=4, batch_size=4, lr=3e-3, max_length=16
)

RUN = """
import sys
sys.path[:0] = [{tests!r}, {here!r}]
from pathlib import Path
from test_demo import SETTINGS, provide
from minidistil.jobs.demo import demo as reviews
provide(setattr, Path(sys.argv[1]))
reviews.ReviewDistillation(Path(sys.argv[2]), SETTINGS, quiet=True).run()
"""


def provide(setattr, encoder):
    """Put the tiny encoder and corpus where the job looks for the real ones."""
    setattr(reviews, "fetch_minilm", lambda: encoder)
    setattr(reviews, "movie_split", make_split)
    setattr(reviews, "other_texts", lambda: ["the cast is warm", "a dull plot"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny(monkeypatch, encoder):
    provide(monkeypatch.setattr, encoder)


def fingerprint(out):
    """Hashes of the three models, and all that was logged but for wall times."""
    hashes = [
        hashlib.sha256((out / stage / "model.safetensors").read_bytes()).hexdigest()
        for stage in reviews.STAGES
    ]
    wall = ("seconds", "tokens_per_second", "examples_per_second")
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    accuracies = [row["accuracy"] for row in json.loads((out / "report.json").read_text())["models"].values()]
    return hashes, [{k: v for k, v in r.items() if k not in wall} for r in records], accuracies


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, encoder):
    """Result of a run that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        provide(patch.setattr, encoder)
        report = ReviewDistillation(out, SETTINGS, quiet=True).run()
    return out, report, fingerprint(out)


def test_what_it_leaves(undisturbed):
    out, report, _ = undisturbed
    assert sorted(p.name for p in out.iterdir()) == [
        "alone",
        "evaluation.json",
        "metrics.jsonl",
        "recipe.toml",
        "report.json",
        "run.json",
        "student",
        "teacher",
    ]
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(report))
    for stage, layers in (("teacher", 6), ("alone", 3), ("student", 3)):
        files = {p.name for p in (out / stage).iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files
        model = BertForSequenceClassification.from_pretrained(out / stage, strict=True)
        assert model.config.num_hidden_layers == layers == report["models"][stage]["layers"]
        assert model.config.id2label == {0: "negative", 1: "positive"}
        assert report["models"][stage]["parameters"] == model.params.num_parameters


def test_it_learns(undisturbed):
    rows = undisturbed[1]["models"]
    assert rows["teacher"]["accuracy"] >= 0.9
    assert rows["student"]["accuracy"] >= 0.9
    assert rows["teacher"]["retained"] == 1
    assert rows["student"]["retained"] == rows["student"]["accuracy"] / rows["teacher"]["accuracy"]


def test_the_student_never_sees_a_label(undisturbed, tiny, tmp_path):
    job = ReviewDistillation(tmp_path / "run", SETTINGS, quiet=True)
    labelled, for_student, held_out = job.data
    assert "labels" not in for_student.targets
    assert (len(labelled), len(for_student), len(held_out)) == (30, 60, 20)


def test_metrics_have_every_stage(undisturbed):
    records = undisturbed[2][1]
    assert list(dict.fromkeys(r["stage"] for r in records)) == list(reviews.STAGES)
    for stage in reviews.STAGES:
        assert {r["kind"] for r in records if r["stage"] == stage} == {"train", "eval"}


def test_table_fits_a_terminal(undisturbed):
    text = table(undisturbed[1])
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "student, taught" in text


def test_a_finished_run_is_not_run_again(undisturbed, tiny, monkeypatch):
    monkeypatch.setattr("minidistil.train.trainer.Trainer.train", lambda self: pytest.fail("trained again"))
    assert ReviewDistillation(undisturbed[0], SETTINGS, quiet=True).run()["models"].keys() == set(
        reviews.STAGES
    )


def test_another_run_in_the_same_place_is_refused(undisturbed):
    with pytest.raises(ConfigError, match=r"labels is 30 there, 40 here"):
        ReviewDistillation(undisturbed[0], ReviewSettings(**{**vars(SETTINGS), "labels": 40}))


def test_a_run_of_an_earlier_version_is_refused(tmp_path):
    (tmp_path / "settings.json").write_text('{"labels": 30}')
    with pytest.raises(ConfigError, match=r"holds a demo of an earlier version \(settings\.json\)"):
        ReviewDistillation(tmp_path, SETTINGS)


def test_killed_again_and_again_it_ends_the_same(undisturbed, encoder, tmp_path):
    """SIGKILL at growing delays until it gets through: same weights, same log, same report."""
    here = Path(__file__).parent
    script = RUN.format(tests=str(here.parents[1]), here=str(here))
    out = tmp_path / "run"
    command = [sys.executable, "-c", script, str(encoder), str(out)]
    kills = 0
    for attempt in range(60):
        job = subprocess.Popen(command, env=os.environ)
        began = time.monotonic()
        # Wait until training is under way, then a little longer each time.
        while job.poll() is None and not (out / "work").exists() and time.monotonic() - began < 60:
            time.sleep(0.01)
        try:
            job.wait(0.6 + 0.25 * attempt)
        except subprocess.TimeoutExpired:
            job.send_signal(signal.SIGKILL)
            kills += 1
        if job.wait() == 0:
            break
        assert job.returncode == -signal.SIGKILL
    assert job.returncode == 0
    assert kills >= 2, "it was never interrupted: the test shows nothing"
    assert fingerprint(out) == undisturbed[2]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": 0}, "labels must be between 1 and 60"),
        ({"labels": 61}, "labels must be between 1 and 60"),
        ({"texts": 1000}, "texts must be between"),
        ({"hard": 0.5}, "every one of its sentences to be labelled"),
    ],
)
def test_settings_that_cannot_be(tiny, tmp_path, changes, match):
    with pytest.raises(ConfigError, match=match):
        _ = ReviewDistillation(tmp_path, ReviewSettings(**{**vars(SETTINGS), **changes})).data


def test_hard_labels_and_other_texts(tiny, tmp_path):
    all_labels = ReviewSettings(**{**vars(SETTINGS), "labels": None, "hard": 0.5, "soft": 0.5})
    _, for_student, _ = ReviewDistillation(tmp_path / "a", all_labels).data
    assert for_student.targets["labels"].tolist() == make_split().train_labels
    others = ReviewSettings(**{**vars(SETTINGS), "other_texts": True})
    assert len(ReviewDistillation(tmp_path / "b", others).data[1]) == 62


def test_a_page_of_it(undisturbed, tmp_path):
    html = write_run_page(undisturbed[0], tmp_path / "page.html").read_text()
    stages = ["teacher", "student without a teacher", "student, taught"]
    headings = ["Models", "During training", *(f"Training: {stage}" for stage in stages)]
    headings += ["Answers of the student", "Layer by layer", "Settings"]
    assert re.findall("<h2>(.*)</h2>", html)[: len(headings)] == headings
    assert html.count("<svg") == 1 + 6 + 1 + 6, (
        "accuracy; of each stage loss and learning rate; the student's by labels; calibration, thresholds"
    )
    assert "held-out" in html.partition("Training: teacher")[2].partition("Training: student without")[0]
    assert "Loss of held-out examples against their labels" in html
    assert "on the 20 held-out sentences" in html


def test_its_mistakes_are_the_models(undisturbed):
    out, report, _ = undisturbed
    found = json.loads((out / "evaluation.json").read_text())["models"]
    assert list(found) == list(reviews.STAGES)
    for stage, details in found.items():
        right = sum(row[i] for i, row in enumerate(details["confusion"]))
        assert right / 20 == report["models"][stage]["accuracy"]
        assert len(details["worst"]["examples"]) == 20
        assert {example["texts"]["text"] for example in details["worst"]["examples"]} <= set(
            make_split().test_texts
        )
    assert report["watched"] == report["held_out_sentences"] == 20
