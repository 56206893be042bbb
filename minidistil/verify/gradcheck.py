"""The gradient check: every operation, every loss and every model against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from minidistil.errors import UsageError
from minidistil.model.packed_model import get_backend
from minidistil.verify.cases import LOSS_CASES, OP_CASES, VOCABULARY_CASES, Maker
from minidistil.verify.finite_differences import CheckResult, check_gradient
from minidistil.verify.model_cases import MODEL_CASES

CASES: dict[str, Maker] = {**OP_CASES, **LOSS_CASES, **VOCABULARY_CASES, **MODEL_CASES}


def run(
    cases: Iterable[str] | None = None,
    *,
    backend: str = "numpy",
    progress: Callable[[list[str]], Iterable[str]] = iter,
) -> list[CheckResult]:
    """Check the gradients of the registered cases.

    Parameters
    ----------
    cases : names in `CASES`, optional
        All of them by default.
    backend : "numpy" or "numba"
        Backend of the operations, in float64 either way.
    progress : callable
        Wraps the list of names on its way through the loop, as tqdm does.

    Returns
    -------
    list of CheckResult
        One for each tensor of each case.

    Raises
    ------
    UsageError
        A name that is not registered, or an unknown backend.
    """
    names = list(CASES) if cases is None else list(cases)
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise UsageError(f"no gradient check is called {unknown[0]!r}; there are: {', '.join(CASES)}")
    module = get_backend(backend)
    results = []
    for name in progress(names):
        results += check_gradient(CASES[name](module), name=name)
    return results
