"""The ablation of docs/results.md: DistilBERT's triple loss, and what each part of the recipe is worth.

    python -m benchmarks.ablation --text WIKITEXT           teacher, variants, seeds 0 1 2: about 90 minutes
    python -m benchmarks.ablation --text ... --seeds 0      one seed

The teacher is all-MiniLM-L6-v2, made a masked LM again on the text; the student has half of its layers. The
text is 22,000 sentences of reviews, editorials and tweets, and what `--text` names (here: WikiText-2). Runs
are kept in runs/results/ablation/ and not repeated; stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.general_text import masked_lm_teacher, sentences
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.memory import keep_freed_memory
from minidistil.settings import load_recipe

# In so little text most words are rare, so that smoothing would ask for hardly anything else.
STUDENT = ["data.held_out=0.03", "masking.smoothing=0", "train.max_steps=400"]
VARIANTS: dict[str, list[str]] = {
    "triple loss": [],
    "without soft labels": ["objective.terms.soft=0"],
    "without masked words": ["objective.terms.hard=0"],
    "without cosine": ["objective.terms.cosine=0"],
    "from random weights": ["student.layers=random:3"],
    "without teacher": ["objective.terms.soft=0", "objective.terms.cosine=0"],
}


def run(name: str, seed: int, texts: list[Path], out: Path) -> dict[str, dict[str, float]]:
    """Loss, perplexity and accuracy of the teacher and of one student on held-out text."""
    changes = [*STUDENT, *VARIANTS[name], f"train.seed={seed}"]
    recipe = load_recipe(DistillationRecipe, "small", changes=changes)
    here = out / f"{name.replace(' ', '-')}-{seed}"
    report = GeneralDistillation(str(masked_lm_teacher(texts, out)), texts, recipe, here).run()
    models: dict[str, dict[str, float]] = report["models"]
    return models


def table(results: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """Means with the lowest and the highest of the seeds; what is lost beside the triple loss, by seed."""
    lines = ["| | loss (nats) | lost | perplexity | accuracy |", "| --- | --- | --- | --- | --- |"]

    def row(name: str, models: list[dict[str, float]], lost: list[float] | None) -> None:
        cells = [_cell([m["masked_lm"] for m in models], "{:.3f}")]
        cells.append("" if lost is None else _cell(lost, "{:+.3f}"))
        cells.append(_cell([m["perplexity"] for m in models], "{:.1f}"))
        cells.append(_cell([100 * m["accuracy"] for m in models], "{:.1f}") + " %")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")

    first = next(iter(results.values()))
    row("teacher", [models["teacher"] for models in first], None)
    for name, runs in results.items():
        pairs = zip(runs, first, strict=True)
        lost = [a["student"]["masked_lm"] - b["student"]["masked_lm"] for a, b in pairs]
        row(name, [models["student"] for models in runs], None if runs is first else lost)
    return "\n".join(lines)


def _cell(values: list[float], form: str) -> str:
    mean, low, high = (form.format(v) for v in (statistics.mean(values), min(values), max(values)))
    return f"{mean} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="more text, a document a line")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/results/ablation"))
    args = parser.parse_args()
    keep_freed_memory()
    texts = [sentences(args.out), *args.text]
    results: dict[str, list[dict[str, dict[str, float]]]] = {}
    for seed in args.seeds:
        for name in VARIANTS:
            results.setdefault(name, []).append(run(name, seed, texts, args.out))
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
