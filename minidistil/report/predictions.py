"""Predictions as one HTML page that needs nothing else: what was found, marked where it stands.

Each function takes the object that `minidistil predict --json` prints for one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

# Red, green and blue of marks: those of the charts.
HUES = ("0,114,178", "213,94,0", "0,158,115", "204,121,167", "230,159,0", "86,180,233")


class Mark(NamedTuple):
    """A stretch of a text, from and up to, with the word that goes with it."""

    start: int
    end: int
    note: str
    kind: int = 0


def marked(text: str, marks: Iterable[Mark]) -> str:
    """A text with stretches marked. Of two that overlap the one that begins first is shown."""
    parts, at = [], 0
    for mark in sorted(marks):
        if mark.start < at or mark.end <= mark.start:
            continue
        inside = escape(text[mark.start : mark.end])
        note = f"<small>{escape(mark.note)}</small>" if mark.note else ""
        hue = HUES[mark.kind % len(HUES)]
        parts += [escape(text[at : mark.start]), f'<mark style="--hue:{hue}">{inside}{note}</mark>']
        at = mark.end
    return f'<p class="text" dir="auto">{"".join(parts)}{escape(text[at:])}</p>'


def bars(scores: Mapping[str, float]) -> str:
    """Names with probabilities, the largest first."""
    rows = []
    for name, value in sorted(scores.items(), key=lambda item: -item[1]):
        width = 8 * min(max(value, 0), 1)
        bar = f'<td style="text-align:left"><span class="bar" style="width:{width:.2f}rem"></span></td>'
        rows.append(f'<tr><th scope="row">{escape(name)}</th><td>{value:.4f}</td>{bar}</tr>')
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells under a head; numbers with four decimals."""

    def cell(value: object) -> str:
        return f"<td>{value:.4f}</td>" if isinstance(value, float) else f"<td>{escape(str(value))}</td>"

    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{lines}</table></div>'


def labels(facts: Mapping[str, Any]) -> str:
    """A text, or a pair, and its labels, or its number."""
    second = marked(facts["pair"], []) if "pair" in facts else ""
    said = bars(facts["scores"]) if "scores" in facts else f'<p class="note">{facts["score"]:.4f}</p>'
    return marked(facts["text"], []) + second + said


def intents(facts: Mapping[str, Any]) -> str:
    """A text, its intent, and the nearest examples."""
    rows = [(c["label"], c["score"], c["example"]) for c in facts["candidates"]]
    found = f'<p class="note">{escape(facts["label"])}</p>'
    return marked(facts["text"], []) + found + table(("intent", "score", "example"), rows)


def faq(facts: Mapping[str, Any]) -> str:
    """A question, its answer, and the nearest that were asked before."""
    rows = [(c["question"], c["score"], c["answer"]) for c in facts["candidates"]]
    answer = "No answer." if facts["answer"] is None else facts["answer"]
    found = f'<p class="note">{escape(answer)}</p>'
    return f"<h3>{escape(facts['text'])}</h3>" + found + table(("question", "score", "answer"), rows)


def entities(facts: Mapping[str, Any]) -> str:
    """A text with its entities; each type has its colour."""
    types = sorted({e["type"] for e in facts["entities"]})
    return marked(
        facts["text"],
        [
            Mark(e["start"], e["end"], f"{e['type']} {e['score']:.2f}", types.index(e["type"]))
            for e in facts["entities"]
        ],
    )


def answers(facts: Mapping[str, Any]) -> str:
    """A question, the best answer where it stands in the context, and the other candidates."""
    best = Mark(facts["start"], facts["end"], f"{facts['score']:.2f}")
    rows = [(c["text"], c["score"], f"{c['start']}-{c['end']}") for c in facts["candidates"]]
    found = "" if facts["text"] else '<p class="note">No answer.</p>'
    return (
        f"<h3>{escape(facts['question'])}</h3>"
        + marked(facts["context"], [best])
        + found
        + table(("answer", "probability", "characters"), rows)
    )


def words(facts: Mapping[str, Any]) -> str:
    """A text with its masks, the words for each, and the text with all of them filled in."""
    masks = facts["masks"]
    parts = [
        marked(
            facts["text"],
            [Mark(m["start"], m["end"], m["candidates"][0]["token"], i) for i, m in enumerate(masks)],
        ),
        *(bars({c["token"]: c["score"] for c in mask["candidates"]}) for mask in masks),
    ]
    if len(masks) > 1:
        parts.append(marked(facts["filled"], []))
    return "".join(parts)


def choices(facts: Mapping[str, Any]) -> str:
    """A context and its choices with their probabilities, the likeliest first."""
    ranked = sorted(zip(facts["choices"], facts["scores"], strict=True), key=lambda pair: -pair[1])
    context = f"{facts['context']} {facts['start']}".rstrip()
    return marked(context, []) + table(("choice", "probability"), ranked)


def summary(facts: Mapping[str, Any]) -> str:
    """A document with the sentences of its summary marked."""
    return marked(
        facts["text"], [Mark(s["start"], s["end"], f"{s['score']:.2f}") for s in facts["sentences"]]
    )
