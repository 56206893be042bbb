"""`minidistil cluster`: duplicates, clusters, communities."""

import numpy as np
import pytest
from embeddings_toy import TEXTS

from minidistil.cli.main import main
from minidistil.embeddings import cluster


def test_duplicates(encoder, file, vectors, say):
    rows = say("cluster", encoder, file, "--duplicates", 0.9999, "--json")
    assert rows == [{"score": 1.0, "lines": [1, 9], "texts": [TEXTS[0], TEXTS[4]]}]
    lines = say("cluster", encoder, file, "--duplicates", -1)
    assert len(lines) == 10
    assert lines[0] == f"1.0000\t{TEXTS[0]}\t{TEXTS[4]}"


def test_clusters(encoder, file, vectors, say):
    rows = say("cluster", encoder, file, "--clusters", 2, "--seed", 1, "--json")
    found = cluster(vectors, 2, seed=1)
    assert sorted(row["line"] for row in rows) == [1, 3, 5, 7, 9]
    for row in rows:
        i = (row["line"] - 1) // 2
        assert (row["group"], row["text"]) == (found.labels[i], TEXTS[i])
        assert row["score"] == pytest.approx(found.cosines[i])
    for group in range(2):
        members = [row for row in rows if row["group"] == group]
        assert TEXTS[found.nearest[group]] == members[0]["text"]
        assert [row["score"] for row in members] == sorted((r["score"] for r in members), reverse=True)
    assert len(say("cluster", encoder, file, "--clusters", 5)) == 5


def test_communities(encoder, file, vectors, say):
    rows = say("cluster", encoder, file, "--communities", 0.9999, "--json")
    assert [(row["group"], row["line"], row["score"]) for row in rows] == [(0, 1, 1.0), (0, 9, 1.0)]
    assert say("cluster", encoder, file, "--communities", 0.9999, "--min-size", 3) == []
    rows = say("cluster", encoder, file, "--communities", 0, "--json")
    first = [row for row in rows if row["group"] == 0]
    scores = [row["score"] for row in first]
    members = [(row["line"] - 1) // 2 for row in first]
    assert scores == sorted(scores, reverse=True)
    assert members != sorted(members)
    np.testing.assert_allclose(scores, vectors[members] @ vectors[members[0]], atol=1e-6)
    lines = say("cluster", encoder, file, "--communities", 1, "--min-size", 1)
    assert [line.split("\t")[0] for line in lines] == ["0", "0", "1", "2", "3"]


@pytest.mark.parametrize("option", [["--duplicates", "1.5"], ["--communities", "nan"], ["--clusters", "6"]])
def test_group_refuses(encoder, file, option, capsys):
    assert main(["cluster", encoder, file, *option, "-q"]) == 2
    assert option[0] in capsys.readouterr().err
