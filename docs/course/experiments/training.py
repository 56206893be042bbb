"""Learning rates: the experiment of lesson 4.

    python docs/course/experiments/training.py

A tiny BERT learns to tell whether a sequence holds more low ids than high ones: once for each of six learning
rates, with the same first weights, batches and dropout. Nothing is fetched. About a quarter of a minute.
"""

import numpy as np

from minidistil import BertConfig, BertForSequenceClassification, Dataset, ModelLoss, Trainer, TrainSettings
from minidistil.errors import TrainingError
from minidistil.tasks.inference import predict_logits

RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
LOW, HIGH = np.arange(2, 12), np.arange(12, 22)  # ids; 0 begins a sequence and 1 ends it
CONFIG = BertConfig(
    vocab_size=22,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=16,
)


def sequences(n, seed):
    """A dataset of n random sequences of 5 to 13 ids, class 1 where most of them are low."""
    rng = np.random.default_rng(seed)
    lengths = 2 * rng.integers(3, 7, n) + 1  # odd: no ties
    ids, labels = [], []
    for length in lengths:
        low = rng.random(length - 2) < 0.5
        ids.append([0, *np.where(low, rng.choice(LOW, length - 2), rng.choice(HIGH, length - 2)), 1])
        labels.append(int(2 * low.sum() > length - 2))
    total = int(lengths.sum())
    return Dataset(
        input_ids=np.concatenate(ids).astype(np.int32),
        token_type_ids=np.zeros(total, np.int32),
        offsets=np.append(0, np.cumsum(lengths)).astype(np.int64),
        example_ids=np.arange(n, dtype=np.int64),
        targets={"labels": np.array(labels)},
    )


def run(rate, train, test):
    """First and last loss of the log, and the accuracy on new sequences."""
    model = BertForSequenceClassification(CONFIG, seed=0)
    settings = TrainSettings(lr=rate, epochs=6, batch_size=16, log_every=16)
    log = Trainer(model, ModelLoss(model), train, settings=settings, quiet=True).train().history
    losses = [record["loss"] for record in log if record["kind"] == "train"]
    right = predict_logits(model, test).argmax(1) == test.targets["labels"]
    return losses[0], losses[-1], float(right.mean())


def main():
    train, test = sequences(512, 1), sequences(512, 2)
    print("learning rate  loss at first  at last  accuracy")
    for rate in RATES:
        try:
            first, last, accuracy = run(rate, train, test)
            print(f"{rate:13g}{first:15.3f}{last:9.3f}{accuracy:10.1%}")
        except TrainingError as error:
            print(f"{rate:13g}  {str(error).split(':')[0]}: stopped")


if __name__ == "__main__":
    main()
