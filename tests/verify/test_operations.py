"""compare names the operation at fault: each in turn is got wrong, forwards and backwards."""

import numpy as np
import pytest
from plain_bert import FAULTS, PlainBert

from minidistil import kernels, ops
from minidistil.batch import Batch
from minidistil.model import MODELS
from minidistil.verify.capture import capture, questions, taps_size, usual_taps
from minidistil.verify.compare import compare, order
from minidistil.verify.model_cases import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, tiny_model
from minidistil.verify.operations import inputs_of, our_name, part_of, says, tap_of

GIVEN = {"input_ids": INPUT_IDS, "attention_mask": ATTENTION_MASK, "token_type_ids": TOKEN_TYPE_IDS}
BATCH = Batch.from_padded(INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)


def model_of(name="BertForSequenceClassification", backend=ops, **changes):
    return tiny_model(name, backend, max_position_embeddings=7, **changes)


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_another_implementation_without_a_fault_agrees(backend):
    model = model_of(backend=backend)
    result = compare(capture(model, GIVEN, taps=True), PlainBert(model, BATCH).rectangular(), tolerance=1e-12)
    assert result.passed
    assert {t.name for t in result.tensors} >= set(model.taps())
    assert result.inputs() == ([], [])


@pytest.mark.parametrize(("fault", "first"), FAULTS.items())
def test_the_operation_at_fault_is_named(fault, first):
    """In another implementation of the same weights one operation is wrong."""
    model = model_of()
    wrong = PlainBert(model, BATCH, fault=fault).rectangular()
    result = compare(capture(model, GIVEN, taps=True), wrong, tolerance=1e-9)
    assert result.first_divergence == first
    agree, unknown = result.inputs()
    assert (agree, unknown) == (inputs_of(first, {}), [])
    assert result.first.relative > 1e-7


# An operation of the backend whose gradient number i is spoiled: the first tensor that is wrong then.
BACKWARD = {
    ("linear", 0): "grad.classifier.input",
    ("linear", 1): "grad.classifier.weight",
    ("linear", 2): "grad.classifier.bias",
    ("tanh", 0): "grad.pooler.output",
    ("residual_layernorm", 0): "grad.layer.1.feed_forward.output",
    ("residual_layernorm", 1): "grad.layer.1.feed_forward.residual",
    ("residual_layernorm", 2): "grad.bert.encoder.layer.1.output.LayerNorm.weight",
    ("feed_forward", 0): "grad.layer.1.feed_forward.input",
    ("feed_forward", 1): "grad.bert.encoder.layer.1.intermediate.dense.weight",
    ("attention", 0): "grad.layer.1.attention.v",
    ("layernorm", 0): "grad.embeddings.sum",
    ("embedding", 0): "grad.bert.embeddings.word_embeddings.weight",
}


@pytest.mark.parametrize(("spoiled", "first"), BACKWARD.items(), ids=lambda value: str(value))
def test_the_gradient_at_fault_is_named(spoiled, first, monkeypatch):
    (op, i), model = spoiled, model_of()
    right = capture(model, GIVEN, taps=True)
    real = getattr(ops, f"{op}_backward")

    def wrong(dout, cache, *totals):
        before = [total.copy() for total in totals]
        result = real(dout, cache, *totals)
        found = list(result) if isinstance(result, tuple) else [result]
        inputs = len(found) - len(totals)
        if i >= inputs:  # a parameter's, which was added to what was there
            totals[i - inputs][...] = before[i - inputs] + 1.001 * (totals[i - inputs] - before[i - inputs])
        else:
            found[i] = found[i] * 1.001
        return tuple(found) if isinstance(result, tuple) else found[0]

    monkeypatch.setattr(ops, f"{op}_backward", wrong)
    spoilt = capture(model, GIVEN | questions(right), taps=True)
    modules = {module: tap for tap, module in model.taps().items() if module}
    result = compare(spoilt, right, tolerance=1e-9, modules=modules)
    assert result.first_divergence == first
    agree, unknown = result.inputs()
    assert unknown == []
    assert agree or op == "embedding"
    assert all(name.startswith("grad.") for name in agree)


def test_without_taps_a_file_is_compared_by_layers():
    model = model_of()
    wrong = PlainBert(model, BATCH, fault="no scale").rectangular()
    states = capture(model, GIVEN)
    assert not [name for name in states if tap_of(name)]
    result = compare(states, wrong, tolerance=1e-9)
    assert result.first_divergence == "hidden_states.1"
    assert "layer.0.attention.q" in result.only_in_b


def test_what_one_side_lacks_is_no_input_that_agrees():
    model = model_of()
    wrong = PlainBert(model, BATCH, fault="no scale").rectangular()
    del wrong["layer.0.attention.k"]
    result = compare(capture(model, GIVEN, taps=True), wrong, tolerance=1e-9)
    assert result.inputs() == (
        ["layer.0.attention.q", "layer.0.attention.input"],
        ["layer.0.attention.k"],
    )


@pytest.mark.parametrize("shape", ["BALD", "BLAD", "F"])
def test_heads_may_be_apart(shape):
    model = model_of()
    ours, theirs = capture(model, GIVEN, taps=True), PlainBert(model, BATCH).rectangular()
    for name in ("q", "k", "v", "context"):
        value = theirs[f"layer.0.attention.{name}"].reshape(3, 5, 2, 4)
        if shape == "F":
            value = np.asfortranarray(value.reshape(3, 5, 8))
        theirs[f"layer.0.attention.{name}"] = value.transpose(0, 2, 1, 3) if shape == "BALD" else value
    assert compare(ours, theirs, tolerance=1e-9).passed
    assert compare(theirs, ours, tolerance=1e-9).passed
    theirs["layer.0.attention.v"] = theirs["layer.0.attention.v"] * 1.01
    assert compare(ours, theirs, tolerance=1e-9).first_divergence == "layer.0.attention.v"


def test_as_many_heads_as_tokens():
    """Both layouts of heads fit, and the nearer is taken."""
    model = model_of()
    given = {name: value[1:2, :2] for name, value in GIVEN.items()}
    ours = capture(model, given, taps=True)
    value = ours["layer.0.attention.q"].reshape(1, 2, 2, 4)
    for theirs in (value, value.transpose(0, 2, 1, 3), value[0], value.reshape(2, 8)):
        assert compare(ours, {"layer.0.attention.q": theirs}, tolerance=1e-12).passed


def test_another_shape_is_told_as_it_was_given():
    ours = capture(model_of(), GIVEN, taps="*.q")
    result = compare(ours, {"layer.0.attention.q": np.ones((3, 2, 5, 3))}, tolerance=1)
    assert result.first.shapes == ((3, 5, 8), (3, 2, 5, 3))


def test_noise_on_padding_is_left_out_of_maps_and_states():
    model = model_of()
    ours, theirs = capture(model, GIVEN, taps=True), PlainBert(model, BATCH).rectangular()
    theirs["layer.0.attention.scores"][0, :, :, 2:] = -1e30
    theirs["layer.0.attention.probabilities"][0, :, 2:] = 0.2
    theirs["layer.1.feed_forward.up"][2, 3:] = np.nan
    assert compare(ours, theirs, tolerance=1e-9).passed
    theirs["layer.0.attention.scores"][0, 1, 1, 0] += 1e-3
    result = compare(ours, theirs, tolerance=1e-9)
    assert result.first_divergence == "layer.0.attention.scores"
    assert result.first.largest.index == (0, 1, 1, 0)


def test_a_sequence_as_long_as_its_logits_loses_none():
    """[B, C] is no [B, L]: padding leaves out tokens, not classes."""
    model = model_of()
    given = {name: value[:2, :3] for name, value in GIVEN.items()}
    ours = capture(model, given)
    theirs = ours | {"logits": ours["logits"] + np.array([[0, 0, 1.0], [0, 0, 0]])}
    assert compare(ours, theirs, tolerance=1e-9).first_divergence == "logits"


def test_the_numbers_around_the_largest_difference():
    ours = {"hidden_states.0": np.arange(40.0).reshape(2, 2, 10)}
    theirs = {"hidden_states.0": ours["hidden_states.0"].copy()}
    theirs["hidden_states.0"][1, 0, 8] += 5
    theirs["hidden_states.0"][0, 1, 1] -= 4
    found = compare(ours, theirs, tolerance=1e-9).first.largest
    assert (found.index, found.first) == ((1, 0, 8), 5)
    assert found.a == (25, 26, 27, 28, 29)
    assert found.b == (25, 26, 27, 33, 29)
    theirs["hidden_states.0"][0, 0, 0] = np.nan
    assert compare(ours, theirs, tolerance=1e-9).first.largest.index == (0, 0, 0)
    found = compare({"loss": np.array(2.0)}, {"loss": np.array(3.0)}, tolerance=1e-9).first.largest
    assert (found.index, found.a, found.b) == ((), (2,), (3,))
    assert compare(ours, ours, tolerance=0).tensors[0].largest is None


def test_single_tensors_may_have_a_tolerance_of_their_own():
    ours = capture(model_of(), GIVEN, taps="layer.0.*")
    theirs = {name: np.float16(value) for name, value in ours.items() if tap_of(name)}
    names = sorted(theirs, key=order)
    assert compare(ours, theirs, tolerance=2e-3).passed
    assert compare(ours, theirs, tolerance=1e-9, tolerances=dict.fromkeys(names, 2e-3)).passed
    one = compare(ours, theirs, tolerance=1e-9, tolerances=dict.fromkeys(names[1:], 2e-3))
    assert [t.name for t in one.tensors if not t.passed] == names[:1]
    assert {t.tolerance for t in one.tensors} == {1e-9, 2e-3}


def test_names_come_in_the_order_of_a_run():
    model = model_of("BertForPreTraining")
    names = sorted(capture(model, GIVEN, taps=True), key=order)
    places = {name: i for i, name in enumerate(names)}
    modules = {module: tap for tap, module in model.taps().items() if module}
    checked = 0
    for name in names:
        for read in inputs_of(name, modules):
            assert places[read] < places[name], (read, name)
            checked += 1
    assert checked > 100
    chosen = ["embeddings.sum", "embeddings.norm", "hidden_states.0", "layer.0.attention.input",
              "layer.0.feed_forward.norm", "hidden_states.1", "layer.1.attention.q", "last_hidden_state",
              "pooler.output", "transform.norm", "decoder.output", "classifier.output", "prediction_logits",
              "loss", "grad.classifier.output", "grad.pooler.input", "grad.cls.seq_relationship.weight",
              "grad.layer.1.feed_forward.norm", "grad.layer.1.attention.q",
              "grad.bert.encoder.layer.1.attention.self.query.weight", "grad.layer.0.feed_forward.norm",
              "grad.embeddings.norm", "grad.bert.embeddings.LayerNorm.weight"]  # fmt: skip
    assert sorted(chosen, key=order) == chosen


def test_taps_are_known_by_their_names_alone():
    assert tap_of("layer.11.attention.q") == (False, 11, "attention.q")
    assert tap_of("grad.embeddings.sum") == (True, None, "embeddings.sum")
    for name in ("attention.q", "layer.0.embeddings.sum", "layer.0.attention.r", "layer.0.attention.q.weight",
                 "grad.classifier.weight", "logits", "grad.encoder.layer.0.attention.q"):  # fmt: skip
        assert tap_of(name) is None, name
    assert says("layer.3.attention.scores") == "layer 3, attention scores, q k^T / sqrt(D)"
    assert says("grad.layer.3.attention.q") == "layer 3, gradient at: queries"
    assert part_of("layer.3.attention.scores") == "inside layer 3"
    assert part_of("grad.pooler.input") == "gradients inside head"


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertModel", "DistilBertForMaskedLM"])
def test_other_names_are_derived_from_those_of_the_parameters(name):
    model = model_of(name)
    modules = {module: tap for tap, module in model.taps().items() if module}
    assert {our_name(module, modules, model.base) for module in modules} == set(modules.values())
    layer = "transformer.layer.1." if name.startswith("Distil") else "encoder.layer.1."
    query = layer + ("attention.q_lin" if name.startswith("Distil") else "attention.self.query")
    down = layer + ("ffn.lin2" if name.startswith("Distil") else "output.dense")
    norm = layer + ("sa_layer_norm" if name.startswith("Distil") else "attention.output.LayerNorm")
    for start in ("", f"{model.base}."):
        for theirs, ours in {
            query: "layer.1.attention.q",
            f"{query}.output": "layer.1.attention.q",
            f"{query}.input": "layer.1.attention.input",
            f"{down}.input": "layer.1.feed_forward.activated",
            f"{down}": "layer.1.feed_forward.output",
            f"{norm}.input": "layer.1.attention.residual",
        }.items():
            assert our_name(start + theirs, modules, model.base) == ours
            assert our_name(f"grad.{start}{theirs}", modules, model.base) == f"grad.{ours}"
    for name in ("attentions.1", "layer.1.attention.probabilities"):
        assert our_name(name, modules, model.base) == "layer.1.attention.probabilities"
    for name in ("hidden_states.1", "logits", f"grad.{query}.weight", "something", "attentions.x"):
        assert our_name(name, modules, model.base) == name


@pytest.mark.parametrize("name", MODELS)
def test_the_size_is_about_that_of_all_numbers_inside(name):
    model = model_of(name)
    found = capture(model, GIVEN, taps=usual_taps(model))
    size = sum(value.nbytes for key, value in found.items() if tap_of(key))
    # Heads are taken for more than they are: one row for each token, of H numbers.
    assert size <= taps_size(model, *INPUT_IDS.shape) <= 1.35 * size
