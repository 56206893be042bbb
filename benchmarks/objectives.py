"""Objectives of task distillation compared, for docs/results.md: the same teacher, text and number of steps.

    python benchmarks/objectives.py                    every objective, seeds 0 1 2: about two hours
    python benchmarks/objectives.py soft --seeds 0     one objective, one seed
    python benchmarks/objectives.py --speed            how fast teacher and students answer, in turns

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
from minidistil.jobs.demo.demo import ReviewDistillation, ReviewSettings
from minidistil.memory import keep_freed_memory
from minidistil.model import load_model
from minidistil.tasks.classification.scores import accuracy
from minidistil.tasks.inference import predict_logits
from minidistil.train.settings import TrainSettings

THREE, TWO = "0,2,4", "0,4"
SOFT = {"soft": 1.0}
# Weights bring each further term to the size of the soft labels' at the start, within a factor of a few.
OBJECTIVES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "soft": (THREE, SOFT),
    "logits": (THREE, {"logits": 1.0}),
    "soft + cosine": (THREE, {**SOFT, "cosine": 1.0}),
    "soft + hidden": (THREE, {**SOFT, "hidden": {"weight": 1.0, "layers": "uniform"}}),
    "soft + PKD": (THREE, {**SOFT, "pkd": {"weight": 1.0, "layers": "uniform"}}),
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
    ours = accuracy(student, held_out)
    result |= {"accuracy": ours, "retained": ours / result["teacher"], "seconds": trained.seconds}
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


def speeds(out: Path, rounds: int = 7) -> str:
    """Sentences a second of the teacher and of students of its layers, measured in turns, as Markdown."""
    job = ReviewDistillation(out / "few-labels-0", ReviewSettings(seed=0))
    teacher, (_, _, held_out) = load_model(job.out / "teacher"), job.data
    models = {"teacher, 6 layers": teacher}
    models |= {f"student, {n} layers": init_student(teacher, layers) for n, layers in ((3, THREE), (2, TWO))}
    took: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            began = time.perf_counter()
            predict_logits(model, held_out)
            if turn:  # the first warms up
                took[name].append(time.perf_counter() - began)
    first = next(iter(took.values()))
    lines = ["| | parameters | sentences/s | beside the teacher |", "| --- | --- | --- | --- |"]
    for name, times in took.items():
        rate = f"{len(held_out) / statistics.median(times):.0f}"
        ratios = [a / b for a, b in zip(first, times, strict=True)]
        beside = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        size = f"{models[name].params.num_parameters / 1e6:.1f} M"
        lines.append(f"| {name} | {size} | {rate} | {'' if times is first else beside} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("objectives", nargs="*", choices=[*OBJECTIVES, []], help="default: all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--speed", action="store_true", help="measure how fast they answer, and stop")
    parser.add_argument("--out", type=Path, default=Path("runs/results"))
    args = parser.parse_args()
    keep_freed_memory()
    if args.speed:
        print(speeds(args.out))
        return
    results: dict[str, list[dict[str, float]]] = {}
    for name in args.objectives or OBJECTIVES:
        results[name] = [run(name, seed, args.out) for seed in args.seeds]
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
