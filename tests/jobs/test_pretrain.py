"""Pre-training from an encoder and from nothing; that it learns is shown in tests/jobs/test_distill.py."""

import json
import shutil

import numpy as np
import pytest
from masked_text_toy import PRETRAIN, SMALL, sentences
from tiny import make_encoder

from minidistil.errors import ConfigError, DataError
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.model import BertModel, load_model
from minidistil.settings import load_recipe


def test_pretraining_from_an_encoder_keeps_its_words(tmp_path):
    encoder = make_encoder(tmp_path)
    (tmp_path / "a.txt").write_text(sentences())
    recipe = load_recipe(PretrainingRecipe, changes=[*SMALL, "train.max_steps=2", "train.lr=0"])
    Pretraining(str(encoder), [tmp_path / "a.txt"], recipe, tmp_path / "lm", quiet=True).run()
    model, before = load_model(tmp_path / "lm" / "model"), BertModel.from_pretrained(encoder)
    name = "encoder.layer.5.output.dense.weight"
    np.testing.assert_array_equal(model.params[f"bert.{name}"], before.params[name])
    assert (tmp_path / "lm" / "model" / "vocab.txt").read_text() == (encoder / "vocab.txt").read_text()


def test_an_albert_has_tables_and_groups_of_its_own(tmp_path):
    shape = ["layers=4", "width=24", "heads=2", "intermediate=32", "positions=16", "embedding=8", "groups=2"]
    changes = [f"model.{setting}" for setting in ("family=albert", *shape)]
    recipe = load_recipe(PretrainingRecipe, changes=[*SMALL, *changes])
    text = tmp_path / "text.txt"
    text.write_text(sentences())
    config = Pretraining(None, [text], recipe, tmp_path / "lm", quiet=True).first_model().config
    assert (config.embedding_size, config.groups) == (8, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.embedding=8"], "embedding is 8: expected nothing, as a bert has no embedding_size"),
        (["model.family=electra", "model.groups=2"], "nothing, as an electra has no num_hidden_groups"),
        (["model.family=albert", "model.groups=7"], "groups is 7: expected at most 6, the layers"),
        (
            ["model.family=albert", "model.embedding=0"],
            "embedding is 0: expected an integer >= 1, or nothing",
        ),
    ],
)
def test_settings_of_another_family_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(PretrainingRecipe, changes=changes)


@pytest.mark.parametrize("source", ["encoder", None])
def test_a_run_inside_the_folder_of_its_text_is_no_text(source, tmp_path):
    (tmp_path / "a.txt").write_text(sentences(60))
    encoder = str(make_encoder(tmp_path / ".hidden")) if source else None
    recipe = load_recipe(PretrainingRecipe, changes=[*PRETRAIN, "train.max_steps=1"])
    for _ in range(2):
        report = Pretraining(encoder, [tmp_path], recipe, tmp_path / "runs" / "a", quiet=True).run()
    assert report["documents"] == 60


def test_a_vocabulary_of_an_attempt_that_failed_gives_way(tmp_path):
    (tmp_path / "a.txt").write_text(sentences(60).title())

    def run(*changes):
        recipe = load_recipe(PretrainingRecipe, changes=[*PRETRAIN, "train.max_steps=1", *changes])
        return Pretraining(None, [tmp_path / "a.txt"], recipe, tmp_path / "run", quiet=True)

    with pytest.raises(DataError, match="nothing to learn from"):
        run("data.shortest=24").run()
    shutil.rmtree(tmp_path / "run" / "corpus")
    run("model.lowercase=false").run()
    config = json.loads((tmp_path / "run" / "model" / "tokenizer_config.json").read_text())
    assert config["do_lower_case"] is False
    with pytest.raises(ConfigError, match="holds another run"):
        run().run()
