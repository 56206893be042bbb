"""Links between words by hand, and from the hidden states of two sentences."""

import itertools

import numpy as np
import pytest
from embeddings_toy import cosine, modest, sentences
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny import make_encoder, make_tokenizer

from minidistil.embeddings import SentenceEncoder, align_words, links
from minidistil.embeddings.word_alignment import spans, word_similarities
from minidistil.errors import InputError, UsageError


def test_argmax_and_itermax_by_hand():
    s = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.1, 0.2, 0.7]])
    assert links(s, "argmax").tolist() == [[0, 0], [2, 2]]
    # What is left once links are discounted: 1 is nearest to 0, 0.8 x 0.9, and 0 has a nearer one no more.
    assert links(s, "itermax").tolist() == [[0, 0], [1, 0], [2, 2]]
    assert links(s, "match").tolist() == [[0, 0], [1, 1], [2, 2]]
    assert links(np.ones((2, 2)), "argmax").tolist() == [[0, 0]], "of equal ones the first"
    assert links(np.zeros((2, 3)), "itermax").tolist() == []
    # 1 would rather go with 0, 0.8 x 0.9, than with 1, which no other word wants.
    assert links([[0.9, 0.0], [0.8, 0.7]], "itermax").tolist() == [[0, 0], [1, 0]]
    assert links([[0.9, 0.0], [0.8, 0.75]], "itermax").tolist() == [[0, 0], [1, 1]]


@modest
@given(
    s=hnp.arrays(
        np.float64, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.integers(0, 4).map(float)
    )
)
def test_matching_has_the_largest_sum(s):
    found = links(s, "match")
    short, long = sorted(s.shape)
    wide = s if s.shape[0] == short else s.T
    best = max(sum(wide[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(long), short))
    assert len(found) == short
    assert all(len(set(side)) == short for side in found.T.tolist())
    assert s[found[:, 0], found[:, 1]].sum() == best
    assert found.tolist() == sorted(found.tolist())
    sure, more = (set(map(tuple, links(s, method).tolist())) for method in ("argmax", "itermax"))
    assert sure <= more


def test_matching_has_the_largest_sum_of_many():
    orders = np.array(list(itertools.permutations(range(7))))
    for seed in range(40):
        s = np.random.default_rng(seed).random((6, 7)) ** 3
        found = links(s, "match")
        best = s[np.arange(6), orders[:, :6]].sum(1).max()
        np.testing.assert_allclose(s[found[:, 0], found[:, 1]].sum(), best, rtol=1e-12)
        assert links(s.T, "match").tolist() == sorted(found[:, ::-1].tolist())


def test_bad_similarities():
    for bad in ([1.0], [[-0.1]], [[np.nan]], [[np.inf]]):
        with pytest.raises(InputError, match="numbers >= 0"):
            links(bad)
    with pytest.raises(UsageError, match="method is 'best'"):
        links([[1.0]], "best")
    np.testing.assert_allclose(word_similarities(np.eye(2)[:1], -np.eye(2)), [[0, 0.5]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the  warmly, (film)", ["the", "warmly", ",", "(", "film", ")"]),
        ("cafe\u0301 warm\u0301\u0302 film", ["cafe\u0301", "warm\u0301\u0302", "film"]),
        ("\u4e2d\u6587 film", ["\u4e2d", "\u6587", "film"]),
        ("\U0001f600 Wa\u200brm\tF\u0130LM", ["\U0001f600", "Wa\u200brm", "F\u0130LM"]),
        ("a \u0438\u0306", ["a", "\u0438\u0306"]),
        ("\ufeffwarm\u00a0film\u2014a", ["warm", "film", "\u2014", "a"]),
        ("warm\u0941 \u093fa !\u0301 a", ["warm\u0941", "\u093fa", "!\u0301", "a"]),
        ("  ", []),
        ("", []),
    ],
)  # fmt: skip
def test_words_are_places_in_the_text(tmp_path, text, words):
    encoding = make_tokenizer(tmp_path).encode([text]).raw[0]
    assert [text[span.start : span.end] for span in spans(text, encoding)] == words


@pytest.fixture(scope="module")
def encoder_directory(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(encoder_directory):
    return SentenceEncoder.from_pretrained(encoder_directory)


def test_alignment_by_hand(encoder):
    """Similarities of two sentences, from the hidden states of each alone."""
    source, target = "the warmly Film is a", "film funny the  warmly"
    states = []
    for text in (source, target):
        ids = encoder.tokenizer.encode([text]).input_ids
        states.append(encoder.model(ids, output_hidden_states=True).hidden_states[4][0])
    a, b = states
    ours = np.stack([a[1], (a[2] + a[3]) / 2, a[4], a[5], a[6]])
    theirs = np.stack([b[1], b[2], b[3], (b[4] + b[5]) / 2])
    expected = np.array([[(1 + float(cosine(x, y))) / 2 for y in theirs] for x in ours])
    for method in ("argmax", "itermax", "match"):
        (found,) = align_words(encoder.model, encoder.tokenizer, [source], [target], method=method)
        assert [source[s:e] for s, e in found.source] == ["the", "warmly", "Film", "is", "a"]
        assert [target[s:e] for s, e in found.target] == ["film", "funny", "the", "warmly"]
        assert [link[:2] for link in found.links] == list(map(tuple, links(expected, method).tolist()))
        np.testing.assert_allclose(
            [link.similarity for link in found.links],
            [expected[i, j] for i, j, _ in found.links],
            rtol=1e-4,
        )


def test_a_sentence_with_itself_in_any_company(encoder, monkeypatch):
    texts = sentences(30)
    texts = [" ".join(dict.fromkeys(text.split())) for text in texts]  # each word once
    found = align_words(encoder.model, encoder.tokenizer, texts, texts, method="argmax", layer=0)
    for alignment in found:
        assert [link[:2] for link in alignment.links] == [(i, i) for i in range(len(alignment.source))]
    others = texts[::-1]
    together = align_words(encoder.model, encoder.tokenizer, texts, others)
    monkeypatch.setattr("minidistil.embeddings.word_alignment.TOKENS_AT_ONCE", 20)
    apart = align_words(encoder.model, encoder.tokenizer, texts, others)
    for one, other in zip(together, apart, strict=True):
        assert one.source == other.source
        assert [link[:2] for link in one.links] == [link[:2] for link in other.links]
        np.testing.assert_allclose([x[2] for x in one.links], [x[2] for x in other.links], rtol=1e-6)


def test_alignments_that_cannot_be(encoder):
    def run(sources, targets, **options):
        return align_words(encoder.model, encoder.tokenizer, sources, targets, **options)

    assert run([], []) == []
    (nothing,) = run([""], ["warm"])
    assert (nothing.source, len(nothing.target), nothing.links) == ([], 1, [])
    with pytest.raises(InputError, match="2 sentences but 1 translations"):
        run(["a", "b"], ["a"])
    with pytest.raises(InputError, match="text 1 has 42 tokens"):
        run(["a", "warm " * 40], ["a", "b"])
    for layer in (-1, 7):
        with pytest.raises(UsageError, match="expected 0 to 6"):
            run(["a"], ["a"], layer=layer)
    with pytest.raises(UsageError, match="method is"):
        run(["a"], ["a"], method="softmax")
