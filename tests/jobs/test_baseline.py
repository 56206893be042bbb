"""Baseline of a distillation: the same bits as by hand, resumed, refused, and beside the others."""

import json

import numpy as np
import pytest
from interruption import stop_after
from tiny import make_encoder, make_split

from minidistil.cli.main import main
from minidistil.errors import UsageError
from minidistil.jobs.baseline import WithBaseline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.model import load_model
from minidistil.report.curves import metric_plots
from minidistil.report.run import read_run
from minidistil.report.run_page import write_run_page
from minidistil.settings import load_recipe

FAST = ["train.epochs=6", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16", "train.save_every=4"]
HALF = [*FAST, "model.layers=alternate", "train.epochs=2"]
SOFT = "teaching.terms={soft = 1.0, hard = 0.0}"
LABELLED = "teaching.augment=0"  # no copies, so as many steps as without a teacher


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("baseline")
    make_encoder(here)
    split = make_split(120, 40)
    write(here / "train.tsv", split.train_texts, split.train_labels)
    write(here / "dev.tsv", split.test_texts, split.test_labels)
    (here / "texts.tsv").write_text(
        "index\tsentence\n" + "".join(f"0\t{text}\n" for text in split.train_texts)
    )
    tune(here, here / "teacher", FAST, source="encoder").run()
    return here


def write(path, texts, labels):
    rows = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n")


def tune(place, out, changes=HALF, *, source="teacher", train="train.tsv", dev="dev.tsv", taught=False):
    recipe, evaluate = load_recipe(FineTuningRecipe, changes=changes), None if dev is None else place / dev
    return FineTuning(
        str(place / source), "sst2", place / train, recipe, out, evaluate=evaluate,
        teacher=str(place / "teacher") if taught else None, quiet=True,
    )  # fmt: skip


def command(place, out, *more, train="train.tsv"):
    words = ["finetune", place / "teacher", "--task", "sst2", "--train", place / train, "--out", out, "-q"]
    return [*map(str, words), *(x for change in HALF for x in ("--set", change)), *map(str, more)]


def taught_by(place):
    return ["--eval", place / "dev.tsv", "--distill-from", place / "teacher"]


def weights(path):
    return load_model(path).params.flat


@pytest.fixture(scope="module")
def by_hand(place):
    tune(place, place / "alone").run()
    return place / "alone"


def test_it_has_the_bits_of_a_run_by_hand(place, by_hand, tmp_path, capsys):
    more = ["--set", LABELLED, "--baseline", "--json"]
    assert main(command(place, tmp_path / "s", *taught_by(place), *more)) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["models"]) == ["teacher", "student", "baseline"]
    np.testing.assert_array_equal(weights(tmp_path / "s" / "baseline"), weights(by_hand))
    alone = json.loads((by_hand / "report.json").read_text())["models"]["model"]
    baseline = found["models"]["baseline"]
    assert {k: baseline[k] for k in alone if k != "examples_per_second"} == {
        k: v for k, v in alone.items() if k != "examples_per_second"
    }
    gain = found["models"]["student"]["accuracy"] - alone["accuracy"]
    assert found["comparison"]["baseline"]["differences"] == [pytest.approx(gain)]
    assert json.loads((tmp_path / "s" / "report.json").read_text()) == found
    tune(place, tmp_path / "t", [*HALF, LABELLED], taught=True).run()
    np.testing.assert_array_equal(weights(tmp_path / "s"), weights(tmp_path / "t"))
    assert not np.array_equal(weights(tmp_path / "s"), weights(by_hand))


def test_it_goes_on_where_it_was_stopped(place, by_hand, tmp_path, monkeypatch):
    changes = [*HALF, LABELLED]
    run = WithBaseline(tune(place, tmp_path / "s", changes, taught=True))
    run.student.run()
    assert run.finished() is None
    stop_after(10, tune(place, tmp_path / "s" / "baseline"), monkeypatch)
    assert run.finished() is None
    again = WithBaseline(tune(place, tmp_path / "s", changes, taught=True))
    report = again.run_once()
    np.testing.assert_array_equal(weights(tmp_path / "s" / "baseline"), weights(by_hand))
    assert again.finished() == json.loads((tmp_path / "s" / "report.json").read_text())
    assert again.finished()["models"].keys() == report["models"].keys()


def test_seeds_are_paired(place, tmp_path, capsys):
    more = [*taught_by(place), "--baseline", "--seeds", "2"]
    assert main(command(place, tmp_path / "s", *more, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    for seed, difference in enumerate(found["comparison"]["baseline"]["differences"]):
        models = json.loads((tmp_path / "s" / f"seed-{seed}" / "report.json").read_text())["models"]
        assert difference == pytest.approx(models["student"]["accuracy"] - models["baseline"]["accuracy"])
    assert main(command(place, tmp_path / "s", *more)) == 0
    shown = capsys.readouterr().out
    assert "standard error" in shown
    html = write_run_page(tmp_path / "s").read_text()
    assert all(sentence.replace("'", "&#39;") in html for sentence in found["comparison"]["sentences"])
    assert "accuracy of the baseline" in html
    seed = (tmp_path / "s" / "seed-0" / "report.html").read_text()
    assert "One seed cannot tell that from noise" in seed
    assert "Answers of the baseline" in seed
    (plot,) = [plot for plot in metric_plots(read_run(tmp_path / "s" / "seed-0")) if "Accuracy" in plot.title]
    assert list(plot.series) == ["accuracy", "baseline"]
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_student_of_soft_labels_alone_has_a_baseline_of_labels(place, by_hand, tmp_path):
    WithBaseline(tune(place, tmp_path / "s", [*HALF, SOFT, LABELLED], taught=True)).run()
    np.testing.assert_array_equal(weights(tmp_path / "s" / "baseline"), weights(by_hand))


def test_two_stages_are_as_many_steps_as_one(place, tmp_path):
    stages = ["teaching.first.terms={hidden = 1.0}", "teaching.first.max_steps=7", "train.max_steps=20"]
    report = WithBaseline(tune(place, tmp_path / "s", [*HALF, *stages], taught=True)).run()
    assert list(report["models"]) == ["teacher", "student", "baseline"]
    tune(place, tmp_path / "t", [*HALF, "train.max_steps=27"]).run()
    np.testing.assert_array_equal(weights(tmp_path / "s" / "baseline"), weights(tmp_path / "t"))


def test_what_is_refused(place, tmp_path, capsys):
    assert main(command(place, tmp_path / "s", "--baseline")) == 2
    assert "goes with --distill-from TEACHER" in capsys.readouterr().err
    none = [*taught_by(place), "--baseline", "--set", SOFT]
    assert main(command(place, tmp_path / "s", *none, train="texts.tsv")) == 2
    assert "--baseline learns from the labels of --train alone" in capsys.readouterr().err
    with pytest.raises(UsageError, match="nothing is measured here: give --eval"):
        WithBaseline(tune(place, tmp_path / "s", [*HALF, "data.split=0"], dev=None, taught=True)).run()
    assert not (tmp_path / "s").exists()
