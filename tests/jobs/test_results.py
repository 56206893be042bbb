"""Reports over several seeds, and tables of reports."""

import numpy as np

from minidistil.jobs.results import format_table, over_seeds, table


def test_by_hand():
    """The first cell stands on the left of its column, others on the right of theirs."""
    assert format_table([["", "loss"], ["teacher", "0.5"]], [8, 6]) == "          loss\nteacher    0.5"


def test_spread_of_what_is_not_defined(tmp_path):
    """A report that is read again has null for a correlation with a constant; it keeps its place."""

    def tune(seed, out):
        return {"models": {"model": {"pearson": [None, 0.5][seed], "layers": 2, "confusion": []}}}

    found = over_seeds(tune, 2, tmp_path)["models"]["model"]
    assert list(found) == ["pearson", "layers"]
    assert np.isnan(found["pearson"]["mean"])


def test_the_table_has_numbers_and_spreads():
    """Numbers of each class are in the report, but no lines of the table."""
    facts = {"f1": 0.5, "classes": {"LOC": {"f1": 0.5}}, "types": {}, "confusion": [[1]]}
    spread = {"accuracy": {"mean": 0.75, "lowest": 0.5, "highest": 1.0}}
    shown = table({"task": "t", "examples": 1, "models": {"teacher": facts, "student": spread}})
    assert "0.7500 (0.5000 to 1.0000)" in shown
    wide = {"mean": 35753.1899, "lowest": 34341.1351, "highest": 37165.2448}
    models = {"teacher": {"perplexity": 37165.2448}, "student": {"perplexity": wide}}
    line = table({"task": "t", "examples": 1, "models": models}).splitlines()[1]
    assert line.split("  ")[-1].strip() == "35753 (34341 to 37165)"
    assert len(line) <= 80
    assert all(word not in shown for word in ("LOC", "classes", "types", "confusion"))
