"""Text whose hidden words can be guessed, and settings that learn to."""

from tiny import BAD, GOOD, OTHER

from minidistil.ops.philox import random_order

SMALL = ["data.max_length=24", "data.shortest=4", "data.held_out=0.1", "train.batch_size=16"]
PRETRAIN = [
    *SMALL, "model.layers=2", "model.width=24", "model.heads=2", "model.intermediate=32",
    "model.positions=24", "model.vocabulary=100", "train.epochs=12", "train.lr=5e-3",
]  # fmt: skip


def sentences(n=400):
    """Two words in a row are alike: what is hidden can be guessed from its neighbour."""
    lines = []
    for i in range(n):
        a, b = (int(x) for x in random_order(8, i)[:2])
        good = GOOD if i % 2 else BAD
        first, second = good[a % 4], good[b % 4]
        lines.append(f"the {OTHER[2 + a % 3]} is {first} {first} and {second} {second}")
    return "\n".join(lines) + "\n"
