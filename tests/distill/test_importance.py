"""Importance of heads, against the gate it is said to be the derivative of."""

import numpy as np
import pytest
from tiny import random_dataset

from minidistil import BertConfig
from minidistil.distill.importance import head_importance, stream_sample
from minidistil.errors import InputError
from minidistil.model import BertForSequenceClassification, BertModel

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=16,
    max_position_embeddings=8,
    initializer_range=0.4,
)


def dataset(n=5):
    labels = np.random.default_rng(0).integers(0, 2, n)
    return random_dataset(n, words=40, longest=7, labels=labels)


def test_it_is_the_derivative_by_a_gate():
    """A gate on a head's output is a factor on the columns of the projection that read it."""
    model = BertForSequenceClassification(CONFIG, dtype="float64", backend="numpy", seed=1)
    data, step = dataset(), 1e-6
    expected = np.zeros((2, 3))
    for layer in range(2):
        weight = model.params[f"bert.encoder.layer.{layer}.attention.output.dense.weight"]
        for head in range(3):
            columns = slice(4 * head, 4 * head + 4)
            original = weight[:, columns].copy()
            for i in range(5):
                values = []
                for gate in (1 + step, 1 - step):
                    weight[:, columns] = gate * original
                    values.append(
                        sum(model.losses(model.forward(data.batch([i]))[0], data.batch([i])).sums.values())
                    )
                weight[:, columns] = original
                expected[layer, head] += abs(values[0] - values[1]) / (2 * step) / 5
    np.testing.assert_allclose(head_importance(model, data), expected, rtol=1e-6)
    np.testing.assert_allclose(head_importance(model, data.subset([0, 1]), examples=9),
                               head_importance(model, data, examples=2), rtol=1e-12)  # fmt: skip


def test_nothing_to_measure_on():
    model = BertForSequenceClassification(CONFIG)
    with pytest.raises(InputError, match="there are none"):
        head_importance(model, dataset(0))


def test_a_sample_of_the_stream():
    model, data = BertModel(CONFIG), dataset(40)
    whole = stream_sample(model, data, examples=40)
    assert whole.shape == (3 * data.num_tokens, 12)
    batch = data.batch(np.arange(16))
    np.testing.assert_allclose(
        whole[: batch.num_tokens], model.forward(batch, hidden_states=True)[0]["hidden_states"][0], rtol=1e-5
    )
    assert 40 <= len(stream_sample(model, data, examples=40, rows=50)) <= 50
