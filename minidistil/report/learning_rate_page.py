"""A trial of learning rates as one page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidistil.report.page import Page, write_page


def write_learning_rate_page(
    trial: Mapping[str, Any], out: str | Path, *, title: str, templates: str | Path | None = None
) -> Path:
    """Write the page of a trial.

    Parameters
    ----------
    trial : mapping
        `LearningRates.to_dict()`.
    out : str or Path
    title : str
    templates : str or Path, optional
        Folder of templates that go before the package's.

    Returns
    -------
    Path
        Of the page.
    """
    powers = [math.log10(rate) for rate in trial["rates"]]
    curves = {name: list(zip(powers, trial[key], strict=True)) for name, key in SERIES.items()}
    if trial["suggestion"] is not None:
        at = math.log10(trial["suggestion"])
        curves["suggestion"] = [(at, min(trial["smoothed"])), (at, max(trial["smoothed"]))]
    page = Page("learning_rate.html", templates)
    return write_page(out, page.render(title=title, trial=trial, curves=curves))


SERIES = {"smoothed loss": "smoothed", "loss of a step": "losses"}
