"""Replaced-token detection: the joint step of a generator and a discriminator, and what it draws."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import RANDOM

from minidistil import BertModel, ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining, TrainSettings
from minidistil.batch import Batch
from minidistil.errors import ConfigError, InputError
from minidistil.ops.dropout import Dropout
from minidistil.ops.philox import normal
from minidistil.train.hooks import StopTraining
from minidistil.train.replaced_tokens import GENERATOR, ReplacedTokens, draw_words, first_beyond, replaced
from minidistil.train.trainer import Trainer

CONFIG = ElectraConfig(
    vocab_size=23, embedding_size=6, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=20, max_position_embeddings=12, initializer_range=0.3,
)  # fmt: skip
SMALL = CONFIG.replace(hidden_size=8, num_attention_heads=1, intermediate_size=12)
SEQUENCES = [[2, 7, 4, 9, 3], [2, 4, 8, 11, 22, 6, 3], [2, 5, 3]]


def pair(dtype="float64", backend="numpy"):
    """Objective, discriminator and generator."""
    how = {"dtype": dtype, "backend": backend}
    discriminator, generator = (
        ElectraForPreTraining(CONFIG, seed=1, **how),
        ElectraForMaskedLM(SMALL, seed=2, **how),
    )
    return ReplacedTokens(discriminator, generator), discriminator, generator


def batch_of(rows=(0, 1, 2)):
    """Some of the sequences, of each the second token masked and of the longest one more."""
    ids, labels, noise = [], [], []
    for b in rows:
        row, own = list(SEQUENCES[b]), [-100] * len(SEQUENCES[b])
        for i in (1, 4) if len(row) > 5 else (1,):
            own[i], row[i] = row[i], 1
        ids, labels = [*ids, row], [*labels, *own]
        noise.append(np.random.default_rng(b).random(len(row)))
    targets = {"labels": np.array(labels), "noise": np.concatenate(noise)}
    return Batch.from_sequences(ids, example_ids=list(rows), targets=targets)


def step(objective, discriminator, batch, dropout=None):
    grads = discriminator.params.like()
    return objective(discriminator, batch, objective.counts(batch), dropout, grads), grads


def test_cumulated_probabilities_by_hand():
    """Of words with 1/8, 5/8 and 2/8: borders at 1/8 and 6/8; a word beyond doubt is always drawn."""
    logits = np.log([[1.0, 5.0, 2.0]] * 4)
    assert first_beyond(logits, np.array([0.0, 0.124, 0.126, 0.751])).tolist() == [0, 0, 1, 2]
    sure = np.array([[-1000.0, 0.0, -1000.0]] * 2)
    assert first_beyond(sure, np.array([0.0, 1 - 2**-53])).tolist() == [1, 1]


def test_words_of_several_blocks():
    """As one sum over all words finds them."""
    rng = np.random.default_rng(1)
    logits, noise = rng.standard_normal((400, 700)) * 3, rng.random(400)
    noise[:2] = 0, 1 - 2**-53
    cumulated = np.cumsum(np.exp(logits - logits.max(1, keepdims=True)), 1)
    expected = (cumulated > (noise * cumulated[:, -1])[:, None]).argmax(1)
    np.testing.assert_array_equal(first_beyond(logits, noise), expected)
    assert len(set(expected // 256)) == 3


def test_frequencies_are_the_probabilities():
    logits, n = np.array([0.5, -1.0, 2.0, 0.0, 1.2]), 40_000
    noise = np.random.default_rng(0).random(n)
    counts = np.bincount(first_beyond(np.tile(logits, (n, 1)), noise), minlength=5)
    p = np.exp(logits) / np.exp(logits).sum()
    assert (np.abs(counts - n * p) < 4 * np.sqrt(n * p * (1 - p))).all()


def test_a_lucky_draw_is_no_replacement():
    batch = batch_of()
    found = replaced(batch, np.array([7, 9, 9, 5]))  # the first and the last are the text's own
    assert found.targets["labels"].tolist() == [0] * 6 + [1, 0, 0, 1] + [0] * 5
    assert found.input_ids.tolist() == [2, 7, 4, 9, 3, 2, 9, 8, 11, 9, 6, 3, 2, 5, 3]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_draws_do_not_depend_on_the_rest_of_the_batch(backend):
    _, _, generator = pair(backend=backend)

    def words(rows):
        batch = batch_of(rows)
        features = generator.forward(batch, logits=False)[0]["features"]
        return draw_words(generator, features, batch).tolist()

    together = words((0, 1, 2))
    assert together == words((0,)) + words((1,)) + words((2,))
    assert words((2, 0, 1)) == [together[3], *together[:3]]


def test_no_gradient_goes_through_the_draw_and_those_of_the_tables_add():
    objective, discriminator, generator = pair()
    whole, both = {}, {"masked_lm": 1.0, "replaced_tokens": 50.0}
    for name, weights in (
        ("both", both),
        ("generator", {**both, "replaced_tokens": 0.0}),
        ("discriminator", {**both, "masked_lm": 0.0}),
    ):
        objective.weights = weights
        whole[name] = step(objective, discriminator, batch_of(), Dropout(3, 4))[1]
    shared = {table.name for table in generator.encoder.embeddings.tables}
    assert len(shared) == 3
    for name in discriminator.params:
        of_generator = name.startswith(GENERATOR)
        assert whole["generator"][name].any() == (of_generator or name in shared), name
        assert whole["discriminator"][name].any() == (not of_generator), name
    np.testing.assert_allclose(
        whole["both"].flat, whole["generator"].flat + whole["discriminator"].flat, rtol=1e-12, atol=1e-14
    )


def test_the_gradient_is_that_of_finite_differences(monkeypatch):
    """In random directions over all parameters of both, with the drawn words as they are."""
    objective, discriminator, _ = pair()
    batch, dropout = batch_of(), Dropout(5, 6)
    words = np.array([9, 4, 9, 8])
    monkeypatch.setattr("minidistil.train.replaced_tokens.draw_words", lambda *args: words)

    def loss():
        sums, grads = step(objective, discriminator, batch, dropout)
        counts = objective.counts(batch)
        return sum(objective.weights[term] * value / counts[term] for term, value in sums.items()), grads

    flat, (_, grads) = discriminator.params.flat, loss()
    for seed in range(3):
        before, direction = flat.copy(), normal(flat.shape, seed).astype(np.float64)
        ends = []
        for side in (1, -1):
            flat[...] = before + side * 1e-6 * direction
            ends.append(loss()[0])
        flat[...] = before
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float(grads.flat @ direction), rel=1e-6)


def test_the_generator_is_a_part_of_what_is_trained():
    _, discriminator, generator = pair()
    for table in generator.encoder.embeddings.tables:
        assert np.shares_memory(generator.params[table.name], discriminator.params[table.name])
    name = "electra.encoder.layer.1.attention.self.key.weight"
    discriminator.params[GENERATOR + name][...] = 0.5
    assert (generator.params[name] == 0.5).all()
    assert (generator.params.array("electra.encoder.layer.1.attention.self.qkv.weight")[8:16] == 0.5).all()


class Data:
    """Ten batches' worth of the three sequences."""

    lengths = np.array([len(SEQUENCES[i % 3]) for i in range(30)])

    def __len__(self):
        return 30

    def batch(self, indices):
        return batch_of([int(i) % 3 for i in indices])

    def content_hash(self):
        return ""


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    settings = TrainSettings(epochs=1, batch_size=4, lr=1e-2, seed=3)

    def run(out, stop=None):
        objective, discriminator, _ = pair("float32", "numba")

        def hook(state):
            if state.step == stop:
                raise StopTraining

        how = {"settings": settings, "out": out, "on_step": hook, "quiet": True}
        Trainer(discriminator, objective, Data(), **how).train()
        return discriminator.params.flat.copy()

    whole = run(tmp_path / "whole")
    assert not np.array_equal(run(tmp_path / "parts", stop=3), whole)
    np.testing.assert_array_equal(run(tmp_path / "parts"), whole)


def test_models_that_are_no_pair():
    _, discriminator, generator = pair()
    with pytest.raises(ConfigError, match=r"^BertModel is no generator, such as ElectraForMaskedLM"):
        ReplacedTokens(discriminator, BertModel(RANDOM))
    with pytest.raises(ConfigError, match=r"^ElectraForMaskedLM is no discriminator"):
        ReplacedTokens(generator, generator)
    other = ElectraForMaskedLM(SMALL.replace(embedding_size=5))
    with pytest.raises(
        ConfigError, match=r"position_embeddings.weight is \[12, 6\] in the one and \[12, 5\] in"
    ):
        ReplacedTokens(ElectraForPreTraining(CONFIG), other)
    batch = batch_of()
    without = replace(batch, targets={"labels": batch.targets["labels"]})
    with pytest.raises(InputError, match="no target 'noise'"):
        step(*pair()[:2], without)
