"""The table of summaries: every document is measured by a model that has not seen it."""

import json
import sys

from tiny import make_encoder

from benchmarks import summaries
from minidistil.tasks.summarization.documents import read_documents


def write(path, n):
    rows = [
        {"dialogue": f"The film {i} is warm.\nA plot.\nThe cast.", "summary": "A film is warm."}
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_folds(tmp_path, monkeypatch):
    monkeypatch.setattr(summaries, "TRAINING", ("train.epochs=1", "data.max_length=24"))
    encoder, documents = str(make_encoder(tmp_path)), read_documents(write(tmp_path / "d.jsonl", 7))
    found = summaries.folds(documents, 3, encoder, tmp_path / "out", "line")
    assert sorted(i for rows, _ in found for i in rows) == list(range(7))
    for rows, model in found:
        learnt = read_documents(model.parent / "train.jsonl")
        assert {*learnt.texts} == {*documents.texts} - {documents.texts[i] for i in rows}
        assert learnt.summaries == [["A film is warm."]] * (7 - len(rows))


def test_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(summaries, "TRAINING", ("train.epochs=1", "data.max_length=24"))
    path, encoder = write(tmp_path / "d.jsonl", 4), make_encoder(tmp_path)
    arguments = [
        str(path),
        "--encoder",
        str(encoder),
        "--out",
        str(tmp_path / "out"),
        "--folds",
        "2",
        "--sentences",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["summaries.py", *arguments])
    summaries.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 documents, 1 of unit sentence"
    rows = {cells[1]: cells[2:-1] for line in lines[4:] for cells in [[c.strip() for c in line.split("|")]]}
    assert list(rows) == ["lead", "centroid", "mmr", "trained", "oracle"]
    assert rows["lead"][0] == f"{100 * 2 * 3 / (5 + 4):.1f}"
    assert float(rows["oracle"][0]) >= float(rows["lead"][0])
    assert rows["lead"][1] == ""
    some = {"rouge1": 0.5, "rouge2": 0.25, "rougeL": 0.5, "rougeLsum": 0.5}
    line = summaries.table({"lead": [some] * 2, "x": [some, {**some, "rouge1": 0.7}]}).splitlines()[-1]
    assert line == "| x | 60.0 | +10.0 ± 10.0 | 25.0 | 50.0 | 50.0 |"
