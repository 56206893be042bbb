"""Right answers to lesson 3."""

import math

import numpy as np

layer_parameters = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768


def layernorm(x, weight, bias, eps):
    centred = x - x.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + eps) * weight + bias


def layernorm_backward(dout, x, weight, eps):
    centred = x - x.mean(1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + eps)
    n, dn = centred * rstd, dout * weight
    dx = rstd * (dn - dn.mean(1, keepdims=True) - n * (dn * n).mean(1, keepdims=True))
    return dx, (dout * n).sum(0), dout.sum(0)


broken_layernorm = "ad"

phi = np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)


def gelu_backward(dout, x):
    return dout * (phi(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def embedding_backward(dout, ids, rows):
    return (np.arange(rows)[:, None] == ids).astype(float) @ dout


def rmsnorm_backward(dout, x, weight, eps):
    r = 1 / np.sqrt((x * x).mean(1, keepdims=True) + eps)
    dn = dout * weight
    return r * dn - r**3 * x * (dn * x).mean(1, keepdims=True), (dout * x * r).sum(0)


def sublayer_backward(dout, x, up, up_bias, down, down_bias, weight, bias):
    wide = x @ up.T + up_bias
    du = layernorm_backward(dout, x + wide * phi(wide) @ down.T + down_bias, weight, 1e-12)[0]
    return du + gelu_backward(du @ down, wide) @ up
