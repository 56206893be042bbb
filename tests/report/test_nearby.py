"""Message about a directory without a run: the files that are there, those expected, runs nearby."""

import pytest

from minidistil.cli.main import main
from minidistil.errors import DataError
from minidistil.report.run import read_run


@pytest.fixture
def runs(tmp_path):
    for name in ("a", "b", "seeds/seed-0", "seeds/seed-10", "seeds/seed-2", "demo", "demo/teacher"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    for name in ("a", "b", "seeds/seed-0", "seeds/seed-10", "seeds/seed-2", "demo"):
        (tmp_path / "runs" / name / "run.json").write_text('{"recipe": {}}')
    (tmp_path / "runs" / "demo" / "teacher" / "config.json").write_text("{}")
    (tmp_path / "runs" / "demo" / "teacher" / "model.safetensors").write_text("")
    return tmp_path / "runs"


def said(path):
    with pytest.raises(DataError) as raised:
        read_run(path)
    return str(raised.value)


def test_what_it_has_and_where_runs_are(runs):
    text = said(runs)
    assert (
        "holds no run: expected run.json, which finetune, distill, pretrain and demo write, or seed-0" in text
    )
    assert "it has a/, b/, demo/, seeds/" in text
    assert "these directories in it hold one: a, b, demo" in text
    text = said(runs / "demo" / "teacher")
    assert "it has config.json, model.safetensors" in text
    assert "it is a model" in text
    assert f"runs nearby: {runs / 'demo'}" in text
    (runs / "empty").mkdir()
    text = said(runs / "empty")
    assert "it is empty" in text
    assert f"runs nearby: {runs / 'a'}, {runs / 'b'}, {runs / 'demo'}, {runs / 'seeds'}" in text


def test_a_name_that_is_none(runs, capsys):
    assert "is no directory (did you mean" in said(runs / "deom")
    assert str(runs / "demo") in said(runs / "deom")
    (runs / "file").write_text("")
    assert "is a file, and no directory" in said(runs / "file")
    assert main(["report", str(runs / "deom")]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_many_are_counted(runs):
    (runs / "many").mkdir()
    for i in range(30):
        (runs / "many" / f"{i:02}").write_text("")
    assert "it has 00, 01, 02, 03, 04, 05, 06, 07 and 22 more" in said(runs / "many")


def test_seeds_are_in_the_order_of_their_numbers(runs):
    assert list(read_run(runs / "seeds").parts) == ["seed-0", "seed-2", "seed-10"]
