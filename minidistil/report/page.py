"""A run as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from minidistil.metrics import retained
from minidistil.report.chart import heat_map, line_chart
from minidistil.report.run import RunRecord, Stage, number
from minidistil.settings import dump

STYLE = """
:root { color-scheme: light dark; --line: #8886; --ink: #222; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
.heat td, .heat th { padding: .25rem .35rem; border: 0; font-size: .8rem; text-align: center; }
.wide { overflow-x: auto; }
figure { margin: .5rem 0; } svg { width: 100%; height: auto; }
svg text { font-size: 12px; fill: currentColor; }
figcaption { font-size: .85rem; } figcaption span { margin-right: 1rem; white-space: nowrap; }
figcaption i { display: inline-block; width: 1.2em; height: 3px; margin-right: .4em; vertical-align: middle; }
figcaption i.dashed { border-top: 2px dashed currentColor; height: 0; }
.grid { stroke: var(--line); stroke-width: .5; } .axis { stroke: currentColor; fill: none; }
.line { fill: none; stroke-width: 2; } .level { stroke: currentColor; stroke-dasharray: 5 4; }
pre { overflow-x: auto; font-size: .85rem; padding: .6rem; border: 1px solid var(--line); }
.note { color: #777; font-size: .9rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; }
mark { color: inherit; border-radius: .25em; padding: .1em .25em; background: rgba(var(--hue), .3); }
mark small { margin-left: .4em; font-size: .7em; font-weight: 600; opacity: .8; }
mark, .bar, .heat td { print-color-adjust: exact; }
.bar { display: inline-block; height: .7em; background: #0072b2; vertical-align: baseline; }
@media print { body { max-width: none; color: #000; background: #fff; } h2 { break-after: avoid; }
  figure, table, pre { break-inside: avoid; } }
"""

# Field of a model in report.json: heading, how it is written. Other numbers follow under their own names.
FIELDS = {
    "layers": ("layers", "{:,}"),
    "parameters": ("parameters", "{:,}"),
    "words": ("words", "{:,}"),
    "bytes": ("bytes", "{:,}"),
    "sentences_per_second": ("sentences/s", "{:.0f}"),
    "sequences_per_second": ("sequences/s", "{:.0f}"),
    "to_translation": ("to translation", "{:.1%}"),
    "to_source": ("to source", "{:.1%}"),
    "cosine": ("cosine", "{:.3f}"),
    "masked_lm": ("loss", "{:.3f}"),
    "perplexity": ("perplexity", "{:.1f}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "retained": ("retained", "{:.1%}"),
}


def page(run: RunRecord, similarity: Mapping[str, Any] | None = None) -> str:
    """The whole page.

    Parameters
    ----------
    run : RunRecord
    similarity : mapping, optional
        From `layer_similarity`.
    """
    parts = [_models(run), *(_stage(name, stage, run) for name, stage in run.stages.items())]
    if run.seeds:
        parts += [_seeds(run), _over_seeds(run)]
    if similarity:
        parts.append(_similarity(similarity))
    parts.append("<h2>Settings</h2>" + f"<pre>{escape(dump(run.settings))}</pre>")
    if run.made_with:
        rows = "".join(
            f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in run.made_with.items()
        )
        parts.append(f'<h2>Made with</h2><div class="wide"><table>{rows}</table></div>')
    return document(f"{run.path.resolve().name}: a run of minidistil", parts)


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page of parts that are HTML already; the title is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _models(run: RunRecord) -> str:
    """Teacher against student."""
    models = {  # null is what is not defined, such as the correlation of a constant
        name: {field: value for field, value in row.items() if value is not None}
        for name, row in run.report.get("models", {}).items()
    }
    if not models:
        return '<p class="note">This run has not finished.</p>'
    judged, teacher = str(run.report.get("primary", "accuracy")), models.get("teacher", {})
    shared = run.report.get("better") != "lower"  # there is no share of what is better for being less
    theirs = _mean(teacher.get(judged)) if shared else None
    for name, row in models.items():
        ours = _mean(row.get(judged))
        kept = None if ours is None or theirs is None else retained(ours, theirs)
        if name != "teacher" and kept is not None:
            row.setdefault("retained", kept)
    present = {f: None for row in models.values() for f, v in row.items() if _mean(v) is not None}
    fields = [f for f in FIELDS if f in present] + [f for f in present if f not in FIELDS]
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in models)
    lines = []
    for f in fields:
        cells = "".join(f"<td>{_written(f, row.get(f))}</td>" for row in models.values())
        lines.append(f'<tr><th scope="row">{escape(_heading(f))}</th>{cells}</tr>')
    note = f" Retained: share of the teacher's {escape(_heading(judged))}." if "retained" in fields else ""
    return (
        f'<h2>Models</h2><div class="wide"><table><tr><td></td>{head}</tr>{"".join(lines)}</table></div>'
        f'<p class="note">On held-out text.{note}</p>'
    )


def _heading(field: str) -> str:
    return FIELDS[field][0] if field in FIELDS else field.replace("_per_second", "/s").replace("_", " ")


def _mean(value: Any) -> float | None:
    """A number, or the mean over seeds."""
    return number(value.get("mean") if isinstance(value, Mapping) else value)


def _written(field: str, value: Any) -> str:
    """A number as its column has it, or a mean with the lowest and the highest."""
    if isinstance(value, Mapping):
        mean, low, high = (_written(field, value.get(key)) for key in ("mean", "lowest", "highest"))
        return mean if low == high else f"{mean} ({low} to {high})"
    if number(value) is None:
        return ""
    if field in FIELDS:
        return FIELDS[field][1].format(value)
    return f"{value:.0f}" if field.endswith("per_second") else f"{value:.4g}"


def _stage(name: str, stage: Stage, run: RunRecord) -> str:
    """Curves of one training."""
    terms = sorted(stage.train.keys() - {"loss", "lr"})
    teacher = run.teacher
    if not teacher and not name:  # stages of a job are measured on less than its report is
        teacher = run.report.get("models", {}).get("teacher", {})
    parts = [f"<h2>Training{': ' + escape(name) if name else ''}</h2>"]
    parts.append(line_chart({"loss": stage.train.get("loss", ())}, x="step", y="loss"))
    if len(terms) > 1:
        parts += [line_chart({term: stage.train[term]}, x="step", y=term) for term in terms]
    for metric in sorted(stage.eval):
        level = number(teacher.get(metric))
        levels = None if level is None else {"teacher": level}
        parts.append(line_chart({metric: stage.eval[metric]}, x="step", y=metric, levels=levels))
    parts.append(line_chart({"learning rate": stage.train.get("lr", ())}, x="step", y="learning rate"))
    if stage.tokens and stage.seconds > 0:
        parts.append(
            f'<p class="note">{stage.tokens:,} tokens in {stage.seconds / 60:.1f} minutes, '
            f"{stage.tokens / stage.seconds:,.0f} a second.</p>"
        )
    return "\n".join(parts)


def _seeds(run: RunRecord) -> str:
    """Results of each seed: the metric that its task is judged by, and those that were measured."""
    rows = {}
    for name, seed in run.seeds.items():
        models = seed.report.get("models", {})
        rows[name] = models.get("student") or models.get("model") or {}
    judged = str(run.report.get("primary", "accuracy"))
    there = dict.fromkeys([judged, *(f for row in rows.values() for f in row)])
    there = dict.fromkeys(f for f in there if f not in ("layers", "parameters", "bytes"))
    fields = [f for f in there if any(number(row.get(f)) is not None for row in rows.values())]
    head = "".join(f'<th scope="col">{escape(_heading(f))}</th>' for f in fields)
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_written(f, row.get(f))}</td>" for f in fields)
        + "</tr>"
        for name, row in rows.items()
    ]
    return (
        f'<h2>Seeds</h2><div class="wide"><table><tr><td></td>{head}</tr>{"".join(lines)}</table></div>'
        '<p class="note">Each has a page of its own: minidistil report on its directory.</p>'
    )


def _over_seeds(run: RunRecord) -> str:
    """The loss and what was measured, a line for each seed."""
    stages = {name: stage for name, seed in run.seeds.items() for stage in seed.stages.values()}
    parts = ["<h2>Training</h2>"]
    losses = {name: stage.train.get("loss", ()) for name, stage in stages.items()}
    parts.append(line_chart(losses, x="step", y="loss"))
    for metric in sorted({metric for stage in stages.values() for metric in stage.eval}):
        curves = {name: stage.eval.get(metric, ()) for name, stage in stages.items()}
        parts += [f"<p>{escape(_heading(metric))}</p>", line_chart(curves, x="step", y=metric)]
    return "\n".join(parts)


def _similarity(similarity: Mapping[str, Any]) -> str:
    """Layers of the student (rows) beside those of the teacher (columns)."""
    parts = ["<h2>Layer by layer</h2>"]
    titles = {
        "cka": "Linear CKA of hidden states: 1 where one is the other turned and scaled",
        "cosine": "Mean cosine of hidden states",
    }
    for key, title in titles.items():
        rows = similarity.get(key)
        if rows:
            names = [["embeddings", *map(str, range(1, n))] for n in (len(rows), len(rows[0]))]
            parts.append(f"<p>{title}. Student down, teacher across.</p>")
            parts.append(heat_map(rows, row_names=names[0], column_names=names[1]))
    return "\n".join(parts)
