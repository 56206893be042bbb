"""`predict --out`: a header, ids and surplus columns, the same numbers, wholly or not at all."""

import csv
import json
import sys

import pytest
from tiny import CONFIG, LABELS, make_classifier, make_tokenizer

from minidistil.cli.main import main
from minidistil.model import BertForMaskedLM, BertForQuestionAnswering, BertForTokenClassification

TABLE = 'nr,body,label,note\n7,"the film, is\nwarm",x,"a ""word"""\n8,a dull plot,y,\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("out")
    make_classifier(here)
    tokenizer = make_tokenizer(here / "vocabulary")
    tags = {0: "O", 1: "B-FUN", 2: "I-FUN"}
    BertForTokenClassification(CONFIG.replace(id2label=tags), seed=3).save_pretrained(
        here / "tags", tokenizer=tokenizer
    )
    BertForQuestionAnswering(CONFIG, seed=3).save_pretrained(here / "answers", tokenizer=tokenizer)
    BertForMaskedLM(CONFIG, seed=3).save_pretrained(here / "words", tokenizer=tokenizer)
    (here / "a.csv").write_text(TABLE)
    return here


def predict(place, model, *arguments, code=0):
    assert main(["predict", str(place / model), *map(str, arguments), "-q"]) == code


def rows_of(path, delimiter=","):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def as_json(place, model, capsys, *arguments):
    predict(place, model, *arguments, "--json")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_column_of_the_file_is_kept(place, tmp_path, capsys):
    out = tmp_path / "new" / "out.csv"
    data = ["--data", place / "a.csv", "--text", "body"]
    predict(place, "classifier", *data, "--out", out)
    assert capsys.readouterr() == ("", "")
    rows = rows_of(out)
    scores = [f"score.{name}" for name in LABELS.values()]
    assert list(rows[0]) == ["nr", "body", "label", "note", "predicted_label", "score", *scores]
    assert [row["nr"] for row in rows] == ["7", "8"]
    assert [row["body"] for row in rows] == ["the film, is\nwarm", "a dull plot"]
    assert [row["label"] for row in rows] == ["x", "y"], "the file's own stay"
    assert [row["note"] for row in rows] == ['a "word"', ""]
    for row, facts in zip(rows, as_json(place, "classifier", capsys, *data), strict=True):
        assert row["predicted_label"] == facts["label"]
        assert float(row["score"]) == facts["score"]
        assert {name: float(row[f"score.{name}"]) for name in LABELS.values()} == facts["scores"]


def test_a_tsv_reads_as_a_tsv(place, tmp_path):
    out = tmp_path / "out.tsv"
    predict(place, "classifier", "--data", place / "a.csv", "--text", "body", "--out", out)
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    assert [len(line) for line in lines] == [8, 8, 8]
    assert lines[1][:4] == ["7", "the film, is warm", "x", 'a "word"']


def test_jsonl_has_all(place, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    data = ["--data", place / "a.csv", "--text", "body"]
    predict(place, "classifier", *data, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.pop("row") for row in rows] == rows_of(place / "a.csv")
    assert rows == as_json(place, "classifier", capsys, *data)


def test_columns_of_objects(place, tmp_path):
    """Keys may come and go; what is no text is JSON."""
    data = tmp_path / "a.jsonl"
    data.write_text('{"text": "a film", "n": 1.5}\n{"text": "warm", "tags": ["a", "ä"], "n": null}\n')
    predict(place, "classifier", "--data", data, "--out", tmp_path / "out.csv")
    rows = rows_of(tmp_path / "out.csv")
    assert list(rows[0])[:3] == ["text", "n", "tags"]
    assert [(row["n"], row["tags"]) for row in rows] == [("1.5", ""), ("", '["a", "ä"]')]


def test_a_named_task_keeps_them_too(place, tmp_path):
    data = tmp_path / "dev.tsv"
    data.write_text("sentence\tlabel\tid\na film\t1\tq\nthe plot\t0\tr\n")
    predict(place, "classifier", "--task", "sst2", "--data", data, "--out", tmp_path / "out.csv")
    assert [(row["id"], row["label"]) for row in rows_of(tmp_path / "out.csv")] == [("q", "1"), ("r", "0")]


def test_texts_without_a_file(place, tmp_path, from_stdin):
    out = tmp_path / "out.csv"
    predict(place, "classifier", "a film", "warm", "--pair", "the plot", "--out", out)
    found = [(row["text"], row["pair"]) for row in rows_of(out)]
    assert found == [("a film", "the plot"), ("warm", "the plot")]
    from_stdin("a film\n\n")
    predict(place, "classifier", "--top-k", "2", "--out", out)
    rows = rows_of(out)
    assert [(row["line"], row["text"]) for row in rows] == [("1", "a film")] * 2 + [("2", "")] * 2
    assert list(rows[0]) == ["line", "text", "label", "score"], "a row for each label"
    assert float(rows[0]["score"]) >= float(rows[1]["score"])


def test_entities_answers_and_masks(place, tmp_path, capsys):
    out = tmp_path / "out.csv"
    (tmp_path / "a.csv").write_text('id,text\nx,the film is warm and funny\ny,""\n')
    data = ["--data", tmp_path / "a.csv"]
    predict(place, "tags", *data, "--out", out)
    rows = rows_of(out)
    assert list(rows[0]) == ["id", "text", "type", "entity", "score", "start", "end"]
    facts = as_json(place, "tags", capsys, *data)
    found = [e for fact in facts for e in fact["entities"]]
    named = [row for row in rows if row["type"]]
    assert [(row["entity"], row["start"]) for row in named] == [(e["text"], str(e["start"])) for e in found]
    assert found, "else the test shows nothing"
    assert [row["id"] for row in rows if not row["type"]] == ["y"], "a text without entities is not lost"
    predict(place, "answers", *data, "--question", "what is warm?", "--out", out)
    answers = as_json(place, "answers", capsys, *data, "--question", "what is warm?")
    assert [(row["id"], row["answer"]) for row in rows_of(out)] == [("x", answers[0]["text"]), ("y", "")]
    predict(place, "words", "the [MASK] is [MASK]", "--top-k", "2", "--out", out)
    rows = rows_of(out)
    assert [row["mask"] for row in rows] == ["0", "0", "1", "1"]
    assert all(row["word"] in row["filled"] for row in rows)


def test_standard_output_is_csv(place, capsys):
    predict(place, "classifier", "a film", "--out", "-")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("text,label,score,")
    assert lines[1].startswith("a film,")


def test_a_failure_leaves_the_old_file(place, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.csv"
    out.write_text("old")
    (tmp_path / "a.csv").write_text("text\n" + "a film\n" * 3 + "film " * 60 + "\n")
    monkeypatch.setattr("minidistil.cli.predict.TEXTS_AT_ONCE", 2)
    predict(place, "classifier", "--data", tmp_path / "a.csv", "--no-truncation", "--out", out, code=3)
    assert "more than the maximum of 24" in capsys.readouterr().err
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "out.csv"]


def test_what_is_refused(place, tmp_path, capsys):
    for message, *arguments in (
        ("out.xlsx: predictions are kept in files that end in .csv, .tsv, .jsonl", "a", "--out", "out.xlsx"),
        ("take one; --out FILE.jsonl has what --json prints", "a", "--out", "out.csv", "--json"),
        ("a text itself needs no option", "--text", "a film"),
        ("is a spreadsheet, which is not read: save it as CSV", "--data", tmp_path / "a.xlsx"),
    ):
        predict(place, "classifier", *arguments, code=2)
        assert message in capsys.readouterr().err


def test_pairs_for_a_model_of_single_texts_are_said(place, tmp_path, caplog):
    config = json.loads((place / "classifier" / "config.json").read_text())
    for pairs, said in ((False, True), (True, False)):
        model = make_classifier(tmp_path / str(pairs))
        (model / "config.json").write_text(json.dumps({**config, "minidistil": {"pairs": pairs}}))
        assert main(["predict", str(model), "a film", "--pair", "a plot", "-q"]) == 0
        assert ("the model learnt from texts alone" in caplog.text) == said
        caplog.clear()


if sys.platform != "win32":

    def test_a_place_that_cannot_be_written_is_said(place, capsys):
        predict(place, "classifier", "a film", "--out", "/dev/full/out.csv", code=3)
        assert "out.csv" in capsys.readouterr().err
