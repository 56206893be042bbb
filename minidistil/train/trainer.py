"""The training loop.

A run is a function of its settings, its data and its first weights. Batches, dropout and the learning
rate follow from (seed, step), so a checkpoint is the parameters, the two moments, the gradient where it
was taken within a step, and a few numbers; and a run that was stopped anywhere and resumed equals, bit for
bit, the run that was not.

An accumulation window is `accumulation` micro-batches in a row, and ends with its epoch: the last window
of an epoch may be shorter, which exact normalisation makes an ordinary step over fewer examples.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minidistil.batch import Batch
from minidistil.errors import CheckpointError, ConfigError, TrainingError
from minidistil.files import only_writer
from minidistil.model.model import Model
from minidistil.model.terms import Terms, check_sums
from minidistil.ops.dropout import Dropout
from minidistil.parameters import Parameters
from minidistil.progress import Progress
from minidistil.text.batching import epoch_batches
from minidistil.train.checkpoint import Position, load_latest, save_checkpoint
from minidistil.train.diagnosis import first_not_finite, trouble
from minidistil.train.hooks import Step, StopTraining
from minidistil.train.interrupt import interruptible
from minidistil.train.log import MetricsLog
from minidistil.train.memory_plan import plan_run
from minidistil.train.objective import (
    Objective,
    Trainable,
    TrainingData,
    check_learner,
    check_training,
    data_of_epoch,
    fingerprint,
    window_counts,
    window_losses,
)
from minidistil.train.optimizer import AdamW, copy_into
from minidistil.train.schedule import schedule
from minidistil.train.settings import Every, TrainSettings
from minidistil.train.state import Interval, TrainResult, TrainState
from minidistil.weights.safetensors_file import SafetensorsFile

log = logging.getLogger("minidistil")


class Trainer:
    """Resumable training of a model: it goes on where it was stopped.

    Parameters
    ----------
    model : Model
        Trained in place. On resuming it must begin with the same weights as the first time.
    objective : Objective
        The loss to minimise: `ModelLoss` for fine-tuning.
    dataset : Dataset
    settings : TrainSettings
    out : path, optional
        Directory for checkpoints, `metrics.jsonl` and `best/`. Without it nothing is saved.
    evaluate : callable, optional
        Gives metrics of the model as it stands.
    identity : mapping, optional
        Further identity of the run, such as a teacher's hash, as JSON. A checkpoint of a run with
        another identity is refused.
    stop_when : callable, optional
        Called every `eval_every` steps with the log's records, a function of them alone; True ends the run.
    on_step : callable, optional
        Called with a `Step` after each optimiser step, once whatever is due after it is logged, measured and
        saved. It may raise `StopTraining`. After any other exception of it the run is saved, and raises it.
    label : str
        For the progress bar.
    quiet : bool
        Show no progress.
    """

    def __init__(
        self,
        model: Trainable,
        objective: Objective,
        dataset: TrainingData,
        *,
        settings: TrainSettings,
        out: str | Path | None = None,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        identity: Mapping[str, Any] | None = None,
        stop_when: Callable[[Sequence[Mapping[str, Any]]], bool] | None = None,
        on_step: Callable[[Step], object] | None = None,
        label: str = "training",
        quiet: bool = False,
    ) -> None:
        check_training(dataset, settings, out, evaluate, on_step)
        check_learner(model, objective, dataset)
        if isinstance(model, Model):  # before anything is allocated
            largest = np.sort(dataset.lengths)[-settings.batch_size :]
            plan_run(model, getattr(objective, "teacher", None), int(largest.sum())).check()
        model.params.unpack()  # they change now
        self.model, self.objective, self.dataset = model, objective, dataset
        self.settings, self.evaluate, self.on_step = settings, evaluate, on_step
        self.out = None if out is None else Path(out)
        self.saves = out is not None  # when it is interrupted
        self.stop_when, self.label, self.quiet = stop_when, label, quiet
        self._begin_epoch(0)
        per_epoch = -(-len(self._epoch_indices) // settings.accumulation)
        self.total = settings.max_steps or settings.epochs * per_epoch
        self.warmup = settings.warmup_steps(self.total)
        self._log_every = settings.log_every or min(10, max(1, self.total // 10))
        self.optimizer = AdamW(
            model.params,
            model.backend,
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            frozen=model.frozen,
        )
        self.grads: Parameters = model.params.like()
        self.state = TrainState()
        self.log = MetricsLog(None)
        self.fingerprint = fingerprint(settings, objective, dataset, model, identity or {})
        self._saved: Path | None = None
        self._saved_at: Position | None = None

    def __repr__(self) -> str:
        about = (
            f"{type(self.model).__name__}, {type(self.objective).__name__}, {len(self.dataset):,} examples"
        )
        return f"{type(self).__name__}({about}; step {self.state.step} of {self.total})"

    def train(self) -> TrainResult:
        """Run to the end, from the newest checkpoint in `out` if there is one.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C or SIGTERM, once the state is saved.
        TrainingError
            The loss or the gradient is NaN or Inf, or the loss was ten thousand times what it was at first
            for ten steps in a row.
        CheckpointError
            `out` holds another run, or only damaged checkpoints.
        StorageError
            The disk is full, or another process is writing to `out`.
        """
        with nullcontext() if self.out is None else only_writer(self.out):
            return self._train()

    def _train(self) -> TrainResult:
        self._resume()
        self.model.mark_trained()
        state, stopped = self.state, None
        with (
            closing(self.log),
            interruptible(self.saves) as interrupted,
            Progress(self.total, self.label, "step", done=state.step, quiet=self.quiet) as progress,
        ):
            while not state.finished and stopped is None:
                batches = self._window()
                counts = window_counts(self.objective, batches)
                self._accumulate(batches, counts, interrupted)
                losses = window_losses(self.objective, state.sums, counts)
                if losses:  # nothing may be asked in a step, as where no word could be masked
                    self._check_divergence(losses["loss"])
                grad_norm, factor = self._update()
                lr = self.optimizer.lr * factor
                self._advance(batches, losses)
                progress.update(1, **{name: losses[name] for name in ("loss",) if name in losses})
                self._report(grad_norm, lr, progress)
                if self.on_step is not None:
                    stopped = self._call_hook(losses, lr, grad_norm)
            if interrupted():  # too late to stop this run, but not what would come after it
                how = "finished" if stopped is None else "stopped"
                raise KeyboardInterrupt(f"{how} all the same, after step {state.step}")
        self._restore_best()
        return state.result(self.log.records, stopped)

    # One step

    def _begin_epoch(self, epoch: int) -> None:
        s = self.settings
        self._epoch_number, self._epoch_data = epoch, data_of_epoch(self.dataset, epoch)
        self._epoch_indices = epoch_batches(
            self.dataset.lengths, s.batch_size, seed=s.seed, epoch=epoch, group_by_length=s.group_by_length
        )

    def _window(self) -> list[Batch]:
        """The micro-batches of the step under way."""
        epoch, start = self.state.epoch, self.state.batch
        if epoch != self._epoch_number:
            self._begin_epoch(epoch)
        window = self._epoch_indices[start : start + self.settings.accumulation]
        return [self._epoch_data.batch(i) for i in window]

    def _accumulate(
        self, batches: list[Batch], counts: dict[str, float], interrupted: Callable[[], bool]
    ) -> None:
        """Forward and backward of every micro-batch that is not yet in the gradient."""
        state = self.state
        totals = Terms({term: count or 1.0 for term, count in counts.items()})
        dropout = Dropout(self.settings.seed, state.step) if self.settings.dropout else None
        if state.micro == 0:
            self.grads.flat.fill(0)
            state.sums = {}
        for batch in batches[state.micro :]:
            if interrupted():
                self._stop()
            began = time.perf_counter()
            sums = self.objective(self.model, batch, totals, dropout, self.grads)
            check_sums(type(self.objective).__name__, sums, counts)
            for term, value in sums.items():
                state.sums[term] = state.sums.get(term, 0.0) + float(value)
                if not math.isfinite(value):
                    raise TrainingError(self._trouble(f"loss term {term!r} is {value}"))
            state.micro += 1
            state.count_seconds(began)

    def _check_divergence(self, loss: float) -> None:
        """Stop a run whose loss has exploded, though it is still a number."""
        if self.state.diverges(loss) and self.settings.lr > 0:
            longest = max(self.optimizer.trained, key=lambda name: float(np.linalg.norm(self.grads[name])))
            raise TrainingError(
                self._trouble(
                    f"the loss diverges: it is {loss:.3g} and began at {self.state.usual[0]:.3g}; the "
                    f"longest gradient is that of {longest}"
                )
            )

    def _update(self) -> tuple[float, float]:
        """Clip, then AdamW. Returns the norm before clipping and the schedule's factor."""
        s, began = self.settings, time.perf_counter()
        norm = self.optimizer.global_norm(self.grads)
        if not math.isfinite(norm):
            raise TrainingError(self._trouble(f"the gradient's norm is {norm}"))
        if norm == 0 and self.state.step == 0 and any(self.state.sums.values()):
            log.warning(
                "the gradient of the first step is zero: does %s add to grads, and does a parameter learn?",
                type(self.objective).__name__,
            )
        # torch's clip_grad_norm_ has the same 1e-6, so that trajectories agree.
        scale = 1.0 if s.clip is None else min(1.0, s.clip / (norm + 1e-6))
        factor = schedule(s.schedule, self.state.step, self.total, self.warmup)
        self.optimizer.step(self.grads, factor=factor, scale=scale)
        self.state.count_seconds(began)
        return norm, factor

    def _advance(self, batches: list[Batch], losses: dict[str, float]) -> None:
        """The step is done: on to the next window, or the next epoch."""
        state = self.state
        tokens, examples = (sum(getattr(b, n) for b in batches) for n in ("num_tokens", "num_examples"))
        state.interval.add(losses, tokens, examples)
        state.step, state.micro, state.sums = state.step + 1, 0, {}
        state.batch += len(batches)
        if state.batch == len(self._epoch_indices):
            state.epoch, state.batch = state.epoch + 1, 0
        state.finished = state.step >= self.total

    # Between steps

    def _report(self, grad_norm: float, lr: float, progress: Progress) -> None:
        """Log, evaluate and save, whatever is due after this step; always all three at the end."""
        s, watched = self.settings, self.evaluate is not None or self.stop_when is not None
        measuring = watched and self._due(s.eval_every)
        if measuring or self._due(self._log_every):
            self._log_training(grad_norm, lr)
        if measuring and self.evaluate is not None:
            self._evaluate(progress)
        if measuring and self.stop_when is not None and self.stop_when(self.log.records):
            self.state.stop_early()
        if self.out is not None and self._due(s.save_every):
            self._save()

    def _due(self, every: Every) -> bool:
        state = self.state
        if state.finished or every is None:
            return state.finished
        return state.batch == 0 if every == "epoch" else state.step % every == 0

    def _log_training(self, grad_norm: float, lr: float) -> None:
        self.log.write("train", self.state.step, self.state.record(self._epochs_done(), lr, grad_norm))
        self.state.interval = Interval()

    def _epochs_done(self) -> float:
        return self.state.epoch + self.state.batch / len(self._epoch_indices)

    def _evaluate(self, progress: Progress) -> None:
        assert self.evaluate is not None
        state, s = self.state, self.settings
        state.metrics = {name: float(value) for name, value in self.evaluate().items()}
        self.log.write("eval", state.step, {"epoch": self._epochs_done(), **state.metrics})
        shown = ", ".join(f"{name} {value:.4g}" for name, value in state.metrics.items())
        progress.note(f"step {state.step}: {shown}")
        if s.keep_best is None:
            return
        if s.keep_best not in state.metrics:
            have = ", ".join(state.metrics)
            raise ConfigError(f"keep_best is {s.keep_best!r}, but the evaluation gives: {have}")
        if state.is_best(state.metrics[s.keep_best], s.best_is):
            assert self.out is not None
            self.model.save_pretrained(self.out / "best")
        elif s.patience is not None and state.stale >= s.patience:
            state.stop_early()

    def _restore_best(self) -> None:
        if self.state.best_step is not None and self.out is not None:
            best = SafetensorsFile(self.out / "best" / "model.safetensors")
            for name, target in self.model.params.items():
                if name in best:  # what `Model.extend` added belongs to the objective, not to the model
                    copy_into(target, best, name)

    # Stopping and resuming

    def _call_hook(self, losses: dict[str, float], lr: float, grad_norm: float) -> str | None:
        """Call `on_step`. Returns the reason if it ends the run; whatever it raises, the run is saved."""
        assert self.on_step is not None
        state = self.state
        try:
            self.on_step(Step(state.step, self._epochs_done(), losses, lr, grad_norm, self))
        except StopTraining as stop:
            if self.saves:
                self._save()
            return None if state.finished else str(stop) or f"stopped after step {state.step}"
        except Exception as error:
            if self.saves:
                self._save()
                error.add_note(f"after step {state.step}; start again to go on from {self._saved}")
            raise
        return None

    def _save(self) -> None:
        assert self.out is not None
        state = self.state
        if state.position == self._saved_at:
            return
        moments = ("moment m of", self.optimizer.m), ("moment v of", self.optimizer.v)
        for what, parameters in (("parameter", self.model.params), *moments):
            if not math.isfinite(self.model.backend.global_norm(parameters.flat)):
                raise TrainingError(self._trouble(f"{what} {first_not_finite(parameters)} is not finite"))
        optimizer = self.optimizer.state()
        if state.micro:
            optimizer |= {f"grad.{name}": self.grads[name] for name in self.optimizer.trained}
        self.log.sync()
        self._saved = save_checkpoint(
            self.out,
            state.position,
            model=self.model.params,
            optimizer=optimizer,
            state=dataclasses.asdict(state),
            fingerprint=self.fingerprint,
            keep=self.settings.keep,
        )
        self._saved_at = state.position

    def _stop(self) -> NoReturn:
        """Save and leave: what Ctrl-C asks for."""
        if not self.saves:
            without = " without an output directory" if self.out is None else ""
            raise KeyboardInterrupt(f"stopped after step {self.state.step}; nothing is saved{without}")
        self._save()
        raise KeyboardInterrupt(
            f"stopped after step {self.state.step}; start again to go on from {self._saved}"
        )

    def _resume(self) -> None:
        if self.out is None:
            return
        checkpoint = load_latest(self.out, self.fingerprint)
        if checkpoint is None:
            self.log = MetricsLog(self.out / "metrics.jsonl", step=-1)
            return
        self.state = TrainState.from_dict(checkpoint.state, checkpoint.path)
        model, optimizer = checkpoint.model, checkpoint.optimizer
        for name, target in self.model.params.items():
            copy_into(target, model, name)
        self.optimizer.load_state(optimizer, self.state.step)
        if self.state.micro:
            for name in self.optimizer.trained:
                copy_into(self.grads[name], optimizer, f"grad.{name}")
        if self.state.best_step is not None and not (self.out / "best" / "model.safetensors").exists():
            raise CheckpointError(
                f"{self.out / 'best'} is gone, the best model of the run that {checkpoint.path} belongs to: "
                f"put it back, or remove {self.out} to begin again"
            )
        self._saved, self._saved_at = checkpoint.path, self.state.position
        self.log = MetricsLog(self.out / "metrics.jsonl", step=self.state.step)

    def _trouble(self, what: str) -> str:
        return trouble(what, self.state, self.model.params, self.grads, self._saved)
