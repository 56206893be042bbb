"""Copies with replaced words: which words, by which, and always the same."""

import numpy as np
import pytest
from tiny import CONFIG, VOCABULARY, make_tokenizer

from minidistil.distill.masked_candidates import masked_candidates
from minidistil.errors import DataError
from minidistil.model import BertForMaskedLM
from minidistil.ops.philox import derive_key, philox
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.word_replacement import (
    PURPOSE,
    nearest_words,
    replaced_copies,
    table_candidates,
    word_ids,
    word_tokens,
)

TEXTS = ["the film is warmly funny", "a dull plot", "cast and film", "a"]
ID = {word: i for i, word in enumerate(VOCABULARY)}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def words(tokenizer):
    return word_ids(tokenizer, len(VOCABULARY))


@pytest.fixture(scope="module")
def data(tokenizer):
    return Dataset.from_texts(tokenizer, TEXTS, labels=np.arange(4))


@pytest.fixture(scope="module")
def alone(tokenizer, words, data):
    return word_tokens(data, words, tokenizer)


def test_words_are_letters_alone(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*VOCABULARY, "2nd", "12", ".", "[unused7]", "é"]) + "\n")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    found = word_ids(tokenizer, tokenizer.vocab_size)
    assert [tokenizer.id_to_token(i) for i in np.flatnonzero(found)] == [
        *(word for word in VOCABULARY[5:] if word != "##ly"), "é",
    ]  # fmt: skip


def test_first_pieces_stay(data, alone):
    """`warm` is the first piece of `warmly`."""
    stay = [VOCABULARY[i] for i in data.input_ids[~alone]]
    assert stay == ["[CLS]", "warm", "##ly", "[SEP]", *["[CLS]", "[SEP]"] * 3]


def test_nearest_words_are_those_of_the_largest_cosine(words):
    table = np.random.default_rng(2).standard_normal((len(VOCABULARY), 3))
    table[ID["plot"]] = 5 * table[ID["film"]]  # the same direction
    ids = np.array([ID["film"], ID["warm"]])
    found = nearest_words(table, words, ids, 4)
    assert found.shape == (2, 4)
    assert found[0, 0] == ID["plot"]
    for own, row in zip(ids, found, strict=True):
        cosines = {
            i: table[own] @ table[i] / np.linalg.norm(table[own]) / np.linalg.norm(table[i])
            for i in np.flatnonzero(words) if i != own
        }  # fmt: skip
        assert row.tolist() == sorted(cosines, key=lambda i: -cosines[i])[:4]
    assert nearest_words(table, words, ids, 99).shape == (2, words.sum() - 1)


def test_the_words_drawn(data, alone, words):
    """Each replaced word is the one that the counter (seed, copy, example, position) says."""

    def candidates(given, at):
        return np.stack([given.input_ids[at] * 100 + k for k in range(3)], axis=1).astype(np.int32)

    flags = np.arange(data.num_tokens) % 3 == 0
    given = data.with_token_targets(labels=data.input_ids, compared=flags)
    copies = replaced_copies(given, alone, candidates, copies=2, share=0.5, seed=9)
    assert len(copies) == 8
    assert copies.example_ids.tolist() == list(range(8))
    assert not copies.targets
    assert copies.token_targets.keys() == {"compared"}  # labels do not go with other words
    assert copies.token_targets["compared"].tolist() == [*flags, *flags]
    assert copies.lengths.tolist() == [*data.lengths, *data.lengths]
    assert copies.token_type_ids.tolist() == [*data.token_type_ids, *data.token_type_ids]
    expected, replaced = [], 0
    for copy in range(2):
        for example, (first, last) in enumerate(zip(data.offsets, data.offsets[1:], strict=False)):
            for position, t in enumerate(range(first, last)):
                a, b, _, _ = philox(position, example, 0, 0, derive_key(9, PURPOSE, copy))
                word = int(data.input_ids[t])
                if alone[t] and int(a) < 2**31:
                    word = word * 100 + (int(b) * 3 >> 32)
                    replaced += 1
                expected.append(word)
    assert copies.input_ids.tolist() == expected
    assert 4 < replaced < 2 * alone.sum() - 4


def test_a_copy_does_not_depend_on_the_others(data, alone, words):
    table = np.random.default_rng(2).standard_normal((len(VOCABULARY), 3)).astype(np.float32)
    options = {"share": 0.6, "seed": 3}
    three = replaced_copies(data, alone, table_candidates(table, words, data, 5), copies=3, **options)
    part = data.subset([2, 1])
    some = replaced_copies(
        part, alone_of(part, data, alone), table_candidates(table, words, part, 5), copies=2, **options
    )  # fmt: skip
    for copy in range(2):
        for row, whole in enumerate((2, 1)):
            ours = some.batch([2 * copy + row]).input_ids
            np.testing.assert_array_equal(ours, three.batch([4 * copy + whole]).input_ids)
    other = replaced_copies(data, alone, table_candidates(table, words, data, 5), copies=3, share=0.6, seed=4)
    assert (other.input_ids != three.input_ids).any()
    changed = three.input_ids != np.tile(data.input_ids, 3)
    assert not changed[~np.tile(alone, 3)].any()
    assert words[three.input_ids[changed]].all()


def alone_of(part, data, alone):
    return np.concatenate([alone[data.offsets[i] : data.offsets[i + 1]] for i in part.example_ids])


def test_sequences_of_one_example_are_replaced_alike(words, tokenizer):
    data = Dataset.from_texts(tokenizer, ["a film is the plot"] * 3)
    table = np.random.default_rng(2).standard_normal((len(VOCABULARY), 3))
    copies = replaced_copies(
        data, word_tokens(data, words, tokenizer), table_candidates(table, words, data, 5),
        copies=1, share=0.7, seed=0, examples=np.array([0, 0, 1]),
    )  # fmt: skip
    first, second, third = (copies.batch([i]).input_ids.tolist() for i in range(3))
    assert first == second != third


def test_candidates_of_a_masked_lm(data, words):
    """The likeliest words where all places are masked at once, whatever the batches."""
    model = BertForMaskedLM(CONFIG.replace(num_hidden_layers=2), dtype="float64", backend="numpy", seed=3)
    at = np.array([1, 3, 8, 9, 13])  # in three of the sequences
    found = masked_candidates(model, words, ID["[MASK]"], 4)(data, at)
    masked = data.input_ids.copy()
    masked[at] = ID["[MASK]"]
    for i in range(len(data)):
        inside = slice(data.offsets[i], data.offsets[i + 1])
        logits = np.asarray(model(masked[None, inside]).logits)[0]
        for row, t in enumerate(at):
            if inside.start <= t < inside.stop:
                scores = np.where(words, logits[t - inside.start], -np.inf)
                scores[data.input_ids[t]] = -np.inf
                assert found[row].tolist() == np.argsort(-scores)[:4].tolist()


def test_nothing_to_replace(words, tokenizer):
    data = Dataset.from_texts(tokenizer, ["warmly", "dully"])
    alone = word_tokens(data, words, tokenizer)
    with pytest.raises(DataError, match="no word of the examples can be replaced"):
        replaced_copies(data, alone, lambda data, at: None, copies=1, share=1.0, seed=0)
