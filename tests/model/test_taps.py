"""Taps: every number inside a pass, right, complete, and free where nobody asks."""

import re
from pathlib import Path

import numpy as np
import pytest
from plain_bert import PlainBert

from minidistil import kernels, ops
from minidistil.batch import Batch
from minidistil.errors import UsageError
from minidistil.model import MODELS
from minidistil.model.taps import Taps
from minidistil.ops.dropout import Dropout
from minidistil.verify.model_cases import ATTENTION_MASK, INPUT_IDS, TARGETS, TOKEN_TYPE_IDS, tiny_model
from minidistil.verify.operations import OPERATIONS, tap_of

BATCH = Batch.from_padded(INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)
BACKENDS = pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
# Between them they have every part of a model.
HEADS = ["BertForPreTraining", "DistilBertForSequenceClassification", "BertForQuestionAnswering", "BertModel",
         "BertForTokenClassification", "DistilBertForMaskedLM", "BertForMultipleChoice"]  # fmt: skip
STEP = Dropout(seed=3, step=5)


def cotangents(outputs, seed=1):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(value.shape) for name, value in outputs.items() if name != "taps"}


def both_ways(model, *, taps=True, dropout=None, batch=BATCH):
    """Outputs, taps, gradients at taps, and gradients of parameters."""
    outputs, cache = model.forward(batch, dropout=dropout, taps=taps)
    inside, grads = outputs.pop("taps", {}), model.params.like()
    dinside = model.backward(cotangents(outputs), cache, grads, taps=taps)
    return outputs, inside, dinside, grads


def dot(a, b):
    """Inner product of two taps."""
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))


def distance(a, b):
    """Relative error of two taps, maps of several sequences taken together."""
    parts = zip(a, b, strict=True) if isinstance(a, list) else [(a, b)]
    pairs = [(np.linalg.norm(x - y), np.linalg.norm(y)) for x, y in parts]
    error, size = (float(np.linalg.norm(column)) for column in zip(*pairs, strict=True))
    return error / size


def random_like(rng, value):
    if isinstance(value, list):
        return [rng.standard_normal(part.shape) for part in value]
    return rng.standard_normal(value.shape)


def moved(value, by, h):
    if isinstance(value, list):
        return [part + h * v for part, v in zip(value, by, strict=True)]
    return value + h * by


@BACKENDS
@pytest.mark.parametrize("dropout", [None, STEP], ids=["predicting", "training"])
@pytest.mark.parametrize("name", HEADS)
def test_every_number_and_its_gradient_are_those_of_a_bert_in_plain_numpy(name, dropout, backend):
    """Values are compared, gradients with central differences: move one number and see the outputs move."""
    model, rng = tiny_model(name, backend), np.random.default_rng(0)
    outputs, inside, dinside, _ = both_ways(model, dropout=dropout)
    plain = PlainBert(model, BATCH, dropout=dropout)
    assert list(inside) == list(model.taps())
    assert set(dinside) == {f"grad.{tap}" for tap in inside}
    for key, value in outputs.items():
        assert distance(value, plain.outputs[key]) < 1e-12, key
    for key, value in inside.items():
        assert distance(value, plain.taps[key]) < 1e-12, key
    weights, h = cotangents(outputs), 1e-5
    for key, value in inside.items():
        v = random_like(rng, value)

        def f(step, key=key, v=v):
            def move(name, number):
                return moved(number, v, step) if name == key else number

            out = PlainBert(model, BATCH, move=move, dropout=dropout).outputs
            return sum(float((u * out[name]).sum()) for name, u in weights.items())

        slope = (f(h) - f(-h)) / (2 * h)
        assert dot(dinside[f"grad.{key}"], v) == pytest.approx(slope, rel=1e-6, abs=1e-7), key


@pytest.mark.parametrize("name", MODELS)
def test_both_backends_and_all_classes_have_the_same_taps(name):
    ours, theirs = (both_ways(tiny_model(name, backend), dropout=STEP) for backend in (ops, kernels))
    for a, b in zip(ours[1:3], theirs[1:3], strict=True):
        assert list(a) == list(b)
        largest = max(np.linalg.norm(np.concatenate([np.ravel(x) for x in value])) for value in a.values())
        for key in a:
            error = [x - y for x, y in zip(a[key], b[key], strict=True)]
            assert np.linalg.norm(np.concatenate([np.ravel(x) for x in error])) < 1e-12 * largest, key


@BACKENDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["BertForPreTraining", "DistilBertForSequenceClassification"])
def test_taps_change_no_bit(name, dtype, backend):
    model = MODELS[name](tiny_model(name, backend).config, dtype=dtype, backend=backend.name, seed=4)
    _, _, _, before = first = both_ways(model, taps=None, dropout=STEP)
    for taps in (True, "layer.1.*", None):
        outputs, inside, dinside, grads = both_ways(model, taps=taps, dropout=STEP)
        for key, value in outputs.items():
            np.testing.assert_array_equal(value, first[0][key])
        np.testing.assert_array_equal(grads.flat, before.flat)
        assert bool(inside) == bool(dinside) == (taps is not None)


def test_without_taps_none_are_made(monkeypatch):
    """Neither an array nor the object that would hold them."""
    monkeypatch.setattr(Taps, "__init__", None)
    monkeypatch.setattr(ops, "attention_scores", None)
    model = tiny_model("BertForPreTraining", ops)
    outputs, _, dinside, _ = both_ways(model, taps=None)
    assert "taps" not in outputs
    assert dinside == {}
    assert "taps" not in model(INPUT_IDS, ATTENTION_MASK)


def test_only_what_is_asked_for_is_computed(monkeypatch):
    monkeypatch.setattr(ops, "attention_scores", None)
    monkeypatch.setattr(ops, "attention_map_gradients", None)
    model = tiny_model("BertForSequenceClassification", ops)
    _, inside, dinside, _ = both_ways(model, taps=["layer.1.*.output", "pooler.input"])
    names = ["layer.1.attention.output", "layer.1.feed_forward.output", "pooler.input"]
    assert list(inside) == names
    assert set(dinside) == {f"grad.{name}" for name in names}


def test_gradients_come_from_the_last_to_the_first():
    model = tiny_model("BertForSequenceClassification", ops)
    names = list(both_ways(model)[2])
    assert names[:2] == ["grad.classifier.output", "grad.classifier.input"]
    assert names[-2:] == ["grad.embeddings.norm", "grad.embeddings.sum"]
    layers = [tap_of(name).layer for name in names if tap_of(name).layer is not None]
    assert layers == sorted(layers, reverse=True)


def test_patterns_with_the_prefix_name_gradients_too():
    model = tiny_model("BertModel", ops)
    outputs, cache = model.forward(BATCH)
    found = model.backward(cotangents(outputs), cache, model.params.like(), taps="grad.layer.0.attention.?")
    assert list(found) == [f"grad.layer.0.attention.{name}" for name in "vkq"]


def test_taps_are_copies():
    model = tiny_model("BertModel", ops)
    outputs, cache = model.forward(BATCH, taps=True)
    before, grads = model.params.like(), model.params.like()
    weights = cotangents(outputs)
    model.backward(weights, cache, before)
    for value in outputs["taps"].values():
        for part in value:
            part[...] = np.nan
    model.backward(weights, cache, grads)
    np.testing.assert_array_equal(grads.flat, before.flat)
    assert np.isfinite(grads.flat).all()


def test_frozen_layers_have_gradients_inside_all_the_same():
    model = tiny_model("BertForSequenceClassification", ops)
    whole = both_ways(model)[2]
    model.freeze("bert.*")
    _, _, dinside, grads = both_ways(model)
    assert list(dinside) == list(whole)
    for name in whole:
        for a, b in zip(dinside[name], whole[name], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not any(grads[name].any() for name in grads if name.startswith("bert."))
    assert grads["classifier.weight"].any()


def test_without_logits_what_they_are_made_of_is_there():
    model = tiny_model("BertForMaskedLM", ops)
    outputs, cache = model.forward(BATCH, logits=False, taps="transform.*")
    assert list(outputs["taps"]) == [f"transform.{n}" for n in ("input", "output", "activated", "norm")]
    dfeatures = np.ones_like(outputs["features"])
    found = model.backward({"features": dfeatures}, cache, model.params.like(), taps="transform.norm")
    np.testing.assert_array_equal(found["grad.transform.norm"], dfeatures)


def test_scores_only_gives_the_whole_of_the_last_layer():
    model = tiny_model("BertForSequenceClassification", ops)
    outputs, _ = model.forward(BATCH, keep_cache=False, scores_only=True, taps="layer.1.feed_forward.norm")
    assert len(outputs["taps"]["layer.1.feed_forward.norm"]) == BATCH.num_tokens


def test_the_rectangular_call():
    model = tiny_model("BertForSequenceClassification", ops)
    out = model(
        INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS, output_attentions=True, output_hidden_states=True,
        output_taps=["layer.*", "pooler.*"],
    )  # fmt: skip
    taps = out.taps
    assert taps["layer.0.attention.q"].shape == (3, 5, 8)
    assert taps["layer.0.attention.scores"].shape == (3, 2, 5, 5)
    assert taps["layer.0.feed_forward.up"].shape == (3, 5, 12)
    assert taps["pooler.activated"].shape == (3, 8)
    np.testing.assert_array_equal(taps["layer.1.attention.probabilities"], out.attentions[1])
    np.testing.assert_array_equal(taps["layer.1.feed_forward.norm"], out.hidden_states[2])
    assert not taps["layer.0.attention.scores"][0, :, 2:].any(), "no token is there"
    with pytest.raises(UsageError, match=r"did you mean output_taps\?"):
        model(INPUT_IDS, output_tabs=True)


def test_as_many_tokens_as_sequences():
    """Of shape [B, ...] and [T, ...] alike: the part decides which it is."""
    model = tiny_model("BertForSequenceClassification", ops)
    taps = model(
        np.array([[1, 0], [2, 0], [0, 3]]), np.array([[1, 0], [1, 0], [0, 1]]), output_taps=True
    ).taps
    assert taps["pooler.input"].shape == (3, 8)
    assert taps["layer.0.attention.q"].shape == (3, 2, 8)
    assert taps["layer.0.attention.q"][2, 1].any()


@pytest.mark.parametrize("where", ["forward", "backward", "call"])
@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            "layer.0.attention.querry",
            r"BertModel matches 'layer.0.attention.querry' \(did you mean layer.0",
        ),
        (["layer.0.*", "layer.2.*"], r"no tap of BertModel matches 'layer\.2\.\*'"),
        (["layer.0.*", 3], "taps are True, or patterns of names"),
        (5, "taps are True, or patterns of names"),
    ],
)
def test_unknown_taps_are_refused_before_anything_changes(where, patterns, message):
    model = tiny_model("BertModel", ops)
    outputs, cache = model.forward(BATCH)
    grads = model.params.like()
    run = {
        "forward": lambda: model.forward(BATCH, taps=patterns),
        "call": lambda: model(INPUT_IDS, ATTENTION_MASK, output_taps=patterns),
        "backward": lambda: model.backward(cotangents(outputs), cache, grads, taps=patterns),
    }[where]
    with pytest.raises(UsageError, match=message):
        run()
    assert not grads.flat.any()


@pytest.mark.parametrize("name", MODELS)
def test_names_are_in_the_table_of_operations_and_clash_with_none(name):
    model = tiny_model(name, ops)
    taps = model.taps()
    assert all(tap_of(tap).name == tap for tap in taps)
    assert not {f"grad.{tap}" for tap in taps} & {f"grad.{parameter}" for parameter in model.params}
    modules = [module for module in taps.values() if module]
    shared = len(model.encoder.layers) - len(model.encoder.uses())
    assert len(modules) - len(set(modules)) == shared * 8, "each has its own, but in layers that share them"
    tables = {spec.name for spec in model.params.specs if spec.role == "embedding"}
    products = {parameter.rpartition(".")[0] for parameter in model.params.keys() - tables}
    biases = {head.bias.rpartition(".")[0] for head in model.heads if head.over_vocabulary}
    assert products - set(modules) <= biases, "every product and norm has its tap"


def test_the_page_has_every_name():
    """Its table is that of the operations, in their order."""
    page = (Path(__file__).parents[2] / "docs" / "taps.md").read_text(encoding="utf-8")
    names = re.findall(r"^\| `(?:layer\.N\.)?(\w+\.\w+)` \|", page, re.MULTILINE)
    assert names == list(OPERATIONS)


@pytest.mark.parametrize("name", [n for n in MODELS if n.startswith("Bert") and n != "BertModel"])
def test_the_loss_has_its_gradient_at_every_tap(name):
    """From what `losses` gives, too."""
    ending = next(ending for ending in TARGETS if ending != "Model" and name.endswith(ending))
    model = tiny_model(name, ops)
    ids = (INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS)
    batch = model.pack(*(x[None] if model.over_choices else x for x in ids), **TARGETS[ending])
    outputs, cache = model.forward(batch, taps=True)
    terms = model.losses(outputs, batch)
    found = model.backward(terms.douts, cache, model.params.like(), taps=True)
    assert set(found) == {f"grad.{tap}" for tap in outputs["taps"]}
    assert all(any(np.any(part) for part in value) for value in found.values())
