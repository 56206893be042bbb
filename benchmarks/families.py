"""Time of every family's encoder beside a BERT of the same shape.

    python -m benchmarks.families
    python -m benchmarks.families --families mpnet electra --width 768 --layers 12 --rounds 20

Forward passes and training steps (forward and backward) over the same packed batch, in turns, with random
weights. A ratio is a family's time over BERT's of the same round: the median, and the lowest and highest.
*Work* is the ratio of multiplications in products with weights: more than 1 where a family has a product of
its own, such as a projection of the embeddings.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minidistil.batch import Batch
from minidistil.model.families import FAMILIES, class_with
from minidistil.model.model import Model

BERT = "bert"


def encoder(family: str, width: int, layers: int) -> Model:
    """An encoder with random weights; tables as wide as BERT's, where a family may choose."""
    kind = class_with("Model", family)
    shape: dict[str, Any] = {
        "vocab_size": 30522,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64 if width % 64 == 0 else 12,
        "intermediate_size": 4 * width,
        "hidden_act": "gelu",
        "max_position_embeddings": 514,
    }
    if "embedding_size" in kind.config_class.__dataclass_fields__:
        shape["embedding_size"] = width
    return kind(kind.config_class(**shape), seed=0)


def work(model: Model, tokens: int) -> int:
    """Multiplications in the products of a forward pass with weights; those of attention are alike."""
    layers = [spec for layer in model.encoder.layers for spec in layer.specs()]
    specs = layers + [spec for module in model.encoder.embeddings.modules for spec in module.specs()]
    return tokens * sum(spec.size for spec in specs if spec.role == "weight")


def rounds_of(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run, in turns, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if i:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def training_step(model: Model, batch: Batch) -> Callable[[], object]:
    grads = model.params.like()

    def step() -> None:
        outputs, cache = model.forward(batch)
        model.backward({"last_hidden_state": outputs["last_hidden_state"]}, cache, grads)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--length", type=int, default=128, help="tokens of each of the 8 sequences")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    batch = Batch.from_sequences(list(rng.integers(5, 30000, (8, args.length), np.int32)))
    models = {name: encoder(name, args.width, args.layers) for name in dict.fromkeys([BERT, *args.families])}
    steps = {name: training_step(model, batch) for name, model in models.items()}
    trained = rounds_of(dict(steps), args.rounds)
    for model in models.values():
        model.eval()
    passes = {name: partial(model.forward, batch, keep_cache=False) for name, model in models.items()}
    forward = rounds_of(dict(passes), args.rounds)
    print("| family | work | forward | training step |\n| --- | --- | --- | --- |")
    for name, model in models.items():
        cells = [f"{work(model, 1) / work(models[BERT], 1):.3f}"]
        for times in (forward, trained):
            ratios = [a / b for a, b in zip(times[name], times[BERT], strict=True)]
            cells.append(f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
