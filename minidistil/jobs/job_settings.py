"""Settings of every job: as commented TOML, for `--print-recipe`, and as the page docs/settings.md.

Both are made from the docstrings of the recipes (`minidistil.setting_docs`). The page is written by

    python -m minidistil.jobs.job_settings docs/settings.md
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.files import atomic_write
from minidistil.jobs.demo.demo import ReviewSettings
from minidistil.jobs.distill import DistillationRecipe
from minidistil.jobs.finetune import FineTuningRecipe
from minidistil.jobs.multilingual import PairsRecipe
from minidistil.jobs.pretrain import PretrainingRecipe
from minidistil.jobs.sentences import SentencesRecipe
from minidistil.setting_docs import LEFT_OUT, Setting, comments, describe
from minidistil.settings import Comment, dump, flat, literal
from minidistil.tasks.data import DataSettings
from minidistil.tasks.registry import TASKS, named_task, task_name
from minidistil.train.settings import ClassifierSettings, TrainSettings

TRAIN = "train"  # the table that most jobs have; the page has it once


class JobDoc(NamedTuple):
    """A job on the page: its heading, its command, and its recipe."""

    title: str
    command: str
    recipe: type[Any]


JOBS = (
    JobDoc("Fine-tuning", "minidistil finetune", FineTuningRecipe),
    JobDoc("Distillation over text", "minidistil distill --corpus", DistillationRecipe),
    JobDoc("Distillation of a sentence encoder over texts", "minidistil distill --texts", SentencesRecipe),
    JobDoc("Distillation over pairs of translations", "minidistil distill --pairs", PairsRecipe),
    JobDoc("Pre-training", "minidistil pretrain", PretrainingRecipe),
    JobDoc("Demonstration", "minidistil demo", ReviewSettings),
)


def commented(recipe: Any, task: str | None = None) -> str:
    """A recipe as TOML, with the meaning, allowed values and default of each setting above it.

    Parameters
    ----------
    recipe : dataclass
    task : str, optional
        Of a fine-tuning. Settings without meaning for it are left out, and its own are added, behind
        `#` as long as they are not set.

    Returns
    -------
    str
        It reads as the same recipe, see `minidistil.settings.load_recipe`.
    """
    if task is None:
        return dump(recipe, comments(type(recipe)()))
    name = task_name(task)
    kind = named_task(name, recipe.data, recipe.task)
    known = {f"data.{key}": value for key, value in TASKS[name].data.items()}
    found = comments(type(recipe)(), {name: known})
    if kind.settings_type is not None:
        own = comments(kind.settings_type())
        found |= {f"task.{key}": comment for key, comment in own.items()}
    else:
        found["task"] = Comment([f"{name} has no settings of its own."])
    unused = {f"data.{field.name}" for field in dataclasses.fields(DataSettings)}
    return dump(recipe, found, unused - {f"data.{key}" for key in kind.data_settings})


def page() -> str:
    """The page docs/settings.md."""
    return "\n".join([INTRODUCTION, *_jobs(), *_tasks(), *_training()])


INTRODUCTION = """\
# Settings

All settings of all jobs. This page is made from the documentation of the code, by
`python -m minidistil.jobs.job_settings docs/settings.md`, and a test compares the two.

`--print-recipe` prints the settings of one run with the same explanations, as a file that `--config` takes:

    minidistil finetune --task sst2 --print-recipe > my.toml
    minidistil finetune minilm --task sst2 --train train.tsv --config my.toml --out runs/sst2

A setting is a line of such a file, or `--set train.lr=3e-4`. What is set later wins: defaults, then a recipe
that comes with the package (`--recipe`), then `--config`, then the command line from left to right. The
settings that are changed most have short options, which mean the same as `--set`:

| option | setting |
| --- | --- |
| `--text`, `--pair`, `--label` | columns: `data.text`, `data.pair`, `data.label` |
| `--max-length` | `data.max_length` |
| `--max-steps`, `--epochs`, `--batch-size`, `--lr`, `--seed` | the same in `train` |

Of a corpus `--text` is `data.text_key`; of pairs `--text` and `--pair` are `data.source` and
`data.translation`.

`"none"` stands for nothing. A column may have any name, even "none": its default is said by leaving it out.
"""


def _jobs() -> Iterator[str]:
    for job in JOBS:
        defaults = job.recipe()
        settings = [s for s in describe(defaults) if s.name.partition(".")[0] != TRAIN]
        yield f"## {job.title}\n"
        yield f"`{job.command}`\n"
        yield from _rows([s for s in settings if s.allowed])
        if hasattr(defaults, TRAIN):
            usual = flat(TrainSettings())
            other = [
                f"`{TRAIN}.{key} = {literal(value)}`"
                for key, value in flat(defaults.train).items()
                if key in usual and usual[key] != value
            ]
            but = f", but {', '.join(other)}" if other else ""
            yield f"`{TRAIN}.` as [below](#training){but}.\n"


def _tasks() -> Iterator[str]:
    yield "## Tasks\n"
    yield (
        "Settings of `finetune` and `evaluate` that only some tasks have. Of `data.` each task takes what\n"
        "has a meaning for it; another one is refused.\n"
    )
    kinds: dict[type[Any], list[str]] = {}
    for name, entry in TASKS.items():
        settings = entry.load().settings_type
        if settings is not None:
            kinds.setdefault(settings, []).append(f"`{name}`")
    for settings, names in kinds.items():
        yield ", ".join(names) + ":\n"
        yield from _rows(describe(settings(), "task"))


def _training() -> Iterator[str]:
    yield "## Training\n"
    yield "Settings of every job but the demonstration, whose trainings have fewer.\n"
    own = {field.name for field in dataclasses.fields(TrainSettings)}
    rows = [
        s if s.name.partition(".")[2] in own else s._replace(meaning=f"Of `finetune` alone. {s.meaning}")
        for s in describe(ClassifierSettings(), TRAIN)
    ]
    yield from _rows(rows)


def _rows(settings: list[Setting]) -> Iterator[str]:
    """A table of settings."""
    lines = ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    for setting in settings:
        default = setting.default if setting.default == LEFT_OUT else f"`{setting.default}`"
        cells = (f"`{setting.name}`", default, setting.allowed, setting.meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    yield "\n".join(lines) + "\n"


def main() -> int:
    """Write the page into the file that is named."""
    with atomic_write(Path(sys.argv[1])) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
