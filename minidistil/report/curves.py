"""Charts of a training: which curves of its log are drawn, over which axes, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidistil.distill.terms import TERMS
from minidistil.report.chart import Points
from minidistil.report.numbers import heading, is_percent
from minidistil.report.run import BASELINE, Curve, RunRecord, Stage

TERM_UNITS = {
    "soft": "nats, times T²",
    "hard": "nats",
    "logits": "squared difference",
    "cosine": "1 − cosine",
    "hidden": "squared difference",
    "pkd": "squared difference",
    "relations": "nats",
    "triplet": "distance",
    "contrastive": "nats",
}
SHARE = 0.1  # least height of an axis of shares: ten points of accuracy
FROM_ZERO = {"zero": True, "first": 0}
TRAINING, VALIDATION = "training", "held out"
# Losses that are measured and not logged in training: of a student without labels, of a masked LM of before.
HELD_OUT_LOSSES = {
    "hard": "Loss of held-out examples against their labels",
    "masked_lm": "Loss of held-out masked words",
}
LEARNT_BY_HEART = "Where that of held-out examples rises again, the model begins to learn by heart."


@dataclass(frozen=True)
class Plot:
    """A chart as templates draw it.

    Attributes
    ----------
    title : str
    y, x : str
        Quantities of the axes, with units.
    series : mapping of str to points
    levels : mapping of str to float
        Horizontal lines to compare with.
    note : str
        Sentences below the chart.
    open : tuple of str
        Lines of which the last point averages fewer steps than the others.
    scale : mapping
        Options of `line_layout`.
    """

    title: str
    y: str
    series: Mapping[str, Points]
    x: str = "optimiser step"
    levels: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    open: tuple[str, ...] = ()
    scale: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Means:
    """Points of a curve that average equal numbers of steps.

    Attributes
    ----------
    points : list of (float, float)
        The last step of each group, and the mean over its steps.
    size : int or None
        Steps in a group; None where the log does not show it: then the points are the log's own.
    last : int or None
        Steps in the last group, where it has fewer.
    """

    points: list[tuple[float, float]]
    size: int | None = None
    last: int | None = None

    @property
    def said(self) -> str:
        """Sentence on the number of steps that a point averages."""
        if self.size is None:
            return ""
        if self.size == 1 and self.last is None:
            return "A point for each step."
        steps = "1 step" if self.last == 1 else f"{self.last} steps"
        last = "" if self.last is None else f"; the last one, hollow, over {steps}"
        return f"Each point is the mean over {self.size} steps{last}."


def equal_means(curve: Curve) -> Means:
    """The curve of a log as means over equal numbers of steps.

    A record of the log is the mean over the steps since the record before. An evaluation in between makes a
    record of its own, and so do its remaining steps; here they are put together again.
    """
    own = list(curve)
    steps = np.array([0.0, *curve.steps])
    with np.errstate(over="ignore"):
        widths = np.diff(steps)
    whole = (steps == np.floor(steps)) & np.isfinite(np.append(1, widths))
    if not own or (widths < 1).any() or not whole.all():
        return Means(own)
    sizes, counts = np.unique(widths, return_counts=True)
    size = int(sizes[counts == counts.max()].max())
    points, total, weight = [], 0.0, 0.0
    for (step, value), width in zip(own, widths.tolist(), strict=True):
        total, weight = total + width * value, weight + width
        if weight >= size:
            if weight > size:
                return Means(own)
            points.append((step, total / weight))
            total, weight = 0.0, 0.0
    if weight:
        points.append((own[-1][0], total / weight))
    return Means(points, size, int(weight) or None)


def training_plots(run: RunRecord, stage: Stage) -> list[Plot]:
    """Charts of one training: loss, terms of it, metrics as it learnt, learning rate."""
    several = len(stage.terms) > 1
    unit = "sum of its terms, weighted" if several else _loss_unit(stage)
    plots = [_loss_plot(stage, unit)]
    if several:
        plots += [_term_plot(stage, term) for term in stage.terms]
    # Of several stages the metrics are in one chart, see `metric_plots`.
    if len(run.stages) == 1:
        plots += metric_plots(run)
    if rate := stage.train.get("lr"):
        title = "Learning rate"
        plots.append(Plot(title, "learning rate", {"learning rate": rate}, scale=FROM_ZERO))
    return [plot for plot in plots if any(map(_has_points, plot.series.values()))]


def _loss_plot(stage: Stage, unit: str) -> Plot:
    names = ["loss", *(stage.terms if len(stage.terms) == 1 else ())]  # a single term is the loss
    held_out = next((stage.losses[name] for name in names if name in stage.losses), None)
    title = "Training loss" if held_out is None else "Training and held-out loss"
    return _loss_chart(title, f"loss ({unit})", stage.train.get("loss", Curve()), held_out)


def _term_plot(stage: Stage, term: str) -> Plot:
    kind = TERMS.get(term)
    unit = f" ({TERM_UNITS[term]})" if term in TERM_UNITS else ""
    formula = f"{kind.formula}." if kind is not None and kind.formula else ""
    curves = stage.train[term], stage.losses.get(term)
    return _loss_chart(f"Term of the loss: {term}", f"{term}{unit}", *curves, formula)


def _loss_chart(title: str, y: str, training: Curve, held_out: Curve | None, note: str = "") -> Plot:
    """A loss in training, and that of held-out examples where it was measured."""
    means = equal_means(training)
    series: dict[str, Points] = {TRAINING: means.points}
    notes = [means.said, note]
    if held_out is not None:
        series[VALIDATION] = held_out
        notes.append(LEARNT_BY_HEART)
    return Plot(
        title, y, series, note=" ".join(filter(None, notes)),
        open=(TRAINING,) if means.last is not None else (), scale=FROM_ZERO,
    )  # fmt: skip


def _loss_unit(stage: Stage) -> str:
    """Unit of a loss of one term."""
    (term,) = stage.terms or ("",)
    if "mse" in stage.eval:
        return "squared error"
    return TERM_UNITS.get(term, "nats") if term != "embedding" else "distance of the vectors"


def metric_plots(run: RunRecord) -> list[Plot]:
    """Charts of what was measured as a model learnt; of several stages with a line for each."""
    plots: list[Plot] = []
    several = len(run.stages) > 1
    for metric in _measured(run.judged_by, run.stages.values()):
        series = {
            (STAGES.get(name, name) if several else heading(metric)): stage.metrics[metric]
            for name, stage in run.stages.items()
            if metric in stage.metrics
        }
        if run.baseline is not None:
            for stage in run.baseline.stages.values():
                if metric in stage.metrics:
                    series[BASELINE] = stage.metrics[metric]
        levels = {} if several else run.reference(metric)
        plots.append(metric_plot(metric, series, levels=levels, note="" if plots else run.watched))
    return plots


# Titles of trainings of several: of the demo's, and of a student's two stages.
ALONE = "student without a teacher"
STAGES = {"alone": ALONE, "student": "student, taught", "first": "first stage", "second": "second stage"}


def metric_plot(metric: str, series: Mapping[str, Points], **about: Any) -> Plot:
    """Chart of a metric, one line a model; `about` are further fields of `Plot`."""
    name = heading(metric)
    values = [y for points in series.values() for _, y in points]
    values += about.get("levels", {}).values()
    if metric in HELD_OUT_LOSSES:
        return Plot(HELD_OUT_LOSSES[metric], "loss (nats)", series, scale=FROM_ZERO, **about)
    unit, scale = name, dict[str, Any](least=SHARE, first=0)
    if is_percent(metric):
        unit = f"{name} (% of all)"
        scale |= {"bounds": (0.0, 1.0), "percent": True}
    elif all(-1 <= y <= 1 for y in values):
        low = 0.0 if all(y >= 0 for y in values) else -1.0
        unit = f"{name} ({low:.0f} to 1)"
        scale["bounds"] = (low, 1.0)
    else:
        scale["least"] *= max(map(abs, values), default=1.0)
    return Plot(f"{name[:1].upper()}{name[1:]} during training", unit, series, scale=scale, **about)


def seed_plots(run: RunRecord) -> list[Plot]:
    """The loss and each metric, with a line for each seed."""
    stages = {name: stage for name, seed in run.parts.items() for stage in seed.stages.values()}
    means = {name: equal_means(stage.train.get("loss", Curve())) for name, stage in stages.items()}
    said = dict.fromkeys(one.said for one in means.values())
    units = {_loss_unit(stage) for stage in stages.values() if len(stage.terms) <= 1}
    unit = units.pop() if len(units) == 1 else "sum of its terms, weighted"
    plots = [
        Plot(
            "Training loss of each seed", f"loss ({unit})", {k: one.points for k, one in means.items()},
            note=next(iter(said)) if len(said) == 1 else "",
            open=tuple(k for k, one in means.items() if one.last is not None), scale=FROM_ZERO,
        )
    ]  # fmt: skip
    note = next((part.watched for part in run.parts.values()), "")
    held_out = {name: stage.losses["loss"] for name, stage in stages.items() if "loss" in stage.losses}
    plots.append(Plot("Loss of held-out examples, of each seed", f"loss ({unit})", held_out, scale=FROM_ZERO))
    for i, metric in enumerate(_measured(run.judged_by, stages.values())):
        curves = {name: stage.metrics[metric] for name, stage in stages.items() if metric in stage.metrics}
        plots.append(metric_plot(metric, curves, note="" if i else note))
    return [plot for plot in plots if any(map(_has_points, plot.series.values()))]


def _measured(first: str, stages: Iterable[Stage]) -> list[str]:
    """Names of the metrics of some trainings, the one that models are judged by before the others."""
    return sorted(
        {metric for stage in stages for metric in stage.metrics}, key=lambda name: (name != first, name)
    )


def _has_points(points: Points) -> bool:
    return any(True for _ in points)
