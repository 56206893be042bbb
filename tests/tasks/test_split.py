"""The split of a training file: shares of the classes, texts that stay together, and the same every time."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from minidistil.errors import ConfigError
from minidistil.tasks.registry import named_task
from minidistil.tasks.split import TrainingFile, some_of, split_examples


@dataclass(frozen=True)
class Rows:
    """Examples with lists of their own, one that is not of examples, and none."""

    texts: list[str]
    labels: list[str] | None
    ids: list[dict] = field(default_factory=list)
    path: str = "file"

    def __len__(self):
        return len(self.texts)


def split(texts, labels, share=None):
    return split_examples(Rows(texts, labels), texts, [(label,) for label in labels], share)


def many(sizes):
    """Texts, all different, of classes of some sizes."""
    labels = [name for name, size in sizes.items() for _ in range(size)]
    return [f"text {i}" for i in range(len(labels))], labels


@pytest.mark.parametrize("share", [None, 0.1, 0.25, 0.5, 0.9])
def test_each_class_has_its_share(share):
    sizes = {"a": 200, "b": 50, "c": 750}
    texts, labels = many(sizes)
    parts = split(texts, labels, share)
    assert len(parts.held_out) == round(1000 * (share or 0.1))
    counts = Counter(parts.held_out.labels)
    for name, size in sizes.items():
        assert abs(counts[name] - size * (share or 0.1)) <= 1
    assert sorted([*parts.train.texts, *parts.held_out.texts]) == sorted(texts)
    assert parts.train.texts == [t for t in texts if t in set(parts.train.texts)], "in the order of the file"


def test_it_is_the_same_every_time_and_at_random():
    texts, labels = many({"a": 150, "b": 150})
    first, second = split(texts, labels), split(texts, labels)
    assert first.held_out == second.held_out
    places = [texts.index(text) for text in first.held_out.texts]
    assert len({b - a for a, b in pairwise(places)}) > 5, "not every tenth line"


def test_a_large_file_keeps_two_thousand():
    texts, labels = many({"a": 30_000, "b": 10_000})
    parts = split(texts, labels)
    assert len(parts.held_out) == 2_000
    assert Counter(parts.held_out.labels) == {"a": 1500, "b": 500}
    assert len(split(texts, labels, 0.1).held_out) == 4_000, "a share that is set is that share"


@pytest.mark.parametrize(("count", "kept"), [(20, None), (94, None), (95, 10), (100, 10), (120, 12)])
def test_a_small_file_is_not_split(count, kept):
    texts, labels = many({"a": count // 2, "b": count - count // 2})
    parts = split(texts, labels)
    assert (None if parts is None else len(parts.held_out)) == kept


def test_a_share_that_is_set_splits_a_small_file_too():
    texts, labels = many({"a": 3, "b": 3})
    parts = split(texts, labels, 0.2)
    assert (len(parts.train), len(parts.held_out)) == (5, 1)
    assert split(texts, labels, 0) is None
    assert split(["only one"], ["a"], 0.5) is None
    assert split([], []) is None


def test_texts_that_are_alike_stay_together():
    texts = [f"text {i % 200}" for i in range(1000)]
    parts = split(texts, ["a", "b"] * 500)
    assert len(parts.held_out) == 100
    assert not set(parts.train.texts) & set(parts.held_out.texts)
    assert split(["one text"] * 1000, ["a", "b"] * 500) is None


def test_a_class_is_never_only_measured():
    texts, labels = many({"a": 300, **{f"rare {i}": 1 for i in range(100)}})
    parts = split(texts, labels, 0.3)
    assert set(parts.held_out.labels) == {"a"}
    assert {f"rare {i}" for i in range(100)} <= set(parts.train.labels)


def test_lists_that_are_not_of_examples_stay():
    rows = Rows(["a", "b", "c"], None, [])
    assert some_of(rows, [2, 0]) == Rows(["c", "a"], None, [])


@pytest.mark.parametrize("share", [-0.1, 1.0, 2])
def test_a_share_that_is_none(share):
    with pytest.raises(ConfigError, match=r"data.split is .*: expected a share of at least 0 and less than"):
        TrainingFile(split=share)


def write(path, text):
    path.write_text(text)
    return path


FILES = {
    "classification": ("a.jsonl", '{{"text": "text {i}", "label": "{c}"}}\n'),
    "multi-label": ("a.jsonl", '{{"text": "text {i}", "labels": ["{c}", "all"]}}\n'),
    "regression": ("a.jsonl", '{{"text": "text {i}", "score": {i}.5}}\n'),
    "intents": ("a.jsonl", '{{"text": "text {i}", "intent": "{c}"}}\n'),
    "token-classification": ("a.jsonl", '{{"tokens": ["a", "t{i}"], "ner_tags": ["O", "B-{c}"]}}\n'),
    "question-answering": (
        "a.jsonl",
        '{{"id": "{i}", "context": "text {g}", "question": "which?", '
        '"answers": {{"text": ["text"], "answer_start": [0]}}}}\n',
    ),
    "masked-lm": ("a.txt", "text {i}\n"),
    "multiple-choice": ("a.jsonl", '{{"context": "text {g}", "choices": ["a", "b"], "label": 1}}\n'),
    "summarization": ("a.jsonl", '{{"document": "text {i}. More.", "summary": "text {i}"}}\n'),
    "trec": ("a.txt", "{c}:other Which text {i} ?\n"),
    "snli": ("a.jsonl", '{{"sentence1": "text {g}", "sentence2": "other {i}", "gold_label": "{nli}"}}\n'),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_task(tmp_path, name):
    file, line = FILES[name]
    rows = []
    for i in range(240):
        c = ["NUM", "LOC", "HUM"][i % 3]
        nli = ["entailment", "neutral", "contradiction"][i % 3]
        rows.append(line.format(i=i, c=c, g=i // 2, nli=nli))
    task = named_task(name, TrainingFile())
    examples = task.read(write(tmp_path / file, "".join(rows)))
    texts, classes = task.shared_texts(examples), task.classes_of(examples)
    parts = split_examples(examples, texts, classes, None)
    assert type(parts.train) is type(parts.held_out) is type(examples)
    assert len(parts.train) + len(parts.held_out) == len(examples) == 240
    assert len(parts.held_out) == 24
    assert not set(task.shared_texts(parts.train)) & set(task.shared_texts(parts.held_out))
    if any(classes):
        assert len({*task.classes_of(parts.held_out)}) == 3
    again = split_examples(task.read(tmp_path / file), texts, classes, None)
    assert again == parts
