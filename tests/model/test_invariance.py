"""What must not change a result: padding, order, company, and how a batch was written down."""

import numpy as np
import pytest

from minidistil.batch import Batch
from minidistil.errors import InputError
from minidistil.model import MODELS
from minidistil.ops.dropout import Dropout

SIZES = {
    "vocab_size": 50,
    "max_position_embeddings": 12,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.4,
    "id2label": {0: "a", 1: "b", 2: "c"},
}
LENGTHS = (5, 1, 8, 3)
rng = np.random.default_rng(5)
SEQUENCES = [rng.integers(1, 50, n) for n in LENGTHS]
TYPES = [rng.integers(0, 2, n) for n in LENGTHS]
LABELS = np.array([2, 0, 1, 1])
TAGS = [rng.integers(0, 3, n) for n in LENGTHS]

backends = pytest.mark.parametrize("backend", ["numpy", "numba"])
every_class = pytest.mark.parametrize("name", MODELS)


def build(name, backend="numpy", **changes):
    config_class = MODELS[name].config_class
    narrow = {"embedding_size": 12} if "embedding_size" in config_class.__dataclass_fields__ else {}
    return MODELS[name](
        config_class(**SIZES, **narrow).replace(**changes), dtype="float64", backend=backend, seed=3
    )


def rectangle(sequences, width, fill=0, shift=0):
    """[B, width], each sequence beginning at column `shift`."""
    out = np.full((len(sequences), width), fill)
    for row, s in zip(out, sequences, strict=True):
        row[shift : shift + len(s)] = s
    return out


def padded(order=range(4), width=8, garbage=0):
    """Inputs for some of the sequences; `garbage` stands where the mask is 0."""
    chosen = [SEQUENCES[b] for b in order]
    return {
        "input_ids": rectangle(chosen, width, garbage),
        "attention_mask": rectangle([np.ones(len(s), int) for s in chosen], width),
        "token_type_ids": rectangle([TYPES[b] for b in order], width, garbage),
    }


def per_sequence(model, order=range(4), **how):
    """{b: outputs of sequence b alone}, cut out of the rectangular form."""
    out = model(**padded(order, **how), output_hidden_states=True, output_attentions=True)
    found = {}
    for row, b in enumerate(order):
        n = LENGTHS[b]
        found[b] = {f"hidden_states.{i}": h[row, :n] for i, h in enumerate(out.hidden_states)}
        found[b] |= {f"attentions.{i}": a[row, :, :n, :n] for i, a in enumerate(out.attentions)}
        for key, value in out.items():
            if key not in ("hidden_states", "attentions"):
                found[b][key] = value[row, :n] if value.shape[1:2] == (how.get("width", 8),) else value[row]
    return found


def assert_same(ours, reference, rtol=1e-12):
    assert set(ours) == set(reference)
    for key in reference:
        np.testing.assert_allclose(ours[key], reference[key], rtol=rtol, atol=1e-13, err_msg=key)


@backends
@every_class
@pytest.mark.parametrize(
    "how",
    [
        {"width": 12},
        {"garbage": 49},
        {"garbage": -7},  # what stands on padding is never looked at
        {"order": (2, 0, 3, 1)},
        {"order": (0,), "width": 5},
        {"order": (2, 2, 2)},
    ],
    ids=["wider", "garbage", "nonsense", "permuted", "alone", "thrice"],
)
def test_outputs_do_not_depend_on_padding_order_or_company(name, backend, how):
    model = build(name, backend)
    reference = per_sequence(model)
    for b, ours in per_sequence(model, **how).items():
        assert_same(ours, reference[b])


@backends
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "DistilBertForTokenClassification"])
def test_loss_and_gradients_add_up_over_sequences(name, backend, training):
    """Also in training mode: an example has its dropout masks wherever it is."""
    model = build(name, backend)
    dropout = Dropout(seed=1, step=4) if training else None

    def run(order):
        by_token = "Token" in name
        labels = np.concatenate([TAGS[b] for b in order]) if by_token else LABELS[list(order)]
        batch = Batch.from_sequences(
            [SEQUENCES[b] for b in order],
            [TYPES[b] for b in order],
            example_ids=[100 + b for b in order],
            targets={"labels": labels},
        )
        outputs, cache = model.forward(batch, dropout=dropout)
        terms = model.losses(outputs, batch, dict.fromkeys(model.loss_counts(batch), 1.0))
        grads = model.params.like()
        model.backward(terms.douts, cache, grads)
        (total,) = terms.sums.values()
        return total, grads.flat

    loss, grads = run((0, 1, 2, 3))
    parts = [run(order) for order in ((3, 1), (2,), (0,))]
    assert sum(part[0] for part in parts) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(sum(part[1] for part in parts), grads, rtol=1e-9, atol=1e-12)
    if training:
        assert abs(loss - run_without_dropout(model, name)) > 1e-3


def run_without_dropout(model, name):
    by_token = "Token" in name
    labels = rectangle(TAGS, 8, -100) if by_token else LABELS
    count = sum(LENGTHS) if by_token else 4
    return model.loss_and_grads(**padded(), labels=labels)[0] * count


@backends
def test_padding_on_the_left_and_holes(backend):
    """Positions are columns, as in BERT; tokens that the mask hides are as if they were not there."""
    model = build("BertModel", backend)
    ids, mask = np.array([[0, 0, 7, 3, 9, 4]]), np.array([[0, 0, 1, 0, 1, 1]])
    out = model(ids, mask, output_hidden_states=True)
    assert (out.last_hidden_state[mask == 0] == 0).all()
    bare = Batch.from_sequences([[7, 9, 4]])
    shifted = Batch(**{**vars(bare), "position_ids": np.array([2, 4, 5], np.int32)})
    same, _ = model.forward(shifted)
    np.testing.assert_allclose(out.last_hidden_state[mask == 1], same["last_hidden_state"], rtol=1e-12)
    explicit = model(ids, mask, None, [[0, 0, 0, 9, 1, 2]])
    np.testing.assert_allclose(
        explicit.last_hidden_state[mask == 1], model.forward(bare)[0]["last_hidden_state"], rtol=1e-12
    )


@every_class
def test_backends_agree_in_training_mode(name):
    """One counter, one mask: the kernels drop what the textbook drops."""
    results = []
    for backend in ("numpy", "numba"):
        model = build(name, backend)
        batch = model.pack(**padded())
        outputs, cache = model.forward(batch, dropout=Dropout(seed=8, step=1))
        grads = model.params.like()
        model.backward({key: np.cos(value) for key, value in outputs.items()}, cache, grads)
        results.append({**outputs, **grads})
    assert_same(results[1], results[0], rtol=1e-9)


@backends
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": 50}, r"sequence 2, token 3: token id 50 is outside the model's 50 vocabulary"),
        ({"input_ids": -1}, r"token id -1"),
        ({"input_ids": 2**40}, r"token id 1099511627776"),
        ({"token_type_ids": 2}, r"sequence 2, token 3: token type 2 is outside the model's 2 token types"),
        (
            {"position_ids": 12},
            r"sequence 2, token 3: position 12 is outside the model's 12 positions; truncate",
        ),
        ({"position_ids": -1}, r"position -1"),
    ],
)
def test_ids_outside_their_tables_reach_no_operation(backend, change, message, monkeypatch):
    model = build("BertForMaskedLM", backend)
    inputs = padded() | {"position_ids": np.tile(np.arange(8), (4, 1))}
    for key, value in change.items():
        inputs[key] = inputs[key].astype(np.int64)
        inputs[key][2, 3] = value

    def reached(*args, **options):
        raise AssertionError("an operation ran")

    for op in ("embedding_forward", "layernorm_forward"):
        monkeypatch.setattr(model.backend, op, reached)
    with pytest.raises(InputError, match=message):
        model(**inputs)


@backends
def test_a_text_longer_than_the_positions_is_refused(backend):
    with pytest.raises(InputError, match="truncate the text"):
        build("BertModel", backend)(np.ones((1, 13), int))


def frozen_run(model, *patterns):
    if patterns:
        model.freeze(*patterns)
    labels = rectangle(TAGS, 8, -100)
    return model.loss_and_grads(**padded(), labels=labels)


@backends
@pytest.mark.parametrize(
    "patterns",
    [
        ("*.embeddings.*",),
        ("*.embeddings.*", "*.layer.0.*"),  # the backward pass may end early
        ("*.embeddings.*", "*.layer.*"),
        ("*.layer.0.*",),
        ("*.bias", "*LayerNorm*"),
        ("classifier.*",),
    ],
)
def test_frozen_gradients_are_zero_and_the_others_what_they_were(backend, patterns):
    _, full = frozen_run(build("BertForTokenClassification", backend))
    model = build("BertForTokenClassification", backend)
    _, grads = frozen_run(model, *patterns)
    assert 0 < len(model.frozen) < len(model.params)
    for name in model.params:
        if name in model.frozen:
            assert (grads[name] == 0).all(), name
        else:
            np.testing.assert_array_equal(grads[name], full[name], err_msg=name)
    model.unfreeze()
    np.testing.assert_array_equal(frozen_run(model)[1].flat, full.flat)


@backends
def test_backward_ends_below_the_last_layer_that_learns(backend, monkeypatch):
    model = build("BertForTokenClassification", backend)
    calls = []
    original = model.backend.attention_backward
    monkeypatch.setattr(model.backend, "attention_backward", lambda *args: calls.append(1) or original(*args))
    frozen_run(model)
    assert len(calls) == 2
    frozen_run(model, "*.embeddings.*", "bert.encoder.layer.0.*")
    assert len(calls) == 3
