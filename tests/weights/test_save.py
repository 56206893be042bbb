"""Saving a model directory, and its card."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from huggingface_hub import ModelCard as TheirCard
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from minidistil import BertConfig
from minidistil.errors import StorageError
from minidistil.model.families import load_config
from minidistil.weights.card import ModelCard
from minidistil.weights.checkpoint import open_checkpoint
from minidistil.weights.save import save_directory

CONFIG = BertConfig(
    vocab_size=7, hidden_size=4, num_attention_heads=2, intermediate_size=8, num_hidden_layers=1
)
TENSORS = {"bert.a": np.float32([[1, 2], [3, 4]]), "classifier.bias": np.float32([5])}


def test_everything_is_there_and_reads_back(tmp_path):
    files = {"tokenizer.json": b"{}", "vocab.txt": "[PAD]\n\u00e9\n".encode()}
    save_directory(
        tmp_path / "m", config=CONFIG, tensors=TENSORS, tokenizer_files=files, card="# Caf\u00e9\n"
    )
    assert {p.name for p in (tmp_path / "m").iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
        *files,
    }
    assert load_config(tmp_path / "m") == CONFIG
    checkpoint = open_checkpoint(tmp_path / "m")
    assert {name: array.tolist() for name, array in checkpoint.items()} == {
        name: array.tolist() for name, array in TENSORS.items()
    }
    with safe_open(tmp_path / "m" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
    assert (tmp_path / "m" / "vocab.txt").read_bytes() == files["vocab.txt"]
    assert (tmp_path / "m" / "README.md").read_text(encoding="utf-8") == "# Caf\u00e9\n"


def test_saving_again_over_the_file_that_is_mapped(tmp_path):
    """Load, change, save to the same place: the mapped file must stay what it was while it is read."""
    save_directory(tmp_path, config=CONFIG, tensors=TENSORS)
    mapped = open_checkpoint(tmp_path)
    save_directory(
        tmp_path, config=CONFIG, tensors={name: mapped[name] * 2 for name in mapped} | {"b": mapped["bert.a"]}
    )
    np.testing.assert_array_equal(mapped["bert.a"], TENSORS["bert.a"])
    np.testing.assert_array_equal(open_checkpoint(tmp_path)["bert.a"], TENSORS["bert.a"] * 2)
    np.testing.assert_array_equal(open_checkpoint(tmp_path)["b"], TENSORS["bert.a"])
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_full_disk_leaves_the_old_model(tmp_path, monkeypatch):
    save_directory(tmp_path, config=CONFIG, tensors=TENSORS, card="old")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="the disk is full"):
        save_directory(
            tmp_path, config=CONFIG.replace(vocab_size=8), tensors={"other": np.float32([1])}, card="new"
        )
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_card_says_it_all():
    card = ModelCard(
        title="Student",
        summary="Half the depth.",
        license="apache-2.0",
        base_model="org/teacher",
        pipeline_tag="text-classification",
        metrics={"accuracy": 0.81234},
        details={"Loss": "a | b"},
        command="minidistil demo \\\n  --seed 1",
        limitations="English only.",
    ).render()
    data = TheirCard(card).data
    assert data.license == "apache-2.0"
    assert data.base_model == "org/teacher"
    assert data.pipeline_tag == "text-classification"
    assert data.library_name == "transformers"
    assert data.tags == ["minidistil"]
    assert data.metrics == ["accuracy"]
    assert card.count("\n---\n") == 1
    for line in (
        "# Student",
        "Half the depth.",
        "| accuracy | 0.8123 |",
        "| Loss | a \\| b |",
        "English only.",
    ):
        assert line in card.splitlines()
    assert "    minidistil demo \\\n      --seed 1\n" in card


def test_card_leaves_out_what_is_unknown():
    card = ModelCard(title="Student").render()
    assert card == '---\nlibrary_name: "transformers"\ntags: ["minidistil"]\n---\n\n# Student\n'


@given(st.text(min_size=1))
def test_card_front_matter_survives_any_text(text):
    text = text.encode("utf-8", "ignore").decode()
    data = TheirCard(ModelCard(title="t", base_model=text or "x", tags=[text]).render()).data
    assert data.tags == [text]
    assert data.base_model == (text or "x")
