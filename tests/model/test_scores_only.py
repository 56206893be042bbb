"""Scores alone: the same, and of the last layer no more than they need."""

import numpy as np
import pytest
from tiny import CONFIG

from minidistil.batch import Batch
from minidistil.model import MODELS, BertForSequenceClassification, BertModel
from minidistil.ops.dropout import Dropout

SIZES = {
    name: getattr(CONFIG, name)
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                 "max_position_embeddings", "initializer_range")
}  # fmt: skip


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return Batch.from_sequences(
        [rng.integers(5, CONFIG.vocab_size, n).astype(np.int32) for n in (3, 1, 9, 2, 5)]
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("backend", "dtype"), [("numpy", "float64"), ("numba", "float32")])
def test_scores_are_the_same(name, backend, dtype, batch):
    config = MODELS[name].config_class(**SIZES)
    model = MODELS[name](config, seed=1, backend=backend, dtype=dtype).eval()
    whole, _ = model.forward(batch, keep_cache=False)
    alone, _ = model.forward(batch, keep_cache=False, scores_only=True)
    assert set(alone) == set(whole) - {"last_hidden_state"}
    for output, scores in alone.items():
        np.testing.assert_allclose(
            scores, whole[output], rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6
        )
        assert np.ptp(scores) > 1e-3, "all alike: any rows would do"


def test_the_last_layer_is_computed_for_first_tokens_only(batch, monkeypatch):
    model = BertForSequenceClassification(CONFIG, backend="numpy", seed=1)
    rows = []
    forward = model.backend.feed_forward_forward

    def counted(x, *arguments, **options):
        rows.append(len(x))
        return forward(x, *arguments, **options)

    monkeypatch.setattr(model.backend, "feed_forward_forward", counted)
    model.forward(batch, keep_cache=False, scores_only=True)
    assert rows == [20] * (CONFIG.num_hidden_layers - 1) + [5]
    for more in ("keep_cache", "hidden_states", "attentions", "qkv", "dropout"):
        rows.clear()
        asked = {"keep_cache": False} | {more: Dropout(1, 1) if more == "dropout" else True}
        outputs, _ = model.forward(batch, scores_only=True, **asked)
        assert rows == [20] * CONFIG.num_hidden_layers, "who asks for more gets it"
        assert "logits" in outputs
        if more in ("hidden_states", "attentions", "qkv"):
            assert len(outputs[more][-1]) == (5 if more == "attentions" else 20)


def test_models_without_a_head_or_without_layers(batch):
    class Bare(BertModel):
        build_heads = ()

    assert Bare(CONFIG, seed=1).forward(batch, keep_cache=False, scores_only=True)[0] == {}
    model = BertForSequenceClassification(CONFIG.replace(num_hidden_layers=0), seed=1)
    whole, alone = (
        model.forward(batch, keep_cache=False, scores_only=only)[0]["logits"] for only in (False, True)
    )
    np.testing.assert_array_equal(whole, alone)
