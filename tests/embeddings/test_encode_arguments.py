"""The arguments of `encode` and `similarity`, which are those of sentence-transformers."""

import numpy as np
import pytest
from embeddings_toy import sentences
from tiny import make_encoder

from minidistil import SentenceEncoder
from minidistil.embeddings import quantize_embeddings
from minidistil.errors import InputError, UsageError

PROMPTS = {"query": "the film is ", "passage": "a plot : "}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return SentenceEncoder.from_pretrained(make_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture
def loose(encoder):
    """Of the same model, with vectors of any length, and prompts."""
    settings = encoder.settings._replace(normalize=False, prompts=PROMPTS, default_prompt_name="passage")
    return SentenceEncoder(encoder.model, encoder.tokenizer, settings)


def test_one_text_and_many(encoder):
    texts = sentences(5)
    vectors = encoder.encode(texts)
    for found in (encoder(texts), encoder.encode(sentences=texts), encoder.encode(inputs=texts)):
        np.testing.assert_array_equal(found, vectors)
    np.testing.assert_array_equal(encoder.encode(text for text in texts), vectors)
    np.testing.assert_array_equal(encoder.encode(texts[2]), vectors[2])
    np.testing.assert_array_equal(encoder(texts[2]), vectors[2])
    for options in ({"batch_size": 1}, {"device": "cpu"}, {"show_progress_bar": False}, {"device": None}):
        np.testing.assert_array_equal(encoder.encode(texts, **options), vectors)
    rows = encoder.encode(texts, convert_to_numpy=False)
    assert isinstance(rows, list)
    np.testing.assert_array_equal(rows, vectors)


def test_progress_is_shown_when_asked(encoder, capsys):
    encoder.encode(sentences(2))
    assert capsys.readouterr().err == ""
    encoder.encode(sentences(2), show_progress_bar=True)
    assert "embedding" in capsys.readouterr().err


def test_length_and_width(loose):
    texts = sentences(5)
    vectors = loose.encode(texts)
    lengths = np.linalg.norm(loose.encode(texts, normalize_embeddings=True), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)
    assert not np.allclose(np.linalg.norm(vectors, axis=1), 1)
    np.testing.assert_array_equal(loose.encode(texts, truncate_dim=5), vectors[:, :5])
    np.testing.assert_array_equal(loose.encode(texts, truncate_dim=99), vectors)
    both = loose.encode(texts, truncate_dim=5, normalize_embeddings=True)
    np.testing.assert_allclose(
        both, vectors[:, :5] / np.linalg.norm(vectors[:, :5], axis=1)[:, None], rtol=1e-6
    )
    assert loose.get_sentence_embedding_dimension() == loose.get_embedding_dimension() == loose.width == 24
    short = SentenceEncoder(loose.model, loose.tokenizer, loose.settings._replace(truncate_dim=3))
    np.testing.assert_array_equal(short.encode(texts, truncate_dim=7), vectors[:, :7])


def test_vectors_of_tokens(encoder):
    texts = ["warm film", "a dull plot with the cast", ""]
    found = encoder.encode(texts, output_value="token_embeddings")
    ids = encoder.tokenizer.encode(texts).input_ids
    assert [rows.shape for rows in found] == [(len(row), 24) for row in ids]
    for rows, row in zip(found, ids, strict=True):
        np.testing.assert_allclose(rows, encoder.model([row.tolist()]).last_hidden_state[0], atol=1e-6)
    np.testing.assert_array_equal(encoder.encode(texts[1], output_value="token_embeddings"), found[1])
    assert found[0].base is None, "a view would keep the whole batch"


def test_prompts(loose):
    texts = sentences(4)
    plain = loose.encode(texts, prompt="")
    queries = loose.encode([PROMPTS["query"] + text for text in texts], prompt="")
    passages = loose.encode([PROMPTS["passage"] + text for text in texts], prompt="")
    np.testing.assert_array_equal(loose.encode(texts), passages)
    np.testing.assert_array_equal(loose.encode(texts, "query"), queries)
    np.testing.assert_array_equal(loose.encode_query(texts), queries)
    np.testing.assert_array_equal(loose.encode_document(texts), plain)
    np.testing.assert_array_equal(loose.encode_document(texts, prompt_name="passage"), passages)
    np.testing.assert_array_equal(loose.encode_query(texts[0], normalize_embeddings=False), queries[0])
    assert loose.prompts == PROMPTS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convert_to_tensor": True}, r"no tensors: torch.from_numpy\(array\)"),
        ({"device": "cuda"}, "CPU"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        (
            {"output_value": None},
            "output_value is None: expected one of sentence_embedding, token_embeddings",
        ),
        ({"precision": "float16"}, "precision is 'float16': expected one of float32, int8, uint8, binary"),
        ({"truncate_dim": 0}, "truncate_dim must be an integer of at least 1"),
        ({"prompt_name": "qery"}, "there is no prompt 'qery'"),
        ({"pool": {}}, "encode takes no argument 'pool'"),
        ({"normalise_embeddings": True}, "did you mean normalize_embeddings"),
        ({"output_value": "token_embeddings", "precision": "int8"}, "the precision float32 alone"),
        ({"sentences": ["a"]}, "texts are given twice"),
    ],
)
def test_what_is_refused(encoder, options, message):
    with pytest.raises(UsageError, match=message):
        encoder.encode(["a film"], **options)


def test_no_path_is_an_encoder():
    with pytest.raises(UsageError, match=r"SentenceEncoder.from_pretrained\('minilm'\) loads an encoder"):
        SentenceEncoder("minilm", None)


def test_similarity(loose):
    a, b = loose.encode(sentences(3)), loose.encode(sentences(5))
    x, y = a.astype(float), b.astype(float)
    difference = x[:, None] - y
    expected = {
        "cosine": x @ y.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1),
        "dot": x @ y.T,
        "euclidean": -np.linalg.norm(difference, axis=2),
        "manhattan": -np.abs(difference).sum(2),
    }
    assert loose.similarity_fn_name == "cosine"
    for name, scores in expected.items():
        loose.similarity_fn_name = name
        assert loose.similarity_fn_name == loose.settings.similarity == name
        found = loose.similarity(a, b)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, scores, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            loose.similarity_pairwise(a, b[:3]), scores.diagonal(), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(loose.similarity(a[0], b), found[:1])
        np.testing.assert_array_equal(loose.similarity(list(a), list(b)), found)
    with pytest.raises(UsageError, match="similarity_fn_name is 'cosin'"):
        loose.similarity_fn_name = "cosin"
    for call, message in (
        (lambda: loose.similarity(a, b[:, :5]), "the first vectors have 24 numbers and the second 5"),
        (lambda: loose.similarity_pairwise(a, b), "the first has 3 vectors and the second 5"),
        (lambda: loose.similarity([["a"]], b), "vectors must be numbers"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_most_tokens_of_a_text(loose, caplog):
    assert loose.max_seq_length == 24
    loose.max_seq_length = 4
    np.testing.assert_array_equal(
        loose.encode("warm film plot", prompt=""), loose.encode("warm film", prompt="")
    )
    loose.max_seq_length = 99
    assert loose.max_seq_length == 24
    assert caplog.messages[-1] == "texts are cut at the model's 24 positions, not at 99 tokens"


def test_quantized_by_hand():
    """Column 0 runs from 0 to 255, a step a number; column 1 from -255, two; column 2 does not change."""
    vectors = np.array([[0.0, -255, 3], [127.9, 254, 3], [255, 255, 3]], np.float32)
    assert quantize_embeddings(vectors, "uint8").tolist() == [[0, 0, 0], [127, 254, 0], [255, 255, 0]]
    assert quantize_embeddings(vectors, "int8").tolist() == [
        [-128, -128, -128], [-1, 126, -128], [127, 127, -128],
    ]  # fmt: skip
    assert quantize_embeddings(vectors, "ubinary").tolist() == [[0b00100000], [0b11100000], [0b11100000]]
    assert quantize_embeddings(vectors, "binary").tolist() == [[32 - 128], [224 - 128], [224 - 128]]
    assert quantize_embeddings(vectors, "float32").dtype == np.float32
    one = quantize_embeddings(vectors[1:2], "uint8", [[0, -255, 0], [255, 255, 255]])
    assert (one.dtype, one.tolist()) == (np.uint8, [[127, 254, 3]])


def test_quantized_vectors_of_texts(encoder):
    texts = sentences(6)
    vectors = encoder.encode(texts)
    for precision, dtype, width in (("int8", np.int8, 24), ("uint8", np.uint8, 24), ("ubinary", np.uint8, 3)):
        found = encoder.encode(texts, precision=precision)
        assert (found.dtype, found.shape) == (dtype, (6, width))
        np.testing.assert_array_equal(found, quantize_embeddings(vectors, precision))
        assert encoder.encode([], precision=precision).shape[0] == 0
    assert encoder.encode(texts[0], precision="binary").shape == (3,)
    with pytest.raises(UsageError, match="which a single vector does not have: encode more texts at once"):
        encoder.encode(texts[0], precision="int8")
