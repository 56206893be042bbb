"""A tokenizer of a few words, and text in them. Also a program, so that tests can kill it as it encodes."""

import hashlib
import json
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np

from minidistil.text.corpus import files as corpus_files
from minidistil.text.corpus import writer as corpus_writer
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the film was good bad it is a story of two people and one very long road home".split()  # noqa: SIM905
VOCAB = [*SPECIAL, *WORDS, "##s", "##ly", "中", "é", "!"]


def make_tokenizer(directory, vocab=VOCAB):
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    return Tokenizer.from_pretrained(directory)


def sentences(n, seed=0, longest=30):
    """Documents of known and unknown words."""
    pick = random.Random(seed)
    words = [*WORDS, "films", "badly", "zebra", "中!"]
    return [" ".join(pick.choices(words, k=pick.randint(1, longest))) for _ in range(n)]


def corpus_of(tokenizer, documents):
    """A corpus of given ids, without files."""
    offsets = np.cumsum([0, *map(len, documents)])
    tokens = np.array([token for document in documents for token in document], np.uint16)
    about = json.dumps([len(tokens), hashlib.sha256(tokens).hexdigest(), offsets.tolist()])
    meta = {"plan": {"tokenizer": tokenizer.content_hash()}, "sha256": about}
    return Corpus(None, tokens, offsets, np.bincount(tokens, minlength=tokenizer.num_ids), meta)


def write_inputs(directory):
    """Three kinds of file, with a line that is cut into many pieces in each."""
    import gzip

    directory.mkdir(parents=True)
    long = " ".join(sentences(900, seed=1))
    lines = [*sentences(3000, seed=2), long, "", *sentences(2000, seed=3)]
    (directory / "a.txt").write_text("\n".join(lines))
    objects = [json.dumps({"text": text, "id": 1}) for text in [*sentences(1500, seed=4), long]]
    (directory / "b.jsonl").write_text("\n".join(objects) + "\n")
    with gzip.open(directory / "c.txt.gz", "wt") as file:
        file.write("\n".join([*sentences(2500, seed=5), long]))


def small_pieces():
    """So that a small corpus has many pieces, batches and commits."""
    corpus_files.PIECE, corpus_writer.BATCH, corpus_writer.PART = 1 << 10, 1 << 12, 1 << 15


def die_at_call(name, n):
    """kill -9 just before the n-th call of a function of os."""
    left, function = [n], getattr(os, name)

    def counted(*args):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)

    setattr(os, name, counted)


def main(root, out, name=None, n=0):
    small_pieces()
    if name:
        die_at_call(name, int(n))
    tokenizer = Tokenizer.from_pretrained(Path(root) / "tokenizer")
    print("encoding", flush=True)
    corpus = corpus_writer.encode_corpus(tokenizer, Path(root) / "inputs", out, quiet=True)
    print(len(corpus))


if __name__ == "__main__":
    main(*sys.argv[1:])
