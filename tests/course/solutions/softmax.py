"""Right answers to lesson 1."""

import numpy as np

uniform_loss = np.log(5)
shift = "bf"


def softmax(x):
    exp = np.exp(x - x.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def softmax_backward(dout, p):
    return p * (dout - (dout * p).sum(1, keepdims=True))


def cross_entropy(logits, labels):
    rows = np.flatnonzero(labels != -100)
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    grad = np.zeros_like(logits)
    grad[rows] = np.exp(log_p[rows])
    grad[rows, labels[rows]] -= 1
    return -log_p[rows, labels[rows]].sum(), len(rows), grad


def blind_cotangent(p):
    return np.ones_like(p) * np.arange(len(p))[:, None]


def softplus_backward(dout, x):
    return dout * np.where(x > 0, 1 / (1 + np.exp(-abs(x))), np.exp(-abs(x)) / (1 + np.exp(-abs(x))))
