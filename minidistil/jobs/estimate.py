"""Time, memory and disk that a distillation will take, from twenty steps on a part of its text.

The run itself is measured, on the beginning of every file: encoding, steps with batches, masks and
the optimiser, a measurement of held-out text. The whole follows in proportion to bytes, steps and sequences.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.errors import DataError
from minidistil.files import temporary_directory
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.tasks.masked_lm.task import evaluate_masked_lm
from minidistil.text.corpus.files import SourceReader, find_sources
from minidistil.text.masking import MaskedDataset
from minidistil.train.memory_plan import MemoryPlan, plan_run
from minidistil.train.optimizer import AdamW

STEPS, WARM = 20, 4  # steps that count, and steps before them that compile and fill caches
WINDOW = 4  # micro-batches of a step that are measured; further ones take as long
SAMPLE = 4_000_000  # bytes of text, at least
MEASURED = 64  # sequences of held-out text


@dataclass(frozen=True)
class RunPlan:
    """Time, memory and disk of a run.

    Attributes
    ----------
    text_bytes : int
        Size of the files.
    tokens, sequences : int
        Estimated size of the training data.
    steps : int
    seconds_per_step : float
    encoding, teacher, training, evaluation : float
        Seconds. `teacher` is for outputs that are kept; otherwise it is part of the training.
    disk : int
        Bytes at most: token ids, checkpoints, the teacher's outputs, the result.
    memory : MemoryPlan
    """

    text_bytes: int
    tokens: int
    sequences: int
    steps: int
    seconds_per_step: float
    encoding: float
    teacher: float
    training: float
    evaluation: float
    disk: int
    memory: MemoryPlan

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.encoding + self.teacher + self.training + self.evaluation

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        memory = {**asdict(self.memory), "total": self.memory.total}
        return {**asdict(self), "seconds": self.seconds, "memory": memory}


def plan_distillation(
    teacher: str, texts: Sequence[str | Path], recipe: DistillationRecipe, *, quiet: bool = False
) -> RunPlan:
    """Try a distillation for twenty steps.

    Parameters
    ----------
    teacher, texts, recipe
        As for `GeneralDistillation`.
    quiet : bool
        Show no progress.

    Raises
    ------
    MemoryLimitError
        It will not fit.
    Everything that the run itself would raise of its input.
    """
    with temporary_directory("minidistil-plan-") as place:
        window = min(recipe.train.accumulation, WINDOW)
        needed = (STEPS + WARM) * recipe.train.batch_size * window * recipe.data.max_length * 4
        sample, size, scale = _sample(texts, place, recipe.data.text_key, max(SAMPLE, needed))
        tried = replace(
            recipe,
            train=replace(
                recipe.train, max_steps=STEPS + WARM, accumulation=window, eval_every=1,
                save_every=None, keep_best=None, patience=None,
            ),
        )  # fmt: skip
        run = GeneralDistillation(teacher, [sample], tried, place / "run", quiet=True)
        text = run.text
        began = time.perf_counter()
        corpus, split = text.corpus, text.split
        encoding = (time.perf_counter() - began) * scale
        student, data = run.first_model(), text.train
        times: list[float] = []
        with Progress(STEPS + WARM, "trying", "step", quiet=quiet) as progress:

            def clock() -> dict[str, float]:
                times.append(time.perf_counter())
                progress.update(1)
                return {}

            began = time.perf_counter()
            trainer = run.trainer(student, out=place / "work", evaluate=clock, quiet=True)
            trainer.saves = False
            teaching = (time.perf_counter() - began) * scale if recipe.objective.keep != "nothing" else 0.0
            trainer.train()
        update = _seconds_of_update(trainer.optimizer, trainer.grads)
        measured = (times[-1] - times[WARM - 1]) / STEPS
        per_step = update + (measured - update) * recipe.train.accumulation / window

        t, sequences = recipe.train, len(split.train) * scale
        windows = math.ceil(math.ceil(sequences / t.batch_size) / t.accumulation)
        steps = t.max_steps or t.epochs * windows
        held_out = min(recipe.data.measured, round(len(split.held_out) * scale))
        between = t.eval_every if isinstance(t.eval_every, int) else windows if t.eval_every else steps
        evaluations = math.ceil(steps / between)  # one is always at the end
        by_student, by_teacher = (_seconds_to_measure(m, data) for m in (student, run.teacher))
        # As it trains, and for the report; the teacher once.
        evaluation = held_out * ((evaluations + 1) * by_student + by_teacher)

        longest = min(recipe.data.max_length, int(split.train.lengths.max()))
        memory = plan_run(student, run.teacher, t.batch_size * longest)
        memory.check()
        kept = sum(f.stat().st_size for f in (place / "work").rglob("*.npy"))
        encoded = sum(f.stat().st_size for f in (place / "run" / "corpus").rglob("*") if f.is_file())
        parameters = student.params.nbytes
        checkpoints = 3 * parameters * (t.keep + 1)  # the new one is whole before an old one goes
        return RunPlan(
            text_bytes=size,
            tokens=round(corpus.num_tokens * scale),
            sequences=round(sequences),
            steps=steps,
            seconds_per_step=per_step,
            encoding=encoding,
            teacher=teaching,
            training=steps * per_step,
            evaluation=evaluation,
            disk=round((encoded + kept) * scale) + checkpoints + parameters,
            memory=memory,
        )


def _sample(texts: Sequence[str | Path], place: Path, key: str, size: int) -> tuple[Path, int, float]:
    """Join the beginnings of all files; returns the path, the bytes of all, and their ratio to those read."""
    sources = find_sources(texts, quiet=True)
    total, read = sum(source.size for source in sources), 0
    path = place / "sample.txt"
    with open(path, "w", encoding="utf-8") as file:
        for source in sources:
            reader = SourceReader(source, key)
            for piece in reader:
                file.write(" ".join(piece.text.split()) + ("\n" if piece.ends else " "))
                if piece.ends and reader.bytes_read >= size * source.size / total:
                    break
            file.write("\n")
            read += min(reader.bytes_read, source.size)
    if path.stat().st_size <= len(sources):
        raise DataError("there is no text in these files")
    return path, total, total / max(read, 1)


def _seconds_of_update(optimizer: AdamW, grads: Any) -> float:
    """Seconds of clipping and AdamW, once a step however many micro-batches it has."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        optimizer.global_norm(grads)
        optimizer.step(grads, factor=0.0, scale=1.0)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _seconds_to_measure(model: Model, data: MaskedDataset) -> float:
    """Seconds to measure one sequence of held-out text."""
    some = replace(data, sequences=data.sequences.subset(np.arange(min(MEASURED, len(data))))).fixed()
    evaluate_masked_lm(model, some)  # once to warm up
    began = time.perf_counter()
    evaluate_masked_lm(model, some)
    return (time.perf_counter() - began) / len(some)
