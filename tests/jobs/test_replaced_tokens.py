"""Pre-training of an ELECTRA: two directories, a report, and what it begins from."""

import json
import logging
import shutil

import numpy as np
import pytest
from masked_text_toy import PRETRAIN, sentences

from minidistil.cli.main import main
from minidistil.errors import ConfigError
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.jobs.replaced_tokens import ReplacedTokenPretraining, pretraining, table
from minidistil.model import load_model
from minidistil.settings import load_recipe
from minidistil.train.log import iter_records

ELECTRA = ["model.embedding=12", "generator.width=0.5", "train.max_steps=12", "train.eval_every=6"]


def job(text, out, *changes, source=None):
    recipe = load_recipe(PretrainingRecipe, "electra", changes=[*PRETRAIN, *ELECTRA, *changes])
    return pretraining(source, [text], recipe, out, quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Text and a run on it."""
    place = tmp_path_factory.mktemp("electra")
    (place / "a.txt").write_text(sentences())
    job(place / "a.txt", place / "run").run()
    return place


def test_both_models_and_what_is_said_of_them(run, tmp_path):
    model, generator = load_model(run / "run" / "model"), load_model(run / "run" / "generator")
    assert (type(model).__name__, type(generator).__name__) == ("ElectraForPreTraining", "ElectraForMaskedLM")
    sizes = ("hidden_size", "num_attention_heads", "intermediate_size", "embedding_size")
    found = [[getattr(m.config, name) for name in sizes] for m in (model, generator)]
    assert found == [[24, 2, 32, 12], [12, 1, 48, 12]]
    for part in ("word", "position", "token_type"):
        name = f"electra.embeddings.{part}_embeddings.weight"
        np.testing.assert_array_equal(model.params[name], generator.params[name])
    report = json.loads((run / "run" / "report.json").read_text())
    found = report["models"]["model"]
    assert 0 < found["replaced"] < 0.3
    assert found["accuracy"] > 0.6
    assert {"precision", "recall", "replaced_tokens"} <= found.keys()
    assert report["models"]["generator"]["perplexity"] < 100
    assert "of which are replaced" in table(report)
    records = [r for r in iter_records(run / "run" / "metrics.jsonl") if r["kind"] == "eval"]
    assert [r["step"] for r in records] == [6, 12]
    same = {key: records[-1][key] for key in ("accuracy", "replaced", "replaced_tokens")}
    assert same == pytest.approx({key: found[key] for key in same}, rel=1e-5), "what was saved is what learnt"
    assert main(["report", str(run / "run"), "--out", str(tmp_path / "page.html")]) == 0
    assert "recall" in (tmp_path / "page.html").read_text()


def test_the_same_run_gives_the_same_bits(run, tmp_path):
    job(run / "a.txt", tmp_path / "again").run()
    for part in ("model", "generator"):
        ours, theirs = (place / part / "model.safetensors" for place in (tmp_path / "again", run / "run"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_it_goes_on_with_both_models(run, tmp_path, caplog):
    """At a learning rate of 0 both are what they were; without a generator one begins from nothing."""
    place, still = run / "run", ("train.lr=0", "train.max_steps=1")
    job(run / "a.txt", tmp_path / "on", *still, source=str(place / "model")).run()
    for part in ("model", "generator"):
        before, after = (load_model(p / part).params for p in (place, tmp_path / "on"))
        assert all(np.array_equal(before[name], after[name]) for name in before)
    shutil.copytree(place / "model", tmp_path / "alone" / "model")
    job(run / "a.txt", tmp_path / "new", *still, source=str(tmp_path / "alone" / "model")).run()
    fresh, before = (load_model(p / "generator").params for p in (tmp_path / "new", place))
    name = "electra.encoder.layer.0.output.dense.weight"
    assert fresh[name].shape == before[name].shape
    assert not np.array_equal(fresh[name], before[name])


def test_what_cannot_work_is_refused(run, tmp_path):
    with pytest.raises(
        ConfigError, match=r"generator is a generator: pre-training goes on from the discriminator"
    ):
        job(run / "a.txt", tmp_path, source=str(run / "run" / "generator"))
    with pytest.raises(ConfigError, match="keep_best is not for replaced-token detection"):
        job(run / "a.txt", tmp_path, "train.keep_best=loss")
    with pytest.raises(ConfigError, match=r"width is 1.5: expected a share in \(0, 1\]"):
        job(run / "a.txt", tmp_path, "generator.width=1.5")


def test_the_family_decides(tmp_path):
    recipe = load_recipe(PretrainingRecipe)
    assert type(pretraining(None, [], recipe, tmp_path)) is Pretraining
    recipe = load_recipe(PretrainingRecipe, changes=["model.family=electra"])
    assert type(pretraining(None, [], recipe, tmp_path)) is ReplacedTokenPretraining


def test_a_generator_is_fine_tuned_with_a_warning(run, tmp_path, caplog):
    from minidistil.jobs.finetune import FineTuning, FineTuningRecipe

    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "the film is warm\t1\nthe plot is dull\t0\n" * 8)
    recipe = load_recipe(FineTuningRecipe, changes=["train.max_steps=1"])
    for part, warned in (("generator", True), ("model", False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "minidistil"):
            FineTuning(
                str(run / "run" / part),
                "classification",
                tmp_path / "a.tsv",
                recipe,
                tmp_path / part,
                quiet=True,
            ).run()
        assert ("is a generator" in caplog.text) == warned
