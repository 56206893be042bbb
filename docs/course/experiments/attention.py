"""Attention without its scale: the experiment of lesson 2.

    python docs/course/experiments/attention.py

A real encoder (fetched once) reads a sentence; then its queries are made sqrt(D) times as long, which is
attention without the factor 1 / sqrt(D). Some seconds.
"""

import numpy as np

from minidistil import Batch, Tokenizer, load_model

TEXT = "a warm and funny film with a clumsy ending that nobody who saw it will forget"


def looks(model, batch):
    """Mean entropy in bits of a query's probabilities, and share of queries with one above 0.99, by layer."""
    maps = model.forward(batch, attentions=True)[0]["attentions"]
    bits = [float(-(p * np.log2(np.maximum(p, 1e-30))).sum(-1).mean()) for (p,) in maps]
    return bits, [float((p.max(-1) > 0.99).mean()) for (p,) in maps]


def query_gradients(model, batch):
    """Norm of the gradient of each layer's query weights, for a fixed random gradient of the last states."""
    outputs, cache = model.forward(batch)
    douts = np.random.default_rng(0).normal(size=outputs["last_hidden_state"].shape)
    grads = model.params.like()
    model.backward({"last_hidden_state": douts.astype(np.float32)}, cache, grads)
    layers = range(model.config.num_hidden_layers)
    return [float(np.linalg.norm(grads[f"encoder.layer.{i}.attention.self.query.weight"])) for i in layers]


def stretch_queries(model, factor):
    """Multiply all queries by a factor."""
    model.train()  # a loaded model is read-only until then
    for i in range(model.config.num_hidden_layers):
        for part in ("weight", "bias"):
            model.params[f"encoder.layer.{i}.attention.self.query.{part}"][:] *= np.float32(factor)


def experiment(model, batch):
    """A table: entropy and gradient by layer, with the scale and without it."""
    width = model.config.hidden_size // model.config.num_attention_heads
    with_scale = *looks(model, batch), query_gradients(model, batch)
    stretch_queries(model, np.sqrt(width))
    without = *looks(model, batch), query_gradients(model, batch)
    lines = [f"{batch.num_tokens} tokens: at most {np.log2(batch.num_tokens):.2f} bits", ""]
    lines += [
        "         with the scale          without it",
        "layer   bits  sure  gradient    bits  sure  gradient",
    ]
    for i, row in enumerate(zip(*with_scale, *without, strict=True), 1):
        cells = "  ".join(
            f"{bits:6.2f}{sure:6.0%}{gradient:10.3g}" for bits, sure, gradient in (row[:3], row[3:])
        )
        lines.append(f"{i:5}{cells}")
    return "\n".join(lines)


def main():
    model, tokenizer = load_model("minilm"), Tokenizer.from_pretrained("minilm")
    print(experiment(model, Batch.from_sequences(tokenizer.encode([TEXT]).input_ids)))


if __name__ == "__main__":
    main()
