"""The gradient check itself: it passes on what is right, fails on what is wrong, and forgets nothing."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from minidistil import kernels, losses, ops
from minidistil.errors import UsageError
from minidistil.model import MODELS
from minidistil.verify.cases import LOSS_CASES, OP_CASES
from minidistil.verify.finite_differences import Case, check_gradient, relative_error
from minidistil.verify.gradcheck import CASES, run

SMALL_CASES = [*OP_CASES, *LOSS_CASES]
HEADS = [name for name in CASES if name.startswith("model.") and name.count(".") == 1]


def cube(scale=1.0, shape=(3, 2)):
    """y = scale * x^3, whose gradient is 3 scale x^2."""
    x = np.random.default_rng(0).normal(size=shape)
    return Case(
        {"x": x},
        forward=lambda: {"y": scale * x**3},
        backward=lambda douts: {"x": 3 * scale * x**2 * douts["y"]},
    )


def broken(case, change):
    """The case with a backward pass whose gradients went through `change`."""
    return replace(case, backward=lambda douts: {k: change(g) for k, g in case.backward(douts).items()})


def one_entry_off(gradient):
    gradient = gradient.copy()
    gradient.flat[-1] += 1e-3 * np.linalg.norm(gradient)
    return gradient


BREAKAGES = {
    "negated": lambda g: -g,
    "zeroed": lambda g: 0 * g,
    "one_part_in_a_thousand": lambda g: 1.001 * g,
    "one_part_in_a_hundred_thousand": lambda g: (1 + 1e-5) * g,
    "one_entry": one_entry_off,
    "reversed": lambda g: g[::-1],
    "nan": lambda g: g * np.nan,
    "inf": lambda g: g + np.inf,
    "another_shape": lambda g: g[None],
}
breakages = pytest.mark.parametrize("change", BREAKAGES.values(), ids=BREAKAGES.keys())


@pytest.mark.parametrize("shape", [(3, 2), (40, 20), ()])
def test_a_right_gradient_passes(shape):
    (result,) = check_gradient(cube(shape=shape), name="cube")
    assert (result.name, result.tensor, result.passed) == ("cube", "x", True)
    assert result.relative_error < 1e-8
    assert result.norm > 1e-3


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_size_of_the_output_does_not_matter(scale):
    (result,) = check_gradient(cube(scale))
    assert result.passed
    assert not check_gradient(broken(cube(scale), lambda g: 1.001 * g))[0].passed


@breakages
@pytest.mark.parametrize("entrywise", [0, 160])
def test_a_wrong_gradient_fails(change, entrywise):
    case = replace(cube(), entrywise=entrywise)
    (result,) = check_gradient(broken(case, change))
    assert not result.passed
    assert result.relative_error > 1e-6


@pytest.mark.parametrize("breakage", ["one_part_in_a_thousand", "one_entry"])
@pytest.mark.parametrize("name", SMALL_CASES)
def test_every_case_fails_when_its_gradients_are_wrong(name, breakage):
    """Zeroed and negated ones are the business of test_mutations.py."""
    results = check_gradient(broken(CASES[name](ops), BREAKAGES[breakage]))
    assert not any(r.passed for r in results), [r.tensor for r in results if r.passed]


@pytest.mark.parametrize(("entrywise", "evaluations"), [(0, 1 + 2 * 4), (5, 1 + 2 * 4), (6, 1 + 2 * (4 + 6))])
def test_small_tensors_are_checked_entry_by_entry(entrywise, evaluations):
    """Six entries: two evaluations for each of four directions, and for each entry if it is small."""
    count, case = [], cube()
    check_gradient(replace(case, entrywise=entrywise, forward=lambda: (count.append(1), case.forward())[1]))
    assert len(count) == evaluations


def test_a_missing_gradient_fails():
    (result,) = check_gradient(replace(cube(), backward=lambda douts: {}))
    assert not result.passed
    assert result.relative_error == np.inf


def test_a_forward_that_gives_nan_fails():
    x = np.ones(2)
    (result,) = check_gradient(Case({"x": x}, lambda: {"y": np.log(x) * np.nan}, lambda douts: {"x": x}))
    assert not result.passed


def test_softmax_needs_random_cotangents():
    """Ones through a softmax give zero whatever the backward pass does; the checker must not send ones."""
    assert CASES["ops.softmax"](ops).backward({"out": np.ones((8, 6))})["x"] == pytest.approx(0, abs=1e-15)
    (result,) = check_gradient(CASES["ops.softmax"](ops))
    assert result.norm > 0.1


def test_inputs_are_put_back_bit_for_bit():
    case = cube()
    before = case.inputs["x"].copy()
    check_gradient(case)
    np.testing.assert_array_equal(case.inputs["x"], before)


def test_a_gradient_that_is_truly_zero_passes():
    """f(x) = y + 0 x: differences are rounding noise, which must not count as an error."""
    x, y = np.ones(3), np.linspace(0, 1e3, 7)
    case = Case({"x": x}, lambda: {"y": y + (x.sum() - x.sum())}, lambda douts: {"x": np.zeros(3)})
    assert check_gradient(case)[0].passed


def test_relative_error():
    a, b = np.array([3.0, 4.0]), np.array([3.0, 0.0])
    assert relative_error(a, b) == 4 / 5
    assert relative_error(a, b, floor=40.0) == 4 / 40
    assert relative_error(0 * a, 0 * b) == 0
    assert relative_error(a, b * np.nan) == np.inf


@pytest.mark.parametrize(
    ("name", "backend"), [(n, "numpy") for n in SMALL_CASES] + [(n, "numba") for n in OP_CASES]
)
def test_operations_and_losses(name, backend):
    for result in run([name], backend=backend):
        assert result.passed, result
        assert result.norm > 0.01, "this input exercises nothing"


@pytest.mark.parametrize("name", HEADS)
def test_whole_models(name):
    results = run([name])
    assert {r.tensor for r in results} == set(CASES[name](ops).inputs)
    for result in results:
        assert result.passed, result
        # The bias of the keys shifts all scores of a query alike, and the softmax ignores it.
        key_bias = result.tensor.endswith((".key.bias", ".k_lin.bias", ".k.bias"))
        assert key_bias or result.norm > 0.01, (result, "this input exercises nothing")


VARIANTS = [
    "model.BertForSequenceClassification.dropout",
    "model.DistilBertForQuestionAnswering.dropout",
    "model.BertForPreTraining.loss",
    "model.DistilBertForQuestionAnswering.loss",
    "model.BertForTokenClassification.loss",
    "model.BertForMultipleChoice.loss",
    "model.DistilBertForSequenceClassification.multi_label",
    "model.BertForSequenceClassification.regression",
    "model.DistilBertForMaskedLM.untied",
]


@pytest.mark.parametrize("name", VARIANTS)
def test_training_mode_losses_and_settings(name):
    assert [r for r in run([name]) if not r.passed] == []


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_every_pair_has_a_case(backend):
    pairs = {name.removesuffix("_backward") for name in backend.__all__ if name.endswith("_backward")}
    forwards = {name.removesuffix("_forward") for name in backend.__all__ if name.endswith("_forward")}
    assert pairs == forwards
    assert pairs == {name.split(".")[1] for name in OP_CASES}


def test_every_loss_has_a_case():
    functions = {name for name in losses.__all__ if inspect.isfunction(getattr(losses, name))} - {
        "log_softmax"
    }
    assert functions == {name.split(".")[1] for name in LOSS_CASES}


def test_every_model_has_a_case_and_its_loss():
    assert set(MODELS) == {name.split(".")[1] for name in HEADS}
    assert {f"model.{name}.loss" for name in MODELS if "For" in name} <= set(CASES)
    assert {f"model.{name}.dropout" for name in MODELS} <= set(CASES)


def test_run_passes_its_names_through_progress():
    seen = []

    def progress(names):
        for name in names:
            seen.append(name)
            yield name

    results = run(["ops.tanh", "ops.linear"], progress=progress)
    assert seen == ["ops.tanh", "ops.linear"]
    assert [(r.name, r.tensor) for r in results] == [
        ("ops.tanh", "x"), ("ops.linear", "x"), ("ops.linear", "weight"), ("ops.linear", "bias"),
    ]  # fmt: skip


def test_unknown_names_are_refused():
    with pytest.raises(
        UsageError, match=r"no gradient check is called 'ops\.spline'; there are: ops\.linear"
    ):
        run(["ops.tanh", "ops.spline"])
    with pytest.raises(UsageError, match="backend"):
        run(["ops.tanh"], backend="fortran")
