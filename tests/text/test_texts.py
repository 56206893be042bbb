"""Texts in whatever form callers have them, and what is no row of texts."""

from pathlib import Path

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_tokenizer

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import InputError, MinidistilError
from minidistil.model import BertForSequenceClassification
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.text.dataset import Dataset
from minidistil.text.texts import as_texts

TEXTS = ["the warm film", "a dull plot"]


class Table:
    """As a data frame: its items are the names of its columns."""

    columns = ("text", "id")
    ndim = 2

    def __iter__(self):
        return iter(self.columns)


class Column:
    """As a column of a data frame, which has keys and items too."""

    ndim = 1

    def keys(self):
        return range(2)

    def __iter__(self):
        return iter(TEXTS)


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """All that takes texts, as functions of them."""
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    model = BertForSequenceClassification(CONFIG.replace(id2label=LABELS), backend="numpy")
    classify, encoder = ClassificationTask.bind(model, tokenizer), SentenceEncoder(model, tokenizer)
    return {
        "classify": lambda texts: [p.scores for p in classify(texts)],
        "encode": lambda texts: encoder.encode(texts).tolist(),
        "tokenize": lambda texts: [ids.tolist() for ids in tokenizer.encode(texts).input_ids],
        "dataset": lambda texts: Dataset.from_texts(tokenizer, texts).input_ids.tolist(),
        "flat": lambda texts: [part.tolist() for part in tokenizer.encode_flat(texts)],
        "spans": lambda texts: tokenizer.encode_spans(texts).ids.tolist(),
    }


ENTRIES = ["classify", "encode", "tokenize", "dataset", "flat", "spans"]


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_takes_what_has_an_order(entries, name):
    entry, expected = entries[name], entries[name](TEXTS)
    for texts in (
        tuple(TEXTS),
        np.array(TEXTS),
        iter(TEXTS),
        (t for t in TEXTS),
        Column(),
        dict.fromkeys(TEXTS).keys(),
    ):
        assert entry(texts) == expected


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize(
    "texts",
    [
        Table(),
        {"review": TEXTS},
        set(TEXTS),
        b"text",
        None,
        float("nan"),
        5,
        np.array([TEXTS]),
        [TEXTS],
        [b"a"],
        Path("a"),
    ],
)
def test_no_entry_takes_anything_else(entries, name, texts):
    with pytest.raises(InputError, match="texts"):
        entries[name](texts)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (Table(), r'texts are a Table: give one of its columns, such as table\["text"\]'),
        ({"text": TEXTS}, "texts are a dict: give one of its columns"),
        ([*TEXTS, None], r"texts\[2\] is not a string but NoneType"),
        ([*TEXTS, float("nan")], r"texts\[2\] is not a string but float: nan"),
        ([b"a"], r"texts\[0\] is not a string but bytes: b'a'"),
        (["a", "\ud800"], r"texts\[1\] holds half of a surrogate pair"),
        (None, "must be a list, an array or an iterator of strings, not NoneType"),
        (np.array([TEXTS]), "not ndarray of 2 dimensions"),
        ("one", "put the one string in a list"),
    ],
)
def test_messages_say_what_and_where(texts, message):
    with pytest.raises(InputError, match=message):
        as_texts("texts", texts)


def test_one_text_where_it_is_taken():
    assert as_texts("texts", "one", one=True) == ["one"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: ClassificationTask.bind(None, None),
        lambda: ClassificationTask.bind(BertForSequenceClassification(CONFIG, backend="numpy"), "tokenizer"),
        lambda: SentenceEncoder(None, None),
        lambda: SentenceEncoder.from_pretrained(None),
        lambda: BertForSequenceClassification.from_pretrained(5),
        lambda: BertForSequenceClassification(CONFIG, backend="numpy", seed="x"),
        lambda: BertForSequenceClassification(CONFIG, backend="numpy").save_pretrained(None),
    ],
)
def test_models_and_paths_of_another_type(call):
    with pytest.raises(MinidistilError, match=r"must be .*, not (NoneType|str|int|'x')"):
        call()
