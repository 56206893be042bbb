"""`minidistil embed`, and the options and errors of all verbs that embed."""

import json

import numpy as np
import pytest
from embeddings_toy import TEXTS

from minidistil.cli.main import main
from minidistil.embeddings import SentenceEncoder, read_vectors


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


def test_embed_standard_input_and_columns(encoder, vectors, say, tmp_path, from_stdin):
    from_stdin("\n".join(TEXTS) + "\n")
    rows = say("embed", encoder, "-", "--json")
    np.testing.assert_array_equal(np.array([row["vector"] for row in rows], np.float32), vectors)
    from_stdin("".join(json.dumps({"x": text}) + "\n" for text in TEXTS))
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
