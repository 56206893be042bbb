"""Bad input, for every kind of task: one line that names file and line, exit code 3, nothing left behind."""

import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from tiny import CONFIG, GOOD, make_encoder, make_tokenizer

from minidistil.cli.main import main
from minidistil.model import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

TAGS = {0: "O", 1: "B-FUN", 2: "I-FUN"}
MODELS = {
    "sst2": (BertForSequenceClassification, {"id2label": {0: "negative", 1: "positive"}}),
    "capitals": (BertForSequenceClassification, {"id2label": {0: "NEGATIVE", 1: "POSITIVE"}}),
    "generic": (BertForSequenceClassification, {"id2label": {0: "LABEL_1", 1: "LABEL_0"}}),
    "multi-label": (
        BertForSequenceClassification,
        {"id2label": {0: "bad", 1: "good"}, "problem_type": "multi_label_classification"},
    ),
    "regression": (BertForSequenceClassification, {"id2label": {0: "score"}, "problem_type": "regression"}),
    "token-classification": (BertForTokenClassification, {"id2label": TAGS}),
    "question-answering": (BertForQuestionAnswering, {}),
}
SST = "sentence\tlabel\na film\t1\nthe plot\t0\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("bad")
    make_encoder(here)
    tokenizer = make_tokenizer(here / "vocabulary")
    for name, (kind, changes) in MODELS.items():
        kind(CONFIG.replace(**changes), seed=3).save_pretrained(here / name, tokenizer=tokenizer)
    (here / "train.tsv").write_text(SST)
    return here


def run(capsys, *arguments, code=3):
    """What was said; one line, without a traceback."""
    capsys.readouterr()
    assert main([*map(str, arguments), "-q"]) == code, capsys.readouterr().err
    shown = capsys.readouterr()
    if code:
        assert shown.out == ""
        assert shown.err.startswith(f"minidistil {arguments[0]}: ")
        assert shown.err.count("\n") == 1
    return shown.err if code else shown.out


# Files


class Bad(NamedTuple):
    task: str
    content: str | bytes
    message: str
    line: int | None = None
    name: str = "data.tsv"
    settings: tuple[str, ...] = ()


def qa(*answers, context="a film", **question):
    asked = {"id": "q1", "question": "which?", "answers": list(answers), **question}
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [asked]}]}]})


def entity(**changes):
    return (
        json.dumps({"text": "a film", "entities": [{"start": 2, "end": 6, "type": "FUN", **changes}]}) + "\n"
    )


def many(*labels):
    return "".join(json.dumps({"text": "a film", "labels": label}) + "\n" for label in labels)


DEEP = "[" * 100_000
GARBAGE = bytes(range(256)) * 8
TAGGED, SETS = "token-classification", "multi-label"
TWO = "b O\n\na B-FUN\n"
SQUAD = qa({"text": "a", "answer_start": 0})

FILES = [
    # What no format is
    *(Bad(task, b"", "there are no examples", name=name) for task, name in (
        ("sst2", "a.tsv"), (SETS, "a.jsonl"), ("regression", "a.csv"), (TAGGED, "a.txt"),
    )),
    Bad("squad", b"", "not valid JSON", 1, "a.json"),
    *(Bad(task, GARBAGE, "NUL byte", 1, name) for task, name in (
        ("sst2", "a.tsv"), (SETS, "a.jsonl"), ("regression", "a.csv"), (TAGGED, "a.txt"),
    )),
    Bad("squad", GARBAGE, "not UTF-8", name="a.json"),
    Bad("sst2", SST.encode() + b"a \xe9\t1\n", "byte 2 of the line is not UTF-8", 4),
    *(Bad(task, text.encode("utf-16"), "this is UTF-16; save it as UTF-8", 1, name) for task, text, name in (
        ("sst2", SST, "a.tsv"), (SETS, many(["good"]), "a.jsonl"), (TAGGED, TWO, "a.txt"),
    )),
    Bad("squad", SQUAD.encode("utf-16"), "this is UTF-16; save the file as UTF-8", name="a.json"),
    Bad("sst2", SST.encode("utf-16-le"), "NUL byte in it: this is no text, or UTF-16", 1),
    Bad("sst2", SST + "a\0b\t1\n", "NUL byte", 4),
    Bad(TAGGED, TWO + "a\0b O\n", "NUL byte", 4, "a.txt"),
    *(Bad(task, "\r\n \n\n", "there are no examples", name=name) for task, name in (
        ("sst2", "a.tsv"), (SETS, "a.jsonl"), (TAGGED, "a.txt"),
    )),
    # Tables
    Bad("sst2", "text\tlabel\na\t1\n", "no column 'sentence'. There are: text, label."),
    Bad("sst2", "sentence\na\n", "no column 'label'"),
    Bad("mrpc", SST, "no column '#1 String'"),
    Bad("cola", "a film\t1\n", "no column '3'"),
    Bad("sst2", SST.replace("\t", ","), "no column 'sentence'"),
    Bad("sst2", SST + "a\tb\t1\n", "3 cells where there should be 2", 4),
    Bad("sst2", "\ufeff\r\n" + SST.replace("\n", "\r\n") + '\r\n"a\t2\r\n', "unknown label '2'", 6),
    Bad("sst2", SST + "\t1\n", "the text is empty", 4),
    Bad("sst2", SST + "a\t\n", "the label is empty", 4),
    Bad("classification", 'text,label\n"a,1\nb,2\n', "not valid CSV", 2, "a.csv"),
    Bad("classification", "text,label\na,b\nc,d,e\n", "3 cells where there should be 2", 3, "a.csv"),
    Bad("regression", "text\tscore\na\t1\nb\tmany\n", "a number is expected, not 'many'", 3),
    Bad("regression", "text\tscore\na\tnan\n", "a number is expected, not 'nan'", 2),
    Bad("regression", "text\ta\tb\nx\t1\t2\n", "there is no label column"),
    Bad("sst2", "a film\nb\n", "no column 'sentence'", name="a.txt"),
    Bad("mnli", "sentence1\tsentence2\tgold_label\na\tb\t-\n", "every example in it is labelled '-'"),
    # JSON lines
    Bad(SETS, '{"text": "a"\n', "not valid JSON", 1, "a.jsonl"),
    Bad(SETS, many(["good"]) + "[1]\n", "a JSON object a line is expected", 2, "a.jsonl"),
    Bad(SETS, '{"text": 1, "labels": ["good"]}\n', "column 'text' should hold text, not 1", 1, "a.jsonl"),
    Bad(SETS, many(["good"], {"good": 1}), "labels are expected, not {'good': 1}", 2, "a.jsonl"),
    Bad(SETS, many(["good"], [["good"]]), "labels are expected, not [['good']]", 2, "a.jsonl"),
    Bad("classification", many("a", ["b"]), "one label is expected, not ['b']", 2, "a.jsonl"),
    Bad("classification", many("a", "b", None), "the label is empty", 3, "a.jsonl"),
    Bad("regression", many(1, [2]), "a number is expected, not [2]", 2, "a.jsonl"),
    Bad(SETS, '{"text": "a \\ud800", "labels": []}\n', "half of a surrogate pair", 1, "a.jsonl"),
    Bad(SETS, '{"text": "a", "labels": ["\\ud800"]}\n', "half of a surrogate pair", 1, "a.jsonl"),
    Bad(SETS, '{"text": ' + DEEP + "\n", "JSON that cannot be read", 1, "a.jsonl"),
    Bad(SETS, '{"text": ' + "9" * 5000 + "}\n", "JSON that cannot be read", 1, "a.jsonl"),
    # Entities
    Bad(TAGGED, "a\n", "a word and its tag are expected", 1, "a.txt"),
    Bad(TAGGED, TWO + "c Q-FUN\n", "'Q-FUN' is no tag: expected O, or a type after", 4, "a.txt"),
    Bad(TAGGED, TWO + "c FUN\n", "'FUN' is no tag", 4, "a.txt"),
    Bad(TAGGED, TWO + "c FUN-B\n", "'FUN-B' is no tag", 4, "a.txt"),
    Bad(TAGGED, TWO + "c B\n", "'B' is no tag", 4, "a.txt"),
    Bad("conll2003", SQUAD, 'expected "text" and a list of "entities"', 1, "a.json"),
    Bad("conll2003", SST, "is no tag", 1),
    Bad(TAGGED, '{"text": "a"}\n', 'expected "text" and a list of "entities"', 1, "a.jsonl"),
    Bad(TAGGED, entity(end=7), "an entity is not at characters 2 to 7", 1, "a.jsonl"),
    Bad(TAGGED, entity(end=2), "an entity is not at characters 2 to 2", 1, "a.jsonl"),
    Bad(TAGGED, entity(start=-1), "an entity is not at characters -1 to 6", 1, "a.jsonl"),
    Bad(TAGGED, entity(text="plot"), "'plot' is not at characters 2 to 6", 1, "a.jsonl"),
    *(Bad(TAGGED, entity(**wrong), 'an entity has numbers "start" and "end"', 1, "a.jsonl")
      for wrong in ({"start": "2"}, {"start": 2.5}, {"end": None}, {"end": True}, {"type": 1})),
    Bad(TAGGED, '{"text": "a", "entities": [7]}\n', "an entity has numbers", 1, "a.jsonl"),
    Bad(TAGGED, entity(type="O"), "'O' is no type of entity", 1, "a.jsonl"),
    Bad(TAGGED, entity() + json.dumps({"text": "a film", "entities": [
        {"start": 0, "end": 4, "type": "FUN"}, {"start": 2, "end": 6, "type": "SAD"}]}) + "\n",
        "'FUN' from 0 to 4 and 'SAD' from 2 to 6 overlap", 2, "a.jsonl"),
    Bad(TAGGED, '{"text": "\\ud800", "entities": []}\n', "half of a surrogate pair", 1, "a.jsonl"),
    Bad(TAGGED, TWO, "data.label is 'tag'", settings=("data.label=tag",)),
    Bad(TAGGED, TWO, "format 'csv' is none of columns, jsonl and parquet", settings=("data.format=csv",)),
    # Questions
    Bad("squad", SST, "not valid JSON", 1),
    Bad("squad", SQUAD[:-9] + "\n}}", "not valid JSON", 2, "a.json"),
    Bad("squad", "[]", "there are no questions", name="a.json"),
    Bad("squad", "[3]", "an array of JSON objects is expected", 1, name="a.json"),
    Bad("squad", "3", "not in SQuAD's format", name="a.json"),
    Bad("squad", '{"data": 3}', "not in SQuAD's format", name="a.json"),
    Bad("squad", '{"data": []}', "there are no questions", name="a.json"),
    Bad("squad", DEEP, "JSON that cannot be read", 1, "a.json"),
    Bad("squad", qa(context="a \ud800"), "half of a surrogate pair", 1, "a.json"),
    Bad("squad", qa({"text": "film", "answer_start": 3}), "q1: the answer 'film' is not at", name="a.json"),
    Bad("squad", qa({"text": "film", "answer_start": 99}), "not at character 99, where the context has ''",
        name="a.json"),
    Bad("squad", qa({"text": "m", "answer_start": -1}), "not at character -1", name="a.json"),
    *(Bad("squad", qa(answer), 'question q1: an answer has "text" and "answer_start"', name="a.json")
      for answer in ({"text": "a", "answer_start": "0"}, {"text": 5, "answer_start": 0}, {}, 7, None)),
    Bad("squad", qa(answers=None), "a list of answers is expected, not None", name="a.json"),
    Bad("squad", qa(answers={"text": ["a"]}), "a list of answers is expected", name="a.json"),
    Bad("squad", qa(question=" "), "question q1 is empty", name="a.json"),
    Bad("squad", qa(question=3), "question and context are texts", name="a.json"),
    Bad("squad", qa(id=None), "an id is a text", name="a.json"),
    Bad("squad", json.dumps({"data": [json.loads(SQUAD)["data"][0]] * 2}), "two questions have the id 'q1'",
        name="a.json"),
]  # fmt: skip
KINDS = {"squad": "question-answering", "conll2003": "token-classification"}


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: f"{bad.task}: {bad.message[:40]}")
def test_files(place, tmp_path, capsys, bad):
    file, out = tmp_path / bad.name, tmp_path / "out"
    file.write_bytes(bad.content if isinstance(bad.content, bytes) else bad.content.encode())
    model = place / KINDS.get(bad.task, bad.task)
    options = ["--task", bad.task, *(part for s in bad.settings for part in ("--set", s))]
    code = 2 if bad.settings else 3
    verbs = [["finetune", place / "encoder", *options, "--train", file, "--out", out]]
    if model.exists():
        verbs.append(["evaluate", model, *options, "--data", file])
    for arguments in verbs:
        said = run(capsys, *arguments, code=code)
        assert bad.message in said
        if not bad.settings:
            assert f"{file}, line {bad.line}: " in said if bad.line else f"{file}: " in said
    assert not out.exists()


ONE_CLASS = [

    ("sst2", "sentence\tlabel\na\t1\nb\t1\n", "a.tsv", "only one class, 'positive'"),
    ("classification", many("x", "x"), "a.jsonl", "only one class, 'x': there is nothing to tell apart"),
    ("multi-label", many([], []), "a.jsonl", "no label: there is nothing to tell apart"),
    ("token-classification", "a O\nb O\n", "a.txt", "no entity is marked in it: there is nothing to learn"),
    ("squad", qa(is_impossible=True), "a.json", "no question has an answer: there is nothing to learn"),
    ("squad", qa({"text": "\u200b", "answer_start": 1}, context="a\u200b film"), "a.json",
     "no token stands for answer q1"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "content", "name", "message"), ONE_CLASS[1:])
def test_nothing_to_learn(place, tmp_path, capsys, task, content, name, message):
    file = tmp_path / name
    file.write_text(content)
    start = ["finetune", place / "encoder", "--task", task, "--out", tmp_path / "out", "--train"]
    said = run(capsys, *start, file)
    assert message in said
    assert str(file) in said
    assert not (tmp_path / "out").exists()


NEVER_SEEN = [
    ("sst2", SST, SST + "a\t2\n", "a.tsv", "line 4: unknown label '2'"),
    ("classification", many("x", "y"), many("x", "z"), "a.jsonl", "line 2: unknown label 'z'"),
    ("multi-label", many(["x"], ["y"]), many(["x"], ["y", "z"]), "a.jsonl", "line 2: unknown label 'z'"),
    ("token-classification", TWO, TWO + "\nc B-SAD\n", "a.txt", "line 5: there is no tag 'B-SAD'"),
]


@pytest.mark.parametrize(("task", "train", "dev", "name", "message"), NEVER_SEEN)
def test_a_label_never_seen_in_training(place, tmp_path, capsys, task, train, dev, name, message):
    (tmp_path / name).write_text(train)
    (tmp_path / f"dev-{name}").write_text(dev)
    files = ["--train", tmp_path / name, "--eval", tmp_path / f"dev-{name}"]
    said = run(capsys, "finetune", place / "encoder", "--task", task, *files, "--out", tmp_path / "out")
    assert f"dev-{name}, {message}" in said
    assert not (tmp_path / "out").exists()


# Models


OTHER_MODELS = [
    ("sst2", "regression", SST, "a.tsv", "predicts a number, and no classes"),
    ("sst2", "multi-label", SST, "a.tsv", "is for multi_label_classification"),
    (
        "sst2",
        "generic",
        SST,
        "a.tsv",
        "labels of {file} are negative, positive, the model's LABEL_1, LABEL_0",
    ),
    ("classification", "sst2", many("x", "y"), "a.jsonl", "are x, y, the model's negative, positive"),
    ("regression", "sst2", "text\tscore\na\t1\nb\t2\n", "a.tsv", "predicts classes (negative, positive)"),
    ("multi-label", "sst2", many(["x"]), "a.jsonl", "unknown label 'x'; the labels are: negative, positive"),
    ("sst2", "encoder", SST, "a.tsv", "is a BertModel: classification needs a ...ForSequenceClassification"),
    ("sst2", "question-answering", SST, "a.tsv", "is a BertForQuestionAnswering"),
    ("token-classification", "sst2", TWO, "a.txt", "needs a ...ForTokenClassification"),
    (
        "token-classification",
        "token-classification",
        "a B-X\n",
        "a.txt",
        "types of {file} are X, the model's FUN",
    ),
    ("squad", "sst2", SQUAD, "a.json", "needs a ...ForQuestionAnswering"),
]


@pytest.mark.parametrize(("task", "model", "content", "name", "message"), OTHER_MODELS)
def test_a_model_of_another_task(place, tmp_path, capsys, task, model, content, name, message):
    file = tmp_path / name
    file.write_text(content)
    said = run(capsys, "evaluate", place / model, "--task", task, "--data", file)
    assert message.format(file=file) in said


def test_labels_in_capitals_are_the_tasks(place, capsys):
    said = run(
        capsys, "evaluate", place / "capitals", "--task", "sst2", "--data", place / "train.tsv", code=0
    )
    assert "accuracy" in said


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("generic", "line 2: unknown label 'positive'; the labels are: LABEL_1, LABEL_0"),
        ("question-answering", "is a BertForQuestionAnswering: classification needs"),
        ("regression", "predicts a number, and no classes"),
        ("nowhere", "does not exist"),
    ],
)
def test_a_teacher_of_another_task(place, tmp_path, capsys, teacher, message):
    arguments = ["finetune", place / "encoder", "--task", "sst2", "--train", place / "train.tsv"]
    said = run(capsys, *arguments, "--out", tmp_path / "out", "--distill-from", place / teacher)
    assert message in said
    assert not (tmp_path / "out").exists()


def without_tokenizer(place, to, model):
    to.mkdir()
    for name in ("config.json", "model.safetensors"):
        (to / name).write_bytes((place / model / name).read_bytes())
    return to


def test_a_model_without_tokenizer(place, tmp_path, capsys):
    bare = without_tokenizer(place, tmp_path / "bare", "sst2")
    files = ["--train", place / "train.tsv", "--out", tmp_path / "out"]
    for arguments in (
        ["finetune", bare, "--task", "sst2", *files],
        ["evaluate", bare, "--task", "sst2", "--data", place / "train.tsv"],
        ["predict", bare, "a film"],
        ["embed", bare, place / "train.tsv", "--out", tmp_path / "out" / "v.npy"],
    ):
        assert "holds no tokenizer" in run(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_no_model(place, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_bytes(b"\xff{")
    data = ["--task", "sst2", "--data", place / "train.tsv"]
    assert "is not a model directory" in run(capsys, "evaluate", tmp_path / "empty", *data)
    assert "is not UTF-8 text" in run(capsys, "evaluate", tmp_path / "broken", *data)
    assert "is a file" in run(capsys, "evaluate", place / "train.tsv", *data)


@pytest.mark.parametrize("model", ["sst2", "token-classification", "question-answering"])
def test_scores_that_are_none(place, tmp_path, capsys, model):
    kind, changes = MODELS[model]
    broken = kind(CONFIG.replace(**changes), seed=3)
    for name in broken.params:
        if name.endswith(("classifier.weight", "qa_outputs.weight")):
            broken.params[name][...] = 3e38  # a NaN is refused when it is loaded; this overflows
    broken.save_pretrained(tmp_path / "nan", tokenizer=make_tokenizer(tmp_path / "v"))
    asked = ["--question", "which?"] if model == "question-answering" else []
    assert "outputs hold a NaN or an Inf" in run(capsys, "predict", tmp_path / "nan", "a film", *asked)


# Places


def test_a_place_that_is_taken(place, tmp_path, capsys):
    start = ["finetune", place / "encoder", "--task", "sst2", "--train", place / "train.tsv"]
    start += ["--set", "train.max_steps=1"]
    out = tmp_path / "run"
    run(capsys, *start, "--out", out, code=0)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert "holds another run (recipe.train.lr" in run(capsys, *start, "--lr", "1", "--out", out)
    assert "holds a single run" in run(capsys, *start, "--seeds", "2", "--out", out)
    other = ["finetune", place / "encoder", "--task", "regression", "--train", place / "numbers.tsv"]
    (place / "numbers.tsv").write_text("text\tscore\na film\t1\nb\t2\n")
    assert "task is 'sst2' there, 'regression' here" in run(capsys, *other, "--out", out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (tmp_path / "file").write_text("")
    assert "cannot write" in run(capsys, *start, "--out", tmp_path / "file")
    run(capsys, *start, "--seeds", "1", "--out", tmp_path / "seeds", code=0)
    assert "is there already, and not of this run" in run(capsys, *start, "--out", tmp_path / "seeds")


def test_a_model_is_not_written_over(place, tmp_path, capsys):
    weights = (place / "encoder" / "model.safetensors").read_bytes()
    start = ["finetune", place / "encoder", "--task", "sst2", "--train", place / "train.tsv", "--out"]
    assert "config.json is there already, and not of this run" in run(capsys, *start, place / "encoder")
    assert not (place / "encoder" / "run.json").exists()
    assert (place / "encoder" / "model.safetensors").read_bytes() == weights


USAGE = [
    ("there is no task 'sst3' (did you mean sst2?)", "--task", "sst3"),
    ("format 'xml' is none of", "--task", "sst2", "--set", "data.format=xml"),
    ("max_length must be at least 3", "--task", "sst2", "--set", "data.max_length=2"),
    ("data.separator is empty", "--task", "multi-label", "--set", 'data.separator=""'),
    ("the name does not tell the format", "--task", "classification"),
]


@pytest.mark.parametrize(("message", "arguments"), [(first, rest) for first, *rest in USAGE])
def test_usage(place, tmp_path, capsys, message, arguments):
    file = tmp_path / "data"
    file.write_text(SST)
    start = ["finetune", place / "encoder", "--train", file, "--out", tmp_path / "out", *arguments]
    assert message in run(capsys, *start, code=2)
    assert not (tmp_path / "out").exists()


# Vectors


def test_verbs_of_vectors(place, tmp_path, capsys):
    encoder, good = place / "encoder", tmp_path / "good.txt"
    good.write_text("a film\nthe plot\n")
    files = {
        "empty.txt": (b"", "there are no examples"),
        "garbage.txt": (GARBAGE, "line 1: there is a NUL byte"),
        "utf16.txt": ("a film\n".encode("utf-16"), "line 1: this is UTF-16"),
        "latin.txt": (b"a\n\xe9\n", "line 2: byte 0 of the line is not UTF-8"),
        "half.jsonl": (b'{"text": "\\ud800"}\n', "line 1: it holds half of a surrogate pair"),
        "other.csv": (b"a,b\n1,2\n", "which column holds the text? There are: a, b"),
    }
    for name, (content, message) in files.items():
        bad = tmp_path / name
        bad.write_bytes(content)
        for arguments in (
            ["embed", encoder, bad, "--out", tmp_path / "out" / "v.npy"],
            ["search", encoder, "a film", "--corpus", bad],
            ["cluster", encoder, bad, "--clusters", "2"],
            ["mine-bitext", encoder, good, bad],
            ["align-words", encoder, "--pairs", bad, *([] if name.endswith((".jsonl", ".csv")) else [good])],
        ):
            said = run(capsys, *arguments)
            assert message in said
            assert str(bad) in said
    assert not (tmp_path / "out").exists()
    np.save(tmp_path / "v.npy", np.full((2, 24), np.nan, np.float32))
    search = ["search", encoder, "a film", "--corpus", good, "--vectors"]
    assert "holds a NaN or an Inf" in run(capsys, *search, tmp_path / "v.npy")
    (tmp_path / "v.npy").write_bytes(GARBAGE)
    assert "v.npy: cannot be read" in run(capsys, *search, tmp_path / "v.npy")
    (tmp_path / "v.safetensors").write_bytes(GARBAGE)
    assert "v.safetensors" in run(capsys, *search, tmp_path / "v.safetensors")


# What is odd but no mistake

NOTHING = "\u200b\u200d\ufeff"  # characters, of which the tokenizer leaves none


def test_texts_of_no_tokens(place, tmp_path, capsys):
    (tmp_path / "a.tsv").write_text(SST + NOTHING + "\t1\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": NOTHING, "entities": []}) + "\n" + entity())
    (tmp_path / "a.json").write_text(qa(context=NOTHING, is_impossible=True))
    sets = tmp_path / "sets.jsonl"
    sets.write_text(many(["good"]) + json.dumps({"text": NOTHING, "labels": []}) + "\n")
    for task, name in (
        ("sst2", "a.tsv"), ("token-classification", "a.jsonl"), ("question-answering", "a.json"),
        ("multi-label", "sets.jsonl"),
    ):  # fmt: skip
        found = run(
            capsys, "evaluate", place / task, "--task", task, "--data", tmp_path / name, "--json", code=0
        )
        json.loads(found, parse_constant=pytest.fail)
        if task in ("sst2", "token-classification", "multi-label"):
            start = ["finetune", place / "encoder", "--task", task, "--train", tmp_path / name]
            out = ["--out", tmp_path / f"out-{task}", "--set", "train.max_steps=1"]
            if task == "multi-label":
                continue
            run(capsys, *start, *out, code=0)
    for model, more in (
        ("sst2", []),
        ("token-classification", []),
        ("question-answering", ["--question", "a?"]),
    ):
        found = json.loads(run(capsys, "predict", place / model, NOTHING, "--json", *more, code=0))
        assert found.get("entities", []) == []
        assert found.get("candidates", []) == []
    run(capsys, "embed", place / "encoder", tmp_path / "a.tsv", "--out", tmp_path / "v.npy", code=0)
    run(capsys, "align-words", place / "encoder", NOTHING, "a film", code=0)


def test_numbers_that_never_change(place, tmp_path, capsys):
    """Their correlation is 0 / 0, for which JSON has no word but null."""
    (tmp_path / "a.tsv").write_text("text\tscore\na film\t1\nthe plot\t1\n")
    arguments = ["--task", "regression", "--data", tmp_path / "a.tsv"]
    found = run(capsys, "evaluate", place / "regression", *arguments, "--json", code=0)
    assert json.loads(found, parse_constant=pytest.fail)["pearson"] is None
    out = tmp_path / "out"
    start = ["finetune", place / "encoder", "--task", "regression", "--train", tmp_path / "a.tsv"]
    start += ["--eval", tmp_path / "a.tsv", "--set", "train.max_steps=1", "--out", out, "--json"]
    found = run(capsys, *start, code=0)
    assert json.loads(found, parse_constant=pytest.fail)["models"]["model"]["pearson"] is None
    json.loads((out / "report.json").read_text(), parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def document():
    """A megabyte in one line."""
    text = " ".join(f"the film is {GOOD[i % 4]}" for i in range(56_000))
    assert 10**6 < len(text.encode()) < 2 * 10**6
    return text


def test_a_document_of_a_megabyte(place, tmp_path, capsys, document):
    (tmp_path / "doc.txt").write_text(document)
    for model, more in (("token-classification", []), ("question-answering", ["--question", "which?"])):
        arguments = ["predict", place / model, "-", "--json", *more]
        with pytest.MonkeyPatch.context() as patch, (tmp_path / "doc.txt").open("rb") as file:
            patch.setattr("sys.stdin", type("Stdin", (), {"buffer": file, "isatty": lambda: False}))
            found = json.loads(run(capsys, *arguments, code=0))
        spans = found.get("entities") or found["candidates"]
        assert spans
        assert all(document[s["start"] : s["end"]] == s["text"] for s in spans)
        if "entities" in found:
            assert all(a["end"] <= b["start"] for a, b in pairwise(spans))
            assert spans[-1]["end"] > len(document) * 0.9, "windows reach to the end"


def test_a_long_text_is_cut_with_a_warning(place, tmp_path, capsys, caplog, document):
    table = tmp_path / "a.csv"
    table.write_text(f'sentence,label\n"{document}",1\n"a, film",0\n')
    start = ["evaluate", place / "sst2", "--task", "sst2", "--data", table, "--set", "data.format=csv"]
    run(capsys, *start, code=0)
    assert "1 of 2 texts are longer than 24 tokens and were truncated" in caplog.text
    assert "more than the maximum of 24" in run(
        capsys, "predict", place / "sst2", document, "--no-truncation"
    )


def test_files_stay_as_they_are(place):
    assert Path(place / "train.tsv").read_text() == SST
