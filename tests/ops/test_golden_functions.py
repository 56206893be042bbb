"""Every operation and every loss against PyTorch's own, values and gradients, by the golden files."""

import numpy as np
import pytest

from minidistil import kernels, losses, ops

BACKENDS = {"numpy": ops, "numba": kernels}
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
PARAMETERS = ("weight", "bias", "word")

backends = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS.keys())
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def assert_close(ours, reference, tolerance, what):
    assert ours.shape == reference.shape, what
    error = np.linalg.norm(np.float64(ours) - reference) / np.linalg.norm(reference)
    assert error <= tolerance, f"{what}: {error:.1e} > {tolerance:.0e}"


@backends
@dtypes
@pytest.mark.parametrize(
    "op", ["linear", "gelu", "gelu_tanh", "tanh", "relu", "softmax", "layernorm", "embedding", "attention"]
)
def test_operation(golden, op, backend, dtype):
    file = golden("operations")
    found = {k: v.astype(dtype) if v.dtype == float else v for k, v in file.group(op).items()}
    differentiable = [k for k in found if f"d{k}" in found and k != "out"]
    differentiable.sort(key=["x", "weight", "bias", "word", "qkv"].index)
    args = [found[k] for k in differentiable]
    if op == "layernorm":
        args.append(1e-12)
    elif op == "attention":
        cu_seqlens = np.cumsum([0, *file.about["lengths"]], dtype=np.int32)
        args += [cu_seqlens, file.about["heads"]]
    elif op == "embedding":
        args = [[found["word"]], [found["ids"].astype(np.int32)]]
    out, cache = getattr(backend, f"{op}_forward")(*args)
    assert out.dtype == dtype
    assert_close(out, file.tensors[f"{op}.out"], TOLERANCE[dtype], "forward")

    begun = [np.ones_like(found[k]) for k in differentiable if k in PARAMETERS]
    got = getattr(backend, f"{op}_backward")(found["dout"], cache, *(b.copy() for b in begun))
    got = got if isinstance(got, tuple) else (got,)
    assert differentiable
    for name, grad in zip(differentiable, got, strict=False):
        grad = grad - 1 if name in PARAMETERS else grad  # added to what was there
        assert_close(grad, file.tensors[f"{op}.d{name}"], TOLERANCE[dtype], f"d{name}")


def loss_of(name, z, file):
    labels, soft, teacher = (file.tensors[k] for k in ("labels", "probabilities", "teacher"))
    if name == "cross_entropy":
        return losses.cross_entropy(z, labels)
    if name in ("soft_cross_entropy", "binary_cross_entropy"):
        return getattr(losses, name)(z, soft)
    if name.startswith("soft_label_kl"):
        return losses.soft_label_kl(z, teacher, temperature=float(name.split(".")[1]))
    return getattr(losses, name)(z, teacher)


@dtypes
@pytest.mark.parametrize(
    "name",
    [
        "cross_entropy",
        "soft_cross_entropy",
        "soft_label_kl.1",
        "soft_label_kl.2",
        "soft_label_kl.8",
        "cosine",
        "mean_squared_error",
        "binary_cross_entropy",
    ],
)
def test_loss(golden, name, dtype):
    """PyTorch's losses are means: the sum by the count must be theirs, and the gradient likewise."""
    file = golden("losses")
    found = file.group(name)
    loss = loss_of(name, found["z"].astype(dtype), file)
    assert loss.mean == pytest.approx(found["out"], rel=TOLERANCE[dtype])
    assert_close(loss.grad / loss.count * found["dout"], found["dz"], TOLERANCE[dtype], "gradient")
