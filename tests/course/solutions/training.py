"""Right answers to lesson 4."""

import numpy as np

first_step = 2.1


def schedule(step, total, warmup):
    return step / warmup if step < warmup else (total - step) / (total - warmup)


def adamw_step(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, step):
    p = p * (1 - lr * weight_decay)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return p - lr * m / (1 - beta1**step) / (np.sqrt(v / (1 - beta2**step)) + eps), m, v


def clip(grads, limit):
    norm = np.sqrt(sum((g * g).sum() for g in grads))
    return [g * min(1, limit / (norm + 1e-6)) for g in grads]


def window_gradient(parts):
    return sum(grad for grad, _ in parts) / sum(count for _, count in parts)


def dropout(x, draws, rate):
    return x * (draws >= rate) / (1 - rate)


def mask_tokens(ids, chosen, draws, mask_id, random_ids):
    inputs, labels = ids.copy(), np.full(len(ids), -100)
    labels[chosen] = ids[chosen]
    inputs[chosen & (draws < 0.8)] = mask_id
    inputs[chosen & (draws >= 0.9)] = random_ids[chosen & (draws >= 0.9)]
    return inputs, labels


checkpoint = "abd"
