"""`minidistil align-words`."""

from minidistil.cli.main import main


def test_align(encoder, say):
    lines = say(
        "align-words", encoder, "the Warmly, film", "the  warmly,\tfilm", "--layer", 0, "--method", "argmax"
    )
    words = [line.split("\t")[:2] for line in lines]
    assert words == [["the", "the"], ["Warmly", "warmly"], [",", ","], ["film", "film"], [""]]
    (row,) = say("align-words", encoder, "cafe\u0301 \U0001f600 film", "the film", "--json")
    assert row["source_words"] == [[0, 5], [6, 7], [8, 12]]
    assert row["target_words"] == [[0, 3], [4, 8]]
    for i, j, similarity in row["links"]:
        assert i in range(3)
        assert j in range(2)
        assert 0 <= similarity <= 1


def test_align_files(encoder, say, tmp_path):
    for name, text in (("a.txt", "the film\nwarm\n"), ("b.txt", "film the\nwarm\n")):
        (tmp_path / name).write_text(text)
    two = say("align-words", encoder, "--pairs", tmp_path / "a.txt", tmp_path / "b.txt", "--json")
    table = tmp_path / "t.tsv"
    table.write_text("en\tde\nthe film\tfilm the\nwarm\twarm\n")
    assert say("align-words", encoder, "--pairs", table, "--columns", "en", "de", "--json") == two
    assert [row["source"] for row in two] == ["the film", "warm"]


def test_align_refuses(encoder, file, tmp_path, capsys):
    (tmp_path / "short.txt").write_text("a film\n")
    for code, message, *arguments in [
        (2, "a sentence and its translation"),
        (2, "a sentence and its translation", "one"),
        (2, "a sentence and its translation", "one", "two", "three"),
        (2, "a sentence and its translation", "one", "two", "--pairs", file),
        (2, "expected 0 to 6", "one", "two", "--layer", 9),
        (2, "--columns are those of one file", "one", "two", "--columns", "a", "b"),
        (2, "--columns are those of one file", "--pairs", file, file, "--columns", "a", "b"),
        (3, "no counterpart", "--pairs", file, tmp_path / "short.txt"),
        (3, "more than the maximum of 24", "film " * 40, "film"),
    ]:
        assert main(["align-words", encoder, *map(str, arguments), "-q"]) == code, message
        assert message in capsys.readouterr().err
