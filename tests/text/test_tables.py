"""What people's files are like: rows of other keys, JSON in arrays, names of classes, sizes without bound."""

import gzip
import io
import json
import sys
import time
from types import SimpleNamespace

import pyarrow
import pytest
from pyarrow import parquet

from minidistil.errors import DataError, UsageError
from minidistil.text import sources
from minidistil.text.json_text import parse_json
from minidistil.text.readers import read_examples
from minidistil.text.sources import opened, read_text
from minidistil.text.tables import read_rows


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Keys of rows


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            {"text": "a"},
            {"text": "b", "text_pair": "c"},
            ".*'text_pair' is here, and line 1, .* no pair",
        ),
        ({"text": "a", "text_pair": "c"}, {"text": "b"}, "no key 'text_pair'; this line has: text"),
        (
            {"sentence": "a"},
            {"sentence": "b", "text": "c"},
            ".*'text' is here, .* 'sentence' for the text",
        ),
        ({"text": "a"}, {"text": "b", "label": 1}, "the key 'label' is here, .* has no label"),
        ({"text": "a", "score": 1}, {"text": "b", "score": 2, "label": 1}, ".* has 'score' for the label"),
        ({"text": "a"}, {"test": "b"}, "no key 'text'"),
    ],
)
def test_every_row_has_the_columns_of_the_first(tmp_path, first, second, says):
    path = written(tmp_path / "a.jsonl", f"{json.dumps(first)}\n\n{json.dumps(second)}\n")
    with pytest.raises(DataError, match=f"line 3: {says}"):
        read_examples(path)


def test_keys_that_play_no_role_may_come_and_go(tmp_path):
    rows = [{"text": "a", "id": 1}, {"note": "x", "text": "b"}, {"ID": None, "label": 1, "text": "c"}]
    path = written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = read_examples(path, text="text", usual_labels=(), usual_ids=("id",))
    assert (found.texts, found.ids) == (["a", "b", "c"], [{"id": 1}, {}, {"ID": None}])


def test_columns_are_told(tmp_path):
    path = written(tmp_path / "a.csv", "sentence1,sentence2,score\na,b,1\n")
    assert read_examples(path).columns == {"text": "sentence1", "pair": "sentence2", "label": "score"}
    assert read_examples(path, text=1).columns == {"text": "sentence2", "label": "score"}


# Empty texts


def test_an_empty_text_is_an_error_to_learn_from_and_a_text_to_answer(tmp_path):
    path = written(tmp_path / "a.csv", 'text,label\na,1\n"",0\n\n , \nb,1\n')
    with pytest.raises(DataError, match="line 3: the text is empty"):
        read_examples(path)
    found = read_examples(path, empty=True)
    assert (found.texts, found.lines) == (["a", "", " ", "b"], [2, 3, 5, 6])
    assert read_examples(path, skip_broken=True).lines == [2, 6]
    one = written(tmp_path / "b.csv", 'text\na\n\n""\nb\n')
    assert read_examples(one, empty=True).lines == [2, 3, 4, 5]
    nothing = written(tmp_path / "c.jsonl", '{"text": "a"}\n{"text": null}\n\n{"text": NaN}\n')
    assert read_examples(nothing, empty=True).texts == ["a", "", ""]
    assert read_examples(written(tmp_path / "d.txt", "a\n\n\nb\n"), empty=True).lines == [1, 2, 3, 4]


# JSON


def test_an_array_of_rows(tmp_path):
    rows = [{"text": "a\nb", "label": 1}, {"text": "c\u2028", "label": 0}]
    for content, lines in ((json.dumps(rows), [1, 1]), (json.dumps(rows, indent=1), [2, 6])):
        for name in ("a.json", "a.jsonl"):
            found = read_examples(written(tmp_path / name, content))
            assert (found.texts, found.labels, found.lines) == (["a\nb", "c\u2028"], [1, 0], lines)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert read_examples(written(tmp_path / "b.json", lines)).lines == [1, 2]
    with pytest.raises(DataError, match="there are no examples"):
        read_examples(written(tmp_path / "b.json", "[]"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"text": "a"},\n{"text": "b"}\n{"text": "c"}]', "line 3: not valid JSON: Expecting ',' delimiter"),
        ('[{"text": "a"},\n{"text" "b"}]', "line 2: not valid JSON"),
        (
            '[{"text": "a"}\n]\n{}',
            "line 3: not valid JSON: Expecting nothing more after",
        ),
        ('[{"text": "a"},\n{"text": "\\ud800"}]', "line 2: it holds half of a surrogate pair"),
        ('[{"text": "a"},\n{"a": 1, "a": 2}]', "line 2: two entries of an object are called 'a'"),
        ('[{"text": "a"},\n' + "[" * 100_000, "line 2: JSON that cannot be read"),
        ('[{"text": "a"},\n2]', "line 2: an array of JSON objects is expected, not of a int"),
        ('[{"text": "a"}', "line 1: not valid JSON"),
        ('{"text": "a", "label": 1, "label": 2}\n', "line 1: two entries of an object are called 'label'"),
    ],
)
def test_bad_json(tmp_path, content, says):
    with pytest.raises(DataError, match=says):
        read_examples(written(tmp_path / "a.json", content))


def test_a_key_twice_deep_inside():
    with pytest.raises(DataError, match=r"^x: two entries of an object are called 'id'"):
        parse_json('{"data": [\n{"id": 1, "id": 1}]}', "x")


# Tables


def test_cells_to_spare_behind_the_columns_of_a_tsv_without_names(tmp_path, caplog):
    path = written(tmp_path / "sts.tsv", "m\t1\ta\tb\nm\t2\tc\td\tx\ty\nm\t3\te\n")
    options = {"header": False, "text": 2, "label": 1}
    assert read_examples(path, **options).texts == ["a", "c", "e"]
    assert "the first line has 4 cells; so many lines have more: 1, the first of them line 2" in caplog.text
    with pytest.raises(DataError, match="line 3: no key '3'; this line has: 0, 1, 2"):
        read_examples(path, pair=3, **options)


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("a.csv", "a\tb\nc\td\n", {"text": "a"}, r"no column 'a'.*; say format=tsv"),
        ("a.csv", "a\t1\nb\t2\n", {"text": 1, "header": False}, r"no column '1'.*; say format=tsv"),
        ("a.csv", "text;label\na;1\n", {}, "which column holds the text.* not semicolons"),
        ("a.txt", "text\tlabel\na\t1\n", {"label": "label"}, "plain text, a text a line; say format=tsv"),
        ("a.csv", "a film,1\nb,2\n", {}, "There are: a film, 1; say text=NAME, or header=false"),
        ("a.csv", "text,label\na,1\n", {"text": "text", "header": False}, "say header=true"),
        ("a.csv", "text,x\na,1\n", {"label": "score"}, "no column 'score'.*So this file has no labels"),
        ("a.en", "a\n", {}, r"does not tell the format; say format=csv\|tsv\|jsonl\|parquet\|text"),
    ],
)
def test_what_to_do_is_said(tmp_path, name, content, options, says):
    with pytest.raises((DataError, UsageError), match=says):
        read_examples(written(tmp_path / name, content), **options)


# Parquet


def test_names_of_classes(tmp_path):
    label = {"names": ["bad", "good"], "_type": "ClassLabel"}
    features = {
        "label": label,
        "tags": {"feature": label, "_type": "List"},
        "old": [label],
        "text": {"dtype": "string", "_type": "Value"},
    }
    table = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], None], "old": [[1], [0], []]}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table(table).replace_schema_metadata(metadata), path)
    rows = [row for _, row in read_rows(path)]
    assert [row["label"] for row in rows] == ["good", "bad", None]
    assert [row["tags"] for row in rows] == [["bad", "good"], [], None]
    assert [row["old"] for row in rows] == [["good"], ["bad"], []]
    table["label"] = [1, 0, 2]
    parquet.write_table(pyarrow.table(table).replace_schema_metadata(metadata), path)
    with pytest.raises(DataError, match="'label' has the class 2, and its schema has names for 0 to 1"):
        list(read_rows(path))
    for damaged in ("{", "[]", json.dumps({"info": {"features": [1]}})):
        parquet.write_table(pyarrow.table(table).replace_schema_metadata({"huggingface": damaged}), path)
        assert read_examples(path).labels == [1, 0, 2]


def test_two_parquet_columns_of_one_name(tmp_path):
    columns = [pyarrow.array(["a"]), pyarrow.array(["b"])]
    parquet.write_table(pyarrow.table(columns, names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="two columns are called 'text'"):
        read_examples(tmp_path / "a.parquet")


# Sizes


def test_many_columns_take_linear_time(tmp_path, monkeypatch):
    names = [f"c{i}" for i in range(100_000)]
    path = written(tmp_path / "a.tsv", "\t".join(["text", *names]) + "\n" + "\t".join(["a", *names]) + "\n")
    began = time.process_time()
    assert read_examples(path).texts == ["a"]
    with pytest.raises(DataError) as caught:
        read_examples(path, text="c")
    assert len(str(caught.value)) < 2000, "a message lists some names"
    assert time.process_time() - began < 20, "quadratic time would be minutes"
    names[-1] = "c7"
    with pytest.raises(DataError, match="two columns are called 'c7'"):
        read_examples(written(path, "\t".join(names) + "\n"))


def test_lines_and_files_have_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST_LINE", 100)
    monkeypatch.setattr("minidistil.text.tables.LONGEST_LINE", 100)
    long = written(tmp_path / "a.txt", "b\n" + "a" * 101)
    with pytest.raises(DataError, match="line 2: the line is longer than 100 bytes, the most that is read"):
        read_examples(long)
    cell = written(tmp_path / "a.csv", 'text\n"' + ("a" * 50 + "\n") * 3 + '"\n')
    with pytest.raises(DataError, match=r"line 2: not valid CSV: field larger than field limit \(100\)"):
        read_examples(cell)
    monkeypatch.setattr(sources, "LONGEST_FILE", 120)
    lines = written(tmp_path / "b.txt", "a film\n" * 20)
    with pytest.raises(DataError, match="larger than 120 bytes"):
        read_text(lines)
    with pytest.raises(DataError, match="larger than 120 bytes"):
        read_examples(written(tmp_path / "a.json", "[" + '{"text": "a"},\n' * 20))


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "UNPACKED_FREELY", 1 << 16)
    monkeypatch.setattr(sources, "UNPACKED_TIMES", 50)
    bomb = gzip.compress(b"a film\n" * 200_000)
    with pytest.raises(DataError, match="unpacks to more than 50 times its size"):
        read_examples(written(tmp_path / "a.txt.gz", bomb))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(bomb))))
    with pytest.raises(DataError, match="standard input: it unpacks"):
        read_examples("-")
    text = "".join(f"film {i}\n" for i in range(50_000)).encode()
    with opened(written(tmp_path / "b.gz", gzip.compress(text)), str(tmp_path / "b.gz")) as file:
        assert file.read() == text
    monkeypatch.setattr(sources, "MOST_BLANK", 1000)
    with pytest.raises(DataError, match="more than 1,000 blank lines"):
        read_text(written(tmp_path / "c.txt", "a\n" + "\r\n" * 1001))
