"""`minidistil mine-bitext`."""

import json

from embeddings_toy import TEXTS

from minidistil.cli.main import main
from minidistil.text.readers import read_translations


def test_mine(encoder, tmp_path, say):
    (tmp_path / "a.txt").write_text("the warm film\na dull plot\nclumsy\n")
    (tmp_path / "b.txt").write_text("a dull plot\nthe cast of the film\nthe warm film\n")
    asked = ["mine-bitext", encoder, tmp_path / "a.txt", tmp_path / "b.txt", "-k", 2]
    rows = say(*asked, "--json")
    assert {(row["text"], row["text_pair"]) for row in rows[:2]} == {(t, t) for t in TEXTS[1:3]}
    assert sorted(row["lines"] for row in rows[:2]) == [[1, 3], [2, 1]]
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_translations([tmp_path / "pairs.jsonl"]) == tuple(
        [row[side] for row in rows] for side in ("text", "text_pair")
    )
    lines = say(*asked, "--strategy", "intersection", "--threshold", rows[1]["score"])
    assert [line.split("\t")[1:] for line in lines] == [[r["text"], r["text_pair"]] for r in rows[:2]]
    every = say(*asked, "--strategy", "forward", "--json")
    assert {row["text"] for row in every} == {*TEXTS[1:3], "clumsy"}
    assert {row["text_pair"] for row in every} <= {*TEXTS[1:3], "the cast of the film"}


def test_mine_refuses(encoder, file, capsys):
    assert main(["mine-bitext", encoder, file, file, "-k", "0"]) == 2
    assert main(["mine-bitext", encoder, "-", "-"]) == 2
    assert main(["mine-bitext", encoder, file, "none.txt"]) == 3
    err = capsys.readouterr().err
    assert all(message in err for message in ("-k must be", "both files", "none.txt: cannot be read"))
