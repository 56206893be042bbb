"""A head of a user's own: what it may give, and what is refused in the first step."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import InputError, MinidistilError, UsageError
from minidistil.losses import mean_squared_error
from minidistil.model import BertModel
from minidistil.model.heads import Head, Losses
from minidistil.parameters import ParameterSpec
from minidistil.verify.finite_differences import Case, check_gradient

SIZES = {"vocab_size": 11, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}
H = SIZES["hidden_size"]


@dataclass(frozen=True)
class Mean(Head):
    """A number from the mean of the tokens: "rating" [B]."""

    config: ModelConfig
    at: str

    @property
    def target_names(self):
        return ("labels",)

    def specs(self):
        return [ParameterSpec("rating.weight", (self.config.hidden_size,), "weight")]

    def forward(self, x, ctx):
        mean = np.add.reduceat(x, ctx.batch.cls_rows) / ctx.batch.lengths[:, None]
        return {"rating": mean @ ctx.params["rating.weight"]}, mean

    def backward(self, douts, cache, ctx):
        if "rating" not in douts:
            return None
        ctx.grads["rating.weight"][:] += douts["rating"] @ cache
        dmean = np.outer(douts["rating"], ctx.params["rating.weight"]) / ctx.batch.lengths[:, None]
        return dmean[ctx.batch.sequence_ids]

    def counts(self, batch):
        return {"rating": batch.num_sequences}

    def losses(self, outputs, ctx, scales):
        loss = mean_squared_error(outputs["rating"], ctx.batch.targets["labels"])
        return Losses({"rating": loss.sum}, {"rating": loss.grad * scales["rating"]})


def make(head=Mean, dtype="float64", backend="numpy"):
    kind = type("BertForRating", (BertModel,), {"build_heads": (head,)})
    config = kind.config_class(num_hidden_layers=2, max_position_embeddings=6, **SIZES)
    model = kind(config, dtype=dtype, backend=backend, seed=4)
    model.params["rating.weight"][:] = np.linspace(-1, 1, H)
    return model


def batch(dtype="float64"):
    labels = np.array([0.5, -1.0, 2.0], dtype)
    return Batch.from_sequences([[1, 2, 3], [4], [5, 6]], targets={"labels": labels})


def step(model):
    """One forward and backward pass of the model's own loss."""
    data = batch(model.params.dtype.name)
    outputs, cache = model.forward(data)
    losses, grads = model.losses(outputs, data), model.params.like()
    model.backward(losses.douts, cache, grads)
    return losses, grads


def test_its_gradient():
    model = make()

    def backward(douts):
        return {name: douts["loss"] * grad for name, grad in step(model)[1].items()}

    names = ("rating.weight", "embeddings.LayerNorm.weight", "encoder.layer.1.output.dense.weight")
    case = Case(
        {name: model.params[name] for name in names},
        lambda: {"loss": np.array(step(model)[0].loss)},
        lambda douts: {name: grad for name, grad in backward(douts).items() if name in names},
    )
    results = check_gradient(case)
    assert [r for r in results if not r.passed or r.norm < 1e-6] == []


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_float64_in_a_float32_model_is_rounded(backend):
    """NumPy makes float64 of float32 / int32: outputs and gradients of it are taken in the model's dtype."""
    model, exact = make(dtype="float32", backend=backend), make()
    for name in exact.params:
        exact.params[name][...] = model.params[name]
    outputs, _ = model.forward(batch("float32"))
    assert outputs["rating"].dtype == np.float64
    losses, grads = step(model)
    expected, right = step(exact)
    assert losses.loss == pytest.approx(expected.loss, rel=1e-4)
    assert grads.dtype == np.float32
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, right[name], rtol=1e-2, atol=1e-4)


def with_method(name, method):
    return type("Bad", (Mean,), {name: method})


def tokens(ctx):
    return ctx.batch.num_tokens


BAD = {
    "forward gives an array": (
        with_method("forward", lambda self, x, ctx: x),
        UsageError, r"Bad\.forward must give its outputs, a dict of arrays by name, .*float64 \[6, 8\]",
    ),
    "forward gives no array": (
        with_method("forward", lambda self, x, ctx: ({"rating": 1.0}, None)),
        UsageError, r"Bad\.forward must give its outputs, a dict of arrays",
    ),
    "backward forgets to return": (
        with_method("backward", lambda self, douts, cache, ctx: None),
        UsageError, "gradient of 'rating' went nowhere: the head's backward gave None",
    ),
    "too few rows": (
        with_method("backward", lambda self, douts, cache, ctx: np.zeros((3, H))),
        InputError, r"gradient of its input, float64 \[6, 8\], not float64 \[3, 8\]",
    ),
    "one row, which NumPy would repeat": (
        with_method("backward", lambda self, douts, cache, ctx: np.zeros((1, H))),
        InputError, r"float64 \[6, 8\], not float64 \[1, 8\]",
    ),
    "another width": (
        with_method("backward", lambda self, douts, cache, ctx: np.zeros((tokens(ctx), 5))),
        InputError, r"float64 \[6, 8\], not float64 \[6, 5\]",
    ),
    "whole numbers": (
        with_method("backward", lambda self, douts, cache, ctx: np.zeros((tokens(ctx), H), int)),
        InputError, r"float64 \[6, 8\], not int64 \[6, 8\]",
    ),
    "counts of another term": (
        with_method("counts", lambda self, batch: {"ratings": 3}),
        UsageError, r"no term of the loss 'rating' \(did you mean ratings\?\)",
    ),
    "counts is a number": (
        with_method("counts", lambda self, batch: 3),
        UsageError, r"Bad\.counts must give the number of items of each term, .* not int 3",
    ),
    "a count below 0": (
        with_method("counts", lambda self, batch: {"rating": -1}),
        UsageError, "the term 'rating' must be a number of at least 0, not int -1",
    ),
    "a sum of another term": (
        with_method("losses", lambda self, outputs, ctx, scales: Losses({"raiting": 1.0}, {})),
        UsageError, r"Bad gives a term 'raiting', which its counts lack \(did you mean rating\?\)",
    ),
    "no sum of a term": (
        with_method("losses", lambda self, outputs, ctx, scales: Losses({"other": 1.0}, {})),
        UsageError, "Bad gives a term 'other', which its counts lack; there are: rating",
    ),
    "a sum for each sequence": (
        with_method("losses", lambda self, outputs, ctx, scales: Losses({"rating": np.ones(3)}, {})),
        InputError, r"term 'rating' must be one number, the sum over its items, not float64 \[3\]",
    ),
    "losses gives a pair": (
        with_method("losses", lambda self, outputs, ctx, scales: ({"rating": 1.0}, {})),
        UsageError, r"Bad\.losses must give Losses\(sums, douts\), not tuple",
    ),
    "a gradient of another name": (
        with_method("losses", lambda self, o, ctx, scales: Losses({"rating": 1.0}, {"ratings": np.ones(3)})),
        UsageError, r"takes no gradient of 'ratings' \(did you mean rating\?\)",
    ),
    "a gradient of another shape": (
        with_method("losses", lambda self, o, ctx, s: Losses({"rating": 1.0}, {"rating": np.ones((3, 1))})),
        InputError, r"of rating must be numbers of shape \[3\], as the output is, not float64 \[3, 1\]",
    ),
    "a gradient that is None": (
        with_method("losses", lambda self, o, ctx, scales: Losses({"rating": 1.0}, {"rating": None})),
        InputError, r"gradient of rating must be numbers of shape \[3\], as the output is, not None",
    ),
    "an output of another name": (
        with_method("losses", lambda self, o, ctx, scales: Losses({"rating": float(o["raiting"].sum())}, {})),
        UsageError, r"no output 'raiting' \(did you mean rating\?\)",
    ),
    "a target of another name": (
        with_method("losses", lambda self, o, ctx, s: Losses({"rating": ctx.batch.targets["label"]}, {})),
        UsageError, r"no target of this batch 'label' \(did you mean labels\?\)",
    ),
    "a parameter of another name": (
        with_method("forward", lambda self, x, ctx: ({"rating": x @ ctx.params["rating.wieght"]}, None)),
        UsageError, r"no parameter 'rating.wieght' \(did you mean rating.weight\?\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD)
def test_what_is_refused_in_the_first_step(how):
    head, error, message = BAD[how]
    with pytest.raises(error, match=message) as raised:
        step(make(head))
    assert isinstance(raised.value, MinidistilError)


def test_a_head_that_gives_no_sum_of_what_it_counts():
    counts = {"rating": 3, "length": 3}
    head = with_method("counts", lambda self, batch: counts)
    with pytest.raises(UsageError, match="no sum of the term 'length', which its counts have; it gives: rat"):
        step(make(head))
    counts["length"] = 0  # nothing of it in this batch
    step(make(head))


def test_named_outputs_are_copied_like_any_dict():
    outputs, _ = make().forward(batch())
    for other in (copy.deepcopy(outputs), pickle.loads(pickle.dumps(outputs)), outputs.copy()):
        assert other.keys() == outputs.keys()
    again = pickle.loads(pickle.dumps(batch()))
    assert again.targets.keys() == {"labels"}
