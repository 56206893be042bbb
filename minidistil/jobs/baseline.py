"""Baseline of a distillation: the same student without a teacher, trained by the same command.

It is a fine-tuning of its own, in `baseline` of the student's directory, from the labels alone: with the same
first weights, examples, steps and settings. `minidistil finetune` without a teacher makes the same bits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidistil.errors import DataError, UsageError
from minidistil.files import only_writer, write_json
from minidistil.jobs.comparison import BASELINE, compared
from minidistil.jobs.finetune import FineTuning

log = logging.getLogger("minidistil")


class WithBaseline:
    """A student and its baseline, run one after the other.

    Parameters
    ----------
    student : FineTuning
        With a teacher.

    Raises
    ------
    UsageError
        It has none.
    """

    def __init__(self, student: FineTuning) -> None:
        if student.teaching is None:
            raise UsageError(
                "--baseline is the student without its teacher: it goes with --distill-from TEACHER"
            )
        self.student = student

    @property
    def out(self) -> Path:
        """Directory of the student."""
        return self.student.out

    def finished(self) -> dict[str, Any] | None:
        """The report, if both have ended before; errors as of `run`."""
        report = self.student.finished()
        return report if report is not None and BASELINE in report["models"] else None

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report of both.

        Raises
        ------
        UsageError
            There are no labels to learn from, or nothing to measure by.
        Others as of `FineTuning.run`.
        """
        alone = self._alone()  # a mistake is found now, not after hours of the student
        report = self.student.run_once()
        steps = self._steps(report, alone)
        if steps is not None:
            alone = self.student.without_teacher(alone.out, steps)
        log.info("%s: the same student without the teacher", alone.out)
        models = {**report["models"], BASELINE: alone.run_once()["models"]["model"]}
        report = compared({**report, "models": models})
        with only_writer(self.out):
            write_json(self.out / "report.json", report)
        return report

    def run_once(self) -> dict[str, Any]:
        """The report of both, of before or of now; errors as of `run`."""
        return self.finished() or self.run()

    def _alone(self) -> FineTuning:
        """The student without its teacher, its examples checked; errors as of `run`."""
        if self.student.held_out is None:
            raise UsageError(
                "--baseline compares two students on held-out examples, and nothing is measured here: give "
                "--eval FILE"
            )
        alone = self.student.without_teacher(self.out / BASELINE)
        try:
            alone.check_targets()
        except DataError as error:
            raise UsageError(f"--baseline learns from the labels of --train alone: {error}") from error
        return alone

    def _steps(self, report: Mapping[str, Any], alone: FineTuning) -> int | None:
        """Steps of the student, if its epochs or stages are not those of the labelled examples."""
        if "stages" in report:
            return int(sum(report["stages"].values()))
        return None if len(self.student.dataset) == len(alone.dataset) else self.student.steps
