"""From raw times to tables."""

from dataclasses import asdict

import pytest

from benchmarks import analysis, report
from benchmarks.disturbance import Load
from benchmarks.workloads import COMPILED, ORT, OURS, TORCH, Goal, find

FORWARD, DISTIL = "forward/minilm/8x128", "distil/bert-base/8x128"


def engine(*rounds, **more):
    """Rounds of three runs, the median in the middle."""
    return {"rounds": [[0.9 * s, s, 5 * s] for s in rounds], "notes": {}, **more}


@pytest.fixture
def results():
    return {
        "machine": {
            "date": "2026-01-02 03:04 UTC",
            "processor": "A processor",
            "family": "1/2/3",
            "cores": 2,
            "instructions": ["avx2"],
            "memory_gb": 8,
            "system": "Linux",
            "python": "3.11",
            "versions": {"numpy": "2.0"},
            "busy": 0.02,
        },
        "settings": {"rounds": 3, "turn": 0.3, "pause": 0.2, "quick": False},
        "workloads": {
            FORWARD: {
                "tokens": 1024,
                "flops": 20e9,
                "differences": {"last_hidden_state": {OURS: 1e-6, ORT: 3e-6}},
                "engines": {
                    OURS: engine(0.1, 0.2, 0.1, 0.1, imported=50, peak=150),
                    TORCH: engine(0.12, 0.24, 0.13, 0.12, imported=250, peak=500),
                    COMPILED: {"failed": "no compiler"},
                    ORT: engine(0.1, 0.2, 0.11, 0.1, imported=100, peak=300),
                },
            },
            DISTIL: {
                "tokens": 1024,
                "flops": 640e9,
                "differences": {"losses": {OURS: 1e-7}},
                "engines": {
                    OURS: engine(4, 4, 4, imported=50, peak=1500),
                    TORCH: engine(6, 6, 6, imported=250, peak=3200),
                },
            },
            "start/predict": {
                "differences": {},
                "engines": {
                    OURS: {"rounds": [[0.9], [1.2], [0.85], [0.9]], "peak": 210.0},
                    TORCH: {"rounds": [[5.0], [6.0], [5.5], [5.2]], "peak": 430.0},
                },
            },
        },
    }


def test_ratios_are_taken_round_by_round(results):
    spread = analysis.speed_ratio(results["workloads"][FORWARD], TORCH)
    assert (spread.low, spread.median, spread.high) == pytest.approx((1.2, 1.2, 1.3))
    assert analysis.speed_ratio(results["workloads"][FORWARD], COMPILED) is None
    assert analysis.memory_ratio(results["workloads"][DISTIL], TORCH) == 1500 / 3200


def test_disturbed_rounds_are_found_again_from_times_and_loads(results):
    """In the last round others had 0.5 of a second of two cores, in the second all were slow."""
    result = results["workloads"][FORWARD]
    loads = [Load(0.5, 2, own=1.0, idle=0.0, busy=1.0, steal=0.0)] * 3
    loads.append(Load(0.5, 2, own=0.5, idle=0.0, busy=1.0, steal=0.0))
    result["engines"][TORCH]["loads"] = [asdict(load) for load in loads]
    assert analysis.disturbed(result, TORCH) == ["", "slow", "", "others"]
    assert analysis.speed_ratio(result, TORCH) == analysis.Spread(1.25, 1.2, 1.3, 2, 4)
    report_lines = report.markdown(results).splitlines()
    [forward] = [line for line in report_lines if line.startswith(f"| {FORWARD}")]
    assert "| disturbed 1.25 (1.20 to 1.30; 2 of 4) | 1.00 (1.00 to 1.10; 3 of 4) ✗ ≥ 1.05 |" in forward
    assert "| 100 (200) | disturbed 125 (160) |" in forward
    assert any(line.endswith(f"(--again): {FORWARD}") for line in report_lines)
    assert not any(line.startswith("Median over PyTorch") for line in report_lines)
    assert (
        "- 6 of 26 turns were disturbed; 5 were slower than 90% of their engine's best; in 1 others had more "
        "than 3% of the cores; of 22 the rate alone is known (no /proc/stat)"
    ) in report_lines


def test_where_every_round_is_disturbed_all_count_and_the_row_says_so(results):
    result = results["workloads"][DISTIL]
    taken = asdict(Load(8.0, 2, own=8.0, idle=0.0, busy=16.0, steal=0.0))
    result["engines"][OURS]["loads"] = [taken] * 3
    assert analysis.speed_ratio(result, TORCH) == analysis.Spread(1.5, 1.5, 1.5, 0, 3)
    text = report.markdown(results)
    assert "| disturbed 1.50 (1.50 to 1.50; 0 of 3) |" in text
    assert f"(--again): {DISTIL}" in text


def test_another_checkout_is_compared_with_in_time_and_memory(results):
    result = results["workloads"][FORWARD]
    result["engines"] = {OURS: result["engines"][OURS], "old": engine(*[0.0979] * 4, imported=50, peak=145)}
    results["commits"] = {OURS: "b2", "old": "a1"}
    text = report.markdown(results)
    assert "### minidistil b2 beside old a1" in text
    row = f"| {FORWARD} | 100 | 97.9 | 0.979 (0.979 to 0.979; 3 of 4) ✗ ≥ 0.98 | 150 | 145 | 1.034 ✗ ≤ 1.02 |"
    assert row in text.splitlines()
    assert analysis.goal_for(find(FORWARD), "memory", "old").bound == 1.02


def test_goals():
    assert analysis.reached(Goal("speed", 1.15, TORCH), 1.15)
    assert not analysis.reached(Goal("speed", 1.15, TORCH), 1.14)
    assert analysis.reached(Goal("memory", 0.5, TORCH), 0.5)
    assert not analysis.reached(Goal("seconds", 0.3), 0.31)
    assert analysis.goal_for(find(DISTIL), "memory", TORCH).bound == 0.5
    assert analysis.goal_for(find(DISTIL), "memory", ORT) is None


def test_tables(results):
    lines = report.markdown(results).splitlines()
    [forward] = [line for line in lines if line.startswith(f"| {FORWARD}")]
    assert forward == (
        f"| {FORWARD} | 100 (200) | 120 (167) | 100 (200) | 10,240 "
        "| 1.20 (1.20 to 1.30; 3 of 4) ✓ ≥ 1.15 | 1.00 (1.00 to 1.10; 3 of 4) ✗ ≥ 1.05 |"
    )
    speed, memory = (line for line in lines if line.startswith(f"| {DISTIL}"))
    assert "1.50 (1.50 to 1.50; 3 of 3) ✗ ≥ 2" in speed
    assert memory == f"| {DISTIL} | 1,500 (1,450) | 3,200 (2,950) | – | 0.47 ✓ ≤ 0.5 |"
    [start] = [line for line in lines if line.startswith("| start/predict")]
    assert start == (
        "| start/predict | 0.90 (0.85 to 0.90; 3 of 4) ✓ ≤ 1 | 210 ✗ ≤ 200 "
        "| 5.20 (5.00 to 5.50; 3 of 4) | 430 |"
    )
    assert "Median over PyTorch of the 1 without padding: 1.20 ✗ ≥ 1.25" in lines
    assert f"torch.compile could not take part in {FORWARD}: no compiler" in lines
    assert [line.partition(" of ")[0] for line in lines if "difference" in line] == [
        "Largest difference between engines: 3.0e-06",
        "Largest difference between engines: 1.0e-07",
    ]


def test_every_row_is_as_wide_as_its_head(results):
    for block in report.markdown(results).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_a_part_of_the_engines_makes_a_report_too(results):
    del results["workloads"][FORWARD]["engines"][OURS]
    del results["workloads"]["start/predict"]["engines"][TORCH]
    assert f"| {FORWARD} | 120 (167) | 100 (200) | – | – | – |" in report.markdown(results)


def test_writing_leaves_the_rest_of_the_page_alone(results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n", encoding="utf-8")
    report.write(results, page)
    report.write(results, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"above\n{report.BEGIN}\n\n- 2026-01-02")
    assert text.endswith(f"\n{report.END}\nbelow\n")
    assert "old" not in text
    page.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="no part between"):
        report.write(results, page)


def test_the_page_has_its_markers():
    text = report.PAGE.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1
