"""The directory of a run: one process at a time, and one clear error for whatever happened to its files."""

import json
import shlex
import shutil

import pytest
from tiny import CONFIG, make_encoder

from minidistil.cli.main import main
from minidistil.errors import ConfigError, MinidistilError, StorageError
from minidistil.files import only_writer, sha256_file
from minidistil.jobs.demo.demo import ReviewDistillation, ReviewSettings
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.glue import Glue
from minidistil.jobs.multilingual import PairsDistillation, PairsRecipe
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.jobs.results import over_seeds, table
from minidistil.jobs.sentences import SentencesRecipe, TextsDistillation
from minidistil.model import BertForMaskedLM
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.trainer import Trainer
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors


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
    "texts": lambda out, _: TextsDistillation("nowhere", ["no.txt"], SentencesRecipe(), out).run(),
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
    with pytest.raises(MinidistilError):
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


def save_again(place):
    """The same content in other files: two shards, other spaces, another order of keys."""
    tensors = load_tensors(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    names, shards = sorted(tensors), {}
    for i, part in enumerate((names[::2], names[1::2])):
        shard = f"model-{i}.safetensors"
        write_safetensors(place / shard, {name: tensors[name] for name in part}, {"format": "pt", "by": "us"})
        shards |= dict.fromkeys(part, shard)
    (place / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    config = json.loads((place / "config.json").read_text())
    config = {**dict(reversed(config.items())), "transformers_version": "9.9", "_name_or_path": "elsewhere"}
    (place / "config.json").write_text(json.dumps(config))


def load_tensors(path):
    file = SafetensorsFile(path)
    return {name: file[name].copy() for name in file}


def other_weights(place):
    tensors = load_tensors(place / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][3, 3] += 1e-3
    write_safetensors(place / "model.safetensors", tensors)


def other_tokenizer(place):
    content = json.loads((place / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["good"], vocabulary["bad"] = vocabulary.get("bad", 9), vocabulary.get("good", 10)
    vocabulary["warm"], vocabulary["dull"] = vocabulary["dull"], vocabulary["warm"]
    (place / "tokenizer.json").write_text(json.dumps(content))


def other_config(place):
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.4}))


def kinds(source, place, out):
    text = place / "text.txt"
    text.write_text("the film is warm and funny and bright and the plot is dull with a cast of grim\n" * 9)
    pairs = place / "pairs.tsv"
    pairs.write_text("a\tb\n" + "the film\tthe plot\n" * 8)
    small = ["train.max_steps=1", "train.batch_size=4", "data.max_length=16"]
    masked = [*small, "data.shortest=3", "data.held_out=0.0"]
    tuning = load_recipe(FineTuningRecipe, changes=small)
    pretraining = load_recipe(PretrainingRecipe, changes=masked)
    distillation = load_recipe(DistillationRecipe, changes=[*masked, "student.layers=first:2"])
    translating = load_recipe(
        PairsRecipe, changes=[*small, "data.source=a", "data.translation=b", "student.layers=first:2"]
    )
    shrinking = load_recipe(SentencesRecipe, changes=[*small, "data.text=b"])
    return {
        "finetune": lambda: FineTuning(str(source), "sst2", place / "train.tsv", tuning, out, quiet=True),
        "pretrain": lambda: Pretraining(str(source), [text], pretraining, out, quiet=True),
        "distill": lambda: GeneralDistillation(str(source), [text], distillation, out, quiet=True),
        "pairs": lambda: PairsDistillation(str(source), [pairs], translating, out, quiet=True),
        "texts": lambda: TextsDistillation(str(source), [pairs], shrinking, out, quiet=True),
    }


@pytest.mark.parametrize("kind", ["finetune", "pretrain", "distill", "pairs", "texts"])
def test_a_run_is_made_from_content_and_not_from_a_path(place, tmp_path, kind):
    source = tmp_path / "source"
    if kind == "distill":
        tokenizer = Tokenizer.from_pretrained(place / "encoder")
        BertForMaskedLM(CONFIG, seed=7).save_pretrained(source, tokenizer=tokenizer)
        shutil.rmtree(tmp_path / "vocabulary", ignore_errors=True)
    else:
        shutil.copytree(place / "encoder", source)
    shutil.copy(place / "train.tsv", tmp_path)
    out = tmp_path / "out"
    make = kinds(source, tmp_path, out)[kind]
    make().run()
    before = sha256_file(next(out.rglob("model.safetensors")))
    card = next(out.rglob("README.md")).read_text()
    command = card.partition("## Make it again")[2].partition("##")[0].replace("\\\n", " ")
    program, *arguments = shlex.split(command.strip())
    arguments[arguments.index("--out") + 1] = str(tmp_path / "again")
    assert program == "minidistil"
    assert main([*arguments, "-q"]) == 0
    assert sha256_file(next((tmp_path / "again").rglob("model.safetensors"))) == before
    assert "| train.max_steps | 1 |" in card
    assert "{" not in card.partition("## How it was made")[2].partition("##")[0]
    save_again(source)
    source.rename(tmp_path / "moved")
    kinds(tmp_path / "moved", tmp_path, out)[kind]().run()
    assert sha256_file(next(out.rglob("model.safetensors"))) == before
    whole = tmp_path / "whole"
    for harm, named in ((other_weights, "weights"), (other_tokenizer, "tokenizer"), (other_config, "config")):
        shutil.rmtree(whole, ignore_errors=True)
        if kind == "distill":
            BertForMaskedLM(CONFIG, seed=7).save_pretrained(whole, tokenizer=tokenizer)
            harm = other_masked_weights if named == "weights" else harm
        else:
            shutil.copytree(place / "encoder", whole)
        harm(whole)
        with pytest.raises(ConfigError, match=rf"holds another run .*{named} is not the same"):
            kinds(whole, tmp_path, out)[kind]().run()


def other_masked_weights(place):
    tensors = load_tensors(place / "model.safetensors")
    tensors["bert.embeddings.word_embeddings.weight"][3, 3] += 1e-3
    write_safetensors(place / "model.safetensors", tensors)


def test_what_was_learnt_from_is_what_was_seen(place, tmp_path):
    arguments = {"quiet": True}
    for steps, seen in ((1, 8), (2, 16), (5, 16)):
        recipe = load_recipe(FineTuningRecipe, changes=[f"train.max_steps={steps}", "train.batch_size=8"])
        source, out = str(place / "encoder"), tmp_path / str(steps)
        report = FineTuning(source, "sst2", place / "train.tsv", recipe, out, **arguments).run()
        assert (report["examples"], report["seen"]) == (16, seen)
        assert table(report).endswith(f"learnt from {'8 of ' if seen == 8 else ''}16 examples.")


def test_a_warning_is_said_once(place, tmp_path, caplog):
    changes = ["train.max_steps=1", "train.batch_size=8", "data.max_length=5"]
    source, train = str(place / "encoder"), place / "train.tsv"
    recipe = load_recipe(FineTuningRecipe, changes=changes)
    FineTuning(source, "sst2", train, recipe, tmp_path / "out", evaluate=train, quiet=True).run()
    assert caplog.text.count("longer than 5 tokens") == 1
