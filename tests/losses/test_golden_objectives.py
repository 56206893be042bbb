"""Objectives of papers on distillation against their definitions in PyTorch, by the golden file."""

import numpy as np
import pytest

from minidistil import losses

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])
TRIPLETS = [
    f"triplet.{d}.{m}" for d in ("euclidean", "squared_euclidean", "cosine") for m in ("batch_hard", "all")
]
OTHERS = [
    "logits_mse", "hidden_mse", "patient", "attention_scores", "attention_probabilities", "relations.v",
    "relations.qkv",
]  # fmt: skip


def loss_of(name, x, file):
    kind, *details = name.split(".")
    teacher, qkv, heads, relation_heads = (
        file.tensors[k] for k in ("teacher", "teacher_qkv", "heads", "relation_heads")
    )
    cu_seqlens = np.cumsum([0, *file.tensors["lengths"]])
    if kind == "triplet":
        margin = float(file.tensors[f"{name}.margin"])
        distance, mining = details
        labels = file.tensors["labels"]
        return losses.triplet_margin(x, labels, margin=margin, distance=distance, mining=mining)
    if kind == "hidden_mse":
        return losses.hidden_mse(x, file.tensors["wide_teacher"], file.tensors["hidden_mse.projection"])
    if kind == "attention_scores":
        return losses.attention_scores_mse(x, qkv, cu_seqlens, int(heads))
    if kind == "attention_probabilities":
        return losses.attention_probabilities_kl(x, qkv, cu_seqlens, int(heads))
    if kind == "relations":
        return losses.self_attention_relations(
            x, qkv, cu_seqlens, relation_heads=int(relation_heads), relations=tuple(details[0])
        )
    if kind == "patient":  # as the golden file calls it
        return losses.pkd(x, teacher)
    return getattr(losses, name)(x, teacher)


def assert_close(ours, reference, tolerance, what):
    assert ours.shape == reference.shape, what
    error = np.linalg.norm(np.float64(ours) - reference) / np.linalg.norm(reference)
    assert error <= tolerance, f"{what}: {error:.1e} > {tolerance:.0e}"


@dtypes
@pytest.mark.parametrize("name", [*TRIPLETS, *OTHERS])
def test_objective(golden, name, dtype):
    """The definitions are means: the sum by the count must be theirs, and the gradients likewise."""
    file = golden("objectives")
    found = file.group(name)
    loss = loss_of(name, found["x"].astype(dtype), file)
    assert loss.mean == pytest.approx(float(found["out"]), rel=TOLERANCE[dtype])
    assert_close(loss.grad / loss.count * found["dout"], found["dx"], TOLERANCE[dtype], "gradient")
    if "projection" in found:
        dprojection = loss.dprojection / loss.count * found["dout"]
        assert_close(dprojection, found["dprojection"], TOLERANCE[dtype], "gradient of the projection")
