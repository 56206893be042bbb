"""`minidistil tokenize`: pieces, ids, characters, what is special, and what is cut."""

import json

import pytest
from tiny import VOCABULARY, make_tokenizer

from minidistil.cli.main import main


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    here = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(here)
    return str(here)  # a tokenizer, and no model


def say(capsys, *arguments):
    assert main(["tokenize", *arguments, "-q"]) == 0
    return capsys.readouterr().out


def test_a_table(tokenizer, capsys):
    """By hand: film is whole, filmly is film and ##ly, zzz is unknown, [MASK] is a token of its own."""
    number = VOCABULARY.index
    lines = [line.split() for line in say(capsys, tokenizer, "Film filmly [MASK] zzz").splitlines()]
    assert lines == [
        ["token", "id", "characters", "word", "type"],
        ["0", "[CLS]", "2", "0", "special"],
        ["1", "film", str(number("film")), "0-4", "0", "0"],
        ["2", "film", str(number("film")), "5-9", "1", "0"],
        ["3", "##ly", str(number("##ly")), "9-11", "1", "0"],
        ["4", "[MASK]", "4", "12-18", "2", "0", "special"],
        ["5", "[UNK]", "1", "19-22", "3", "0"],
        ["6", "[SEP]", "3", "0", "special"],
    ]


def test_columns_are_aligned(tokenizer, capsys):
    lines = say(capsys, tokenizer, "a film").splitlines()
    end = lines[0].index("id") + 2
    assert all(line[end - 1].isdigit() and line[end] == " " for line in lines[1:])


def test_json_of_a_pair(tokenizer, capsys):
    found = json.loads(say(capsys, tokenizer, "a film", "--pair", "is warm", "--json"))
    assert (found["text"], found["pair"]) == ("a film", "is warm")
    tokens = found["tokens"]
    assert [t["token"] for t in tokens] == ["[CLS]", "a", "film", "[SEP]", "is", "warm", "[SEP]"]
    assert [t["type"] for t in tokens] == [0, 0, 0, 0, 1, 1, 1]
    assert [t["text"] for t in tokens] == [None, 0, 0, None, 1, 1, None]
    assert [(t["start"], t["end"]) for t in tokens[3:6]] == [(None, None), (0, 2), (3, 7)]
    assert [t["special"] for t in tokens] == [True, False, False, True, False, False, True]
    assert [VOCABULARY[t["id"]] for t in tokens] == [t["token"] for t in tokens]
    assert not any(t["cut"] for t in tokens)


def test_what_is_cut_off_is_shown(tokenizer, capsys):
    found = json.loads(say(capsys, tokenizer, "a film is warm", "--max-length", "4", "--json"))
    assert [t["cut"] for t in found["tokens"]] == [False, False, False, True, True, False]
    text = say(capsys, tokenizer, "a film is warm", "--max-length", "4")
    lines = [line.split() for line in text.splitlines()]
    assert lines[4] == ["is", str(VOCABULARY.index("is")), "7-9", "2", "0", "cut"]
    assert lines[-1][:2] == ["3", "[SEP]"], "numbers are those of the tokens that a model reads"
    assert main(["tokenize", tokenizer, "a film", "--max-length", "2"]) == 2
    assert "max_length must be at least 3" in capsys.readouterr().err


def test_standard_input(tokenizer, capsys, from_stdin):
    from_stdin("a film\n\nwarm\n")
    rows = [json.loads(line) for line in say(capsys, tokenizer, "--json").splitlines()]
    assert [row["text"] for row in rows] == ["a film", "", "warm"]
    assert [len(row["tokens"]) for row in rows] == [4, 2, 3]
    from_stdin("a film\nwarm\n")
    assert say(capsys, tokenizer, "-").count("\n\n") == 1, "a blank line between two texts"
    from_stdin("")
    assert main(["tokenize", tokenizer]) == 3
    assert "standard input: there is no text in it" in capsys.readouterr().err


def test_what_holds_no_tokenizer(tmp_path, capsys):
    assert main(["tokenize", str(tmp_path), "a"]) == 3
    assert "tokenizer" in capsys.readouterr().err
