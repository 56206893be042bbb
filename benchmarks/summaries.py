"""Extractive summaries: the first sentences, an encoder's choice, a trained model's, and the best there are.

    python benchmarks/summaries.py dialogsum.dev.jsonl --encoder ENCODER --out runs/summaries

prints a table of ROUGE (F1, in percent) over all documents of a file. What is trained is cross-validated:
each of five models learns from four fifths of the documents and is measured on the rest. Beside ROUGE-1 is
how far it is from that of the first sentences of the same documents, with the standard error of that mean.
Stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.files import atomic_write
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.metrics import rouge_scores
from minidistil.settings import load_recipe
from minidistil.tasks.summarization.documents import Documents
from minidistil.tasks.summarization.oracle import words
from minidistil.tasks.summarization.summary import Method, SummarySettings
from minidistil.tasks.summarization.task import SummarizationTask

TRAINING = ("train.epochs=2", "train.lr=1e-4", "train.batch_size=16")
MEASURES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def part(documents: Documents, rows: Sequence[int]) -> Documents:
    """Some of the documents."""
    return Documents(
        [documents.texts[i] for i in rows],
        [documents.summaries[i] for i in rows],
        [documents.lines[i] for i in rows],
        documents.path,
    )


def write(documents: Documents, path: Path) -> Path:
    """Documents as JSONL."""
    rows = zip(documents.texts, documents.summaries, strict=True)
    with atomic_write(path) as temporary:
        lines = (json.dumps({"document": text, "summaries": summaries}) + "\n" for text, summaries in rows)
        temporary.write_text("".join(lines), encoding="utf-8")
    return path


def folds(documents: Documents, k: int, encoder: str, out: Path, unit: str) -> list[tuple[list[int], Path]]:
    """Rows that are held out, and the model that has not seen them; every k-th row is in the same fold."""
    found = []
    for fold in range(k):
        held_out = list(range(fold, len(documents), k))
        rest = [i for i in range(len(documents)) if i % k != fold]
        place = out / f"{unit}-{fold}"
        place.mkdir(parents=True, exist_ok=True)
        run = FineTuning(
            encoder,
            "summarization",
            write(part(documents, rest), place / "train.jsonl"),
            load_recipe(FineTuningRecipe, changes=[*TRAINING, f"task.unit={unit}"]),
            place / "model",
        )
        run.run()
        found.append((held_out, run.out))
    return found


def table(scores: dict[str, list[dict[str, float]]]) -> str:
    """Means over documents, in percent."""
    lines = ["| | ROUGE-1 | beside lead | ROUGE-2 | ROUGE-L | ROUGE-Lsum |", "| --- " * 6 + "|"]
    for name, each in scores.items():
        means = [f"{100 * np.mean([x[measure] for x in each]):.1f}" for measure in MEASURES]
        apart = 100 * np.array([x["rouge1"] - y["rouge1"] for x, y in zip(each, scores["lead"], strict=True)])
        error = apart.std(ddof=1) / len(apart) ** 0.5
        means.insert(1, "" if name == "lead" else f"{apart.mean():+.1f} ± {error:.1f}")
        lines.append(f"| {name} | {' | '.join(means)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="documents with summaries, as `minidistil evaluate` takes them")
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=3)
    parser.add_argument("--unit", choices=("sentence", "line"), default="sentence")
    args = parser.parse_args()

    settings = SummarySettings(sentences=args.sentences, unit=args.unit)
    task = SummarizationTask(settings=settings)
    documents = task.read(args.file)
    encoder = SentenceEncoder.from_pretrained(args.encoder)

    def by(method: Method) -> Callable[[], list[str]]:
        chosen = SummarizationTask(settings=replace(settings, method=method))
        return lambda: [summary.text for summary in chosen.predict(encoder, documents.texts)]

    def trained() -> list[str]:
        found = [""] * len(documents)
        for rows, model in folds(documents, args.folds, args.encoder, args.out, args.unit):
            texts = part(documents, rows).texts
            summaries = task.predict(SentenceEncoder.from_pretrained(model), texts)
            for i, summary in zip(rows, summaries, strict=True):
                found[i] = summary.text
        return found

    ways: dict[str, Callable[[], list[str]]] = {
        "lead": by("lead"),
        "centroid": by("centroid"),
        "mmr": by("mmr"),
        "trained": trained,
        "oracle": lambda: task.oracle_summaries(documents),
    }
    scores = {
        name: [rouge_scores(r, s, words) for r, s in zip(documents.summaries, way(), strict=True)]
        for name, way in ways.items()
    }
    print(f"{len(documents)} documents, {args.sentences} of unit {args.unit}\n\n{table(scores)}")


if __name__ == "__main__":
    main()
