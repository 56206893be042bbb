"""The directory of a run: one process at a time, and one clear error for whatever happened to its files."""

import json
import shutil

import pytest
from tiny import make_encoder

from minidistil.cli.main import main
from minidistil.errors import DataError, StorageError
from minidistil.files import only_writer
from minidistil.recipes import load_recipe
from minidistil.runs.finetuning import FineTuning, FineTuningRecipe, over_seeds
from minidistil.runs.general import DistillationRecipe, GeneralDistillation
from minidistil.runs.glue import Glue
from minidistil.runs.pairs import PairsDistillation, PairsRecipe
from minidistil.runs.pretraining import Pretraining, PretrainingRecipe
from minidistil.runs.reviews import ReviewDistillation, ReviewSettings
from minidistil.train.trainer import Trainer


def glue(out, tmp_path):
    for kind in ("train", "dev"):
        (tmp_path / "folder" / "RTE").mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / "RTE" / f"{kind}.tsv").write_text("sentence1\tsentence2\tlabel\n")
    return Glue("nowhere", tmp_path / "folder", lambda name: FineTuningRecipe(), out)


RUNS = {
    "finetune": lambda out, _: FineTuning("nowhere", "sst2", "no.tsv", FineTuningRecipe(), out).run(),
    "seeds": lambda out, _: over_seeds(lambda seed, place: None, 2, out),
    "glue": lambda out, tmp_path: glue(out, tmp_path).run(),
    "distill": lambda out, _: GeneralDistillation("nowhere", ["no.txt"], DistillationRecipe(), out).run(),
    "pairs": lambda out, _: PairsDistillation("nowhere", ["no.tsv"], PairsRecipe(), out).run(),
    "pretrain": lambda out, _: Pretraining(None, ["no.txt"], PretrainingRecipe(), out).run(),
    "demo": lambda out, _: ReviewDistillation(out, ReviewSettings()).run(),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_second_process_is_refused_and_changes_nothing(kind, tmp_path):
    out = tmp_path / "out"
    (out / "work").mkdir(parents=True)
    (out / "work" / "metrics.jsonl").write_text("{}\n")
    with only_writer(out):
        before = sorted(p.relative_to(out) for p in out.rglob("*"))
        with pytest.raises(StorageError, match=r"another process is writing .*out; wait for it to end"):
            RUNS[kind](out, tmp_path)
        assert sorted(p.relative_to(out) for p in out.rglob("*")) == before
    assert not (out / ".lock").exists()


def test_what_could_not_begin_leaves_no_mark(tmp_path):
    with pytest.raises(DataError):
        RUNS["finetune"](tmp_path / "runs" / "out", tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("directories")
    make_encoder(here)
    rows = [f"the film is {word}\t{label}" for word, label in (("good", 1), ("bad", 0))] * 8
    (here / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    job(here, here / "done").run()
    return here


def job(place, out):
    recipe = load_recipe(FineTuningRecipe, changes=["train.epochs=1", "train.batch_size=8"])
    return FineTuning(str(place / "encoder"), "sst2", place / "train.tsv", recipe, out, quiet=True)


@pytest.mark.parametrize("content", ['{"recipe": {"mod', "[" * 100_000, "[]", "5", '{"recipe": 5}'])
def test_a_damaged_run_json_is_named(place, tmp_path, content, capsys):
    shutil.copytree(place / "done", tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text(content)
    command = ["finetune", "-q", str(place / "encoder"), "--task", "sst2", "--out", str(tmp_path / "out")]
    assert main([*command, "--train", str(place / "train.tsv")]) == 3
    assert str(tmp_path / "out") in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[]", '{"models": 3}', "{", None])
def test_a_damaged_report_is_made_again(place, tmp_path, content):
    out = tmp_path / "out"
    shutil.copytree(place / "done", out)
    report = json.loads((out / "report.json").read_text())
    if content is None:
        (out / "report.json").unlink()
    else:
        (out / "report.json").write_text(content)
    assert job(place, out).finished() is None
    assert job(place, out).run() == json.loads((out / "report.json").read_text()) == report


@pytest.mark.parametrize("harm", ["removed", "renamed", "a file"])
def test_a_directory_that_goes_away_under_a_run(place, tmp_path, monkeypatch, harm):
    out, train = tmp_path / "out", Trainer.train

    def gone(self):
        result = train(self)
        if harm == "renamed":
            out.rename(tmp_path / "other")
        else:
            shutil.rmtree(out)
        if harm == "a file":
            out.write_text("in the way")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", gone)
        with pytest.raises(StorageError, match=r"metrics\.jsonl is gone .*removed, renamed or replaced"):
            job(place, out).run()
    if harm == "renamed":
        (tmp_path / "other").rename(out)
    elif harm == "a file":
        out.unlink()
    job(place, out).run()
    assert (out / "model.safetensors").read_bytes() == (place / "done" / "model.safetensors").read_bytes()
