"""minidistil find-lr: its table, its page, and what it leaves alone."""

import json

import pytest
from tiny import make_encoder, make_split

from minidistil.cli.main import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("rates")
    make_encoder(here)
    split = make_split(train=60)
    rows = [f"{text}\t{label}" for text, label in zip(split.train_texts, split.train_labels, strict=True)]
    (here / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    return here


def find(place, *more):
    start = ["find-lr", str(place / "encoder"), "--task", "sst2", "--train", str(place / "train.tsv")]
    return main([*start, "--batch-size", "8", "--steps", "40", "-q", *more])


def test_table_and_page(place, tmp_path, capsys):
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    page = tmp_path / "rates.html"
    assert find(place, "--html", str(page)) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["learning", "rate", "loss", "smoothed"]
    assert lines[1].split()[0] == "1.0e-07"
    assert len(lines) < 24
    assert "Suggested: --lr " in out
    rate = out.partition("--lr ")[2].split(",")[0]
    html = page.read_text()
    assert f"<strong>{rate}</strong>" in html
    assert html.count("<svg") == 1
    assert "Learning rates for encoder on sst2" in html
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_json_is_the_same_every_time(place, capsys):
    found = []
    for _ in range(2):
        assert find(place, "--json", "--lowest", "1e-5", "--highest", "1e-2") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["rates"][0] == pytest.approx(1e-5)
    assert found[0]["rates"][-1] == pytest.approx(1e-2)
    assert len(found[0]["losses"]) == 40


def test_it_stops_where_the_loss_diverges(place, capsys):
    assert find(place, "--lowest", "1e-3", "--highest", "1e3") == 0
    assert "The trial ended early: the loss" in capsys.readouterr().out


def test_with_a_teacher(place, tmp_path, capsys):
    start = [str(place / "encoder"), "--task", "sst2", "--train", str(place / "train.tsv"), "-q"]
    assert main(["finetune", *start, "--out", str(tmp_path / "t"), "--set", "train.max_steps=1"]) == 0
    capsys.readouterr()
    assert find(place, "--distill-from", str(tmp_path / "t")) == 0
    assert "learning rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        (2, "steps must be an integer of at least 10, not 3", ["--steps", "3"]),
        (2, "rise from lowest to highest", ["--lowest", "1", "--highest", "0.1"]),
        (2, "no task 'sst-2' (did you mean sst2?)", ["--task", "sst-2"]),
        (3, "train.batch_sise (did you mean train.batch_size?)", ["--set", "train.batch_sise=3"]),
        (3, "nothing.tsv", ["--train", "nothing.tsv"]),
    ],
)
def test_what_is_refused(place, capsys, code, message, arguments):
    assert find(place, *arguments) == code
    assert message in capsys.readouterr().err
