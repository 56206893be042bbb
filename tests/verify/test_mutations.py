"""Break each gradient of each operation in turn and see the gradient check go red.

A check that never fails proves nothing. The list of mutations is drawn from what the backends export, so
that a new operation is mutated, or fails here, without anybody remembering to.
"""

from dataclasses import replace

import numpy as np
import pytest

from minidistil import kernels, losses, ops
from minidistil.verify.cases import LOSS_CASES, OP_CASES
from minidistil.verify.finite_differences import check_gradient
from minidistil.verify.gradcheck import CASES

CHANGES = {"zeroed": lambda gradient: 0 * gradient, "negated": lambda gradient: -gradient}
PAIRS = sorted(name.removesuffix("_backward") for name in ops.__all__ if name.endswith("_backward"))
# Together these two models use every operation that a model calls; the others are parts of those,
# or stand on a model's vectors.
MODELS = ["model.BertForPreTraining", "model.DistilBertForSequenceClassification"]
PARTS = {"gelu", "gelu_tanh", "softmax", "pool", "relative_bias"}


def case_of(op):
    """The first of those with the most gradients."""
    cases = [name for name in OP_CASES if name.split(".")[1] == op]
    return max(cases, key=lambda name: len(OP_CASES[name](ops).inputs))


def gradients_of(op):
    """Names of the gradients that `op`_backward returns, in order."""
    return list(OP_CASES[case_of(op)](ops).inputs)


MUTATIONS = [(op, tensor, change) for op in PAIRS for tensor in gradients_of(op) for change in CHANGES]
mutations = pytest.mark.parametrize(
    ("op", "tensor", "change"), MUTATIONS, ids=["-".join(m) for m in MUTATIONS]
)


def mutant(backward, index, change):
    """`backward` with its gradient number `index` changed.

    A parameter's gradient is added to an array that the caller passed; only what was added changes.
    """

    def mutated(dout, cache, *totals):
        before = [None if total is None else total.copy() for total in totals]
        result = backward(dout, cache, *totals)
        gradients = list(result) if isinstance(result, tuple) else [result]
        if gradients[index] is None:
            return result
        for total, start in zip(totals, before, strict=True):
            if total is not None and np.may_share_memory(total, gradients[index]):
                total[...] = start + change(total - start)
                return result
        gradients[index] = change(gradients[index])
        return tuple(gradients) if isinstance(result, tuple) else gradients[0]

    return mutated


def break_op(monkeypatch, backend, op, tensor, change):
    """Models and cases look operations up in the backend, module attribute by module attribute."""
    name, index = f"{op}_backward", gradients_of(op).index(tensor)
    monkeypatch.setattr(backend, name, mutant(getattr(backend, name), index, CHANGES[change]))


def failed(case):
    return {result.tensor for result in check_gradient(case) if not result.passed}


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
@mutations
def test_the_case_of_the_operation_goes_red_for_that_gradient_only(monkeypatch, backend, op, tensor, change):
    break_op(monkeypatch, backend, op, tensor, change)
    assert failed(OP_CASES[case_of(op)](backend)) == {tensor}


@pytest.mark.parametrize("op", PAIRS)
def test_no_returned_gradient_is_left_out(monkeypatch, op):
    returned = []

    def recording(backward):
        def wrapper(*args):
            result = backward(*args)
            returned.append(len(result) if isinstance(result, tuple) else 1)
            return result

        return wrapper

    name = f"{op}_backward"
    monkeypatch.setattr(ops, name, recording(getattr(ops, name)))
    check_gradient(OP_CASES[case_of(op)](ops))
    assert returned == [len(gradients_of(op))]


def operations_called(model):
    """Operations whose backward pass a model looks up in its backend, and how many gradients each gives."""
    called = {}
    with pytest.MonkeyPatch.context() as patch:
        for op in PAIRS:
            backward = getattr(ops, f"{op}_backward")

            def recording(*args, op=op, backward=backward):
                result = backward(*args)
                called[op] = len(result) if isinstance(result, tuple) else 1
                return result

            patch.setattr(ops, f"{op}_backward", recording)
        case = CASES[model](ops)
        case.backward({name: np.ones_like(out) for name, out in case.forward().items()})
    return called


CALLED = {model: operations_called(model) for model in MODELS}
IN_MODELS = [
    (model, op, tensor, change)
    for op, tensor, change in MUTATIONS
    for model in MODELS
    if gradients_of(op).index(tensor) < CALLED[model].get(op, 0)
]


def test_the_models_use_every_operation():
    assert set().union(*CALLED.values()) == set(PAIRS) - PARTS


# Each mutation in the first model that it concerns.
@pytest.mark.parametrize(
    ("model", "op", "tensor", "change"),
    {mutation[1:]: mutation for mutation in reversed(IN_MODELS)}.values(),
    ids=lambda value: value.removeprefix("model."),
)
def test_a_model_goes_red(monkeypatch, model, op, tensor, change):
    case = replace(CASES[model](ops), entrywise=0)  # random directions see as much, sooner
    break_op(monkeypatch, ops, op, tensor, change)
    assert failed(case) != set()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", LOSS_CASES)
def test_a_loss_goes_red(monkeypatch, name, change):
    function = name.split(".")[1]
    loss = getattr(losses, function)

    def mutated(*args, **settings):
        value, count, *gradients = right = loss(*args, **settings)
        return type(right)(value, count, *(g if g is None else CHANGES[change](g) for g in gradients))

    monkeypatch.setattr(losses, function, mutated)
    case = LOSS_CASES[name](ops)
    assert failed(case) == set(case.inputs)
