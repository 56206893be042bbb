"""Live comparison with PyTorch and transformers: `make parity`. Not collected where torch is missing.

Each test hands what it measured to `report`, which asserts the tolerance and prints a table at the end.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
    collect_ignore_glob = ["*.py"]

ROWS = pytest.StashKey[list]()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.parity)
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))  # theirs, not ours


class Report:
    """Collects errors of one check and fails at the first tensor beyond the tolerance."""

    def __init__(self, rows):
        self.rows = rows

    def relative(self, check, ours, theirs, tolerance):
        """|a - b| / |b| of each tensor; `ours` and `theirs` are dicts with the same names.

        Checks of one title and tolerance share a line of the table.
        """
        self._compare(check, ours, theirs, tolerance, "relative", relative_error)

    def absolute(self, check, ours, theirs, tolerance):
        """max |a - b| of each tensor."""
        self._compare(check, ours, theirs, tolerance, "max abs", lambda a, b: np.abs(a - b).max())

    def gradients(self, check, ours, theirs, tolerance):
        """Like `relative`, for the gradients of a whole model.

        Those that are zero by symmetry (the biases of keys; with a span head the last two biases below it)
        are rounding noise on both sides and are measured against the largest gradient.
        """
        largest = max(np.linalg.norm(v) for v in theirs.values())

        def error(a, b):
            noise = max(np.linalg.norm(a), np.linalg.norm(b)) <= tolerance * largest
            return np.linalg.norm(a - b) / largest if noise else relative_error(a, b)

        self._compare(check, ours, theirs, tolerance, "relative", error)

    def whole_gradient(self, check, ours, theirs, tolerance):
        """Relative error of all gradients laid end to end, as one vector."""
        assert set(ours) == set(theirs), check
        a, b = (np.concatenate([np.ravel(x[name]) for name in ours]) for x in (ours, theirs))
        self.relative(check, {"gradient": a}, {"gradient": b}, tolerance)

    def equal(self, check, ours, theirs):
        """Sequences that must be the same, item by item."""
        assert len(ours) == len(theirs) > 0
        different = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        self.rows.append((check, len(ours), len(different), "none may differ"))
        assert not different, f"{check}: first at {different[0]}: {ours[different[0]]} {theirs[different[0]]}"

    def _compare(self, check, ours, theirs, tolerance, kind, error):
        assert set(ours) == set(theirs), check
        errors = {}
        for name in ours:
            a, b = (np.asarray(x, np.float64) for x in (ours[name], theirs[name]))
            assert a.shape == b.shape, f"{check}, {name}: {a.shape} {b.shape}"
            errors[name] = float(error(a, b))
        self.rows.append((check, len(errors), max(errors.values()), f"{tolerance:.0e} {kind}"))
        bad = [f"{name} {e:.1e}" for name, e in errors.items() if not e <= tolerance]
        assert not bad, f"{check}: first divergence {bad[0]}; all: {', '.join(bad)}"


def relative_error(a, b):
    difference = np.linalg.norm(a - b)
    return difference / np.linalg.norm(b) if difference else 0.0


@pytest.fixture
def report(request):
    return Report(request.config.stash.setdefault(ROWS, []))


@pytest.fixture(scope="session")
def minilm(user_cache):
    """The directory of the real encoder, in the user's cache: it is fetched once."""
    from minidistil.weights.assets import fetch_minilm

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIDISTIL_CACHE", str(user_cache))
        return fetch_minilm()


def pytest_terminal_summary(terminalreporter, config):
    checks = {}
    for check, count, worst, tolerance in config.stash.get(ROWS, []):
        before = checks.get((check, tolerance), (0, 0))
        checks[check, tolerance] = before[0] + count, max(before[1], worst)
    if not checks:
        return
    table = [("check", "compared", "worst", "tolerance")]
    for (check, tolerance), (count, worst) in checks.items():
        table.append(
            (check, f"{count:,}", f"{worst:.1e}" if isinstance(worst, float) else str(worst), tolerance)
        )
    widths = [max(len(row[i]) for row in table) for i in range(3)]
    terminalreporter.section("parity with PyTorch and transformers")
    for check, count, worst, tolerance in table:
        cells = check.ljust(widths[0]), count.rjust(widths[1]), worst.rjust(widths[2]), tolerance
        terminalreporter.write_line("  ".join(cells))
