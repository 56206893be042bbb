"""A relative bias in a whole model: gradients, maps of attention, first tokens alone, batches, freezing."""

import numpy as np
import pytest
from biased_toy import BiasedForMultipleChoice, BiasedModel, biased, table_of

from minidistil import kernels, ops
from minidistil.batch import Batch
from minidistil.errors import InputError, UsageError
from minidistil.model import RobertaConfig, RobertaModel
from minidistil.ops.dropout import Dropout
from minidistil.verify import model_cases
from minidistil.verify.finite_differences import check_gradient

NUMPY, NUMBA = pytest.param(ops, id="numpy"), pytest.param(kernels, id="numba")
TABLE = "encoder.relative_attention_bias.weight"


def batch(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return Batch.from_sequences([rng.integers(5, 40, n).astype(np.int32) for n in lengths])


def both_ways(model, given, dropout=None, **options):
    """Outputs, taps on the way back and gradients, for one gradient of the last hidden state."""
    outputs, cache = model.forward(given, dropout=dropout, **options)
    grads = model.params.like()
    dout = np.random.default_rng(5).standard_normal(outputs["last_hidden_state"].shape)
    back = model.backward({"last_hidden_state": dout}, cache, grads, taps=options.get("taps"))
    return outputs, back, grads


@pytest.mark.parametrize("dropout", [None, Dropout(3, 5)], ids=["", "dropout"])
@pytest.mark.parametrize("backend", [NUMPY, NUMBA])
def test_every_gradient(backend, dropout, monkeypatch):
    """Of all outputs, the bias among them, by every parameter."""
    monkeypatch.setattr(model_cases, "model_class", lambda name: BiasedModel)
    case = model_cases.outputs_case("BiasedModel", dropout, backend, max_position_embeddings=8)
    assert "attention_bias" in case.forward()
    results = check_gradient(case)
    assert [r.tensor for r in results if not r.passed] == []
    table = next(r for r in results if r.tensor.endswith(TABLE))
    assert table.norm > 1e-3


@pytest.mark.parametrize("dropout", [None, Dropout(3, 5)], ids=["", "dropout"])
def test_backends_agree(dropout):
    given, found = batch(200, 1, 2, 33), []
    for backend in ("numpy", "numba"):
        outputs, _, grads = both_ways(biased(backend=backend), given, dropout)
        found.append({**outputs, **grads})
    for name, value in found[0].items():
        scale = max(np.linalg.norm(value), np.linalg.norm(found[0][TABLE]))  # the keys' biases have none
        assert np.linalg.norm(found[1][name] - value) < 1e-11 * scale, name
    met = np.flatnonzero(found[0][TABLE].any(1))
    assert met.tolist() == [n for n in range(32) if n != 16]


def test_the_bias_is_in_the_maps_of_attention():
    """Scores are q k / sqrt(D) and the table's row for the distance, in every layer."""
    model, given = biased(), batch(30, 4)
    outputs, _ = model.forward(given, attentions=True, qkv=True, taps="*.attention.*")
    np.testing.assert_array_equal(outputs["attention_bias"], model.attention_bias(given))
    table = table_of(model)
    for i in range(3):
        q, k = (outputs["taps"][f"layer.{i}.attention.{part}"][:30, 6:] for part in "qk")  # the second head
        scores = q @ k.T / np.sqrt(6)
        for distance, bucket in ((0, 0), (-3, 3), (-14, 9), (1, 17), (25, 16 + 11)):
            where = np.eye(30, k=distance) == 1
            found = outputs["taps"][f"layer.{i}.attention.scores"][0][1][where]
            np.testing.assert_allclose(found, scores[where] + table[bucket, 1], rtol=1e-12)
        for b in range(2):
            weights = np.exp(outputs["taps"][f"layer.{i}.attention.scores"][b])
            weights /= weights.sum(-1, keepdims=True)
            np.testing.assert_allclose(outputs["attentions"][i][b], weights, rtol=1e-12)
            np.testing.assert_array_equal(
                outputs["taps"][f"layer.{i}.attention.probabilities"][b], outputs["attentions"][i][b]
            )


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_gradients_of_scores_add_up_to_that_of_the_table(backend):
    """Over all layers, sequences and queries, by bucket: with dropout too."""
    model, given = biased(backend=backend), batch(30, 4)
    _, back, grads = both_ways(model, given, Dropout(3, 5), taps=True)
    _, buckets = ops.relative_bias_forward(table_of(model), 30)
    total = np.zeros((2, 59))
    for name, maps in back.items():
        if name.endswith("attention.scores"):
            for dscores in maps:
                L = dscores.shape[1]
                for distance in range(1 - L, L):
                    total[:, 29 + distance] += np.diagonal(dscores, distance, 1, 2).sum(-1)
    np.testing.assert_allclose(
        grads[TABLE], ops.relative_bias_backward(total, buckets), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(("backend", "dtype"), [("numpy", "float64"), ("numba", "float32")])
def test_first_tokens_alone_have_the_same_scores(backend, dtype):
    model = biased(BiasedForMultipleChoice, backend, dtype, num_hidden_layers=2).eval()
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(5, 40, (2, 3, 20)), np.arange(20) < rng.integers(1, 21, (2, 3, 1))
    given = model.pack(ids, mask)
    whole = model.forward(given, keep_cache=False)[0]["logits"]
    alone = model.forward(given, keep_cache=False, scores_only=True)[0]["logits"]
    np.testing.assert_allclose(alone, whole, rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6)
    table_of(model.train())[...] = 0
    assert not np.allclose(model.forward(given)[0]["logits"], whole, rtol=1e-3)


def test_a_sequence_is_the_same_alone_and_in_a_batch():
    model, lengths = biased(), (7, 40, 1, 2)
    together = batch(*lengths)
    outputs, _, whole = both_ways(model, together)
    total = model.params.like()
    dout = np.random.default_rng(5).standard_normal(outputs["last_hidden_state"].shape)
    for start, stop in zip(together.cu_seqlens, together.cu_seqlens[1:], strict=False):
        alone, cache = model.forward(Batch.from_sequences([together.input_ids[start:stop]]))
        expected = outputs["last_hidden_state"][start:stop]
        np.testing.assert_allclose(alone["last_hidden_state"], expected, rtol=1e-10, atol=1e-12)
        model.backward({"last_hidden_state": dout[start:stop]}, cache, total)
    np.testing.assert_allclose(total.flat, whole.flat, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("backend", [NUMPY, NUMBA])
def test_a_table_alone_learns_what_it_learns_among_others(backend):
    model, given = biased(backend=backend.name), batch(30, 4)
    expected = both_ways(model, given)[2][TABLE].copy()
    model.freeze(*(name for name in model.params if name != TABLE))
    _, _, grads = both_ways(model, given)
    np.testing.assert_array_equal(grads[TABLE], expected)
    assert not any(grads[name].any() for name in grads if name != TABLE)


@pytest.mark.parametrize("backend", [NUMPY, NUMBA])
def test_a_frozen_table_costs_nothing(backend, monkeypatch):
    model, given = biased(backend=backend.name), batch(30, 4)
    expected = both_ways(model, given)[2]
    attention_backward = backend.attention_backward
    monkeypatch.setattr(backend, "attention_backward", lambda dout, cache: attention_backward(dout, cache))
    monkeypatch.setattr(backend, "relative_bias_backward", None)
    model.freeze("embeddings", TABLE)
    _, _, grads = both_ways(model, given)
    assert not grads[TABLE].any()
    np.testing.assert_array_equal(grads["encoder.layer.0.output.dense.weight"],
                                  expected["encoder.layer.0.output.dense.weight"])  # fmt: skip


def test_a_gradient_of_the_bias_is_added_to_that_of_the_layers():
    model, given = biased(), batch(30, 4)
    outputs, cache = model.forward(given)
    assert "attention_bias" not in outputs  # nobody asked for it
    dout = np.random.default_rng(0).standard_normal((2, 59))
    before, (_, buckets) = dout.copy(), ops.relative_bias_forward(table_of(model), 30)
    first, both = model.params.like(), model.params.like()
    states = np.random.default_rng(1).standard_normal((34, 12))
    model.backward({"last_hidden_state": states}, cache, first)
    model.backward({"last_hidden_state": states, "attention_bias": dout}, cache, both)
    np.testing.assert_array_equal(dout, before)
    added = ops.relative_bias_backward(dout, buckets)
    np.testing.assert_allclose(both[TABLE] - first[TABLE], added, rtol=1e-9, atol=1e-12)
    with pytest.raises(InputError, match=r"attention_bias must be numbers of shape \[2, 59\]"):
        model.backward({"attention_bias": dout[:, 1:]}, cache, both)


def test_a_model_without_one():
    sizes = {"hidden_size": 12, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1}
    model = RobertaModel(RobertaConfig(vocab_size=40, max_position_embeddings=50, **sizes), backend="numpy")
    given = batch(30, 4)
    outputs, cache = model.forward(given, qkv=True)
    assert model.attention_bias(given) is None
    assert "attention_bias" not in outputs
    with pytest.raises(UsageError, match="attention_bias"):
        model.backward({"attention_bias": np.zeros((2, 59))}, cache, model.params.like())
