"""Results of `minidistil compare` as a table and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from minidistil.errors import MinidistilError

if TYPE_CHECKING:
    import numpy.typing as npt

    from minidistil.cli.compare import Side
    from minidistil.verify.compare import Comparison, Largest, TensorComparison

Given = Mapping[str, Any]
LISTED = 40  # names that one side has alone
SHOWN = 6  # names that agree after the first divergence


def as_json(result: Comparison, sides: list[Side], given: Given) -> str:
    """The result as one object; null for NaN and infinity, which JSON does not have."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(part) for part in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    tensors = []
    for t in result.tensors:
        found = asdict(t)
        if t.largest is not None:
            found["largest"]["where"] = place(t.name, t.largest, [])
        tensors.append(found)
    return json.dumps(
        plain(
            {
                "a": {"source": sides[0].source, "what": sides[0].title},
                "b": {"source": sides[1].source, "what": sides[1].title},
                "tolerance": result.tolerance,
                "passed": result.passed,
                "first_divergence": result.first_divergence,
                "agree_after": result.agree_after(),
                "operation": operation_of(result, sides, given),
                "tensors": tensors,
                "only_in_a": result.only_in_a,
                "only_in_b": result.only_in_b,
                "other_loss": result.other_loss,
            }
        ),
        indent=1,
        allow_nan=False,
    )


def operation_of(result: Comparison, sides: list[Side], given: Given) -> dict[str, Any] | None:
    """The operation at the first divergence, as JSON."""
    from minidistil.verify.operations import says

    if (first := result.first) is None:
        return None
    agree, between = result.inputs()
    return {
        "what": says(first.name) or first.name,
        "inputs_that_agree": agree,
        "inputs_not_compared": between,
        "where": first.largest and place(first.name, first.largest, tokens_of(sides, given)),
    }


def as_table(result: Comparison, sides: list[Side], a: Mapping[str, npt.NDArray[Any]]) -> str:
    """A line for each tensor; taps and gradients by part of the model, one by one at the first divergence."""
    lines = [f"{name}  {side.source}: {side.title}" for name, side in zip("AB", sides, strict=True)]
    if "attention_mask" in a:
        mask = a["attention_mask"] != 0
        lines.append(f"sequences: {len(mask)}, tokens: {int(mask.sum())}")
    rows = rows_of(result)
    width = max(len(name) for name, *_ in rows)
    lines += ["", f"{'tensor':{width}}   max abs  relative      cosine"]
    for name, t, note in rows:
        verdict = "" if t.passed else "  FAILED"
        if t.shapes:
            verdict += f": shape {list(t.shapes[0])} in A, {list(t.shapes[1])} in B"
        if t.transposed:
            verdict += f"{',' if t.shapes else ':'} B is the transpose{_axes(t)}"
        lines.append(f"{name:{width}}  {t.max_abs:8.1e}  {t.relative:8.1e}  {t.cosine:10.7f}{verdict}{note}")
    lines += ["", *only_lines(result, sides)]
    if result.other_loss:
        lines.append("loss and gradients are left out: the two sides had different targets")
    failed = sum(not t.passed for t in result.tensors)
    if result.first is None:
        lines.append(f"all {len(result.tensors)} tensors agree within {limits(result, sides)}")
    else:
        lines.append(
            f"{failed} of {len(result.tensors)} tensors differ by more than {limits(result, sides)}; "
            f"the first divergence is {result.first_divergence}"
        )
        lines += reasons(result, sides, a)
    return "\n".join(lines)


def limits(result: Comparison, sides: list[Side]) -> str:
    """The tolerances in words."""
    found = {t.tolerance for t in result.tensors}
    others = found - {result.tolerance}
    if any(side.reference for side in sides) and others:
        least, most = f"{min(found):.1e}", f"{max(found):.1e}"
        return f"their tolerances, {least if least == most else f'{least} to {most}'}"
    looser = [t for t in result.tensors if t.tolerance in others]
    half = f", {len(looser)} stored in half precision within {max(others):.0e}" if looser else ""
    return f"{result.tolerance:.0e}{half}"


def _axes(t: TensorComparison) -> str:
    """Axes that a transpose swaps, where there are more than two."""
    assert t.transposed is not None
    axes = len(t.shapes[0]) if t.shapes else len(t.largest.index if t.largest else ())
    return f" (axes {t.transposed[0]} and {t.transposed[1]} swapped)" if axes > 2 else ""


def rows_of(result: Comparison) -> list[tuple[str, TensorComparison, str]]:
    """Lines of the table: a title, a tensor, and a note."""
    from minidistil.model.taps import GRADIENT
    from minidistil.verify.operations import part_of, tap_of

    rows = []
    for part, group in groupby(result.tensors, key=lambda t: part_of(t.name)):
        tensors = list(group)
        worst, inside = max(tensors, key=badness), tap_of(tensors[0].name) is not None
        if len(tensors) > 1:
            bad = [t for t in tensors if not t.passed]
            count = f"{len(bad)} of {len(tensors)}, worst" if bad else f"worst of {len(tensors)}:"
            title = part if inside else f"gradients, {part}"
            rows.append((title, worst, f"  {count} {worst.name.removeprefix(GRADIENT)}"))
            here = result.first_divergence in [t.name for t in bad]
            tensors = (tensors if inside else bad) if here else []
        rows += [(t.name + " (embeddings)" * (t.name == "hidden_states.0"), t, "") for t in tensors]
    return rows


def only_lines(result: Comparison, sides: list[Side]) -> list[str]:
    """Names that one side has alone; those of files one by one, each with the nearest name that is known."""
    from minidistil.verify.compare import nearest, with_nearest

    lines = []
    pairs = (
        ("A", "B", result.only_in_a, result.only_in_b),
        ("B", "A", result.only_in_b, result.only_in_a),
    )
    for side, other, (name, other_name, only, others) in zip(sides, reversed(sides), pairs, strict=True):
        if side.reference is not None and other.reference is None and (only or other.saved):
            every = len(result.tensors) + len(only)
            lacking = f"; {other_name} lacks {with_nearest(only, others, 3)}" if only else ""
            lines.append(f"{len(result.tensors)} of {every} tensors of the reference compared{lacking}")
            continue
        if not only:
            continue
        if side.saved is None or (other.model or other.reference) is None or len(only) > LISTED:
            lines.append(f"only in {name}, {len(only)}: {with_nearest(only, others)}")
            continue
        known = [known for known in known_names(other, result) if known not in only]
        lines.append(f"only in {name}, {len(only)}:")
        lines += [f"  {alone}{nearest(alone, known)}" for alone in only]
    return lines


def known_names(side: Side, result: Comparison) -> list[str]:
    """Names that a model could be compared under."""
    from minidistil.model.taps import GRADIENT

    inside = [*(side.model.taps() if side.model else ()), *result.modules]
    names = [*result.only_in_a, *result.only_in_b, *(t.name for t in result.tensors), *inside]
    return [*dict.fromkeys([*names, *(GRADIENT + name for name in inside)])]


def reasons(result: Comparison, sides: list[Side], given: Given) -> list[str]:
    """The operation at the first divergence, and the numbers around its largest difference."""
    from minidistil.verify.operations import says, state_of

    first = result.first
    assert first is not None
    lines = []
    agree, between = result.inputs()
    if words := says(first.name):
        lines.append(f"that is {words}")
    if agree:
        lines.append(f"computed from {' and '.join(agree)}, which agree{'s' * (len(agree) == 1)}")
        if between:
            lines[-1] += f"; between them, not compared: {', '.join(between)}"
    if first.transposed:
        lines.append(f"transposed, B agrees{_axes(first)}")
    if (state := state_of(first.name)) and not any(says(t.name) for t in result.tensors):
        lines.append(
            f"to find the operation, give numbers inside layer {state - 1}, such as "
            f"layer.{state - 1}.attention.q (docs/taps.md has all names)"
        )
    if agree := result.agree_after():
        more = f" and {len(agree) - SHOWN} more" if len(agree) > SHOWN else ""
        lines.append(f"after it {len(agree)} agree: {', '.join(agree[:SHOWN])}{more}")
    if first.largest is not None:
        lines += ["", f"largest difference: {place(first.name, first.largest, tokens_of(sides, given))}"]
        lines += numbers(first.largest)
    return lines


def numbers(largest: Largest) -> list[str]:
    """Numbers of both sides as three lines, the column of the largest difference marked."""
    columns = range(largest.first, largest.first + len(largest.a))
    marks = [f"{i}{'*' if i == largest.index[-1] else ' '}" if largest.index else "" for i in columns]
    rows = [
        ("", marks),
        *((name, [f"{x:.5g} " for x in row]) for name, row in zip("AB", (largest.a, largest.b), strict=True)),
    ]
    return [f"{name:3}{''.join(f'{cell:>13}' for cell in row)}".rstrip() for name, row in rows]


def place(name: str, largest: Largest, tokens: list[list[str]]) -> str:
    """Place of the largest difference in words: "sequence 0, token 3 (film), column 17"."""
    from minidistil.verify.operations import MAPS, is_parameter, tap_of

    index, tap = largest.index, tap_of(name)
    if tap is not None and tap.operation in MAPS and len(index) == 4:
        axes = ["sequence", "head", "query", "key"]
    elif is_parameter(name):
        axes = ["row", "column"][-len(index) :] if len(index) < 3 else []
    elif len(index) == 3:
        axes = ["sequence", "token", "column"]
    elif len(index) == 2:
        axes = ["sequence", "token" if name in ("start_logits", "end_logits") else "column"]
    else:
        axes = []
    axes = axes or [f"axis {i}" for i in range(len(index))]
    words = []
    for axis, i in zip(axes, index, strict=True):
        text = ""
        if axis in ("token", "query", "key") and index[0] < len(tokens) and i < len(tokens[index[0]]):
            text = f" ({tokens[index[0]][i]})"
        words.append(f"{axis} {i}{text}")
    return ", ".join(words) or "the only number"


def tokens_of(sides: list[Side], given: Given) -> list[list[str]]:
    """Tokens of each sequence, if a model's tokenizer is there."""
    from minidistil.text.tokenizer import Tokenizer

    for side in sides:
        if side.model is not None and "input_ids" in given:
            try:
                tokenizer = Tokenizer.from_pretrained(side.source)
            except MinidistilError:
                continue
            ids = given["input_ids"]
            return [[tokenizer.shown_token(int(i)) for i in row] for row in ids.reshape(-1, ids.shape[-1])]
    return []


def badness(t: TensorComparison) -> float:
    """Sort key of the worst tensor: NaN is worse than any number."""
    return math.inf if math.isnan(t.relative) else t.relative
