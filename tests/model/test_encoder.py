"""Encoders composed in ways that no family has yet."""

import numpy as np
import pytest

from minidistil import BertConfig, BertModel
from minidistil.batch import Batch
from minidistil.model.encoder import Encoder

CONFIG = BertConfig(
    vocab_size=20, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16,
    initializer_range=0.5,
)  # fmt: skip


class SharedLayers(BertModel):
    @classmethod
    def encoder_of(cls, config):
        encoder = super().encoder_of(config)
        return Encoder(encoder.embeddings, encoder.layers[:1] * len(encoder.layers))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_one_layer_in_several_places(backend):
    """Its parameters are there once, and its gradient is the sum over its places."""
    shared = SharedLayers(CONFIG, dtype="float64", backend=backend, seed=0)
    apart = BertModel(CONFIG, dtype="float64", backend=backend)
    for name in apart.params:
        layers, _, rest = name.partition("layer.")
        apart.params[name][:] = shared.params[f"{layers}layer.0{rest[1:]}" if rest else name]
    assert not any("layer.1" in name for name in shared.params)

    batch = Batch.from_sequences([[1, 2, 3], [4, 5, 6, 7]])
    grads = []
    for model in (shared, apart):
        outputs, cache = model.forward(batch)
        weights = np.random.default_rng(0).normal(size=outputs["last_hidden_state"].shape)
        grads.append(model.params.like())
        model.backward({"last_hidden_state": weights}, cache, grads[-1])

    name = "encoder.layer.{}.intermediate.dense.weight"
    total = sum(grads[1][name.format(i)] for i in range(3))
    np.testing.assert_allclose(grads[0][name.format(0)], total, 1e-12)
    word = "embeddings.word_embeddings.weight"
    np.testing.assert_allclose(grads[0][word], grads[1][word], 1e-12)
