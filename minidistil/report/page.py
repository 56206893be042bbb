"""A run as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from minidistil.recipes import dump
from minidistil.report.chart import heat_map, line_chart
from minidistil.report.run import RunRecord

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
    "layers": ("layers", "{:d}"),
    "parameters": ("parameters", "{:,d}"),
    "words": ("words", "{:,d}"),
    "bytes": ("bytes", "{:,d}"),
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
APART = ("kind", "step", "epoch", "loss", "lr", "grad_norm", "tokens", "examples", "seconds")


def page(run: RunRecord, similarity: Mapping[str, Any] | None = None) -> str:
    """The whole page.

    Parameters
    ----------
    run : RunRecord
    similarity : mapping, optional
        From `layer_similarity`.
    """
    parts = [_models(run), *(_stage(name, records, run) for name, records in run.metrics.items())]
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
    for row in models.values():
        if shared and judged in row and teacher.get(judged):
            row.setdefault("retained", row[judged] / teacher[judged])
    present = {f: None for row in models.values() for f, v in row.items() if isinstance(v, (int, float))}
    fields = [f for f in FIELDS if f in present] + [f for f in present if f not in FIELDS]
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in models)
    lines = []
    for f in fields:
        cells = "".join(f"<td>{_written(f, row[f]) if f in row else ''}</td>" for row in models.values())
        lines.append(f'<tr><th scope="row">{escape(_heading(f))}</th>{cells}</tr>')
    note = f" Retained: share of the teacher's {escape(_heading(judged))}." if "retained" in fields else ""
    return (
        f'<h2>Models</h2><div class="wide"><table><tr><td></td>{head}</tr>{"".join(lines)}</table></div>'
        f'<p class="note">On held-out text.{note}</p>'
    )


def _heading(field: str) -> str:
    return FIELDS[field][0] if field in FIELDS else field.replace("_per_second", "/s").replace("_", " ")


def _written(field: str, value: float) -> str:
    """A number as its column has it."""
    if field in FIELDS:
        return FIELDS[field][1].format(value)
    return f"{value:.0f}" if field.endswith("per_second") else f"{value:.4g}"


def _stage(name: str, records: Sequence[Mapping[str, Any]], run: RunRecord) -> str:
    """Curves of one training."""
    train = [r for r in records if r.get("kind") == "train"]
    evals = [r for r in records if r.get("kind") == "eval"]

    def curve(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
        return [(float(r["step"]), float(r[key])) for r in rows if isinstance(r.get(key), (int, float))]

    terms = sorted(
        {k for r in train for k in r} - set(APART) - {k for r in train for k in r if "per_second" in k}
    )
    teacher = run.teacher
    if not teacher and not name:  # stages of a job are measured on less than its report is
        teacher = run.report.get("models", {}).get("teacher", {})
    parts = [f"<h2>Training{': ' + escape(name) if name else ''}</h2>"]
    parts.append(line_chart({"loss": curve(train, "loss")}, x="step", y="loss"))
    if len(terms) > 1:
        parts += [line_chart({term: curve(train, term)}, x="step", y=term) for term in terms]
    for metric in sorted({k for r in evals for k in r} - {"kind", "step", "epoch"}):
        level = teacher.get(metric)
        levels = {"teacher": float(level)} if isinstance(level, (int, float)) else None
        points = curve(evals, metric)
        if len(points) > 1 or not run.report:  # one point is in the table, once there is one
            parts.append(line_chart({metric: points}, x="step", y=metric, levels=levels))
    parts.append(line_chart({"learning rate": curve(train, "lr")}, x="step", y="learning rate"))
    if train and isinstance(train[-1].get("seconds"), (int, float)):
        tokens = sum(r.get("tokens", 0) for r in train)
        seconds = train[-1]["seconds"]
        rate = tokens / seconds if seconds else 0
        parts.append(
            f'<p class="note">{tokens:,} tokens in {seconds / 60:.1f} minutes, {rate:,.0f} a second.</p>'
        )
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
