"""Results as Markdown, on the terminal and in docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import analysis
from benchmarks.analysis import Result, Spread, goal_for
from benchmarks.disturbance import ENOUGH, OTHERS, SLOW, SLOWED, TAKEN
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
        *checkouts(pairs, results.get("commits", {})),
        *failures(pairs),
        *too_disturbed(pairs),
    ]
    return "\n\n".join(parts) + "\n"


def machine(results: Results) -> str:
    """Date, machine, versions and disturbances, as a list."""
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
    lines.append(disturbance(results["workloads"].values()))
    if results.get("again"):
        lines.append(f"measured again at that date, the others before: {', '.join(results['again'])}")
    return "\n".join(f"- {line}" for line in lines)


def disturbance(results: Iterable[Result]) -> str:
    """Number of turns that were disturbed, and by what."""
    turns = [(result, engine) for result in results for engine in analysis.measured(result)]
    reasons = [each for turn in turns for each in analysis.disturbed(*turn)]
    slow, others = (sum(reason in each for each in reasons) for reason in (SLOWED, OTHERS))
    parts = [
        f"{sum(map(bool, reasons))} of {len(reasons)} turns were disturbed",
        f"{slow} were slower than {SLOW:.0%} of their engine's best",
        f"in {others} others had more than {TAKEN:.0%} of the cores",
    ]
    if unknown := sum(load is None for turn in turns for load in analysis.loads(*turn)):
        parts.append(f"of {unknown} the rate alone is known (no /proc/stat)")
    return "; ".join(parts)


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
        rows.append([*row, *(speed_cell(workload, result, peer) for peer in peers)])
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
        cells = [cell(result["engines"].get(engine, {})) for engine in engines]
        rows.append([workload.name, *cells, memory_cell(workload, result, TORCH)])
    return table(["workload", *(f"{TITLES[e]}, MB" for e in engines), "ours over PyTorch's"], rows)


def start_table(pairs: Pairs) -> str:
    """Seconds from start to end of the process, and its peak memory."""

    def cells(workload: Workload, result: Result, engine: str) -> list[str]:
        spread = analysis.seconds(result, engine)
        if spread is None:
            return [NOTHING, NOTHING]
        peak = result["engines"][engine]["peak"]
        ours = engine == OURS
        soon, small = (
            (goal_for(workload, "seconds"), goal_for(workload, "megabytes")) if ours else (None, None)
        )
        return [ratio(spread, soon), f"{peak:,.0f}{verdict(small, peak)}"]

    engines = (OURS, TORCH)
    head = [f"{TITLES[engine]}, {unit}" for engine in engines for unit in ("s", "MB")]
    rows = [[w.name, *(cell for engine in engines for cell in cells(w, r, engine))] for w, r in pairs]
    return table(["workload", *head], rows)


def overall(pairs: Pairs) -> list[str]:
    """Median over all forward passes without padding that were undisturbed in enough rounds."""
    spreads = [
        spread
        for workload, result in pairs
        if workload.task == "forward" and workload.batch and (spread := analysis.speed_ratio(result, TORCH))
    ]
    ratios = [spread.median for spread in spreads if spread.enough]
    if not ratios:
        return []
    median, without = statistics.median(ratios), len(spreads) - len(ratios)
    left_out = f" ({without} disturbed ones left out)" if without else ""
    head = f"Median over PyTorch of the {len(ratios)} without padding{left_out}"
    return [f"{head}: {median:.2f}{verdict(OVERALL, median)}"]


def checkouts(pairs: Pairs, commits: Mapping[str, str]) -> list[str]:
    """Time and peak memory of every workload beside each other checkout of minidistil, a section each."""
    timed = [analysis.measured(result) for _, result in pairs]
    parts = []
    for name in dict.fromkeys(e for engines in timed if OURS in engines for e in engines if e not in ENGINES):
        both = (OURS, name)
        chosen = [(w, result) for w, result in pairs if {*both} <= {*analysis.measured(result)}]
        rows = []
        for w, result in chosen:
            times = [milliseconds(analysis.seconds(result, engine)) for engine in both]
            peaks = [f"{result['engines'][engine]['peak']:,.0f}" for engine in both]
            rows.append(
                [w.name, *times, speed_cell(w, result, name, 3), *peaks, memory_cell(w, result, name, 3)]
            )
        title = " beside ".join(f"{engine} {commits.get(engine, '')}".strip() for engine in both)
        times, peaks = ([f"{engine}, {unit}" for engine in both] for unit in ("ms", "MB"))
        head = ["workload", *times, f"over {name}", *peaks, f"ours over {name}'s"]
        parts += [f"### {title}", table(head, rows), *agreement(chosen)]
    return parts


def agreement(pairs: Pairs) -> list[str]:
    """Largest difference between engines before they were timed."""
    largest = analysis.largest_difference(pairs)
    if largest is None:
        return []
    share, where = largest
    return [f"Largest difference between engines: {share:.1e} of a tensor's largest value ({where})"]


def failures(pairs: Pairs) -> list[str]:
    """Workloads that torch.compile failed at, with its reason."""
    return [
        f"{TITLES[engine]} could not take part in {workload.name}: {found['failed']}"
        for workload, result in pairs
        for engine, found in result["engines"].items()
        if "failed" in found
    ]


def too_disturbed(pairs: Pairs) -> list[str]:
    """Workloads that have a time or a ratio from too few undisturbed rounds."""

    def spreads(result: Result) -> list[Spread | None]:
        engines = analysis.measured(result)
        ratios = [analysis.speed_ratio(result, engine) for engine in engines if engine != OURS]
        return [*ratios, *(analysis.seconds(result, engine) for engine in engines)]

    names = [w.name for w, result in pairs if not all(s.enough for s in spreads(result) if s)]
    if not names:
        return []
    why = f"`disturbed`: from fewer than {ENOUGH} undisturbed rounds; from all rounds where there are none"
    return [f"{why}. To be measured again on a quiet machine (--again): {', '.join(names)}"]


def verdict(goal: Goal | None, measured: float) -> str:
    """Mark of a goal that is reached or not, and its bound; empty without a goal."""
    if goal is None:
        return ""
    sign = "≥" if goal.quantity == "speed" else "≤"
    return f" {'✓' if analysis.reached(goal, measured) else '✗'} {sign} {goal.bound:g}"


def speed_cell(workload: Workload, result: Result, peer: str, digits: int = 2) -> str:
    return ratio(analysis.speed_ratio(result, peer), goal_for(workload, "speed", peer), digits)


def memory_cell(workload: Workload, result: Result, peer: str, digits: int = 2) -> str:
    share, goal = analysis.memory_ratio(result, peer), goal_for(workload, "memory", peer)
    return NOTHING if share is None else f"{share:.{digits}f}{verdict(goal, share)}"


def ratio(spread: Spread | None, goal: Goal | None, digits: int = 2) -> str:
    """Median (lowest to highest; undisturbed rounds of all), and the goal if there are enough of them."""
    if spread is None:
        return NOTHING
    median, low, high = (f"{value:.{digits}f}" for value in (spread.median, spread.low, spread.high))
    text = f"{median} ({low} to {high}; {spread.undisturbed} of {spread.rounds})"
    return text + verdict(goal, spread.median) if spread.enough else f"disturbed {text}"


def time_and_rate(spread: Spread | None, flops: float) -> str:
    return f"{milliseconds(spread)} ({flops / spread.median / 1e9:.0f})" if spread else NOTHING


def milliseconds(spread: Spread | None) -> str:
    if spread is None:
        return NOTHING
    value = 1e3 * spread.median
    return f"{'' if spread.enough else 'disturbed '}{value:,.{0 if value >= 100 else 1}f}"


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
