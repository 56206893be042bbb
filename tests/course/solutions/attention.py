"""Right answers to lesson 2."""

from itertools import pairwise

import numpy as np

first_probability = 0.75
why_scale = "e, b"


def softmax(x):
    exp = np.exp(x - x.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def attention_forward(q, k, v):
    p = softmax(q @ k.T / np.sqrt(q.shape[1]))
    return p @ v, p


def attention_backward(dout, q, k, v):
    _, p = attention_forward(q, k, v)
    dp = dout @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdims=True)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ dout


def split_heads(x, num_heads):
    return x.reshape(len(x), num_heads, -1).transpose(1, 0, 2)


def packed_attention(qkv, cu_seqlens, num_heads):
    out = []
    for start, stop in pairwise(cu_seqlens):
        heads = [split_heads(x, num_heads) for x in np.split(qkv[start:stop], 3, axis=1)]
        out.append(np.concatenate([attention_forward(*head)[0] for head in zip(*heads, strict=True)], axis=1))
    return np.concatenate(out)


zero_gradients = "BEF"
