"""Results as Markdown, on the terminal and in docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import analysis
from benchmarks.analysis import Result, Spread, goal_for
from benchmarks.workloads import COMPILED, ENGINES, ORT, OURS, OVERALL, TORCH, Goal, Workload, find
from minidistil.files import atomic_write

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- begin: written by make bench -->", "<!-- end: written by make bench -->"

TITLES = {OURS: "minidistil", TORCH: "PyTorch", COMPILED: "torch.compile", ORT: "ONNX Runtime"}
NOTHING = "–"

Results = dict[str, Any]
Pairs = Sequence[tuple[Workload, Result]]


def markdown(results: Results) -> str:
    """The whole report."""
    pairs = [(find(name), result) for name, result in results["workloads"].items()]

    def section(title: str, tasks: Sequence[str], make: Callable[[Pairs], str]) -> list[str]:
        chosen = [(workload, result) for workload, result in pairs if workload.task in tasks]
        return [f"### {title}", make(chosen)] if chosen else []

    parts = [
        machine(results),
        *section("Forward pass", ["forward"], speed_table),
        *overall(pairs),
        *section("From texts to scores", ["label", "answer"], speed_table),
        *section("Training step", ["classify", "distil"], speed_table),
        *section("Peak memory of training", ["classify", "distil"], memory_table),
        *section("A fresh process", ["start"], start_table),
        *failures(pairs),
    ]
    return "\n\n".join(parts) + "\n"


def machine(results: Results) -> str:
    """Where, when and how it was measured."""
    m, s = results["machine"], results["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    lines = [
        f"{m['date']}, {s['rounds']} rounds{', a quick run' if s['quick'] else ''}",
        f"{m['processor']} (family/model/stepping {m['family']}), {m['cores']} cores, {m['memory_gb']} GB, "
        f"{' '.join(m['instructions'])}",
        f"{m['system']}, Python {m['python']}, {versions}",
    ]
    if m["busy"] is not None:
        lines.append(f"{100 * m['busy']:.0f} % of the machine was busy with other things when it began")
    if results.get("again"):
        lines.append(f"measured again at that date, the others before: {', '.join(results['again'])}")
    return "\n".join(f"- {line}" for line in lines)


def speed_table(pairs: Pairs) -> str:
    """Times, throughput, ratios against every peer that took part, and how well all agreed."""
    present = [e for e in ENGINES if any(analysis.seconds(result, e) for _, result in pairs)]
    peers = [engine for engine in present if engine != OURS]
    rows = []
    for workload, result in pairs:
        row = [workload.name]
        row += [time_and_rate(analysis.seconds(result, engine), result["flops"]) for engine in present]
        ours = analysis.seconds(result, OURS)
        row.append(f"{result['tokens'] / ours.median:,.0f}" if ours else NOTHING)
        row += [
            ratio(analysis.speed_ratio(result, peer), goal_for(workload, "speed", peer)) for peer in peers
        ]
        rows.append(row)
    times = [f"{TITLES[engine]}, ms (GFLOP/s)" for engine in present]
    head = ["workload", *times, "our tokens/s", *(f"over {TITLES[peer]}" for peer in peers)]
    return "\n\n".join([table(head, rows), *agreement(pairs)])


def memory_table(pairs: Pairs) -> str:
    """Peak of each process, and in brackets how much of it came after the imports."""

    def cell(found: Result) -> str:
        if "peak" not in found:
            return NOTHING
        return f"{found['peak']:,.0f} ({found['peak'] - found['imported']:,.0f})"

    engines = (OURS, TORCH, COMPILED)
    rows = []
    for workload, result in pairs:
        share, goal = analysis.memory_ratio(result, TORCH), goal_for(workload, "memory", TORCH)
        cells = [cell(result["engines"].get(engine, {})) for engine in engines]
        rows.append(
            [workload.name, *cells, NOTHING if share is None else f"{share:.2f}{verdict(goal, share)}"]
        )
    return table(["workload", *(f"{TITLES[e]}, MB" for e in engines), "ours over PyTorch's"], rows)


def start_table(pairs: Pairs) -> str:
    """Seconds from start to end of the process, and its peak memory."""

    def cells(workload: Workload, result: Result, engine: str) -> list[str]:
        spread = analysis.seconds(result, engine)
        if spread is None:
            return [NOTHING, NOTHING]
        peak = result["engines"][engine]["peak"]
        soon, small = (goal_for(workload, quantity) if engine == OURS else None for quantity in ABSOLUTE)
        return [ratio(spread, soon), f"{peak:,.0f}{verdict(small, peak)}"]

    engines = (OURS, TORCH)
    head = [f"{TITLES[engine]}, {unit}" for engine in engines for unit in ("s", "MB")]
    rows = [
        [workload.name, *(c for e in engines for c in cells(workload, result, e))]
        for workload, result in pairs
    ]
    return table(["workload", *head], rows)


ABSOLUTE = ("seconds", "megabytes")


def overall(pairs: Pairs) -> list[str]:
    """Median over all forward passes without padding."""
    ratios = [
        spread.median
        for workload, result in pairs
        if workload.task == "forward" and workload.batch and (spread := analysis.speed_ratio(result, TORCH))
    ]
    if not ratios:
        return []
    median = statistics.median(ratios)
    return [
        f"Median over PyTorch of the {len(ratios)} without padding: {median:.2f}{verdict(OVERALL, median)}"
    ]


def agreement(pairs: Pairs) -> list[str]:
    """How far apart the engines were before they were timed."""
    largest = analysis.largest_difference(pairs)
    if largest is None:
        return []
    share, where = largest
    return [f"Largest difference between engines: {share:.1e} of a tensor's largest value ({where})"]


def failures(pairs: Pairs) -> list[str]:
    """What torch.compile could not do."""
    return [
        f"{TITLES[engine]} could not take part in {workload.name}: {found['failed']}"
        for workload, result in pairs
        for engine, found in result["engines"].items()
        if "failed" in found
    ]


def verdict(goal: Goal | None, measured: float) -> str:
    """Whether the goal is reached, and what it is; nothing without a goal."""
    if goal is None:
        return ""
    sign = "≥" if goal.quantity == "speed" else "≤"
    return f" {'✓' if analysis.reached(goal, measured) else '✗'} {sign} {goal.bound:g}"


def ratio(spread: Spread | None, goal: Goal | None) -> str:
    if spread is None:
        return NOTHING
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f}){verdict(goal, spread.median)}"


def time_and_rate(spread: Spread | None, flops: float) -> str:
    if spread is None:
        return NOTHING
    value = 1e3 * spread.median
    return f"{value:,.{0 if value >= 100 else 1}f} ({flops / spread.median / 1e9:.0f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(results: Results, page: Path = PAGE) -> None:
    """Put the report between the markers of the page."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no part between {BEGIN!r} and {END!r}")
    with atomic_write(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n{END}{after}", encoding="utf-8")
