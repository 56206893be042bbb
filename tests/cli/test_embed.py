"""The verbs for vectors: embed, search, group, mine, align."""

import io
import json
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import CONFIG, make_encoder

from minidistil.cli.main import main
from minidistil.embeddings.clustering import cluster
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.vector_files import read_vectors
from minidistil.model import BertModel
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.translations import read_translations

TEXTS = ["the film is warm", "a dull plot", "the warm film", "a dull and tired plot", "the film is warm"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("embed")))


@pytest.fixture(scope="module")
def vectors(encoder):
    return SentenceEncoder.from_pretrained(encoder).encode(TEXTS)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS) + "\n")
    return str(path)


@pytest.fixture
def say(capsys):
    """`say(verb, ...)`: its exit code must be 0; the lines it prints, as JSON if asked for."""

    def run(*arguments):
        assert main([*map(str, arguments), "-q"]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in lines] if "--json" in arguments else lines

    return run


def from_stdin(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


# embed


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_embed_to_a_file(encoder, file, vectors, say, tmp_path, ending):
    out = tmp_path / "new" / f"v.{ending}"
    assert say("embed", encoder, file, "--out", out) == []
    np.testing.assert_array_equal(read_vectors(out)[::2], vectors)
    blank = SentenceEncoder.from_pretrained(encoder).encode([""] * 4)
    np.testing.assert_array_equal(read_vectors(out)[1::2], blank, "row i is line i")
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_embed_as_json(encoder, file, vectors, say):
    rows = say("embed", encoder, file, "--json")
    assert [row["line"] for row in rows] == list(range(1, 10))
    assert [row["text"] for row in rows[::2]] == TEXTS
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows[::2]], np.float32), vectors)


def test_embed_standard_input_and_columns(encoder, vectors, say, tmp_path, monkeypatch):
    from_stdin(monkeypatch, "\n".join(TEXTS) + "\n")
    rows = say("embed", encoder, "-", "--json")
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
    from_stdin(monkeypatch, "".join(json.dumps({"x": text}) + "\n" for text in TEXTS))
    rows = say("embed", encoder, "-", "--format", "jsonl", "--text-column", "x", "--json")
    assert [row["text"] for row in rows] == TEXTS
    table = tmp_path / "t.csv"
    table.write_text('id,review\n1,"the film\nis warm"\n2,a dull plot\n')
    rows = say("embed", encoder, table, "--text-column", "review", "--json")
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), vectors[:2])


def test_embed_otherwise(encoder, file, vectors, say, tmp_path):
    out = tmp_path / "v.npy"
    say("embed", encoder, file, "--out", out, "--no-normalize")
    long = np.load(out)[::2]
    lengths = np.linalg.norm(long, axis=1, keepdims=True)
    assert (np.abs(lengths - 1) > 0.01).all()
    np.testing.assert_allclose(long / lengths, vectors, atol=1e-6)
    say("embed", encoder, file, "--out", out, "--pooling", "cls", "--backend", "numpy", "--max-length", 5)
    ours = SentenceEncoder.from_pretrained(encoder, pooling="cls", max_length=5).encode(TEXTS)
    np.testing.assert_allclose(np.load(out)[::2], ours, atol=1e-5)


def test_a_failed_embedding_leaves_the_old_file(encoder, file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "v.npy"
    out.write_bytes(b"old")
    assert main(["embed", encoder, str(tmp_path / "none.txt"), "--out", str(out)]) == 3

    def fail(path, array, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    assert main(["embed", encoder, file, "--out", str(out), "-q"]) == 3
    assert "disk is full" in capsys.readouterr().err
    assert out.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


# search


def test_search(encoder, file, say):
    lines = [line.split("\t") for line in say("search", encoder, "a dull plot", "warm", "--corpus", file)]
    assert [line[0] for line in lines] == ["a dull plot"] * 5 + ["warm"] * 5
    assert lines[0][1:] == ["1.0000", "a dull plot"]
    scores = [float(line[1]) for line in lines[:5]]
    assert scores == sorted(scores, reverse=True)


def test_search_as_json_from_standard_input(encoder, file, say, monkeypatch):
    from_stdin(monkeypatch, "the film is warm\n\na dull plot\n")
    rows = say("search", encoder, "-", "--corpus", file, "-k", 2, "--json")
    assert [(row["line"], row["query"]) for row in rows] == [
        (1, "the film is warm"),
        (2, ""),
        (3, "a dull plot"),
    ]
    assert [hit["line"] for hit in rows[0]["hits"]] == [1, 9], "ties in the order of the file"
    assert len(rows[1]["hits"]) == 2, "a blank line has an answer in its place, but is found by none"
    assert rows[2]["hits"][0] == {"score": 1.0, "line": 3, "text": "a dull plot"}


def test_search_with_vectors_made_before(encoder, file, say, tmp_path, monkeypatch):
    kept = tmp_path / "v.safetensors"
    say("embed", encoder, file, "--out", kept)
    asked = ["search", encoder, "warm", "--corpus", file, "--json"]
    expected = say(*asked)
    encoded = []
    encode = SentenceEncoder.encode
    monkeypatch.setattr(
        SentenceEncoder, "encode", lambda self, texts, **o: encoded.append(texts) or encode(self, texts, **o)
    )
    assert say(*asked, "--vectors", kept) == expected
    assert [len(texts) for texts in encoded] == [8, 1], "some texts are compared with their vectors"


@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_vectors_of_other_texts_or_of_another_encoder(encoder, file, say, tmp_path, ending, capsys):
    kept = tmp_path / f"v.{ending}"
    say("embed", encoder, file, "--out", kept)
    turned = tmp_path / "turned.txt"
    turned.write_text("\n\n".join([*TEXTS[1:], TEXTS[0]]) + "\n")
    other = tmp_path / "other"
    BertModel(CONFIG, seed=8).save_pretrained(other, tokenizer=Tokenizer.from_pretrained(encoder))
    for model, corpus, message in (
        (encoder, turned, "in another order"),
        (other, file, "row 0 is not the vector"),
    ):
        asked = ["search", str(model), "warm", "--corpus", str(corpus), "--vectors", str(kept), "-q"]
        assert main(asked) == 3
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"minidistil search: {kept}: ")
        assert message in err


def test_a_change_among_many_texts_is_seen(encoder, say, tmp_path, capsys):
    """By the hash of the texts in a .safetensors file; a few rows that are made anew may miss it."""
    kept, texts, corpus = tmp_path / "v.safetensors", [f"the film {TEXTS[0]}"] * 40, tmp_path / "c.txt"
    texts[13], texts[14] = "a dull plot", "warm"
    corpus.write_text("\n".join(texts) + "\n")
    say("embed", encoder, corpus, "--out", kept)
    texts[13], texts[14] = texts[14], texts[13]
    corpus.write_text("\n".join(texts) + "\n")
    assert main(["search", encoder, "warm", "--corpus", str(corpus), "--vectors", str(kept), "-q"]) == 3
    assert "vectors of other texts, or of these in another order" in capsys.readouterr().err


def test_search_with_prompts_and_another_similarity(encoder, say, tmp_path, capsys, caplog):
    """The order is that of dot products, of texts after their prompt with queries after theirs."""
    dot, file = tmp_path / "dot", tmp_path / "c.txt"
    file.write_text("\n".join(TEXTS[:4]) + "\n")
    SentenceEncoder.from_pretrained(
        encoder, normalize=False, similarity="dot", prompts={"query": "the cast ", "passage": "a film "}
    ).save(dot)
    plain = SentenceEncoder.from_pretrained(dot)
    texts = plain.encode([f"a film {text}" for text in TEXTS[:4]])
    expected = texts @ plain.encode(["the cast warm"])[0]
    kept = tmp_path / "v.safetensors"
    say("embed", dot, file, "--prompt", "passage", "--out", kept)
    np.testing.assert_array_equal(read_vectors(kept), texts)
    asked = ["search", dot, "warm", "--corpus", file, "--json", "--prompt", "passage"]
    (row,) = say(*asked, "--query-prompt", "query")
    assert say(*asked, "--query-prompt", "query", "--vectors", kept) == [row]
    order = np.argsort(-expected, kind="stable")
    assert [hit["text"] for hit in row["hits"]] == [TEXTS[i] for i in order]
    np.testing.assert_allclose([hit["score"] for hit in row["hits"]], expected[order], rtol=1e-5)
    with caplog.at_level(logging.INFO, "minidistil"):
        assert main(["search", str(dot), "warm", "--corpus", str(file)]) == 0
    assert "scores are dot products, as the model asks for" in caplog.messages
    capsys.readouterr()
    scores = [pair["score"] for pair in say("cluster", dot, file, "--duplicates", "-1000", "--json")]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 6
    assert scores[0] > 1.5, "no cosine"


def test_search_refuses(encoder, file, tmp_path, capsys):
    np.save(tmp_path / "few.npy", np.ones((4, 24), np.float32))
    np.save(tmp_path / "thin.npy", np.ones((9, 8), np.float32))
    for code, message, *arguments in [
        (
            3,
            "few.npy: there are 4 vectors of 24 numbers; 9 of 24 are expected",
            "q",
            "--corpus",
            file,
            "--vectors",
            tmp_path / "few.npy",
        ),
        (3, "9 vectors of 8 numbers; 9 of 24", "q", "--corpus", file, "--vectors", tmp_path / "thin.npy"),
        (3, "cannot be read", "q", "--corpus", file, "--vectors", tmp_path / "none.npy"),
        (2, ".npy or .safetensors", "q", "--corpus", file, "--vectors", tmp_path / "v.bin"),
        (2, "at least 1", "q", "--corpus", file, "-k", 0),
        (2, "not both", "-", "--corpus", "-"),
        (3, "cannot be read", "q", "--corpus", tmp_path / "none.txt"),
    ]:
        assert main(["search", encoder, *map(str, arguments), "-q"]) == code, message
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err


# group


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


# mine


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


# align


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


# All


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("embed", ["x.txt"]),
        ("embed", ["x.txt", "--out", "v.npy", "--json"]),
        ("embed", ["x.txt", "--json", "--pooling", "sum"]),
        ("search", ["q"]),
        ("cluster", ["x.txt"]),
        ("cluster", ["x.txt", "--clusters", "2", "--duplicates", "0.9"]),
        ("mine-bitext", ["x.txt"]),
        ("mine-bitext", ["x.txt", "y.txt", "--strategy", "best"]),
        ("align-words", ["a", "b", "--method", "best"]),
    ],
)
def test_wrong_usage_is_2(encoder, verb, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, encoder, *arguments])
    assert stop.value.code == 2


def test_bad_names_and_models(encoder, file, tmp_path, capsys):
    for code, message, *arguments in [
        (2, "v.txt: vectors are kept in", "embed", "no model", "no file", "--out", "v.txt"),
        (2, "max_length must be at least 3", "embed", encoder, file, "--json", "--max-length", "2"),
        (3, "no column 'y'", "embed", encoder, file, "--json", "--text-column", "y"),
        (3, "does not exist", "embed", str(tmp_path / "no model"), file, "--json"),
        (3, "config.json", "cluster", str(tmp_path), file, "--clusters", "2"),
    ]:
        assert main([*arguments, "-q"]) == code, message
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"minidistil {arguments[0]}: ")
        assert message in err


def test_progress_is_on_standard_error(encoder, file, capsys):
    assert main(["embed", encoder, file, "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 9
    assert "embedding: 9/9 text" in err
