"""Learning-rate finder of a fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minidistil.files import temporary_directory
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.train.learning_rate import LearningRates, find_learning_rate


def try_learning_rates(
    source: str,
    task: str,
    train: str | Path,
    recipe: FineTuningRecipe,
    *,
    teacher: str | Sequence[str] | None = None,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
    quiet: bool = False,
) -> LearningRates:
    """Try learning rates for a fine-tuning, which begins as the trial does. Nothing is written.

    Parameters
    ----------
    source, task, train, recipe, teacher
        As for `FineTuning`.
    lowest, highest, steps, quiet
        As for `find_learning_rate`.

    Raises
    ------
    Everything that the run itself would raise of its input.
    """
    with temporary_directory("minidistil-rates-") as place:
        tuning = FineTuning(source, task, train, recipe, place / "run", teacher=teacher, quiet=quiet)
        tuning.check()
        trainer = tuning.trainer(tuning.first_model(), out=place / "work", quiet=True)
        model, objective, data = trainer.model, trainer.objective, trainer.dataset
        del trainer  # its moments would take as much memory again
        return find_learning_rate(
            model, objective, data, settings=recipe.train,
            lowest=lowest, highest=highest, steps=steps, quiet=quiet,
        )  # fmt: skip
