"""Chunks against a slow way that follows the recipe word by word, and who is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_toy import SPECIAL, corpus_of, make_tokenizer, sentences

from minidistil.errors import ConfigError
from minidistil.text.corpus import chunks
from minidistil.text.corpus.chunks import chunk
from minidistil.text.corpus.writer import encode_corpus

PAD, UNK, CLS, SEP, MASK = range(5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def slowly(documents, max_length, shortest, unknown):
    """The recipe in words, one sequence after the other."""
    kept = []
    for document in documents:
        rest = list(document)
        while rest:
            sequence = [CLS, *rest[: max_length - 2], SEP]
            rest = rest[max_length - 2 :]
            unknown_words = sum(token == UNK for token in sequence)
            if len(sequence) >= shortest and unknown_words / len(sequence) < unknown:
                kept.append(sequence)
    return kept


def unpacked(sequences, indices=None):
    batch = sequences.batch(np.arange(len(sequences)) if indices is None else indices)
    return (
        [row.tolist() for row in np.split(batch.input_ids, batch.cu_seqlens[1:-1])]
        if len(batch.lengths)
        else []
    )


documents_of_ids = st.lists(
    st.lists(st.sampled_from([UNK, UNK, 5, 6, 7]), min_size=1, max_size=40), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=400)
@given(
    documents_of_ids,
    st.integers(3, 14),
    st.integers(0, 6),
    st.sampled_from([0.2, 0.5, 0.75, 2.0]),
    st.integers(1, 5),
)
def test_chunks_against_the_slow_way(tokenizer, documents, max_length, shortest, unknown, together):
    shortest = min(shortest, max_length)
    before = chunks.DOCUMENTS, chunks.CHUNKS
    chunks.DOCUMENTS, chunks.CHUNKS = together, together
    try:
        train, held_out = chunk(
            corpus_of(tokenizer, documents),
            tokenizer,
            max_length=max_length,
            shortest=shortest,
            unknown=unknown,
        )
    finally:
        chunks.DOCUMENTS, chunks.CHUNKS = before
    want = slowly(documents, max_length, shortest, unknown)
    assert unpacked(train) == want
    assert train.lengths.tolist() == [len(sequence) for sequence in want]
    assert train.num_tokens == sum(map(len, want))
    assert len(held_out) == 0


def test_the_published_limits(tokenizer):
    documents = [
        [5] * 9,
        [5] * 10,
        [5] * 510,
        [5] * 511,
        [5] * 1030,
        [UNK] * 7 + [5] * 5,
        [UNK] * 6 + [5] * 5,
    ]
    train, _ = chunk(corpus_of(tokenizer, documents), tokenizer)
    # 11 tokens are too few; 7 of 14 are too many unknown ones, 6 of 13 are not.
    assert train.lengths.tolist() == [12, 512, 512, 512, 512, 12, 13]
    assert unpacked(train) == slowly(documents, 512, 12, 0.5)


def test_a_batch_is_a_batch(tokenizer):
    train, _ = chunk(corpus_of(tokenizer, [[5, 6, 7], [8, 9], [5] * 5]), tokenizer, max_length=6, shortest=4)
    assert unpacked(train, [2, 0]) == [[CLS, 5, 5, 5, 5, SEP], [CLS, 5, 6, 7, SEP]]
    batch = train.batch([2, 0])
    assert batch.example_ids.tolist() == [5, 0]
    assert batch.columns.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    assert batch.width == 6
    assert not batch.token_type_ids.any()
    assert train.batch(np.zeros(0, int)).num_sequences == 0
    with pytest.raises(IndexError):
        train.batch([3])


def test_the_hash_knows_tokens_and_cuts(tokenizer):
    documents = [[5] * 20, [6] * 20]
    of = lambda documents, **limits: chunk(corpus_of(tokenizer, documents), tokenizer, **limits).train
    train = of(documents)
    assert train.content_hash() == of(documents).content_hash()
    others = [of(documents, max_length=16), of([[5] * 20, [7] * 20]), train.subset([1, 0]), train.subset([0])]
    assert len({part.content_hash() for part in [train, *others]}) == 5


# Held out


def held(corpus, tokenizer, share):
    train, out = chunk(corpus, tokenizer, shortest=0, unknown=2, held_out=share)
    rows = set(map(tuple, unpacked(out)))
    assert not rows & set(map(tuple, unpacked(train)))
    assert len(train) + len(out) == len(corpus)
    return rows


def test_who_is_held_out_depends_on_the_text_alone(tokenizer):
    rng = np.random.default_rng(3)
    documents = [rng.integers(5, 20, rng.integers(8, 30)).tolist() for _ in range(4000)]
    some = held(corpus_of(tokenizer, documents), tokenizer, 0.1)
    assert len(some) == pytest.approx(400, abs=5 * (4000 * 0.1 * 0.9) ** 0.5)
    assert some == held(corpus_of(tokenizer, documents[::-1]), tokenizer, 0.1)
    fewer = held(corpus_of(tokenizer, documents[:1000]), tokenizer, 0.1)
    assert fewer == some & {(CLS, *d, SEP) for d in documents[:1000]}
    assert some < held(corpus_of(tokenizer, documents), tokenizer, 0.3)
    assert held(corpus_of(tokenizer, documents), tokenizer, 0) == set()
    assert len(held(corpus_of(tokenizer, documents), tokenizer, 1)) == 4000


def test_all_chunks_of_a_document_are_on_one_side(tokenizer):
    documents = [[5 + i % 15, 5 + i // 15] * 50 for i in range(200)]
    train, out = chunk(corpus_of(tokenizer, documents), tokenizer, max_length=12, held_out=0.5)
    of = lambda part: set(np.unique(part.starts // 100))
    assert len(of(train)) + len(of(out)) == 200
    assert not of(train) & of(out)


def test_equal_documents_are_on_one_side(tokenizer):
    documents = [[5, 6, 7, 8] * (3 + i % 50) for i in range(500)]
    train, out = chunk(corpus_of(tokenizer, documents), tokenizer, held_out=0.5)
    assert len(train) + len(out) == 500
    assert not set(map(tuple, unpacked(train))) & set(map(tuple, unpacked(out)))


# With a real corpus


def test_from_text(tmp_path, tokenizer):
    texts = sentences(300, seed=4)
    (tmp_path / "a.txt").write_text("\n".join(texts))
    corpus = encode_corpus(tokenizer, tmp_path / "a.txt", tmp_path / "out", quiet=True)
    train, _ = chunk(corpus, tokenizer, max_length=16)
    ids = [row[1:-1].tolist() for row in tokenizer.encode(texts).input_ids]
    assert unpacked(train) == slowly(ids, 16, 12, 0.5)


def test_limits_that_cannot_be(tmp_path, tokenizer):
    corpus = corpus_of(tokenizer, [[5] * 20])
    for options, message in (
        ({"max_length": 2}, "max_length is 2"),
        ({"max_length": 8}, "shortest is 12, more than max_length"),
        ({"held_out": 1.5}, "held_out is 1.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            chunk(corpus, tokenizer, **options)
    with pytest.raises(ConfigError, match="another tokenizer"):
        chunk(corpus, make_tokenizer(tmp_path, [*SPECIAL, "x"]))
