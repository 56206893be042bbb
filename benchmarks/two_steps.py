"""DistilBERT's two steps: general distillation before task distillation, against task distillation alone.

    python -m benchmarks.two_steps --text WikiText-2/valid.txt --data DATA --seeds 0
    python -m benchmarks.two_steps ... --steps 6400 --tasks intents --starts random
    python -m benchmarks.two_steps ... --show           the tables of what there is

A student of three layers learns a task from MiniLM fine-tuned on it. Before that it learns over text from
MiniLM, made a masked LM again, for 0, 25, 50 or 75 % of the total cost: that of --steps steps over text,
counted in multiplications (`benchmarks.costs`). The rest goes to the task. `plain` has the task's usual
number of epochs, and no more.

Over text the student has the triple loss, and begins with every other layer of the masked LM (`layers`), with
half of their width and without the cosine (`narrow`), or with random weights (`random`). Beside them, without
steps over text, it begins with every other layer of MiniLM (`minilm`) or of the task's teacher (`teacher`).

DATA is the folder of `python -m benchmarks.retention`, whose examples and recipes these are.

Time on two cores that do nothing else: a step over text takes 0.25 s, and the task's part of a total as long
as the steps over text that it is worth. With 1,600 steps, three tasks take 4 hours a seed, of which half an
hour is over text, for all tasks together. The masked LM takes a quarter of an hour, once. Every start, share
and seed keeps a model of 70 MB in OUT. Stopped anywhere, the same command goes on; one process at a time.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.costs import Costs
from benchmarks.general_text import STUDENT, GeneralText
from benchmarks.retention.arms import tokens_of_step
from benchmarks.retention.cells import TEACHING_VERSION, VERSION
from benchmarks.retention.files import Files
from benchmarks.retention.finetuned import FineTuned, is_kept
from benchmarks.retention.settings import SETTINGS, files_of
from benchmarks.trials import Result, Trials, errors_alone, exit_code, key, markdown, paired, run_each, spread
from minidistil.distill.student import choose_layers
from minidistil.errors import UsageError
from minidistil.files import only_writer, sha256_file
from minidistil.jobs.distill import DistillationRecipe
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.sources import content
from minidistil.memory import keep_freed_memory
from minidistil.model.families import load_config
from minidistil.settings import load_recipe, to_dict
from minidistil.weights.hub import resolve

STARTS = {
    "layers": ["student.layers=alternate"],
    # Hidden states of another width have no cosine.
    "narrow": ["student.layers=alternate", "student.width=192", "objective.terms.cosine=0"],
    "random": ["student.layers=random:3"],
}
MINILM, TEACHER = "minilm", "teacher"
OTHER_STARTS = (MINILM, TEACHER)  # from which only the task is learnt
PLAIN, ALONE = "plain", "0 %"
SHARES = {ALONE: 0, "25 %": 25, "50 %": 50, "75 %": 75}  # of the total cost, over text
TASKS = ("sentences", "intents", "entities")
QUIETLY = ("train.eval_every=none", "train.save_every=500", "train.keep=1")
TEXT = [*STUDENT, "train.eval_every=none", "train.save_every=500", "train.keep=1", "data.measured=200"]


def kind(task: str) -> str:
    """The kind of a task of the grid, as `--task` of `minidistil finetune` takes it."""
    by = SETTINGS[task].by
    assert isinstance(by, FineTuned)
    return by.task


class Arm(NamedTuple):
    """A student of one task: where it begins, and the share of the cost over text, or `PLAIN`."""

    task: str
    start: str
    share: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task}, seed {self.seed}, {self.start}, {self.share}"


def plan(tasks: Sequence[str], starts: Sequence[str], seeds: Sequence[int]) -> Iterator[Arm]:
    """All arms, seed by seed."""
    for seed in seeds:
        for start in starts:
            shares = [PLAIN, ALONE] if start in OTHER_STARTS else [PLAIN, *SHARES]
            yield from (Arm(task, start, share, seed) for task in tasks for share in shares)


@dataclass(frozen=True)
class TwoSteps:
    """Arms in a directory.

        results/HASH.json    numbers of an arm, by the hash of all that shapes them
        general/HASH/        students after their steps over text
        teachers/HASH/       teachers of the tasks
        students/            the student under way

    Parameters
    ----------
    text : GeneralText
    out : Path
    files : mapping of str to Files
        Examples of the tasks.
    steps : int
        Steps over text whose cost is the total.
    changes, text_changes : sequence of str
        Of the recipes on the tasks and over text.
    encoder : str
        Model that the teachers of the tasks begin from.
    """

    text: GeneralText
    out: Path
    files: Mapping[str, Files]
    steps: int
    changes: Sequence[str] = ()
    text_changes: Sequence[str] = ()
    encoder: str = "minilm"

    @cached_property
    def trials(self) -> Trials:
        return Trials(self.out / "results")

    @cached_property
    def _hashes(self) -> dict[str, Any]:
        return {
            name: [sha256_file(path) for path in (files.train, files.evaluate)]
            for name, files in self.files.items()
        }

    @cached_property
    def _content(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Hashes of text and encoder."""
        return self.text.identity(), dict(content(self.encoder))

    # Identity

    def text_steps(self, arm: Arm) -> int:
        """Steps over text."""
        return round(self.steps * SHARES.get(arm.share, 0) / 100)

    def task_recipe(self, arm: Arm) -> FineTuningRecipe:
        """The recipe on the task, but for the number of steps."""
        changes = [*SETTINGS[arm.task].recipe, *QUIETLY, *self.changes, f"train.seed={arm.seed}"]
        layers = ["model.layers=alternate"] if arm.start in OTHER_STARTS else []
        return load_recipe(FineTuningRecipe, changes=[*changes, *layers])

    def text_recipe(self, start: str, steps: int, seed: int) -> DistillationRecipe:
        """The recipe over text. A student that is not trained has one of a single step."""
        changes = [*TEXT, *self.text_changes, *STARTS.get(start, []), f"train.max_steps={max(steps, 1)}"]
        return load_recipe(DistillationRecipe, "small", changes=[*changes, f"train.seed={seed}"])

    def settings(self, arm: Arm) -> dict[str, Any]:
        """All that shapes the numbers of an arm."""
        text, encoder = self._content
        steps = {} if arm.share == PLAIN else {"total": self.steps, "over text": self.text_steps(arm)}
        over_text = to_dict(self.text_recipe(arm.start, self.text_steps(arm), arm.seed))
        return {
            "versions": [VERSION, TEACHING_VERSION],
            "task": arm.task,
            "files": self._hashes[arm.task],
            "encoder": encoder,
            "start": arm.start,
            "recipe": to_dict(self.task_recipe(arm)),
            "text": {**text, "recipe": over_text},
            **steps,
        }

    def find(self, arm: Arm) -> Result | None:
        """Numbers of an arm, if it was run."""
        return self.trials.find(self.settings(arm))

    # Running

    def run(self, arm: Arm) -> Result:
        """Numbers of an arm, trained and measured now if they are not there."""
        found = self.trials.once(self.settings(arm), lambda: self._measured(arm))
        shutil.rmtree(self._place(arm), ignore_errors=True)
        return found

    def _place(self, arm: Arm) -> Path:
        return self.out / "students" / key(self.settings(arm))

    def _measured(self, arm: Arm) -> dict[str, Any]:
        text_steps, teacher = self.text_steps(arm), self.teacher(arm.task, arm.seed)
        begins = {MINILM: self.encoder, TEACHER: str(teacher)}.get(arm.start)
        if begins is None:
            begins = str(self.student(arm.start, text_steps, arm.seed))
        setting, files, recipe = SETTINGS[arm.task], self.files[arm.task], self.task_recipe(arm)

        def job(recipe: FineTuningRecipe) -> FineTuning:
            return FineTuning(
                begins, kind(arm.task), files.train, recipe, self._place(arm),
                evaluate=files.evaluate, teacher=str(teacher), quiet=True,
            )  # fmt: skip

        usual = job(recipe)
        costs, steps = self.costs(usual), usual.steps
        if arm.share != PLAIN:
            steps = costs.task_steps(self.steps * costs.text_step, text_steps)
            if not steps:
                raise UsageError(
                    f"{self.steps} steps over text cost less than what the teacher of {arm.task} reads: give "
                    "more --steps"
                )
        recipe = replace(recipe, train=replace(recipe.train, max_steps=steps))
        report = job(recipe).run_once()
        metric = setting.metric or report["primary"]
        return {
            **arm._asdict(),
            "metric": metric,
            "student": report["models"]["student"][metric],
            "teacher": report["models"]["teacher"][metric],
            "text steps": text_steps,
            "task steps": steps,
            "cost": costs.total(text_steps, steps),
            "cost of a text step": costs.text_step,
        }

    def costs(self, job: FineTuning) -> Costs:
        """Costs of a student and of its teachers."""
        teaching = job.teaching
        assert teaching is not None
        if teaching.first_terms:
            raise UsageError("the cost of two stages is not counted: take out teaching.first")
        lengths, student = job.dataset.lengths, load_config(resolve(job.source))
        if job.recipe.model.layers is not None:
            layers = choose_layers(job.recipe.model.layers, student.num_hidden_layers)
            student = student.replace(num_hidden_layers=len(layers))
        return Costs(
            student=student,
            text_teacher=load_config(self.text.teacher),
            task_teacher=teaching.teacher.config,
            text_tokens=self._text_tokens,
            task_tokens=tokens_of_step(lengths, job.recipe.train),
            read=int(lengths.sum()),
            kept=is_kept(teaching.settings.keep, teaching.terms),
        )

    @cached_property
    def _text_tokens(self) -> float:
        """Mean number of tokens of a step over text."""
        recipe = self.text_recipe("layers", 1, 0)
        job = self.text.distillation(recipe, self.out / "general" / "text")
        train = recipe.train
        return float(job.text.train.lengths.mean()) * train.batch_size * train.accumulation

    def teacher(self, task: str, seed: int) -> Path:
        """The teacher of a task, trained once."""
        setting, files = SETTINGS[task], self.files[task]
        changes = [*setting.recipe, *QUIETLY, f"train.seed={seed}"]
        recipe = load_recipe(FineTuningRecipe, changes=changes)
        about = {
            "version": VERSION,
            "encoder": self._content[1],
            "files": self._hashes[task],
            "recipe": to_dict(recipe),
        }
        out = self.out / "teachers" / key(about)
        FineTuning(
            self.encoder, kind(task), files.train, recipe, out, evaluate=files.evaluate, quiet=True
        ).run_once()
        return out

    def student(self, start: str, steps: int, seed: int) -> Path:
        """The student after its steps over text, trained once; after none, as training begins."""
        recipe = self.text_recipe(start, steps, seed)
        about = {**self._content[0], "recipe": to_dict(recipe), "steps": steps}
        job = self.text.distillation(recipe, self.out / "general" / key(about))
        model = job.job.result
        if steps:
            _ = job.finished() or job.run()
        elif not (model / "config.json").exists():
            job.first_model().save_pretrained(model, tokenizer=job.text.tokenizer)
        return model


# Tables

HEADER = ["begins with", "over text", "steps over text", "on the task", "student", "less 0 %", "retained, %"]


def tables(study: TwoSteps, tasks: Sequence[str], starts: Sequence[str], seeds: Sequence[int]) -> str:
    """A table of each task, from the arms that there are, as Markdown."""
    found = {arm: study.find(arm) for arm in plan(tasks, starts, seeds)}
    parts = []
    for task in tasks:
        results = {arm: result for arm, result in found.items() if arm.task == task and result is not None}
        teachers = {arm.seed: 100 * result["teacher"] for arm, result in results.items()}
        metric = next((result["metric"].replace("_", " ") for result in results.values()), "")
        rows = []
        for start, share in dict.fromkeys((arm.start, arm.share) for arm in results):
            here = {arm.seed: r for arm, r in results.items() if (arm.start, arm.share) == (start, share)}
            rows.append([start, share, *_cells(here, _values(results, start, ALONE), share)])
        parts.append(f"{task}: {metric} of the teacher {spread(teachers.values())} (seeds: {len(teachers)})")
        parts.append(markdown(HEADER, rows))
    return "\n\n".join(parts)


def _values(results: Mapping[Arm, Result], start: str, share: str) -> dict[int, float]:
    """The student's score of each seed, times 100."""
    return {
        arm.seed: 100 * result["student"]
        for arm, result in results.items()
        if (arm.start, arm.share) == (start, share)
    }


def _cells(here: Mapping[int, Result], alone: Mapping[int, float], share: str) -> list[str]:
    """Steps, score, difference to the task alone at the same cost, and what is retained."""
    ours = {seed: 100 * result["student"] for seed, result in here.items()}
    kept = [100 * result["student"] / result["teacher"] for result in here.values()]
    counts = [
        f"{statistics.fmean(result[name] for result in here.values()):.0f}"
        for name in ("text steps", "task steps")
    ]
    beside = "" if share == ALONE else paired(ours, alone).cell("+.1f")
    return [*counts, spread(ours.values()), beside, spread(kept)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tuned = {name: setting for name, setting in SETTINGS.items() if isinstance(setting.by, FineTuned)}
    known = [name for name, setting in tuned.items() if setting.texts != "taught"]
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="more text, or SQuAD's JSON")
    parser.add_argument("--data", type=Path, help="folder of the data sets of the tasks")
    parser.add_argument("--teacher", type=Path, help="a masked LM; default: made of MiniLM")
    parser.add_argument("--steps", type=int, default=1600, help="the total; default: %(default)s")
    parser.add_argument("--tasks", nargs="+", choices=known, default=TASKS, metavar="NAME")
    parser.add_argument(
        "--starts", nargs="+", choices=[*STARTS, *OTHER_STARTS], default=[*STARTS, *OTHER_STARTS]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of students' recipes on the tasks"
    )
    parser.add_argument(
        "--set-text", action="append", default=[], metavar="KEY=VALUE", help="of the recipe over text"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/results/two-steps"))
    parser.add_argument("--show", action="store_true", help="print the tables of what there is, and stop")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    with errors_alone():
        return exit_code(lambda: _show(args) if args.show else _run(args))


def _show(args: argparse.Namespace) -> None:
    if args.teacher is None and not (args.out / "teacher" / "model").exists():
        print("nothing is there yet")
    else:
        print(tables(_study(args, write=False), args.tasks, args.starts, args.seeds))


def _run(args: argparse.Namespace) -> None:
    with only_writer(args.out):
        study = _study(args, write=True)

        def run(arm: Arm) -> str:
            result = study.run(arm)
            steps = f"{result['text steps']} + {result['task steps']} steps"
            return f"{arm}: {steps}, {result['metric']} {result['student']:.4f} of {result['teacher']:.4f}"

        left = [arm for arm in plan(args.tasks, args.starts, args.seeds) if not study.find(arm)]
        try:
            run_each(left, run)
        finally:
            print(tables(study, args.tasks, args.starts, args.seeds))


def _study(args: argparse.Namespace, *, write: bool) -> TwoSteps:
    text = GeneralText.make(args.text, args.teacher, args.out)
    files = {}
    for name in args.tasks:
        found = files_of(name, SETTINGS[name], args.out / "examples", args.data, write=write)
        if found is None:
            raise UsageError(f"the examples of {name} are made of the data sets: give their folder, --data")
        files[name] = found
    return TwoSteps(text, args.out, files, args.steps, args.set, args.set_text)


if __name__ == "__main__":
    sys.exit(main())
