"""One answer for each input, in its place: blank lines and empty cells, for every task, however read."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_encoder, make_tokenizer

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

MODELS = {
    "text-classification": BertForSequenceClassification(CONFIG.replace(id2label=LABELS), seed=1),
    "token-classification": BertForTokenClassification(
        CONFIG.replace(id2label={0: "O", 1: "B-FUN", 2: "I-FUN"}), seed=2
    ),
    "question-answering": BertForQuestionAnswering(CONFIG, seed=3),
    "fill-mask": BertForMaskedLM(CONFIG, seed=4),
    "multiple-choice": BertForMultipleChoice(CONFIG, seed=5),
}
ENTRIES = [("a warm film", "good"), ("a dull plot", "bad")]
OPTIONS = {
    "question-answering": ["--question", "what?"],
    "multiple-choice": ["--choices", "a film", "a plot"],
    "summarization": ["--task", "summarization"],
    "intents": ["--task", "intents", "--entries", "entries.jsonl"],
    "faq": ["--task", "faq", "--entries", "entries.jsonl"],
}
# What is asked in Python, of texts.
CALLS = {
    "question-answering": lambda predict, texts: predict(["what?"] * len(texts), texts, n_best=1),
    "multiple-choice": lambda predict, texts: predict(texts, ["a film", "a plot"]),
}
TASKS = [*MODELS, "summarization", "intents", "faq"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("in-place")
    make_encoder(here)
    tokenizer = make_tokenizer(here / "vocabulary")
    for name, model in MODELS.items():
        model.save_pretrained(here / name, tokenizer=tokenizer)
    rows = [{"question": q, "text": q, "answer": a, "label": a} for q, a in ENTRIES]
    (here / "entries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return here


@pytest.fixture
def rows_of(place, capsys, monkeypatch):
    """`rows_of(task, ...)`: what `predict --json` says."""

    def run(task, *arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin.encode()), isatty=bool))
        model = place / (task if task in MODELS else "encoder")
        options = [str(place / o) if o == "entries.jsonl" else o for o in OPTIONS.get(task, [])]
        code = main(["predict", str(model), "--json", "-q", *map(str, arguments), *options])
        out, err = capsys.readouterr()
        assert code == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return run


def text_of(row):
    return row.get("context", row.get("text"))


@pytest.mark.parametrize("task", TASKS)
def test_each_text_has_an_answer_in_its_place(place, rows_of, tmp_path, task):
    word = "a [MASK] film" if task == "fill-mask" else "a warm film"
    texts = [word, "", f"the {word}", " ", word]
    options = {"entries": ENTRIES} if task in ("intents", "faq") else {}
    predict = pipeline(task, place / (task if task in MODELS else "encoder"), **options)
    call = CALLS.get(task, lambda predict, texts: predict(texts))
    together = call(predict, texts)
    alone = [call(predict, [text])[0] for text in texts]
    assert len(together) == len(alone) == len(texts)
    assert repr(together[1])[:12] == repr(alone[1])[:12], "and of its kind"

    tables = {
        "t.jsonl": "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts)),
        "t.json": json.dumps([{"id": i, "text": text or None} for i, text in enumerate(texts)]),
        "t.csv": "id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(texts)),
        "one.csv": "text\n" + "".join(f'"{text}"\n' for text in texts),
        "t.tsv": "id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)),
        "t.txt": "".join(f"{text}\n" for text in texts),
    }
    for name, content in tables.items():
        (tmp_path / name).write_text(content)
        rows = rows_of(task, "--data", tmp_path / name)
        assert [text_of(row) for row in rows] == texts, name
        first = 2 if name.endswith(("csv", "tsv")) else 1
        lines = [1] * 5 if name == "t.json" else list(range(first, first + 5))
        assert [row["line"] for row in rows] == lines, name
        if name not in ("one.csv", "t.txt"):
            assert [str(row["id"]) for row in rows] == list("01234"), "and its own id"
    if task != "summarization":  # of which standard input is one
        rows = rows_of(task, "-", stdin=tables["t.txt"])
        assert [(row["line"], text_of(row)) for row in rows] == list(enumerate(texts, 1))


def test_a_text_that_cannot_be_answered_is_named_by_its_line(place, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text('n,text\n1,"a\n[MASK]"\n2,a film\n')
    assert main(["predict", str(place / "fill-mask"), "--data", str(path), "-q"]) == 3
    assert f"{path}, line 4: text 2 of 2 has no [MASK]" in capsys.readouterr().err


def test_vectors_of_lines(place, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_text('{"idx": 7, "text": "a film"}\n{"idx": 8, "text": null}\n')
    assert main(["embed", str(place / "encoder"), str(path), "--json", "-q"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["line"], row["idx"], row["text"]) for row in rows] == [(1, 7, "a film"), (2, 8, "")]
    ours = SentenceEncoder.from_pretrained(place / "encoder").encode(["a film", ""])
    np.testing.assert_allclose([row["vector"] for row in rows], ours, atol=1e-6)


def test_the_files_of_a_task_are_read_to_predict(rows_of, tmp_path):
    columns = "-DOCSTART- O\n\na O\nwarm film B-FUN\n".replace("O\nwarm", "O\nwarm\tO\n\nwarm").replace(
        " O", "\tO"
    )
    del columns
    words = "# id 1\na O\nwarm B-FUN\n\nthe O\nfilm O\n"
    files = {
        "eng.testa": words,
        "a.txt": words,
        "a.conll": words,
        "a.jsonl": '{"tokens": ["a", "warm"]}\n{"tokens": ["the", "film"], "ner_tags": [0, 0]}\n',
        "a.json": '[{"tokens": ["a", "warm"]}, {"tokens": ["the", "film"]}]',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        rows = rows_of("token-classification", "--data", tmp_path / name)
        assert [row["text"] for row in rows] == ["a warm", "the film"], name
    (tmp_path / "plain.txt").write_text("a warm\nthe film\n")
    assert rows_of("token-classification", "--data", tmp_path / "plain.txt")[0]["text"] == "a warm"
    (tmp_path / "t.label").write_bytes(
        "NUM:dist How far is it ?\nLOC:city Where is Malmö ?\n".encode("latin-1")
    )
    rows = rows_of("text-classification", "--task", "trec", "--data", tmp_path / "t.label")
    assert [row["text"] for row in rows] == ["How far is it ?", "Where is Malmö ?"]
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\ta film\n1\t\n")
    rows = rows_of("text-classification", "--task", "sst2", "--data", tmp_path / "test.tsv")
    assert [(row["index"], row["text"]) for row in rows] == [("0", "a film"), ("1", "")]
    rows = rows_of("text-classification", "--task", "sst2", "--data", tmp_path / "plain.txt")
    assert [row["text"] for row in rows] == ["a warm", "the film"]


def test_columns_on_standard_input_are_refused(place, capsys, monkeypatch):
    lines = io.BytesIO(b"a O\nwarm B-FUN\n\nthe O\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=lines, isatty=bool))
    assert main(["predict", str(place / "token-classification"), "-", "-q"]) == 2
    assert "say --data FILE --format columns" in capsys.readouterr().err


def test_answers_from_rows(rows_of, tmp_path, monkeypatch):
    monkeypatch.delitem(OPTIONS, "question-answering")
    row = {"id": "q1", "question": "what?", "context": "a film", "answers": {"text": [], "answer_start": []}}
    rows = [row, {**row, "id": 2, "question": ""}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "a.json").write_text(json.dumps([row]))
    found = rows_of("question-answering", "--data", tmp_path / "a.jsonl")
    assert [(row["id"], row["question"]) for row in found] == [("q1", "what?"), (2, "")]
    assert rows_of("question-answering", "--data", tmp_path / "a.json")[0]["id"] == "q1"
