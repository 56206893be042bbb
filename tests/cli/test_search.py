"""`minidistil search`: its results, and vectors made before."""

import logging

import numpy as np
import pytest
from embeddings_toy import TEXTS
from tiny import CONFIG

from minidistil.cli.main import main
from minidistil.embeddings import SentenceEncoder, read_vectors
from minidistil.model import BertModel
from minidistil.text.tokenizer import Tokenizer


def test_search(encoder, file, say):
    lines = [line.split("\t") for line in say("search", encoder, "a dull plot", "warm", "--corpus", file)]
    assert [line[0] for line in lines] == ["a dull plot"] * 5 + ["warm"] * 5
    assert lines[0][1:] == ["1.0000", "a dull plot"]
    scores = [float(line[1]) for line in lines[:5]]
    assert scores == sorted(scores, reverse=True)


def test_search_as_json_from_standard_input(encoder, file, say, from_stdin):
    from_stdin("the film is warm\n\na dull plot\n")
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
