"""The sentence encoder: its vectors, its limits, saving and loading."""

import logging

import numpy as np
import pytest
from embeddings_toy import sentences
from tiny import CONFIG, make_classifier, make_encoder

from minidistil import DistilBertConfig
from minidistil.embeddings import EmbeddingSettings, SentenceEncoder
from minidistil.embeddings.directory import read_settings
from minidistil.errors import InputError, StorageError, UsageError
from minidistil.model import BertModel, DistilBertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def encoder_directory(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(encoder_directory):
    return SentenceEncoder.from_pretrained(encoder_directory)


def test_order_and_company_do_not_matter(encoder):
    texts = sentences(70)
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (70, 24) == (len(texts), encoder.width)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    order = random_order(70, 1)
    turned = encoder.encode([texts[i] for i in order])
    np.testing.assert_allclose(turned, vectors[order], atol=1e-6)
    np.testing.assert_allclose(np.concatenate([encoder.encode([t]) for t in texts]), vectors, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_vectors_are_pooled_states(encoder, encoder_directory, pooling):
    other = SentenceEncoder.from_pretrained(encoder_directory, pooling=pooling, normalize=False)
    texts = sentences(5)
    for text, vector in zip(texts, other.encode(texts), strict=True):
        states = encoder.model(encoder.tokenizer.encode([text]).input_ids).last_hidden_state[0]
        pooled = {"mean": states.mean(0), "cls": states[0], "max": states.max(0)}[pooling]
        np.testing.assert_allclose(vector, pooled, rtol=1e-4, atol=1e-5)


def test_nothing_and_next_to_nothing(encoder):
    assert encoder.encode([]).shape == (0, 24)
    assert encoder.encode([]).dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(["", " \n"]), axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(encoder.encode("a film"), encoder.encode(["a film"])[0])
    with pytest.raises(InputError, match="texts must be a list"):
        encoder.encode(5)


def test_vectors_of_an_encoder_that_diverged(encoder_directory, tmp_path):
    model = load_model(encoder_directory).train()
    model.params["encoder.layer.0.output.dense.bias"][...] = 1e38  # finite, but not its square
    model.save_pretrained(tmp_path, tokenizer=Tokenizer.from_pretrained(encoder_directory))
    with pytest.raises(InputError, match="hold a NaN or an Inf: its weights are damaged"):
        SentenceEncoder.from_pretrained(tmp_path).encode(["a film"])


def test_long_texts_are_cut_with_one_warning(encoder, encoder_directory, caplog):
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode(["warm " * 50, "film", "warm " * 22, "warm " * 23])
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 4 texts are longer than 24 tokens and were truncated"
    ]
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    short = SentenceEncoder.from_pretrained(encoder_directory, max_length=4)
    np.testing.assert_allclose(*short.encode(["warm film plot", "warm film cast"]), atol=1e-6)
    assert SentenceEncoder.from_pretrained(encoder_directory, max_length=999).settings.max_length == 24
    assert caplog.messages[-1] == "texts are cut at the model's 24 positions, not at 999 tokens"
    with pytest.raises(UsageError, match="max_length"):
        SentenceEncoder.from_pretrained(encoder_directory, max_length=2).encode(["warm"])
    with pytest.raises(UsageError, match="pooling is"):
        SentenceEncoder.from_pretrained(encoder_directory, pooling="sum")


def test_saved_and_loaded(encoder, tmp_path):
    texts = sentences(9)
    ours = SentenceEncoder(encoder.model, encoder.tokenizer, EmbeddingSettings("max", False, 11))
    ours.save(tmp_path / "new")
    assert read_settings(tmp_path / "new") == EmbeddingSettings("max", False, 11)
    again = SentenceEncoder.from_pretrained(tmp_path / "new")
    np.testing.assert_array_equal(again.encode(texts), ours.encode(texts))
    readme = tmp_path / "new" / "README.md"
    assert "sentence-similarity" in readme.read_text()
    readme.write_bytes(b"mine, in latin-1: \xe9")
    again.save(tmp_path / "new")
    assert readme.read_bytes() == b"mine, in latin-1: \xe9"
    assert not list(tmp_path.glob("**/.*"))
    bare = load_model(tmp_path / "new", strict=True)
    assert isinstance(bare, BertModel)


def test_saving_is_all_or_nothing(encoder, tmp_path, monkeypatch):
    encoder.save(tmp_path / "a")
    before = {path: path.read_bytes() for path in tmp_path.glob("a/**/*") if path.is_file()}

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minidistil.embeddings.encoder.write_settings", fail)
    other = SentenceEncoder(BertModel(CONFIG, seed=1), encoder.tokenizer, EmbeddingSettings("cls"))
    for place in ("a", "b"):
        with pytest.raises(StorageError, match="disk is full"):
            other.save(tmp_path / place)
    assert {path: path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file()} == before


def test_any_encoder_will_do(tmp_path, encoder):
    classifier = SentenceEncoder.from_pretrained(make_classifier(tmp_path), backend="numpy", dtype="float64")
    assert classifier.encode(["warm"]).dtype == np.float32
    sizes = {"vocab_size": 23, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    model = DistilBertModel(DistilBertConfig(num_attention_heads=2, **sizes))
    assert SentenceEncoder(model, encoder.tokenizer).encode(["warm", "film is"]).shape == (2, 8)
