"""Attention without its scale: the experiment of lesson 2.

    python docs/course/experiments/attention.py

A real encoder (fetched once) reads a sentence; then its queries are made sqrt(D) times as long, which is
attention without the factor 1 / sqrt(D). Some seconds.
"""

import numpy as np

from minidistil import Batch, Tokenizer, load_model

TEXT = "a warm and funny film with a clumsy ending that nobody who saw it will forget"


def look(model, batch):
    """Rows of the table: mean entropy of a query's probabilities in bits, median and largest |dS| of a query.

    dS is the gradient of a query's scores, for a fixed random gradient of the last states.
    """
    outputs, cache = model.forward(batch, attentions=True)
    douts = np.random.default_rng(0).normal(size=outputs["last_hidden_state"].shape).astype(np.float32)
    grads = model.backward(
        {"last_hidden_state": douts}, cache, model.params.like(), taps="layer.*.attention.scores"
    )
    rows = []
    for i, (p,) in enumerate(outputs["attentions"]):  # [A, L, L]
        bits = -(p * np.log2(np.maximum(p, 1e-30))).sum(-1).mean()
        (ds,) = grads[f"grad.layer.{i}.attention.scores"]  # [A, L, L]
        lengths = np.linalg.norm(ds, axis=-1)
        rows.append((float(bits), float(np.median(lengths)), float(lengths.max())))
    return rows


def stretch_queries(model, factor):
    """Multiply all queries by a factor."""
    model.train()  # a loaded model is read-only until then
    for i in range(model.config.num_hidden_layers):
        for part in ("weight", "bias"):
            model.params[f"encoder.layer.{i}.attention.self.query.{part}"][:] *= np.float32(factor)


def experiment(model, batch):
    """A table: entropy and gradients by layer, with the scale and without it."""
    width = model.config.hidden_size // model.config.num_attention_heads
    with_scale = look(model, batch)
    stretch_queries(model, np.sqrt(width))
    without = look(model, batch)
    lines = [f"{batch.num_tokens} tokens: at most {np.log2(batch.num_tokens):.2f} bits", ""]
    lines += ["            with the scale               without it"]
    lines += ["layer   bits  median  largest      bits   median  largest"]
    for i, ((b, m, g), (b0, m0, g0)) in enumerate(zip(with_scale, without, strict=True), 1):
        lines.append(f"{i:5}{b:7.2f}{m:8.2f}{g:9.2f}{b0:10.2f}{m0:9.4f}{g0:9.2f}")
    return "\n".join(lines)


def main():
    model, tokenizer = load_model("minilm"), Tokenizer.from_pretrained("minilm")
    print(experiment(model, Batch.from_sequences(tokenizer.encode([TEXT]).input_ids)))


if __name__ == "__main__":
    main()
