"""Learning curves of DistilBERT's triple loss: after how many steps masked words and cosine begin to pay.

    python -m benchmarks.learning_curves --text WikiText-2/valid.txt --data DATA --steps 12800 --seeds 0
    python -m benchmarks.learning_curves ... --steps 25600      goes on from 12,800 steps
    python -m benchmarks.learning_curves ... --show             the tables of what there is

A student with half of the layers of MiniLM, made a masked LM again on the text, learns from soft labels
alone, with masked words, with the cosine, with both, and from masked words without a teacher. It is measured
after 100, 200, 400, ... steps: the loss on the masked words of held-out text, and the accuracy of a linear
probe of its vectors on tasks that it has not learnt. DATA is the folder of `python -m benchmarks.retention`.

Each point is the end of a run with a learning rate that falls to 0, as if it had been planned for so many
steps. All points share one run with a constant rate, and the last fifth of the steps is done again with a
falling one (Hägele et al. 2024, arXiv:2405.18392, section 4). So a point of N steps costs 1.2 N together with
all before it, and a later call with more steps goes on from the last point.

Time on two cores that do nothing else: a step takes 0.25 s (300 tokens), the measurements of a point 10 s.
The five objectives take 1.3 hours a seed to 3,200 steps, 5.3 hours to 12,800, 11 hours to 25,600; the teacher
a quarter of an hour. Every objective and seed keeps 200 MB in OUT to go on from. Stopped anywhere, the same
command goes on; one process at a time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.general_text import STUDENT, GeneralText
from benchmarks.probe import Probe
from benchmarks.retention import examples
from benchmarks.trials import Result, Trials, exit_code, key, markdown, paired, run_each, spread
from minidistil.errors import MinidistilError
from minidistil.files import only_writer
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.memory import keep_freed_memory
from minidistil.model.model import Model
from minidistil.settings import load_recipe, to_dict
from minidistil.tasks.masked_lm.task import evaluate_masked_lm
from minidistil.train.checkpoint import Checkpoint, load_latest, save_checkpoint
from minidistil.train.hooks import Step, StopTraining
from minidistil.train.state import TrainState
from minidistil.train.trainer import Trainer

FIRST, WARMUP, FALLING = 100, 50, 5  # first point; steps of warm-up; a fifth of the steps with a falling rate
ENDLESS = 10**9  # steps of a run with a constant rate: it is stopped at the points
SOFT, HARD, COSINE = "objective.terms.soft=0", "objective.terms.hard=0", "objective.terms.cosine=0"
BASE = "soft"
OBJECTIVES = {
    BASE: [HARD, COSINE],
    "soft + masked words": [COSINE],
    "soft + cosine": [HARD],
    "all three": [],
    "masked words, no teacher": [SOFT, COSINE],
}
TEACHER, BEGIN = "teacher", "student at first"
PROBES: dict[str, examples.Examples] = {"sentences": examples.sentences, "intents": examples.intents}
METRICS = {"masked_lm": "Loss on masked words of held-out text, nats", "accuracy": "Right masked words, %"}


class Point(NamedTuple):
    """A point of a curve; of the teacher and of the student at first after 0 steps."""

    objective: str
    seed: int
    steps: int

    def __str__(self) -> str:
        return f"{self.steps} steps, seed {self.seed}, {self.objective}"

    @property
    def branch(self) -> int:
        """Step from which the learning rate falls."""
        return self.steps - self.steps // FALLING


def points(steps: int) -> list[int]:
    """Steps at which is measured: 100, 200, 400, ..., to `steps` at most."""
    found: list[int] = []
    while (point := FIRST << len(found)) <= steps:
        found.append(point)
    return found


def plan(steps: int, objectives: Sequence[str], seeds: Sequence[int]) -> Iterator[Point]:
    """All points, the early ones first, so that curves that are not finished can be compared."""
    yield from (Point(name, seed, 0) for seed in seeds for name in (TEACHER, BEGIN))
    for point in points(steps):
        yield from (Point(name, seed, point) for seed in seeds for name in objectives)


@dataclass(frozen=True)
class Curves:
    """Curves in a directory.

        results/HASH.json    a point, by the hash of all that shapes it
        constant/HASH/       the run with a constant rate: checkpoints
        falling/             the last steps of the point under way
        corpus/              the text, encoded

    Parameters
    ----------
    text : GeneralText
    out : Path
    changes : sequence of str
        Of the recipe, for all objectives.
    probes : mapping of str to Probe
    """

    text: GeneralText
    out: Path
    changes: Sequence[str]
    probes: Mapping[str, Probe]

    @cached_property
    def trials(self) -> Trials:
        return Trials(self.out / "results")

    @cached_property
    def _identity(self) -> dict[str, Any]:
        probes = {name: key({"rows": [p.learnt, p.measured]}) for name, p in self.probes.items()}
        return {**self.text.identity(), "probes": probes}

    def recipe(self, point: Point) -> DistillationRecipe:
        """The recipe of a point, with the learning rate that falls from step `point.branch` on."""
        changes = [*STUDENT, *self.changes, *OBJECTIVES.get(point.objective, [])]
        recipe = load_recipe(DistillationRecipe, "small", changes=changes)
        train = replace(
            recipe.train, max_steps=max(point.steps, 1), seed=point.seed, warmup=point.branch,
            schedule="linear", eval_every=None, save_every=500, keep=1,
        )  # fmt: skip
        return replace(recipe, train=train)

    def settings(self, point: Point) -> dict[str, Any]:
        """All that shapes the numbers of a point."""
        about: dict[str, Any] = {"steps": point.steps, "warmup": WARMUP, **self._identity}
        if not point.steps:
            about["model"] = point.objective
        return {**about, "recipe": to_dict(self.recipe(point))}

    def find(self, point: Point) -> Result | None:
        """Numbers of a point, if it was measured."""
        return self.trials.find(self.settings(point))

    def run(self, point: Point) -> Result:
        """Numbers of a point, measured now if they are not there."""
        found = self.trials.once(self.settings(point), lambda: self._measured(point))
        shutil.rmtree(self.out / "falling", ignore_errors=True)
        return found

    # One point

    def _measured(self, point: Point) -> dict[str, float]:
        job = self.text.distillation(self.recipe(point), self.out)
        if point.objective == TEACHER:
            return self._measure(job, job.teacher)
        student = job.first_model()
        if point.steps:
            self._train(job, student, point)
        return self._measure(job, student)

    def _measure(self, job: GeneralDistillation, model: Model) -> dict[str, float]:
        held_out, tokenizer = job.text.held_out, job.text.tokenizer
        assert held_out is not None
        found = evaluate_masked_lm(model, held_out)
        return {**found, **{name: probe.accuracy(model, tokenizer) for name, probe in self.probes.items()}}

    def _train(self, job: GeneralDistillation, student: Model, point: Point) -> None:
        """Train the student to the point: the steps with a falling rate begin at a checkpoint before."""
        place = self.out / "falling"
        trainer = job.trainer(student, out=place, quiet=True)
        if not _is_of(place, trainer):
            begin = self._constant(point)
            state = TrainState.from_dict(begin.state, begin.path)
            save_checkpoint(
                place, state.position, model=begin.model, optimizer=begin.optimizer, state=begin.state,
                fingerprint=trainer.fingerprint, keep=1,
            )  # fmt: skip
        trainer.train()

    def _constant(self, point: Point) -> Checkpoint:
        """Checkpoint of the run with a constant rate at the step where a point leaves it."""
        recipe = self.recipe(point)
        train = replace(recipe.train, schedule="constant", warmup=WARMUP, max_steps=ENDLESS)
        recipe = replace(recipe, train=train)
        job = self.text.distillation(recipe, self.out)
        place = self.out / "constant" / key({**self._identity, "recipe": to_dict(recipe)})
        wanted = point.branch

        def stop(step: Step) -> None:
            if step.step == wanted:
                raise StopTraining("a point is measured")

        trainer = job.trainer(job.first_model(), out=place, quiet=True, on_step=stop)
        done = _steps_done(place, trainer)
        if done > wanted:  # the point was removed from the results
            shutil.rmtree(place)
        if done != wanted:
            trainer.train()
        found = load_latest(place, trainer.fingerprint)
        assert found is not None
        return found


def _is_of(place: Path, trainer: Trainer) -> bool:
    """True if there is a checkpoint, and of this very run."""
    try:
        return load_latest(place, trainer.fingerprint) is not None
    except MinidistilError:  # of another point, which an earlier command left
        return False


def _steps_done(place: Path, trainer: Trainer) -> int:
    found = load_latest(place, trainer.fingerprint)
    return 0 if found is None else TrainState.from_dict(found.state, found.path).step


# Tables


def tables(curves: Curves, steps: int, objectives: Sequence[str], seeds: Sequence[int]) -> str:
    """For each metric the curves, and differences to soft labels alone of the same seed, as Markdown."""
    found = {point: curves.find(point) for point in plan(steps, objectives, seeds)}
    titles = {**METRICS, **{name: f"Linear probe of {name}, %" for name in curves.probes}}
    header, parts = ["after steps", *map(str, points(steps))], []

    def values(metric: str, objective: str, point: int) -> dict[int, float]:
        results = {seed: found.get(Point(objective, seed, point)) for seed in seeds}
        factor = 1 if metric == "masked_lm" else 100
        return {seed: factor * result[metric] for seed, result in results.items() if result is not None}

    for metric, title in titles.items():
        form = ".3f" if metric == "masked_lm" else ".1f"
        ends = [f"{name} {spread(values(metric, name, 0).values(), form)}" for name in (TEACHER, BEGIN)]
        shown, beside = [], []
        for name in objectives:
            each = {point: values(metric, name, point) for point in points(steps)}
            shown.append([name, *(spread(column.values(), form) for column in each.values())])
            base = {point: values(metric, BASE, point) for point in points(steps)}
            cells = (_difference(each[point], base[point], form, len(seeds)) for point in each)
            beside.append([name, *cells])
        parts += [f"{title}; {', '.join(ends)}", markdown(header, shown)]
        beside = [row for row in beside if row[0] != BASE]
        if beside and BASE in objectives:
            parts += [f"The same, less that of {BASE} alone", markdown(header, beside)]
    return "\n\n".join(parts)


def _difference(ours: Mapping[int, float], theirs: Mapping[int, float], form: str, seeds: int) -> str:
    found = paired(ours, theirs)
    some = f", {found.pairs} of {seeds}" if 0 < found.pairs < seeds else ""
    return f"{found.cell('+' + form)}{some}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="more text, or SQuAD's JSON")
    parser.add_argument("--data", type=Path, help="folder with SST-2 and CLINC150, for the probes; else none")
    parser.add_argument("--teacher", type=Path, help="a masked LM; default: made of MiniLM")
    parser.add_argument("--steps", type=int, default=3200, help="last point at most; default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe")
    parser.add_argument("--out", type=Path, default=Path("runs/results/curves"))
    parser.add_argument("--show", action="store_true", help="print the tables of what there is, and stop")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    return exit_code(lambda: _show(args) if args.show else _run(args))


def _show(args: argparse.Namespace) -> None:
    if args.teacher is None and not (args.out / "teacher" / "model").exists():
        print("nothing is there yet")
    else:
        print(tables(_curves(args), args.steps, args.objectives, args.seeds))


def _run(args: argparse.Namespace) -> None:
    with only_writer(args.out):
        curves = _curves(args)

        def run(point: Point) -> str:
            numbers = ", ".join(f"{name} {value:.4f}" for name, value in curves.run(point).items())
            return f"{point}: {numbers}"

        left = [point for point in plan(args.steps, args.objectives, args.seeds) if not curves.find(point)]
        try:
            run_each(left, run)
        finally:
            print(tables(curves, args.steps, args.objectives, args.seeds))


def _curves(args: argparse.Namespace) -> Curves:
    text = GeneralText.make(args.text, args.teacher, args.out)
    given = {} if args.data is None else {name: rows(args.data) for name, rows in PROBES.items()}
    probes = {name: Probe(split.learnt, split.measured) for name, split in given.items()}
    return Curves(text, args.out, args.set, probes)


if __name__ == "__main__":
    sys.exit(main())
