"""Data files, good and bad: every complaint names file and line."""

from __future__ import annotations

import gzip
import io
import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from minidistil.errors import DataError, UsageError
from minidistil.jobs.sources import examples_hash
from minidistil.tasks.registry import named_task
from minidistil.text.labels import LabelMap, encode_numbers
from minidistil.text.readers import PAIRS, Examples, read_examples


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        content = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def test_csv(write):
    path = write("a.csv", '\ufefftext,label\r\n"well, ""fine""",1\r\n\r\n"two\r\nlines",0\r\nnaïve,1\r\n')
    examples = read_examples(path)
    assert examples.texts == ['well, "fine"', "two\r\nlines", "naïve"]
    assert examples.labels == ["1", "0", "1"]
    assert examples.lines == [2, 4, 6]
    assert examples.pairs is None
    assert examples.path == str(path)


def test_parquet(tmp_path, write, monkeypatch):
    path = tmp_path / "a.parquet"
    table = {"text": ["a film", 'the "plot"'], "label": [1, 0], "other": [None, [1, 2]]}
    parquet.write_table(pyarrow.table(table), path)
    examples = read_examples(path)
    assert (examples.texts, examples.labels, examples.lines) == (["a film", 'the "plot"'], [1, 0], [1, 2])
    with pytest.raises(DataError, match="no column 'words'"):
        read_examples(path, text="words")
    with pytest.raises(DataError, match="not a parquet file"):
        read_examples(write("b.parquet", "text"))
    for unit, far in (("ns", 1), ("us", 10**18)):  # that Python, without pandas, has no type for
        table["other"] = pyarrow.array([far, None], pyarrow.timestamp(unit))
        parquet.write_table(pyarrow.table(table), path)
        assert read_examples(path).texts == examples.texts
    damaged = bytearray(path.read_bytes())
    damaged[4:60] = bytes(56)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"(cannot be read|not a parquet file): (?!None)."):
        read_examples(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'minidistil\[parquet\]'"):
        read_examples(path)


def test_tsv_quotes_mean_nothing(write):
    examples = read_examples(write("a.tsv", 'sentence\tlabel\n"open and\t1\nhe said ""no""\t0\n\n'))
    assert examples.texts == ['"open and', 'he said ""no""']
    assert examples.lines == [2, 3]


def test_jsonl(write):
    first = '{"premise": "a", "hypothesis": "b", "label": 2}'
    second = '{"label": true, "premise": "c", "hypothesis": "d"}'
    examples = read_examples(write("a.jsonl", f"{first}\n\n{second}\n"))
    assert (examples.texts, examples.pairs, examples.labels) == (["a", "c"], ["b", "d"], [2, True])
    assert examples.lines == [1, 3]


def test_text(write):
    examples = read_examples(write("a.txt", "one\r\n\r\n  two\u2028still two\n   \nthree"))
    assert examples.texts == ["one", "  two\u2028still two", "three"]
    assert examples.lines == [1, 3, 5]
    assert examples.labels is None


def test_gzip_and_stdin(write, monkeypatch):
    assert read_examples(write("a.csv.gz", "text\nhello\n")).texts == ["hello"]
    packed = io.BufferedReader(io.BytesIO(gzip.compress(b"one\ntwo\n")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(packed))
    assert read_examples("-").texts == ["one", "two"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    examples = read_examples("-")
    assert examples.texts == ["one", "two"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text\n\xff\n")))
    with pytest.raises(DataError, match=r"^standard input, line 2: "):
        read_examples("-", format="csv")


def test_columns(write):
    path = write("a.tsv", "Quality\t#1 String\t#2 String\n1\ta\tb\n")
    examples = read_examples(path, text="#1 String", pair=2, label="0")
    assert (examples.texts, examples.pairs, examples.labels) == (["a"], ["b"], ["1"])
    headless = read_examples(
        write("b.tsv", "gj04\t1\t\tfirst\ngj04\t0\t*\tsecond\n"), text=3, label=1, header=False
    )
    assert (headless.texts, headless.labels) == (["first", "second"], ["1", "0"])
    unlabelled = read_examples(write("c.tsv", "sentence1\tsentence2\na\tb\n"))
    assert (unlabelled.pairs, unlabelled.labels) == (["b"], None)


def test_the_columns_of_every_kind_of_pair_are_found(write):
    for first, second in PAIRS:
        found = read_examples(write("a.tsv", f"index\t{first}\t{second}\tlabel\n0\ta\tb\t1\n"))
        assert (found.texts, found.pairs) == (["a"], ["b"])


def test_labels_are_looked_for_where_they_are_wanted(write):
    path = write("a.jsonl", '{"text": "a", "score": 1}\n{"text": "b"}\n')
    assert read_examples(path, usual_labels=()).texts == ["a", "b"]
    with pytest.raises(DataError, match="line 2: no key 'score'"):
        read_examples(path)
    with pytest.raises(DataError, match="there is no label column"):
        named_task("classification").config_overrides(named_task("classification").read(path))


def test_a_chosen_text_column_takes_no_pair_along(write):
    path = write("a.csv", "sentence1,sentence2\na,b\n")
    assert read_examples(path, text="sentence1").pairs is None


def test_whole_rows_are_kept_where_that_is_asked_for(write):
    path = write("a.csv", "text,label,note\na,1,x\nb,2,y\nc,1,z\n")
    assert read_examples(path).rows == []
    found = read_examples(path, keep_rows=True)
    assert found.rows[1] == {"text": "b", "label": "2", "note": "y"}
    assert [row["note"] for row in found.subset([2, 0]).rows] == ["z", "x"]
    assert examples_hash(found) == examples_hash(read_examples(path)), "what is learnt is the same"


def test_a_column_for_each_label(write):
    path = write("a.csv", "id,words,bad,rude\n1,a,1,0\n2,b, 0 ,0\n3,c,1.0,TRUE\n")
    examples = read_examples(path, text="words", label_columns=("rude", "bad"))
    assert examples.labels == [["bad"], [], ["rude", "bad"]]
    assert examples.subset([2, 0]).labels == [["rude", "bad"], ["bad"]]
    assert examples.subset([2, 0]).lines == [4, 2]
    with pytest.raises(DataError, match=r"no column 'rud'.*Did you mean 'rude'"):
        read_examples(path, text="words", label_columns=("rud",))
    path = write("b.jsonl", '{"text": "a", "bad": true}\n{"text": "b", "bad": 0}\n{"text": "c", "bad": -1}\n')
    with pytest.raises(DataError, match="line 3: column 'bad' should hold 0 or 1, not -1"):
        read_examples(path, label_columns=("bad",))


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("a.csv", "text,label\na,1\nb\n", {}, "line 3: 1 cells where there should be 2"),
        ("a.csv", "text\n\n\n\n\nb,c\n", {}, "line 6: 2 cells"),
        ("a.csv", 'text\nfine\n"open', {}, "line 3: not valid CSV"),
        ("a.tsv", "text\tlabel\na\t1\t2\n", {}, "line 2: 3 cells"),
        (
            "a.csv",
            "text,lable\na,1\n",
            {"label": "label"},
            "no column 'label'.*text, lable.*Did you mean 'lable'",
        ),
        ("a.csv", "text,label\na,1\n", {"text": 2}, "no column '2'. There are: text, label"),
        ("a.csv", "words,label\na,1\n", {}, "which column holds the text.*words, label"),
        ("a.csv", "text,label\n,1\n", {}, "line 2: the text is empty"),
        ("a.txt", b"ok\nb\xe9d\n", {}, "line 2: byte 1 of the line is not UTF-8"),
        ("a.csv", b'text\n"two\nb\xe9d"\n', {}, "line 3: byte 1"),
        ("a.txt", b"\xff\xfea\0", {}, "UTF-16"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"\n', {}, "line 2: not valid JSON.*column 13"),
        ("a.jsonl", '["a"]\n', {}, "line 1: an array of JSON objects is expected, not of a str"),
        ("a.jsonl", '{"text": "a"}\n{"test": "b"}\n', {}, "line 2: no key 'text'; this line has: test"),
        ("a.jsonl", '{"text": 5}\n', {}, "line 1: column 'text' should hold text, not 5"),
        ("a.txt", "", {}, "no examples"),
        ("a.csv", "text,label\n", {}, "no examples"),
        ("a.jsonl", "\n\n", {}, "no examples"),
    ],
)
def test_bad_files(write, name, content, options, says):
    path = write(name, content)
    with pytest.raises(DataError, match=says) as raised:
        read_examples(path, **options)
    assert str(raised.value).startswith(str(path))


def test_bad_gzip(write, tmp_path):
    whole = gzip.compress(b"text\n" + bytes(range(32, 127)) * 50)
    for content in (whole[:-20], b"not gzip", whole[:12] + b"\xff" * 30):
        path = write("a.txt", content).rename(tmp_path / "a.txt.gz")
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_examples(path)


def test_unreadable(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read: No such file"):
        read_examples(tmp_path / "nothing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_examples(tmp_path / "folder.csv")
    with pytest.raises(UsageError, match=r"does not tell the format; say format=csv\|tsv"):
        read_examples(tmp_path / "data.docx")
    with pytest.raises(UsageError, match="'xml' is none of csv, tsv, jsonl, parquet, text"):
        read_examples(tmp_path / "data.csv", format="xml")


# Labels


def examples(*labels):
    return Examples(["x"] * len(labels), None, list(labels), [i + 2 for i in range(len(labels))], "a.csv")


def test_whole_numbers_keep_their_order():
    assert LabelMap.fit(["10", "2", "0", "2"]).names == ("0", "2", "10")
    assert LabelMap.fit([1, 0, 2.0, True]).names == ("0", "1", "2")
    assert LabelMap.fit(["1", "-1"]).names == ("-1", "1")
    assert LabelMap.fit(["b", "a", "", "1", None]).names == ("1", "a", "b")


def test_a_name_of_thousands_of_digits_is_a_name():
    assert LabelMap.fit(["9" * 5000, "1"]).names == ("1", "9" * 5000)


def test_encode():
    labels = LabelMap(("negative", "positive"))
    encoded = labels.encode(examples("positive", " negative", "positive"))
    assert encoded.tolist() == [1, 0, 1]
    assert encoded.dtype == np.int64
    assert LabelMap.fit(["0", "1"]).encode(examples(1, True, 0.0, "1")).tolist() == [1, 1, 0, 1]
    with pytest.raises(DataError, match=r"^a.csv, line 3: unknown label 'postive'.*Did you mean 'positive'"):
        labels.encode(examples("positive", "postive"))
    with pytest.raises(DataError, match=r"line 2: the label is empty"):
        labels.encode(examples(""))
    with pytest.raises(DataError, match=r"^a\.csv: there is no label column"):
        labels.encode(Examples(["x"], None, None, [1], "a.csv"))


def test_sets():
    labels = LabelMap.fit_sets(["toxic, rude", ["kind"], "", []])
    assert labels.names == ("kind", "rude", "toxic")
    encoded = labels.encode_sets(examples("rude,toxic", ["kind", "rude"], "", []))
    assert encoded.tolist() == [[0, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert encoded.dtype == np.float32
    assert labels.encode_sets(examples("rude|toxic"), separator="|").tolist() == [[0, 1, 1]]
    with pytest.raises(DataError, match="line 3: unknown label 'mild'"):
        labels.encode_sets(examples("rude", "mild"))


def test_numbers():
    assert encode_numbers(examples("2.5", 3, "-1e1")).tolist() == [2.5, 3.0, -10.0]
    for bad in ("many", "", "nan", "inf", None, [1], 10**400, "1e39", "1_0"):
        with pytest.raises(DataError, match=r"a.csv, line 3: a number is expected"):
            encode_numbers(examples("1", bad))
