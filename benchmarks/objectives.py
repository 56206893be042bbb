"""Objectives of task distillation compared, for docs/results.md: the same teacher, text and number of steps.

    python benchmarks/objectives.py                    every objective, seeds 0 1 2: about 90 minutes
    python benchmarks/objectives.py soft --seeds 0     one objective, one seed

The teacher is that of `minidistil demo`: MiniLM fine-tuned on 1,000 film-review sentences. Each student
learns from 9,068 sentences without labels, two epochs. Runs are kept in runs/results/ and not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidistil.distill import DistillationTrainer, init_student
from minidistil.files import write_json
from minidistil.memory import keep_freed_memory
from minidistil.model import load_model
from minidistil.runs.reviews import ReviewDistillation, ReviewSettings
from minidistil.tasks.classification import accuracy, predict_logits
from minidistil.train.settings import TrainSettings

THREE, TWO = "0,2,4", "0,4"
SOFT = {"soft": 1.0}
# Weights bring each further term to the size of the soft labels' at the start, within a factor of a few.
OBJECTIVES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "soft": (THREE, SOFT),
    "logits": (THREE, {"logits": 1.0}),
    "soft + cosine": (THREE, {**SOFT, "cosine": 1.0}),
    "soft + hidden": (THREE, {**SOFT, "hidden": {"weight": 1.0, "layers": "uniform"}}),
    "soft + patient": (THREE, {**SOFT, "patient": {"weight": 1.0, "layers": "uniform"}}),
    "soft + attention": (THREE, {**SOFT, "attention": {"weight": 1.0, "kind": "probabilities"}}),
    "soft + relations": (THREE, {**SOFT, "relations": 1.0}),
    "soft + embedding": (THREE, {**SOFT, "embedding": 1.0}),
    "soft, 2 layers": (TWO, SOFT),
    "soft + relations, 2 layers": (TWO, {**SOFT, "relations": 1.0}),
}


def run(name: str, seed: int, out: Path) -> dict[str, float]:
    """Accuracy of one student, what it retains of its teacher's, its time to train and its speed."""
    here = out / "objectives" / f"{name.replace(' ', '').replace('+', '-').replace(',', '-')}-{seed}"
    if (here / "result.json").exists():
        result: dict[str, float] = json.loads((here / "result.json").read_text(encoding="utf-8"))
        return result
    settings = ReviewSettings(seed=seed)
    job = ReviewDistillation(out / f"few-labels-{seed}", settings)
    if not (job.out / "teacher" / "config.json").exists():
        job.run()
    teacher = load_model(job.out / "teacher")
    layers, weights = OBJECTIVES[name]
    student = init_student(teacher, layers, seed=seed)
    _, texts, held_out = job.data
    train = TrainSettings(
        epochs=settings.student_epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        seed=seed,
        save_every=100,
    )
    result = {"teacher": accuracy(teacher, held_out)}
    trained = DistillationTrainer(
        student,
        teacher,
        texts,
        settings=train,
        weights=weights,
        out=here / "work",
        keep="nothing",
        label=name,
    ).train()
    began = time.perf_counter()
    predict_logits(student, held_out)
    speed = len(held_out) / (time.perf_counter() - began)
    ours = accuracy(student, held_out)
    result |= {
        "accuracy": ours,
        "retained": ours / result["teacher"],
        "seconds": trained.seconds,
        "sentences_per_second": speed,
    }
    write_json(here / "result.json", result)
    return result


def table(results: Mapping[str, list[dict[str, float]]]) -> str:
    """Means with the lowest and the highest of the seeds, as Markdown."""
    lines = ["| objective | accuracy | retained | training (s) |", "| --- | --- | --- | --- |"]
    for name, rows in results.items():
        cells = [
            _cell([100 * row[column] for row in rows], "{:.1f} %") for column in ("accuracy", "retained")
        ]
        cells.append(f"{statistics.mean(row['seconds'] for row in rows):.0f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float], form: str) -> str:
    mean = form.format(statistics.mean(values))
    return f"{mean} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("objectives", nargs="*", choices=[*OBJECTIVES, []], help="default: all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/results"))
    args = parser.parse_args()
    keep_freed_memory()
    results: dict[str, list[dict[str, float]]] = {}
    for name in args.objectives or OBJECTIVES:
        results[name] = [run(name, seed, args.out) for seed in args.seeds]
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
