"""The tables of docs/results.md: settings of the demo over several seeds, mean and spread.

    python benchmarks/demo.py                        every setting, seeds 0 1 2: about 90 minutes
    python benchmarks/demo.py few-labels --seeds 0   one setting, one seed

Runs are kept in runs/results/ and not repeated; stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

from minidistil.jobs.demo.demo import ReviewDistillation, ReviewSettings
from minidistil.memory import keep_freed_memory

FEW = ReviewSettings()
SETTINGS = {
    "few-labels": FEW,
    "alone-from-teacher": replace(FEW, alone_from="teacher"),
    "other-texts": replace(FEW, other_texts=True),
    "all-labels": replace(
        FEW, labels=None, teacher_epochs=3, alone_epochs=3, student_epochs=3, soft=0.5, hard=0.5
    ),
}
# Stages that a setting has in common with another one, and need not be done twice.
SHARED = {
    "alone-from-teacher": ("few-labels", ("teacher", "student")),
    "other-texts": ("few-labels", ("teacher", "alone")),
}
COLUMNS = ("teacher", "alone", "student")


def run(name: str, seed: int, out: Path) -> dict[str, float]:
    """Accuracy of each model of one setting and seed, and the share the student retains."""
    here = out / f"{name}-{seed}"
    if name in SHARED:
        other, stages = SHARED[name]
        run(other, seed, out)
        for stage in stages:
            if not (here / stage).exists():
                partial = here / f".{stage}"
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(out / f"{other}-{seed}" / stage, partial)
                partial.rename(here / stage)
    report = ReviewDistillation(here, replace(SETTINGS[name], seed=seed)).run()
    rows = {stage: row["accuracy"] for stage, row in report["models"].items()}
    return {**rows, "retained": report["models"]["student"]["retained"]}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Mean and spread (lowest to highest) of each column, as Markdown."""
    lines = [
        "| setting | teacher | student alone | student, taught | retained |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, rows in results.items():
        cells = []
        for column in (*COLUMNS, "retained"):
            values = [100 * row[column] for row in rows]
            cells.append(f"{statistics.mean(values):.1f} % ({min(values):.1f} to {max(values):.1f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", choices=[*SETTINGS, []], help="default: all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/results"))
    args = parser.parse_args()
    keep_freed_memory()
    results: dict[str, list[dict[str, float]]] = {}
    for name in args.settings or SETTINGS:
        results[name] = [run(name, seed, args.out) for seed in args.seeds]
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
