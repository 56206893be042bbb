"""Right answers to lesson 5."""

import numpy as np

soft_gradient = 2 * (1 / 2 - 1 / (1 + np.sqrt(3)))
distilbert_share = 66.4 / 109.5


def student_layers(count, depth):
    if count == 1:
        return [0]
    return [(2 * i * (depth - 1) + count - 1) // (2 * (count - 1)) for i in range(count)]


def log_softmax(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def soft_label_loss(student, teacher, temperature):
    log_s, log_t = log_softmax(student / temperature), log_softmax(teacher / temperature)
    kl = (np.exp(log_t) * (log_t - log_s)).sum()
    return temperature**2 * kl, temperature * (np.exp(log_s) - np.exp(log_t))


hot_limit = "be"


def cosine_loss(student, teacher):
    s, t = (np.linalg.norm(x, axis=1, keepdims=True) for x in (student, teacher))
    cos = (student * teacher).sum(1, keepdims=True) / (s * t)
    return (1 - cos).sum(), cos * student / s**2 - teacher / (s * t)


def js_loss(student, teacher):
    log_p, log_q = log_softmax(student), log_softmax(teacher)
    p, q = np.exp(log_p), np.exp(log_q)
    log_m = np.log((p + q) / 2)
    dp = (log_p - log_m) / 2
    loss = (p * (log_p - log_m) + q * (log_q - log_m)).sum() / 2
    return loss, p * (dp - (p * dp).sum(1, keepdims=True))
