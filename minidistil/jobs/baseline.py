"""Baseline of a distillation: the same student without a teacher, trained by the same command.

It is a fine-tuning of its own, in `baseline` of the student's directory, from the labels alone: with the same
first weights, examples, steps and settings. `minidistil finetune` without a teacher makes the same bits.
"""

from __future__ import annotations

import logging
from functools import cached_property
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

    @cached_property
    def baseline(self) -> FineTuning:
        """The student without its teacher; errors as of `run`."""
        if self.student.held_out is None:
            raise UsageError(
                "--baseline compares two students on held-out examples, and nothing is measured here: give "
                "--eval FILE"
            )
        try:
            return self.student.without_teacher(self.out / BASELINE)
        except DataError as error:
            raise UsageError(f"--baseline learns from the labels of --train alone: {error}") from error

    def finished(self) -> dict[str, Any] | None:
        """The report, if both have ended before; errors as of `run`."""
        report = self.student.finished()
        if report is None or self.baseline.finished() is None:
            return None
        return report if BASELINE in report["models"] else None

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report of both.

        Raises
        ------
        UsageError
            There are no labels to learn from, or nothing to measure by.
        Others as of `FineTuning.run`.
        """
        if not self.baseline.job.is_trained():
            self.baseline.check_targets()  # before hours of the student
        report = self.student.run_once()
        log.info("%s: the same student without the teacher", self.baseline.out)
        alone = self.baseline.run_once()
        models = {**report["models"], BASELINE: alone["models"]["model"]}
        report = compared({**report, "models": models})
        with only_writer(self.out):
            write_json(self.out / "report.json", report)
        return report

    def run_once(self) -> dict[str, Any]:
        """The report of both, of before or of now; errors as of `run`."""
        return self.finished() or self.run()
