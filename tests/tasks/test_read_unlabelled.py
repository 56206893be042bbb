"""Files of texts whose labels, where they have some, are not looked at."""

import json

import pytest

from minidistil.errors import DataError
from minidistil.settings import build
from minidistil.tasks.data import DataSettings
from minidistil.tasks.registry import named_task

MNLI = "sentence1\tsentence2\tgold_label\na film\ta plot\t-\nthe film\tthe cast\tnobody knows\n"
CLINC = json.dumps({"val": [["a warm film", "praise"]], "oos_val": [["what is it", "oos"]]})
SWAG = '{"context": "a film", "choices": ["is warm", "is dull"], "label": -1}\n'
SQUAD = json.dumps(
    {"data": [{"paragraphs": [{"context": "a warm film", "qas": [{"id": 1, "question": "what"}]}]}]}
)
FILES = {
    "labels left open": ("mnli", "x.tsv", MNLI, ["a film", "the film"]),
    "lines, of a named task": ("sst2", "x.txt", "a warm film\n\nthe plot\n", ["a warm film", "the plot"]),
    "the authors' table by that name": ("sst2", "x.txt", "sentence\tlabel\na film\tx\n", ["a film"]),
    "another table than the authors'": ("sst2", "x.jsonl", '{"sentence": "a film"}\n', ["a film"]),
    "lines, of a kind": ("classification", "x.txt", "a film\nthe plot\n", ["a film", "the plot"]),
    "labels of another type": ("regression", "x.csv", "text,score\na film,high\n", ["a film"]),
    "questions with their classes": ("trec", "x.label", "HUM:ind Who is it ?\n", ["Who is it ?"]),
    "questions alone": ("trec", "x.label", "Who is it ?\n\nWhat is it ?\n", ["Who is it ?", "What is it ?"]),
    "a part of CLINC": ("intents", "x.json#val", CLINC, ["a warm film", "what is it"]),
    "words in columns": ("conll2003", "x.conll", "a DT O\nfilm NN O\n\nthe DT B-X\n", ["a film", "the"]),
    "words without tags": ("token-classification", "x.conll", "a\nfilm\n\nthe\n", ["a film", "the"]),
    "running text": ("conll2003", "x.txt", "a warm film\nthe plot\n", ["a warm film", "the plot"]),
    "rows of running text": ("token-classification", "x.jsonl", '{"text": "a film"}\n', ["a film"]),
    "rows of words": ("token-classification", "x.jsonl", '{"tokens": ["a", "film"]}\n', ["a film"]),
    "choices": ("swag", "x.jsonl", SWAG, ["a film"]),
    "questions without answers": ("squad", "x.json", SQUAD, ["a warm film"]),
    "documents": ("summarization", "x.jsonl", '{"text": "A film. A plot."}\n', ["A film. A plot."]),
}


@pytest.mark.parametrize("kind", FILES)
def test_texts(tmp_path, kind):
    name, file, content, texts = FILES[kind]
    (tmp_path / file.partition("#")[0]).write_text(content)
    task = named_task(name)
    found = task.read_unlabelled(f"{tmp_path}/{file}")
    assert task.shared_texts(found) == texts
    assert len(found) == len(texts)
    assert not any(getattr(found, "labels", None) or [])
    assert not any(getattr(found, "entities", None) or [])


def test_settings_of_labels_do_not_count(tmp_path):
    (tmp_path / "x.csv").write_text("body,one,two\na film,1,maybe\n")
    data = build(DataSettings, {"text": "body", "label_columns": ["one", "two"]}, "data")
    assert named_task("multi-label", data).read_unlabelled(tmp_path / "x.csv").texts == ["a film"]


def test_a_file_without_texts(tmp_path):
    (tmp_path / "x.csv").write_text("body\na film\n")
    with pytest.raises(DataError, match="which column holds the text"):
        named_task("classification").read_unlabelled(tmp_path / "x.csv")
