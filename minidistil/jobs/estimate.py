"""Time, memory and disk that a distillation will take, from a few of its micro-batches.

Parts of the run itself are timed: encoding, on the beginning of every file; a few micro-batches, from short
to long ones; an update of the parameters; some held-out text. The rest is arithmetic: encoding in proportion
to the bytes, training and measuring to the tokens, and an update for each step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int64
from minidistil.errors import DataError
from minidistil.files import temporary_directory
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.model.model import Model
from minidistil.ops.dropout import Dropout
from minidistil.progress import Progress
from minidistil.tasks.masked_lm.task import evaluate_masked_lm
from minidistil.text.batching import epoch_batches
from minidistil.text.corpus.files import SourceReader, find_sources
from minidistil.text.masking import MaskedDataset
from minidistil.train.memory_plan import MemoryPlan, plan_run
from minidistil.train.objective import data_of_epoch
from minidistil.train.trainer import Trainer

TIMED = 3  # micro-batches
MEASURED = 8  # sequences of held-out text
SAMPLE = 4_000_000  # bytes of text, at least


@dataclass(frozen=True)
class Timed:
    """Amounts of work that were timed.

    Attributes
    ----------
    text_bytes : int
        Text that was encoded.
    micro_batches, tokens : int
        Micro-batches of the training, and their tokens.
    of_micro_batches : int
        Estimated number of micro-batches in the whole training.
    sequences : int
        Sequences measured as held-out text is, by each of the two models.
    """

    text_bytes: int
    micro_batches: int
    tokens: int
    of_micro_batches: int
    sequences: int


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
    timed : Timed
        What the seconds are computed from.
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
    timed: Timed

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
    """Time parts of a distillation, and compute the whole.

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
    t = recipe.train
    with temporary_directory("minidistil-plan-") as place:
        needed = (TIMED + 1) * t.batch_size * recipe.data.max_length * 4
        sample, size, scale = _sample(texts, place, recipe.data.text_key, max(SAMPLE, needed))
        once = replace(t, max_steps=1, eval_every=None, save_every=None, keep_best=None, patience=None)
        run = GeneralDistillation(teacher, [sample], replace(recipe, train=once), place / "run", quiet=True)
        began = time.perf_counter()
        corpus, split = run.text.corpus, run.text.split
        encoding = (time.perf_counter() - began) * scale
        student, data = run.first_model(), run.text.train
        memory = plan_run(student, run.teacher, t.batch_size * int(data.lengths.max()))
        memory.check()

        batches = epoch_batches(
            data.lengths, t.batch_size, seed=t.seed, epoch=0, group_by_length=t.group_by_length
        )
        sizes = np.array([data.lengths[batch].sum() for batch in batches])
        some = [batches[i] for i in _spread(sizes, TIMED)]
        shortest = np.array([data.lengths.argmin()])
        with Progress(len(some) + 3, "trying", "part", quiet=quiet) as progress:
            keeps = recipe.objective.keep != "nothing"
            # What a trainer that keeps nearly nothing takes is not the teacher's.
            little = _make(run, student, data, shortest, place / "little")[1:] if keeps else (0.0, 0)
            trial = _try(run, student, data, [shortest, *some], place / "work", progress)
            rows = _spread(data.lengths, MEASURED)
            per_model: list[float] = []
            for model in (student, run.teacher):
                per_model.append(_seconds_to_measure(model, data, shortest, rows))
                progress.update(1)

        sequences, tokens = len(split.train) * scale, split.train.num_tokens * scale
        micro_batches = math.ceil(sequences / t.batch_size)  # of an epoch
        per_epoch = math.ceil(micro_batches / t.accumulation)
        steps = t.max_steps or t.epochs * per_epoch
        micro_batches_in_all = t.max_steps * t.accumulation if t.max_steps else t.epochs * micro_batches
        per_token = trial.seconds / trial.tokens
        training = micro_batches_in_all * per_token * tokens / micro_batches + steps * trial.update
        teaching = max(0.0, trial.making - little[0]) * tokens / trial.tokens if keeps else 0.0
        kept = (trial.kept - little[1]) * tokens / trial.tokens

        held_out = min(recipe.data.measured, round(len(split.held_out) * scale))
        between = t.eval_every if isinstance(t.eval_every, int) else per_epoch if t.eval_every else steps
        evaluations = math.ceil(steps / between)  # one is always at the end
        # As it trains, and for the report; the teacher once.
        evaluation = held_out * ((evaluations + 1) * per_model[0] + per_model[1])

        encoded = sum(f.stat().st_size for f in (place / "run" / "corpus").rglob("*") if f.is_file())
        parameters = student.params.nbytes
        checkpoints = 3 * parameters * (t.keep + 1)  # the new one is whole before an old one goes
        return RunPlan(
            text_bytes=size,
            tokens=round(corpus.num_tokens * scale),
            sequences=round(sequences),
            steps=steps,
            seconds_per_step=training / steps,
            encoding=encoding,
            teacher=teaching,
            training=training,
            evaluation=evaluation,
            disk=round(encoded * scale + kept) + checkpoints + parameters,
            memory=memory,
            timed=Timed(
                text_bytes=round(size / scale),
                micro_batches=len(some),
                tokens=trial.tokens,
                of_micro_batches=micro_batches_in_all,
                sequences=len(rows),
            ),
        )


def _spread(sizes: npt.NDArray[Any], count: int) -> Int64:
    """Indices of some items, spread evenly from the smallest to the largest."""
    count = min(count, len(sizes))
    order = np.argsort(sizes, kind="stable")
    return np.asarray(order[((np.arange(count) + 0.5) * len(sizes) / count).astype(np.int64)], np.int64)


class _Trial(NamedTuple):
    """Seconds and amounts of some micro-batches.

    Attributes
    ----------
    making : float
        Seconds to make the trainer.
    kept : int
        Bytes of the teacher's outputs that it keeps.
    seconds : float
        Of all micro-batches together.
    tokens : int
    update : float
        Seconds of clipping and AdamW, once a step however many micro-batches it has.
    """

    making: float
    kept: int
    seconds: float
    tokens: int
    update: float


def _make(
    run: GeneralDistillation, student: Model, data: MaskedDataset, rows: Int64, place: Path
) -> tuple[Trainer, float, int]:
    """Trainer on some sequences, the seconds to make it, and bytes of the teacher's outputs that it keeps."""
    some = replace(data, sequences=data.sequences.subset(rows))
    began = time.perf_counter()
    trainer = run.trainer(student, data=some, out=place, quiet=True)
    seconds = time.perf_counter() - began
    return trainer, seconds, sum(file.stat().st_size for file in place.rglob("*.npy"))


def _try(
    run: GeneralDistillation,
    student: Model,
    data: MaskedDataset,
    batches: Sequence[Int64],
    place: Path,
    progress: Progress,
) -> _Trial:
    """Time micro-batches and an update; the first micro-batch, which compiles, does not count."""
    trainer, making, kept = _make(run, student, data, np.concatenate(batches), place)
    epoch, settings = data_of_epoch(trainer.dataset, 0), trainer.settings
    dropout = Dropout(settings.seed, 0) if settings.dropout else None
    seconds, tokens, update, first = 0.0, 0, 0.0, 0
    for i, rows in enumerate(batches):
        began = time.perf_counter()
        batch = epoch.batch(np.arange(first, first + len(rows)))
        totals = {term: count or 1.0 for term, count in trainer.objective.counts(batch).items()}
        trainer.objective(student, batch, totals, dropout, trainer.grads)
        if i > 0:
            seconds, tokens = seconds + time.perf_counter() - began, tokens + batch.num_tokens
        first += len(rows)
        progress.update(1)
    for _ in range(2):  # the first fills the memory of the moments
        began = time.perf_counter()
        trainer.optimizer.global_norm(trainer.grads)
        trainer.optimizer.step(trainer.grads, factor=0.0, scale=1.0)
        update = time.perf_counter() - began
    return _Trial(making, kept, seconds, tokens, update)


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


def _seconds_to_measure(model: Model, data: MaskedDataset, shortest: Int64, rows: Int64) -> float:
    """Seconds to measure a sequence of held-out text, the mean over some; the shortest one warms up."""
    parts = [replace(data, sequences=data.sequences.subset(part)).fixed() for part in (shortest, rows)]
    evaluate_masked_lm(model, parts[0])
    began = time.perf_counter()
    evaluate_masked_lm(model, parts[1])
    return (time.perf_counter() - began) / len(rows)
