"""Cost of text: encoding it, memory, and the share of a training step that batches and masks take.

    python benchmarks/corpus.py TEXT                    encoding beside `tokenizers` alone, and batches
    python benchmarks/corpus.py TEXT --memory 10 1000   peak memory for so many MB of text

TEXT is a file of plain text; it is repeated to the size wanted. The tokenizer is all-MiniLM-L6-v2's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.distill import DistillationTrainer, init_student
from minidistil.memory import keep_freed_memory, peak_memory
from minidistil.model import BertForMaskedLM
from minidistil.text.corpus.chunks import chunk
from minidistil.text.corpus.writer import encode_corpus
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.settings import TrainSettings
from minidistil.weights.assets import fetch_minilm

ROUNDS, MEGABYTES, STEPS = 7, 20, 20
BATCH = {"batch_size": 16, "max_length": 128}


def write_text(source: Path, target: Path, size: int) -> None:
    """The source, repeated to `size` bytes or a little more."""
    data = source.read_bytes()
    data = data if data.endswith(b"\n") else data + b"\n"
    with open(target, "wb") as file:
        while file.tell() < size:
            file.write(data)


def encoding(source: Path, place: Path) -> None:
    """MB/s of `encode_corpus`, and of the tokenizers library with the same lines in memory, in turns."""
    tokenizer = Tokenizer.from_pretrained(fetch_minilm())
    text = place / "text.txt"
    write_text(source, text, MEGABYTES * 10**6)
    lines = text.read_text(encoding="utf-8").splitlines()
    alone = tokenizer._rust
    ratios, rates = [], []
    for i in range(ROUNDS + 1):
        seconds = []
        began = time.perf_counter()
        for begin in range(0, len(lines), 1000):
            alone.encode_batch_fast(lines[begin : begin + 1000], add_special_tokens=False)
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        encode_corpus(tokenizer, text, place / f"corpus-{i}", quiet=True)
        seconds.append(time.perf_counter() - began)
        if i:  # the first is for caches
            ratios.append(seconds[0] / seconds[1])
            rates.append([text.stat().st_size / 1e6 / s for s in seconds])
    alone_rate, ours = (statistics.median(rate) for rate in zip(*rates, strict=True))
    print(
        f"encoding: {ours:.2f} MB/s to disk; tokenizers alone {alone_rate:.2f} MB/s; "
        f"{statistics.median(ratios):.0%} of it ({min(ratios):.0%} to {max(ratios):.0%}, {ROUNDS} rounds)"
    )


def batches(source: Path, place: Path) -> None:
    """The share of a distillation step that goes into batches and masks."""
    path = fetch_minilm()
    tokenizer = Tokenizer.from_pretrained(path)
    text = place / "some.txt"
    write_text(source, text, 10**6)
    corpus = encode_corpus(tokenizer, text, place / "some", quiet=True)
    sequences = chunk(corpus, tokenizer, max_length=BATCH["max_length"]).train
    data = MaskedDataset.create(sequences, tokenizer, Masking())
    teacher = BertForMaskedLM.from_pretrained(path)
    spent: list[float] = []

    class Clocked(MaskedDataset):
        def batch(self, indices: npt.ArrayLike) -> Batch:
            began = time.perf_counter()
            batch = super().batch(indices)
            spent.append(time.perf_counter() - began)
            return batch

    clocked = Clocked(data.sequences, data.masking, data.weights, data.mask_id)
    times: list[float] = []

    def stop_clock() -> dict[str, float]:
        times.append(time.perf_counter())
        return {}

    settings = TrainSettings(max_steps=STEPS, batch_size=BATCH["batch_size"], eval_every=1, save_every=None)
    DistillationTrainer(
        init_student(teacher), teacher, clocked,
        settings=settings, weights={"soft": 5.0, "hard": 2.0, "cosine": 1.0},
        evaluate=stop_clock, quiet=True,
    ).train()  # fmt: skip
    step, one = np.median(np.diff(times)), np.median(spent)
    tokens = int(np.mean(data.lengths) * BATCH["batch_size"])
    print(
        f"batches and masks: {1e3 * one:.2f} ms of a step of {1e3 * step:.0f} ms, {tokens} tokens: "
        f"{one / step:.2%}"
    )


def memory(source: Path, sizes: list[int], place: Path) -> None:
    """Peak memory of a process that encodes text of each size and takes some batches of it."""
    for size in sizes:
        text = place / f"{size}.txt"
        write_text(source, text, size * 10**6)
        command = [sys.executable, __file__, str(text), "--child", str(place / f"corpus-{size}")]
        print(f"{size:5d} MB of text: {subprocess.check_output(command, text=True).strip()}", flush=True)


def child(text: Path, place: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(fetch_minilm())
    corpus = encode_corpus(tokenizer, text, place, quiet=True)
    data = MaskedDataset.create(chunk(corpus, tokenizer).train, tokenizer, Masking())
    rng = np.random.default_rng(0)
    for _ in range(100):
        data.batch(rng.integers(0, len(data), 32))
    peak = peak_memory()
    size = "unknown" if peak is None else f"{peak / 1e6:.0f} MB"
    print(f"{corpus.num_tokens:,} tokens, {len(data):,} sequences, peak memory {size}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--memory", type=int, nargs="+", metavar="MB")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    keep_freed_memory()
    if args.child:
        child(args.text, args.child)
        return
    with tempfile.TemporaryDirectory() as place:
        if args.memory:
            memory(args.text, args.memory, Path(place))
        else:
            encoding(args.text, Path(place))
            batches(args.text, Path(place))


if __name__ == "__main__":
    main()
