"""AdamW over the flat array of parameters: who decays, who stands still, and what is saved."""

import numpy as np
import pytest
from train_toy import ToyModel

import minidistil.ops as ops
from minidistil import kernels
from minidistil.errors import CheckpointError, UsageError
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.train.optimizer import AdamW, segments

SPECS = [
    ParameterSpec("a.weight", (3, 3), "weight"),
    ParameterSpec("table", (4, 3), "embedding"),
    ParameterSpec("a.bias", (3,), "bias"),
    ParameterSpec("norm.weight", (3,), "norm"),
    ParameterSpec("norm.bias", (3,), "norm"),
    ParameterSpec("b.weight", (2, 3), "weight"),
]


def ones():
    parameters = Parameters(SPECS, "float64")
    for name in parameters:
        parameters[name][...] = 1
    return parameters


def test_weights_and_embeddings_decay_and_nothing_else():
    params = ones()
    AdamW(params, ops, lr=0.1, weight_decay=0.5).step(params.like())  # the gradient is zero: only decay moves
    for spec in SPECS:
        expected = 0.95 if spec.role in ("weight", "embedding") else 1.0
        assert (params[spec.name] == expected).all(), spec.name


def test_neighbours_with_the_same_settings_are_one_segment():
    parameters = ones()
    parts = segments(parameters)
    assert [(s.trained, s.decays) for s in parts] == [(True, True), (True, False), (True, True)]
    assert parts[0] == (0, parameters.offsets["table"] + 12, True, True)
    parts = segments(parameters, {"table", "a.bias"})
    assert [(s.trained, s.decays) for s in parts] == [
        (True, True),
        (False, False),
        (True, False),
        (True, True),
    ]


def test_frozen_parameters_stand_still_and_do_not_count_in_the_norm():
    params = ones()
    optimizer = AdamW(params, ops, lr=0.1, weight_decay=0.5, frozen={"table"})
    grads = ones()
    grads["table"][...] = np.nan
    assert optimizer.global_norm(grads) == pytest.approx(np.sqrt(9 + 3 + 3 + 3 + 6))
    optimizer.step(grads)
    assert (params["table"] == 1).all()
    assert (optimizer.m["table"] == 0).all()
    assert (params["a.weight"] != 1).all()
    assert not any("table" in name for name in optimizer.state())


def test_padding_of_the_flat_array_stays_zero():
    params = ones()
    optimizer = AdamW(params, ops, lr=0.1, weight_decay=0.5)
    optimizer.step(ones())
    inside = np.zeros(len(params.flat), bool)
    for spec in SPECS:
        inside[params.offsets[spec.name] : params.offsets[spec.name] + spec.size] = True
    assert not params.flat[~inside].any()
    assert not optimizer.m.flat[~inside].any()


def test_factor_and_scale():
    one, other = ones(), ones()
    grads = ones()
    AdamW(one, ops, lr=0.1, weight_decay=0.5).step(grads, factor=0.5, scale=0.25)
    grads.flat[...] *= 0.25
    AdamW(other, ops, lr=0.05, weight_decay=0.5).step(grads)
    assert (one.flat == other.flat).all()


def test_state_goes_round():
    params = ones()
    optimizer = AdamW(params, ops, lr=0.1)
    optimizer.step(ones())
    saved = {name: value.copy() for name, value in optimizer.state().items()}
    again = AdamW(Parameters(SPECS, "float64"), ops, lr=0.1)
    again.params.flat[...] = params.flat
    again.load_state(saved, steps=1)
    optimizer.step(ones())
    again.step(ones())
    assert (again.params.flat == params.flat).all()


def test_state_that_does_not_fit_is_refused():
    optimizer = AdamW(ToyModel().params, ops, lr=0.1)
    state = optimizer.state()
    with pytest.raises(CheckpointError, match=r"no tensor m\.gain"):
        optimizer.load_state({k: v for k, v in state.items() if k != "m.gain"}, 1)
    with pytest.raises(CheckpointError, match=r"v\.gain is float32 \[3\].* float32 \[8\]"):
        optimizer.load_state({**state, "v.gain": np.zeros(3, np.float32)}, 1)


def test_gradients_of_another_layout_are_refused():
    """A kernel would read beyond their end."""
    params = Parameters([ParameterSpec("a", (4, 4), "weight")])
    optimizer = AdamW(params, ops, lr=0.1)
    for other in (
        Parameters([ParameterSpec("a", (2,), "weight")]),
        params.like(np.float64),
        {"a": np.zeros(16)},
    ):
        for call in (optimizer.step, optimizer.global_norm):
            with pytest.raises(UsageError, match="laid out as the model's params"):
                call(other)
    assert optimizer.steps == 0


@pytest.mark.parametrize("backend", [ops, kernels])
def test_parameters_that_predict_are_not_changed(backend):
    """In one sentence, and not from within a kernel."""
    params = Parameters([ParameterSpec("a", (4, 4), "weight")])
    optimizer, grads = AdamW(params, backend, lr=0.1), params.like()
    grads.flat[:] = 1
    params.pack(backend.pack_weight)
    with pytest.raises(UsageError, match="call its train"):
        optimizer.step(grads)
    with pytest.raises(UsageError, match="call its train"):
        params["a"][0] = 1
    with pytest.raises(UsageError, match="call its train"):
        params["a"][...] += 1
    with pytest.raises(UsageError, match="call its train"):
        params.flat[...] -= grads.flat
    assert type(params["a"] * 2) is np.ndarray
    params.unpack()
    optimizer.step(grads)
    assert (params["a"] != 0).all()
