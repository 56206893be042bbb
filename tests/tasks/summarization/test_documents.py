"""Documents and summaries, out of the files that people hand out."""

import json

import pytest

from minidistil.errors import DataError
from minidistil.tasks.summarization.documents import read_documents


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_usual_names(tmp_path):
    path = tmp_path / "d.jsonl"
    dialogsum = {
        "fname": "x",
        "dialogue": "#A#: Hi.\n#B#: Yo.",
        "summary1": "s",
        "topic1": "t",
        "summary2": "u",
    }
    found = read_documents(write(path, dialogsum, dialogsum))
    assert (found.texts, found.summaries) == (["#A#: Hi.\n#B#: Yo."] * 2, [["s", "u"]] * 2)
    assert (found.lines, len(found)) == ([1, 2], 2)
    found = read_documents(write(path, {"article": "a", "highlights": "b\nc", "id": 1}))
    assert (found.texts, found.summaries) == (["a"], [["b\nc"]])
    found = read_documents(write(path, {"text": "a", "document": "b", "summaries": ["c", "d"]}))
    assert (found.texts, found.summaries) == (["b"], [["c", "d"]])
    assert read_documents(write(path, {"text": "a"})).summaries == [[]]


def test_named_columns_and_tables(tmp_path):
    path = write(tmp_path / "d.jsonl", {"body": "a", "tldr": "b", "summary": "c"})
    assert read_documents(path, text="body", summary="tldr").summaries == [["b"]]
    assert read_documents(path, text="summary", summary="tldr").texts == ["c"]
    found = read_documents(path, text="summary")
    assert (found.texts, found.summaries) == (["c"], [[]]), "a document is not its own summary"
    assert read_documents(path, text=0).summaries == [["c"]]
    table = tmp_path / "d.csv"
    table.write_text('document,summary\n"two\nlines",b\n')
    assert read_documents(table).texts == ["two\nlines"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"body": "a"}], {}, "which column holds the document. There are: body"),
        ([{"text": "a"}], {"summary": "tldr"}, "no column 'tldr'"),
        ([{"text": "a"}, {"text": " "}], {}, "line 2: 'text' should hold a document, not ' '"),
        ([{"text": ["a"]}], {}, "line 1: 'text' should hold a document"),
        ([{"text": "a", "summary": "b"}, {"text": "a"}], {}, "line 2: no key 'summary'"),
        ([{"text": "a", "summary": ["b", 3]}], {}, "line 1: 'summary' should hold a summary, not"),
        ([{"text": "a", "summary": ""}], {}, "line 1: 'summary' should hold a summary, not ''"),
        ([], {}, "no documents"),
    ],
)
def test_what_is_refused(tmp_path, rows, options, message):
    with pytest.raises(DataError, match=message):
        read_documents(write(tmp_path / "d.jsonl", *rows), **options)
