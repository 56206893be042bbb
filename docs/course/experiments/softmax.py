"""Softmax regression on real sentences, by gradient descent: the experiment of lesson 1.

    python docs/course/experiments/softmax.py

The encoder and the sentences are those of the demo; they are fetched once. About half a minute.
"""

import numpy as np

from minidistil import SentenceEncoder
from minidistil.jobs.demo.corpora import movie_split
from minidistil.losses import cross_entropy

SHOWN = (0, 1, 10, 100, 1000)  # steps before which the loss is shown
RATES = (0.1, 1.0, 10.0, 100.0)


def descend(x, labels, rate, steps):
    """Weights [2, H], bias [2] and the loss before every step, from weights of zero."""
    weight, bias, losses = np.zeros((2, x.shape[1])), np.zeros(2), []
    for _ in range(steps):
        loss = cross_entropy(x @ weight.T + bias, labels)
        losses.append(loss.mean)
        dlogits = loss.grad / loss.count  # of the mean: p - 1 for the right class, p for the other
        weight -= rate * dlogits.T @ x
        bias -= rate * dlogits.sum(0)
    return weight, bias, losses


def main():
    split = movie_split()
    encoder = SentenceEncoder.from_pretrained("minilm")
    x, labels = (
        encoder.encode(split.train_texts[:1000]).astype(np.float64),
        np.array(split.train_labels[:1000]),
    )
    test, right = encoder.encode(split.test_texts).astype(np.float64), np.array(split.test_labels)
    print("       loss before step")
    print(" rate" + "".join(f"{step:8}" for step in SHOWN) + "  accuracy  on new sentences")
    for rate in RATES:
        weight, bias, losses = descend(x, labels, rate, SHOWN[-1] + 1)
        shares = [((v @ weight.T + bias).argmax(1) == y).mean() for v, y in ((x, labels), (test, right))]
        cells = "".join(f"{losses[step]:8.4f}" for step in SHOWN)
        print(f"{rate:5}{cells}{shares[0]:10.1%}{shares[1]:18.1%}")


if __name__ == "__main__":
    main()
