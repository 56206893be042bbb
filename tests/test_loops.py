"""The programs of docs/loops.md run as they stand, on a tiny encoder, and two leave the same model."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import make_encoder, make_split

from minidistil import load_model

PAGE = (Path(__file__).parents[1] / "docs" / "loops.md").read_text(encoding="utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    for section in PAGE.split("\n## ")[1:]
}
WITH_TRAINER, BY_HAND, LOSS, HEAD = list(SECTIONS)[:4]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("loops")
    make_encoder(here)
    split = make_split(train=40, test=0)
    rows = [f"{text},{label}" for text, label in zip(split.train_texts, split.train_labels, strict=True)]
    (here / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return here


def run(place, monkeypatch, *programs):
    """Names that the programs leave, one after the other in one namespace."""
    out = place / "out"
    monkeypatch.setattr(sys, "argv", ["loop.py", str(place / "encoder"), str(place / "train.csv"), str(out)])
    names = {}
    exec(compile("\n".join(programs), "loop.py", "exec"), names)
    return names


@pytest.mark.parametrize("section", [WITH_TRAINER, BY_HAND, LOSS, HEAD])
def test_programs_are_short(section):
    assert len([line for line in SECTIONS[section][0].splitlines() if line]) < 30


def test_by_hand_gives_the_bits_of_the_trainer(place, monkeypatch, capsys):
    written = []
    for section in (WITH_TRAINER, BY_HAND):
        names = run(place, monkeypatch, *SECTIONS[section])
        written.append((place / "out" / "model.safetensors").read_bytes())
        (place / "out").rename(place / section.replace(" ", "-"))
    assert written[0] == written[1]
    began = load_model(place / "encoder").params["encoder.layer.0.output.dense.weight"]
    assert (names["model"].params["bert.encoder.layer.0.output.dense.weight"] != began).any()
    assert names["model"].config.hidden_dropout_prob > 0, "or dropout would not be compared"
    assert capsys.readouterr().out.splitlines()[0].startswith("15 steps, loss ")


@pytest.mark.parametrize("section", [LOSS, HEAD])
def test_own_objectives_learn_and_their_gradients_are_right(place, monkeypatch, capsys, section, tmp_path):
    (tmp_path / "train.csv").write_bytes((place / "train.csv").read_bytes())
    (tmp_path / "encoder").symlink_to(place / "encoder")
    names = run(tmp_path, monkeypatch, *SECTIONS[section])
    assert (tmp_path / "out").is_dir()
    checks = capsys.readouterr().out.splitlines()
    assert len(checks) == (1 if section == LOSS else 2)
    assert all(line.endswith(" True") for line in checks)
    if section == HEAD:
        saved = np.load(tmp_path / "out" / "rating.npy")
        assert (saved == names["model"].params["rating"]).all()


def test_the_sections_that_go_on_from_the_first(place, monkeypatch, capsys, tmp_path):
    (tmp_path / "train.csv").write_bytes((place / "train.csv").read_bytes())
    (tmp_path / "encoder").symlink_to(place / "encoder")
    rest = [block for section, blocks in list(SECTIONS.items())[4:] for block in blocks]
    assert len(rest) == 3
    names = run(tmp_path, monkeypatch, *SECTIONS[WITH_TRAINER], *rest)
    assert not names["model"].frozen
    assert names["found"].rates
    assert "1 of 15: " in capsys.readouterr().out
