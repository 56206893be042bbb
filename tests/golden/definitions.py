"""Distillation objectives as their papers define them, in PyTorch: slow, and close to the formulas.

Each is a mean over what is counted. `make_golden.py` runs them in float64.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812  # as PyTorch's documentation calls it

Tensor = torch.Tensor


def pair_distance(x: Tensor, y: Tensor, distance: str) -> Tensor:
    if distance == "cosine":
        return 1 - F.cosine_similarity(x, y, dim=0)
    squared = (x - y).pow(2).sum()
    return squared if distance == "squared_euclidean" else squared.sqrt()


def triplet(x: Tensor, labels: list[int], margin: float, distance: str, mining: str) -> Tensor:
    """Hermans et al. 2017: equation 5 over anchors that have both kinds, or all triplets one by one."""
    terms = []
    others = [[j for j in range(len(x)) if j != i] for i in range(len(x))]
    for a, label in enumerate(labels):
        near = [pair_distance(x[a], x[p], distance) for p in others[a] if labels[p] == label]
        far = [pair_distance(x[a], x[n], distance) for n in others[a] if labels[n] != label]
        if mining == "all":
            terms += [F.relu(margin + p - n) for p in near for n in far]
        elif near and far:
            terms.append(F.relu(margin + torch.stack(near).max() - torch.stack(far).min()))
    return torch.stack(terms).mean()


def logits_mse(z: Tensor, teacher: Tensor) -> Tensor:
    """DistilBERT's authors' code: summed over the vocabulary, divided by rows."""
    return F.mse_loss(z, teacher, reduction="sum") / len(z)


def hidden_mse(x: Tensor, projection: Tensor, teacher: Tensor) -> Tensor:
    """TinyBERT, equation 8."""
    return F.mse_loss(x @ projection.T, teacher)


def patient(x: Tensor, teacher: Tensor) -> Tensor:
    """Sun et al. 2019: squared distance of normalised rows."""
    return (F.normalize(x, dim=-1) - F.normalize(teacher, dim=-1)).pow(2).sum(-1).mean()


def heads_of(x: Tensor, heads: int) -> list[Tensor]:
    """[L, H] -> A tensors [L, D]"""
    return list(x.chunk(heads, -1))


def scores(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T / math.sqrt(a.shape[-1])


def tinybert_attention(qkv: Tensor, teacher: Tensor, lengths: list[int], heads: int) -> Tensor:
    """Equation 7 for each sequence: the mean over heads of the MSE of scores; long sequences weigh more."""
    total = torch.zeros((), dtype=qkv.dtype)
    for mine, theirs in zip(qkv.split(lengths), teacher.split(lengths), strict=True):
        (q, k, _), (q_t, k_t, _) = mine.chunk(3, -1), theirs.chunk(3, -1)
        maps = zip(*(heads_of(x, heads) for x in (q, k, q_t, k_t)), strict=True)
        mses = [F.mse_loss(scores(a, b), scores(a_t, b_t)) for a, b, a_t, b_t in maps]
        total = total + len(mine) * torch.stack(mses).mean()
    return total / sum(lengths)


def relation(qkv: Tensor, teacher: Tensor, lengths: list[int], heads: int, parts: tuple[int, int]) -> Tensor:
    """MiniLM: 1/(A |x|) times the sum over heads and tokens of KL(teacher's row || student's row).

    `parts`: which of q, k, v (0, 1, 2) are multiplied. (0, 1) is attention itself.
    """
    terms = []
    for mine, theirs in zip(qkv.split(lengths), teacher.split(lengths), strict=True):
        a, b = (heads_of(mine.chunk(3, -1)[i], heads) for i in parts)
        a_t, b_t = (heads_of(theirs.chunk(3, -1)[i], heads) for i in parts)
        for head in range(heads):
            p = F.softmax(scores(a[head], b[head]), -1)
            r = F.softmax(scores(a_t[head], b_t[head]), -1)
            terms += list((r * (r / p).log()).sum(-1))
    return torch.stack(terms).mean()


def minilm_v2(qkv: Tensor, teacher: Tensor, lengths: list[int], heads: int, relations: str) -> Tensor:
    """The sum of the relations' means."""
    parts = [("qkv".index(name),) * 2 for name in relations]
    return torch.stack([relation(qkv, teacher, lengths, heads, pair) for pair in parts]).sum()
