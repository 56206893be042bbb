"""The curves of a run as a picture, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from minidistil.files import atomic_write
from minidistil.train.log import iter_records


def plot_curves(metrics: Path, picture: Path) -> bool:
    """Loss and held-out accuracy of each stage against epochs, from `metrics.jsonl` into a PNG file.

    Returns
    -------
    bool
        Whether there is a picture: False without matplotlib (`pip install minidistil[plot]`).
    """
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    records = list(iter_records(metrics))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for panel, kind, value in zip(panels, ("train", "eval"), ("loss", "accuracy"), strict=True):
        drawn = [r for r in records if r.get("kind") == kind and r.get(value) is not None and "epoch" in r]
        for stage in dict.fromkeys(str(r.get("stage")) for r in drawn):
            points = [(r["epoch"], r[value]) for r in drawn if str(r.get("stage")) == stage]
            panel.plot(*zip(*points, strict=True), label=stage, marker="o" if kind == "eval" else "")
        panel.set_xlabel("epoch")
        panel.set_ylabel("training loss" if kind == "train" else "held-out accuracy")
        panel.legend()
    with atomic_write(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return True
