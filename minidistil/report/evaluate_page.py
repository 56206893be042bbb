"""An evaluation as one page: metrics, confusion, classes, calibration, examples with the highest loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minidistil.report.evaluation import evaluation_view
from minidistil.report.glue import glue_means, glue_tasks
from minidistil.report.page import Page, write_page

TEMPLATE = "evaluate.html"


def write_evaluation_page(
    out: str | Path,
    found: Mapping[str, Any],
    details: Mapping[str, Any],
    *,
    model: str,
    task: str,
    data: Sequence[str],
    examples: int,
    page: Page | None = None,
) -> Path:
    """Write the page of an evaluation.

    Parameters
    ----------
    out : str or Path
    found : mapping
        Numbers and tables of `Task.evaluate_saved`; of GLUE the report of `evaluate_glue`.
    details : mapping
        What it put into its `Details`.
    model, task : str
    data : sequence of str
        Files of the examples.
    examples : int
        Number of examples; of GLUE, of tasks.
    page : Page, optional
        The template.

    Returns
    -------
    Path
        Of the page.
    """
    glue = task == "glue"
    models = found["models"] if glue else {}
    html = (page or Page(TEMPLATE)).render(
        title=f"{Path(model).name or model}: {task}",
        model=model,
        task=task,
        data=list(data),
        examples=examples,
        glue=glue,
        means=glue_means(models),
        tasks=glue_tasks(models),
        view=evaluation_view({} if glue else found, details),
    )
    return write_page(out, html)
