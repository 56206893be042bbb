"""A tiny pretrained encoder and a tiny corpus, for tests of whole jobs."""

from pathlib import Path

import numpy as np

from minidistil import BertConfig
from minidistil.jobs.demo.corpora import Split
from minidistil.model import BertForSequenceClassification, BertModel
from minidistil.ops.philox import random_order
from minidistil.tasks.base import Predictor, load
from minidistil.tasks.registry import task_of
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GOOD = ["warm", "funny", "bright", "lovely"]
BAD = ["dull", "grim", "tired", "clumsy"]
OTHER = ["a", "the", "film", "plot", "cast", "is", "and", "with", "##ly", "of"]
VOCABULARY = [*SPECIAL, *GOOD, *BAD, *OTHER]
LABELS = {0: "negative", 1: "positive"}

CONFIG = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=24,
    num_hidden_layers=6,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
    initializer_range=0.1,
)

# Of models that read `random_dataset`.
RANDOM = BertConfig(
    vocab_size=60,
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=12,
    initializer_range=0.3,
)


def make_tokenizer(directory: Path) -> Tokenizer:
    """Write vocab.txt into `directory` and load it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return Tokenizer.from_pretrained(directory)


def make_encoder(directory: Path) -> Path:
    """A bare BERT of six small layers, with its tokenizer."""
    tokenizer = make_tokenizer(directory / "vocabulary")
    BertModel(CONFIG, seed=7).save_pretrained(directory / "encoder", tokenizer=tokenizer)
    return directory / "encoder"


def make_classifier(directory: Path, **config) -> Path:
    """A classifier of random weights, with its tokenizer."""
    tokenizer = make_tokenizer(directory / "vocabulary")
    model = BertForSequenceClassification(CONFIG.replace(**{"id2label": LABELS, **config}), seed=3)
    model.save_pretrained(directory / "classifier", tokenizer=tokenizer)
    return directory / "classifier"


def predictor_of(directory: Path) -> Predictor:
    """The predictor that a model is made for, by its head."""
    model, tokenizer = load(directory)
    return task_of(model).bind(model, tokenizer)


def random_dataset(n: int = 20, *, seed: int = 0, words: int = 60, longest: int = 11, **targets) -> Dataset:
    """Examples of random tokens and lengths, under ids in no order."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n)
    total = int(lengths.sum())
    return Dataset(
        input_ids=rng.integers(0, words, total).astype(np.int32),
        token_type_ids=np.zeros(total, np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        example_ids=rng.permutation(100 * n)[:n].astype(np.int64),
        targets=targets,
    )


def random_labelled(n: int = 20, seed: int = 0) -> Dataset:
    """Such examples with labels of two classes."""
    return random_dataset(n, seed=seed, labels=np.random.default_rng(seed).integers(0, 2, n))


def make_split(train: int = 60, test: int = 20) -> Split:
    """Sentences whose one telling word decides their class."""
    texts, labels = [], []
    for i in range(train + test):
        a, b, c = (int(x) for x in random_order(8, i)[:3])
        word, label = (GOOD[a % 4], 1) if i % 2 else (BAD[a % 4], 0)
        texts.append(" ".join(["the", OTHER[b], "is", word, *OTHER[: c % 5]]))
        labels.append(label)
    return Split(texts[:train], labels[:train], texts[train:], labels[train:])
