"""Time that a cache of the teacher's outputs saves: steps with the teacher running, and from a cache.

    python benchmarks/teacher_cache.py

A student of three layers from all-MiniLM-L6-v2's six; film-review sentences, batches of 32. Two objectives:
soft labels and hidden states of a classifier, and the triple loss of a masked LM, over fixed masks. Steps
are taken in turns, so that all meet the same machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.distill import Distillation, TeacherCache, init_student
from minidistil.jobs.demo.corpora import movie_split
from minidistil.memory import keep_freed_memory
from minidistil.model import BertForMaskedLM, BertForSequenceClassification
from minidistil.model.model import Model
from minidistil.text.corpus.chunks import chunk
from minidistil.text.corpus.writer import encode_corpus
from minidistil.text.dataset import Dataset
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.assets import fetch_minilm

SENTENCES, BATCH = 2000, 32
KEPT: dict[str, dict[str, Any]] = {
    "live": {},
    "kept": {"dtype": None},
    "kept, float16": {"dtype": "float16"},
    "50 words, float16": {"dtype": "float16", "top_k": 50},
}


def measure(title: str, teacher: Model, data: Any, weights: dict[str, Any], rounds: int, place: Path) -> None:
    """Print a table of one objective."""
    student = init_student(teacher)
    words = "soft" in weights and isinstance(teacher, BertForMaskedLM)
    variants = {name: options for name, options in KEPT.items() if words or "top_k" not in options}
    objectives, facts = {}, {}
    for name, options in variants.items():
        objective = Distillation(student, weights, teacher=teacher)
        if options:
            top = options.get("top_k")
            outputs = [f"top_k.{top}" if top and o == "features" else o for o in objective.teacher_outputs()]
            began = time.perf_counter()
            objective.teacher_cache = cache = TeacherCache(
                teacher, data, place / name, outputs, dtype=options["dtype"], quiet=True
            )
            facts[name] = time.perf_counter() - began, cache.nbytes
        objectives[name] = objective
    grads = student.params.like()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for i in range(rounds + 1):
        batch = data.batch(np.arange(i * BATCH, (i + 1) * BATCH))
        for name, objective in objectives.items():
            began = time.perf_counter()
            objective(student, batch, objective.counts(batch), None, grads)
            if i:
                seconds[name].append(time.perf_counter() - began)
    print(f"\n{title}: {len(data)} sentences, {int(np.sum(data.lengths)):,} tokens\n")
    print("| teacher | ms a step | of live | asking once | on disk |\n| --- | --- | --- | --- | --- |")
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds["live"], strict=True))
        once, size = (
            (f"{facts[name][0]:.0f} s", f"{facts[name][1] / 1e6:.0f} MB") if name in facts else ("", "")
        )
        print(f"| {name} | {1e3 * statistics.median(times):.0f} | {ratio:.0%} | {once} | {size} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    keep_freed_memory()
    path = fetch_minilm()
    tokenizer = Tokenizer.from_pretrained(path)
    texts = movie_split().train_texts[:SENTENCES]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        classifier = BertForSequenceClassification.from_pretrained(path)
        data = Dataset.from_texts(tokenizer, texts, max_length=64)
        terms = {"soft": 1.0, "hidden": {"weight": 1.0, "layers": "uniform"}}
        measure(
            "Soft labels and hidden states of a classifier", classifier, data, terms, args.rounds, place / "a"
        )
        (place / "text.txt").write_text("\n".join(" ".join(t.split()) for t in texts), encoding="utf-8")
        corpus = encode_corpus(tokenizer, place / "text.txt", place / "corpus", quiet=True)
        masked = MaskedDataset.create(chunk(corpus, tokenizer).train, tokenizer, Masking(fixed=True))
        triple = {"soft": 5.0, "hard": 2.0, "cosine": 1.0}
        measure(
            "The triple loss of a masked LM", BertForMaskedLM.from_pretrained(path), masked, triple,
            args.rounds, place / "b",
        )  # fmt: skip


if __name__ == "__main__":
    main()
