"""Masks: drawn with the right probabilities, the same whenever they are made again, other ones each epoch."""

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from text_toy import corpus_of, make_tokenizer

from minidistil import threads
from minidistil.errors import ConfigError, DataError
from minidistil.text.corpus.chunks import chunk
from minidistil.text.masking import MaskedDataset, Masking, draw, draw_by_row, draw_words

PAD, UNK, CLS, SEP, MASK = range(5)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def dataset(tokenizer, documents, masking=None, **options):
    sequences = chunk(corpus_of(tokenizer, documents), tokenizer, max_length=64, shortest=0, unknown=2).train
    return MaskedDataset.create(sequences, tokenizer, masking, **options)


@pytest.fixture(scope="module")
def data(tokenizer):
    """200 documents of 3 to 60 tokens, some of them unknown."""
    rng = np.random.default_rng(0)
    words = [UNK, *range(5, tokenizer.num_ids)]
    chances = 1.0 / np.arange(1, len(words) + 1)
    documents = [
        rng.choice(words, rng.integers(3, 61), p=chances / chances.sum()).tolist() for _ in range(200)
    ]
    return dataset(tokenizer, documents, seed=11)


def inclusions(weights, k):
    """By definition: draw one after the other, each with its share of the weight that is left."""
    chance = Counter()
    for order in permutations(np.flatnonzero(weights), k):
        p, left = 1.0, sum(weights)
        for i in order:
            p, left = p * weights[i] / left, left - weights[i]
        chance[tuple(sorted(order))] += p
    return chance


def check_against_the_definition(found, chance):
    """Every set of positions as often as it should be: within five standard deviations, and chi-square."""
    n = sum(found.values())
    assert set(found) <= set(chance)
    for chosen, p in chance.items():
        assert abs(found[chosen] - n * p) <= 5 * math.sqrt(n * p * (1 - p)) + 1, chosen
    chi = sum((found[c] - n * p) ** 2 / (n * p) for c, p in chance.items())
    df = len(chance) - 1
    assert chi < df + 4.5 * math.sqrt(2 * df) + 5


# Which


@pytest.mark.parametrize("k", [1, 2, 3])
def test_draws_are_those_of_the_definition(k):
    weights = np.array([1.0, 0.5, 0.0, 4.0, 0.25, 2.0])
    rng = np.random.default_rng(1)
    found = Counter(tuple(draw(weights, rng.random(6), k).tolist()) for _ in range(20_000))
    check_against_the_definition(found, inclusions(weights, k))


def test_draws_by_row_are_those_of_the_definition():
    weights = np.array([1.0, 0.5, 4.0, 0.0, 3.0, 1.0, 1.0])
    rows = np.array([0, 0, 0, 0, 1, 1, 1])
    rng = np.random.default_rng(2)
    first, second = Counter(), Counter()
    for _ in range(20_000):
        chosen = draw_by_row(weights, rng.random(7), rows, [2, 1])
        first[tuple(chosen[chosen < 4].tolist())] += 1
        second[tuple((chosen[chosen >= 4] - 4).tolist())] += 1
    check_against_the_definition(first, inclusions(weights[:4], 2))
    check_against_the_definition(second, inclusions(weights[4:], 1))


def test_a_batch_is_masked_as_the_definition_says(tokenizer):
    """Counts of 1, 3 and 30 in the corpus; the draw is over both sequences together."""
    masking = Masking(share=0.2)
    documents = [[5, 6, 7], [7, 6, UNK], [7] * 28, [6]]
    data = dataset(tokenizer, documents, masking)
    weights = np.array([0, 1**-0.7, 3**-0.7, 30**-0.7, 0, 0, 30**-0.7, 3**-0.7, 0, 0])
    found = Counter()
    for epoch in range(8_000):
        labels = data.for_epoch(epoch).batch([0, 1]).targets["labels"]
        found[tuple(np.flatnonzero(labels >= 0).tolist())] += 1
    check_against_the_definition(found, inclusions(weights, 2))


def test_without_smoothing_all_tokens_are_alike(tokenizer):
    data = dataset(tokenizer, [[5, 6, 7, 7], [7] * 50], Masking(share=0.3, smoothing=0))
    assert set(data.weights[5:]) == {1.0}
    found = Counter()
    for epoch in range(5_000):
        labels = data.for_epoch(epoch).batch([0]).targets["labels"]
        found[tuple(np.flatnonzero(labels >= 0).tolist())] += 1
    check_against_the_definition(found, inclusions([0, 1, 1, 1, 1, 0], 2))


def test_exactly_so_many(data):
    for epoch, size in ((0, 1), (1, 7), (2, 32), (3, 200)):
        batch = data.for_epoch(epoch).batch(np.arange(size))
        labels = batch.targets["labels"]
        assert labels.shape == (batch.num_tokens,)
        assert (labels >= 0).sum() == math.ceil(Fraction(15, 100) * batch.num_tokens)
        assert set(labels[labels < 0]) == {-100}


@given(st.integers(1, 10**6), st.integers(1, 100))
@example(100, 7)  # 0.07 * 100 is a little more than 7
def test_rounding_up_is_exact(tokens, percent):
    assert Masking(share=percent / 100).targets(tokens) == math.ceil(Fraction(percent, 100) * tokens)


def test_special_tokens_are_never_asked_for(data):
    plain = data.sequences.batch(np.arange(200)).input_ids
    special = plain < 5
    assert {UNK, CLS, SEP} <= set(plain[special])
    for epoch in range(50):
        batch = data.for_epoch(epoch).batch(np.arange(200))
        labels = batch.targets["labels"]
        assert (labels[special] == -100).all()
        assert (batch.input_ids[special] == plain[special]).all()
        assert (labels[labels >= 0] == plain[labels >= 0]).all()
        assert (batch.input_ids[labels < 0] == plain[labels < 0]).all()


def test_where_only_few_can_be_asked_for(tokenizer):
    data = dataset(tokenizer, [[UNK] * 30 + [5, 6], [UNK] * 20])
    for case in (data, data.fixed()):
        labels = case.batch([0]).targets["labels"]
        assert np.flatnonzero(labels >= 0).tolist() == [31, 32]
        assert (case.batch([1]).targets["labels"] == -100).all()
        assert case.batch(np.zeros(0, int)).num_tokens == 0


# What stands in their place


def test_eighty_ten_ten(tokenizer):
    """Five standard deviations; random tokens are from the whole vocabulary, special ones among them."""
    n = tokenizer.num_ids
    data = dataset(tokenizer, [[7] * 62] * 100)
    masks = same = total = 0
    words = np.zeros(n)
    for epoch in range(30):
        batch = data.for_epoch(epoch).batch(np.arange(100))
        asked = batch.targets["labels"] >= 0
        now = batch.input_ids[asked]
        total += len(now)
        masks, same = masks + (now == MASK).sum(), same + (now == 7).sum()
        words += np.bincount(now, minlength=n)
    assert total == 30 * 960
    for found, share in ((masks, 0.8 + 0.1 / n), (same, 0.1 + 0.1 / n)):
        assert abs(found - share * total) < 5 * math.sqrt(total * share * (1 - share))
    others = np.delete(words, [MASK, 7])
    expected = total * 0.1 / n
    assert (np.abs(others - expected) < 5 * math.sqrt(expected)).all()
    assert ((others - expected) ** 2 / expected).sum() < len(others) + 4.5 * math.sqrt(2 * len(others)) + 5


@pytest.mark.parametrize(
    ("masking", "share"), [(Masking(masked=1, kept=0), 1), (Masking(masked=0, kept=1), 0)]
)
def test_shares_can_be_chosen(tokenizer, masking, share):
    data = dataset(tokenizer, [[7] * 62] * 10, masking)
    batch = data.batch(np.arange(10))
    asked = batch.targets["labels"] >= 0
    assert (batch.input_ids[asked] == MASK).mean() == share
    assert (batch.input_ids[asked] == 7).mean() == 1 - share


# The same, and not the same


def same(a, b):
    return (a.input_ids == b.input_ids).all() and (a.targets["labels"] == b.targets["labels"]).all()


def test_masks_follow_from_seed_epoch_and_examples(data, tokenizer):
    rows = np.array([3, 1, 4, 15, 92])
    first = data.for_epoch(2).batch(rows)
    data.for_epoch(5).batch(rows)  # leaves nothing behind
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        assert same(first, data.for_epoch(7).for_epoch(2).batch(rows))
    finally:
        threads.set_num_threads(before)
    assert not same(first, data.for_epoch(3).batch(rows))
    assert same(data.for_epoch(0).batch(rows), data.batch(rows))
    other = MaskedDataset.create(data.sequences, tokenizer, seed=12)
    assert not same(first, other.for_epoch(2).batch(rows))


def test_another_order_is_the_same_but_for_the_order(data):
    rows = np.array([3, 1, 4, 15, 92])
    a, b = data.batch(rows), data.batch(rows[::-1])
    parts = np.split(a.targets["labels"], a.cu_seqlens[1:-1])[::-1]
    assert np.concatenate(parts).tolist() == b.targets["labels"].tolist()


def test_fixed_masks_are_one_to_an_example(data):
    fixed = data.fixed()
    whole = fixed.batch(np.arange(200))
    labels = np.split(whole.targets["labels"], whole.cu_seqlens[1:-1])
    ids = np.split(whole.input_ids, whole.cu_seqlens[1:-1])
    for rows in ([5], [9, 5, 2], [150, 151]):
        part = fixed.for_epoch(3).batch(rows)
        assert part.targets["labels"].tolist() == np.concatenate([labels[r] for r in rows]).tolist()
        assert part.input_ids.tolist() == np.concatenate([ids[r] for r in rows]).tolist()
    able = [
        (row[1:-1] != UNK).sum()
        for row in np.split(data.sequences.batch(np.arange(200)).input_ids, whole.cu_seqlens[1:-1])
    ]
    for row, n in zip(labels, able, strict=True):
        assert (row >= 0).sum() == min(math.ceil(Fraction(15, 100) * len(row)), n)
    assert not same(whole, data.batch(np.arange(200)))


def test_masks_over_each_sequence_do_not_depend_on_the_company(data, tokenizer):
    alone = MaskedDataset.create(data.sequences, tokenizer, Masking(over="sequence"), seed=11).for_epoch(2)
    whole, rows = alone.batch(np.arange(32)), np.arange(8, 16)
    part = alone.batch(rows)
    begin, end = whole.cu_seqlens[8], whole.cu_seqlens[16]
    assert (whole.input_ids[begin:end] == part.input_ids).all()
    assert (whole.targets["labels"][begin:end] == part.targets["labels"]).all()
    assert not same(part, alone.for_epoch(3).batch(rows))
    over_batch = data.for_epoch(2)
    assert not (
        over_batch.batch(np.arange(32)).input_ids[begin:end] == over_batch.batch(rows).input_ids
    ).all()


def test_the_hash_knows_what_decides_the_masks(data, tokenizer):
    make = lambda *a, **k: MaskedDataset.create(data.sequences, tokenizer, *a, **k).content_hash()
    hashes = [
        make(seed=11),
        make(seed=12),
        make(Masking(share=0.2), seed=11),
        make(Masking(smoothing=0), seed=11),
        data.fixed().content_hash(),
    ]
    assert len(set(hashes)) == 5
    assert hashes[0] == data.content_hash() == data.for_epoch(4).content_hash()


@pytest.mark.parametrize(
    "settings",
    [{"share": 0}, {"share": 1.1}, {"masked": -0.1}, {"masked": 0.9, "kept": 0.2}, {"smoothing": -1}],
)
def test_shares_that_cannot_be(settings):
    with pytest.raises(ConfigError, match="expected"):
        Masking(**settings)


# Whole words


def begins_of(sizes):
    return np.concatenate([np.arange(size) == 0 for size in sizes])


def test_words_of_one_token_are_drawn_as_tokens_are():
    rng = np.random.default_rng(3)
    for _ in range(50):
        weights, uniform = rng.choice([0.0, 0.5, 1.0, 2.0], 20), rng.random(20)
        rows = np.sort(rng.integers(0, 3, 20))
        rows = np.searchsorted(np.unique(rows), rows)
        k = rng.integers(0, 8, rows[-1] + 1)
        words = draw_words(weights, uniform, np.ones(20, bool), rows, k.tolist())
        np.testing.assert_array_equal(words, draw_by_row(weights, uniform, rows, k))


def test_words_are_drawn_whole_in_their_order_as_long_as_they_fit():
    sizes = [1, 3, 2, 1, 2]
    begins, T = begins_of(sizes), sum(sizes)
    uniform = np.full(T, 0.5)
    uniform[[0, 1, 4, 6, 7]] = [0.5, 0.9, 0.8, 0.6, 0.7]  # the larger, the earlier: words 1, 2, 4, 3, 0
    one_row = np.zeros(T, int)
    for k, expected in (
        (3, [1, 2, 3]),
        (5, [1, 2, 3, 4, 5]),
        (4, [1, 2, 3, 6]),
        (2, [4, 5]),
        (1, [6]),
        (0, []),
    ):
        assert draw_words(np.ones(T), uniform, begins, one_row, [k]).tolist() == expected
    weights = np.ones(T)
    weights[2] = 0  # a word of which a token is never drawn is not
    assert draw_words(weights, uniform, begins, one_row, [3]).tolist() == [4, 5, 6]
    weights = np.ones(T)
    weights[8] = 100  # a word is as rare as its rarest piece
    assert draw_words(weights, uniform, begins, one_row, [2]).tolist() == [7, 8]
    assert draw_words(np.zeros(0), np.zeros(0), np.zeros(0, bool), np.zeros(0, int), []).tolist() == []


@pytest.mark.parametrize("over", ["batch", "sequence"])
def test_no_piece_is_asked_for_without_its_word(tokenizer, over):
    pieces = [i for i in range(tokenizer.num_ids) if (tokenizer.id_to_token(i) or "").startswith("##")]
    plain = [i for i in range(5, tokenizer.num_ids) if i not in pieces]
    rng = np.random.default_rng(5)
    documents = [
        [
            UNK if rng.random() < 0.1 else int(rng.choice(pieces if rng.random() < 0.4 else plain))
            for _ in range(30)
        ]
        for _ in range(40)
    ]
    whole = dataset(tokenizer, documents, Masking(whole_words=True, share=0.3, over=over), seed=4)
    asked = 0
    for batch in (whole.batch(np.arange(40)), whole.for_epoch(3).batch(np.arange(7))):
        original = batch.targets["labels"]
        drawn = original != -100
        truth = whole.sequences.batch(np.searchsorted(whole.example_ids, batch.example_ids)).input_ids
        inside = np.isin(truth, pieces)
        inside[1:] &= ~np.isin(truth[:-1], [UNK, CLS])
        assert (drawn[1:] == drawn[:-1])[inside[1:]].all()
        asked += drawn.sum()
        if over == "batch":
            assert drawn.sum() in range(
                whole.masking.targets(len(truth)) - 4, whole.masking.targets(len(truth)) + 1
            )
        else:
            most = [whole.masking.targets(int(n)) for n in batch.lengths]
            assert (np.bincount(batch.sequence_ids, drawn) <= most).all()
    assert asked
    assert (
        whole.content_hash()
        != dataset(tokenizer, documents, Masking(share=0.3, over=over), seed=4).content_hash()
    )


def test_whole_words_follow_from_seed_epoch_and_examples(tokenizer):
    documents = [
        [int(i) for i in np.random.default_rng(d).integers(5, tokenizer.num_ids, 20)] for d in range(12)
    ]
    whole = dataset(tokenizer, documents, Masking(whole_words=True, fixed=True), seed=4)
    alone, together = whole.batch([3]), whole.batch([0, 3, 5])
    np.testing.assert_array_equal(
        alone.targets["labels"], together.targets["labels"][together.sequence_ids == 1]
    )
    np.testing.assert_array_equal(whole.batch([3]).input_ids, alone.input_ids)


def test_a_token_that_the_vocabulary_lacks_is_named(tokenizer):
    masked = dataset(tokenizer, [[5, 6, 7], [6, tokenizer.num_ids, 7]])
    masked = replace(masked, weights=masked.weights[: tokenizer.num_ids])
    with pytest.raises(DataError, match="its tokens are not those of the vocabulary"):
        masked.batch([0, 1])
