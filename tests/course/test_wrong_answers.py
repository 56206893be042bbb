"""Typical mistakes: each is found, and the message says what differs."""

import re
from pathlib import Path

import pytest

from minidistil.course.answers import check_answers, load_answers
from minidistil.course.lessons import LESSONS

SOLUTIONS = Path(__file__).parent / "solutions"

# Lesson, exercise, code that replaces the right one, what the message has.
MISTAKES = [
    (
        1,
        "softmax",
        "def softmax(x):\n    return np.exp(x) / np.exp(x).sum(1, keepdims=True)",
        r"p\[\d, \d\] is nan",
    ),
    (
        1,
        "softmax",
        "def softmax(x):\n    exp = np.exp(x - x.max())\n    return exp / exp.sum()",
        r"p\[0, 0\] is [\d.e-]+, expected [\d.e-]+; 24 of 24 differ by more than 1e-07; given x \[4, 6\]",
    ),
    (
        1,
        "softmax_backward",
        "def softmax_backward(dout, p):\n    return p * dout",
        r"dx\[0, 0\] is .*; given dout \[3, 5\], p \[3, 5\]",
    ),
    (1, "softmax_backward", "def softmax_backward(dout, p):\n    return 0 * p", "all of it is zero"),
    (
        1,
        "cross_entropy",
        "right = cross_entropy\ndef cross_entropy(z, y):\n    s, n, g = right(z, y)\n"
        "    return s / n, n, g / n",
        r"sum is [\d.]+, expected [\d.]+",
    ),
    (
        1,
        "cross_entropy",
        "right = cross_entropy\ndef cross_entropy(z, y):\n    s, n, g = right(z, y)\n    return s, n, g / n",
        "all of it is 0.25 times what is expected",
    ),
    (
        1,
        "cross_entropy",
        "def cross_entropy(z, y):\n    return 1.0",
        "returns float, expected 3 results: sum, count, grad",
    ),
    (
        1,
        "blind_cotangent",
        "def blind_cotangent(p):\n    return np.ones_like(p)",
        "all numbers of dout are the same",
    ),
    (1, "blind_cotangent", "def blind_cotangent(p):\n    return p", "the gradient is not zero"),
    (
        1,
        "softplus_backward",
        "def softplus_backward(dout, x):\n    return dout * np.exp(x) / (1 + np.exp(x))",
        r"dx\[7\] is nan",
    ),
    (1, "uniform_loss", "uniform_loss = np.log2(5)", "^not right within 0.1 %$"),
    (1, "uniform_loss", "uniform_loss = np.nan", "not right within 0.1 %"),
    (1, "uniform_loss", "uniform_loss = 10**400", "not right within 0.1 %"),
    (1, "uniform_loss", "uniform_loss = np.complex128(1.6)", "must be a number, not complex128"),
    (1, "uniform_loss", "uniform_loss = True", "must be a number, not bool"),
    (1, "uniform_loss", "uniform_loss = 'log 5'", "must be a number, not str"),
    (1, "shift", "shift = 'a'", '"a" is not right'),
    (1, "shift", "shift = 'bx'", "expected letters from a to f"),
    (1, "shift", "shift = 3", "must be letters"),
    (
        2,
        "attention_forward",
        "def attention_forward(q, k, v):\n    p = softmax(q @ k.T)\n    return p @ v, p",
        r"out\[0, 0\] is",
    ),
    (
        2,
        "attention_forward",
        "def attention_forward(q, k, v):\n"
        "    p = softmax(q @ k.T / np.sqrt(q.shape[1]))\n    return p.T @ v, p.T",
        r"out\[0, 0\] is",
    ),
    (
        2,
        "attention_forward",
        "right = attention_forward\ndef attention_forward(q, k, v):\n"
        "    out, p = right(q, k, v)\n    return out, p.T",
        "p.*it is transposed",
    ),
    (
        2,
        "attention_backward",
        "right = attention_backward\ndef attention_backward(dout, q, k, v):\n"
        "    dq, dk, dv = right(dout, q, k, v)\n    return dq * 3**0.5, dk * 3**0.5, dv",
        "dq.*all of it is 1.73205 times what is expected",
    ),
    (
        2,
        "attention_backward",
        "right = attention_backward\ndef attention_backward(dout, q, k, v):\n"
        "    return tuple(g.T for g in right(dout, q, k, v))",
        r"dq has shape \[3, 5\], expected \[5, 3\] \(transposed\?\)",
    ),
    (2, "split_heads", "def split_heads(x, n):\n    return x.reshape(n, len(x), -1)", r"heads\[0, 1, 0\] is"),
    (
        2,
        "packed_attention",
        "right = packed_attention\ndef packed_attention(qkv, cu, n):\n"
        "    return right(qkv, [0, len(qkv)], n)",
        r"out.*given qkv \[8, 18\], cu_seqlens \[4\], num_heads 2",
    ),
    (3, "layer_parameters", "layer_parameters = 7087871", "not right"),
    (
        3,
        "layernorm",
        "def layernorm(x, w, b, eps):\n"
        "    return (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + eps) * w + b",
        "y.*eps 0.5",
    ),
    (
        3,
        "layernorm",
        "def layernorm(x, w, b, eps):\n"
        "    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True, ddof=1) + eps) * w + b",
        r"y\[0, 0\] is .*eps 1e-12",
    ),
    (
        3,
        "layernorm_backward",
        "right = layernorm_backward\ndef layernorm_backward(dout, x, weight, eps):\n"
        "    dx, dw, db = right(dout, x, weight, eps)\n    return dx, dw / len(x), db",
        "dweight.*all of it is 0.25 times",
    ),
    (
        3,
        "gelu_backward",
        "def gelu_backward(dout, x):\n    return dout * phi(x)",
        r"dx\[0, 0\] is",
    ),
    (
        3,
        "embedding_backward",
        "def embedding_backward(dout, ids, rows):\n    d = np.zeros((rows, 4))\n"
        "    d[ids] += dout\n    return d",
        r"dtable\[2, 0\] is .*; 8 of 28 differ",
    ),
    (
        3,
        "rmsnorm_backward",
        "def rmsnorm_backward(dout, x, w, eps):\n"
        "    r = 1 / np.sqrt((x * x).mean(1, keepdims=True) + eps)\n"
        "    return r * dout * w, (dout * x * r).sum(0)",
        r"dx\[0, 0\] is .* \(by finite differences\)",
    ),
    (
        3,
        "sublayer_backward",
        "right = sublayer_backward\ndef sublayer_backward(dout, x, up, b, down, c, w, d):\n"
        "    y = x @ up.T + b\n"
        "    du = layernorm_backward(dout, x + y * phi(y) @ down.T + c, w, 1e-12)[0]\n"
        "    return gelu_backward(du @ down, y) @ up",
        r"dx\[0, 0\] is",
    ),
    (
        4,
        "schedule",
        "def schedule(step, total, warmup):\n    return step / warmup",
        "raises ZeroDivisionError|factor is",
    ),
    (
        4,
        "adamw_step",
        "def adamw_step(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, step):\n"
        "    p = p * (1 - lr * weight_decay)\n"
        "    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g\n"
        "    return p - lr * m / (np.sqrt(v) + eps), m, v",
        r"p\[0\] is",
    ),
    (
        4,
        "adamw_step",
        "def adamw_step(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, step):\n"
        "    p = p * (1 - lr * weight_decay)\n"
        "    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g\n"
        "    return p - lr * m / (1 - beta1**step) / np.sqrt(v / (1 - beta2**step) + eps), m, v",
        r"p\[0\] is",
    ),
    (
        4,
        "adamw_step",
        "def adamw_step(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, step):\n"
        "    p *= 1 - lr * weight_decay\n    p -= lr\n    return p, m, v",
        "writes into its argument p: work on a copy",
    ),
    (
        4,
        "clip",
        "def clip(grads, limit):\n    return [g * min(1, limit / (np.linalg.norm(g) + 1e-6)) for g in grads]",
        r"grads\[0\]\[0, 0\] is|grads\[0\].*all of it is",
    ),
    (
        4,
        "clip",
        "def clip(grads, limit):\n    return grads[:2]",
        r"returns 2 results, expected 3: grads\[0\]",
    ),
    (
        4,
        "window_gradient",
        "def window_gradient(parts):\n    return sum(g / max(n, 1) for g, n in parts) / len(parts)",
        r"grad\[0\] is .*given parts of 3 entries",
    ),
    (4, "dropout", "def dropout(x, draws, rate):\n    return x * (draws >= rate)", "all of it is 0.7 times"),
    (
        4,
        "mask_tokens",
        "right = mask_tokens\ndef mask_tokens(ids, chosen, draws, mask_id, random_ids):\n"
        "    return right(ids, chosen, draws, mask_id, random_ids)[0], ids",
        r"labels\[1\] is \d+, expected -100",
    ),
    (
        5,
        "soft_label_loss",
        "right = soft_label_loss\ndef soft_label_loss(s, t, T):\n    loss, grad = right(s, t, T)\n"
        "    return loss / T**2, grad / T**2",
        r"sum is [\d.]+, expected [\d.]+; given student \[4, 5\], teacher \[4, 5\], temperature 3",
    ),
    (
        5,
        "soft_label_loss",
        "right = soft_label_loss\ndef soft_label_loss(s, t, T):\n"
        "    loss, grad = right(s, t, T)\n    return loss, grad / T",
        "grad.*all of it is 0.333333 times",
    ),
    (
        5,
        "student_layers",
        "def student_layers(n, depth):\n    return range(n)",
        r"layers\[1\] is 1, expected 3",
    ),
    (5, "cosine_loss", "def cosine_loss(s, t):\n    return None", "returns None"),
    (
        5,
        "js_loss",
        "right = js_loss\ndef js_loss(s, t):\n    loss, grad = right(s, t)\n    return loss, grad * 2",
        "grad.*all of it is 2 times",
    ),
    (
        6,
        "blocked_matmul",
        "def blocked_matmul(a, b, n):\n    c = np.zeros((len(a), b.shape[1]))\n"
        "    for k in range(0, a.shape[1] // n * n, n):\n"
        "        c += a[:, k : k + n] @ b[k : k + n]\n    return c",
        r"c\[0, 0\] is .*given a \[7, 5\], b \[5, 9\], block 4",
    ),
    (
        6,
        "pack_panels",
        "def pack_panels(a, n):\n    return a.reshape(-1, a.shape[1], n)",
        "panels|raises ValueError",
    ),
    (
        6,
        "panel_matmul",
        "right = panel_matmul\ndef panel_matmul(a, b, rows, columns):\n    return right(a, b, 100, 100)",
        r"c has shape \[8, 9\], expected \[6, 7\]",
    ),
    (
        6,
        "running_softmax",
        "def running_softmax(x, block):\n    return x.max(), np.exp(x).sum()",
        "total is inf",
    ),
]


@pytest.mark.parametrize(("number", "name", "code", "message"), MISTAKES, ids=lambda value: None)
def test_a_mistake_is_named(number, name, code, message, tmp_path):
    lesson = LESSONS[number - 1]
    path = tmp_path / "answers.py"
    right = (SOLUTIONS / f"{lesson.name}.py").read_text(encoding="utf-8")
    path.write_text(f"{right}\n\n{code}\n", encoding="utf-8")
    answers = load_answers(path)
    verdicts = {verdict.exercise: verdict for verdict in check_answers(lesson, answers)}
    assert verdicts[name].outcome == "wrong"

    assert re.search(message, verdicts[name].message), verdicts[name].message
