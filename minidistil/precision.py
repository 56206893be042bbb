"""Precisions: what numbers are stored as, and what matrix products multiply. One table chooses both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minidistil.errors import UsageError

if TYPE_CHECKING:  # the command line reads this table before it needs NumPy
    import numpy.typing as npt


@dataclass(frozen=True)
class Precision:
    """A precision that a model computes in.

    Attributes
    ----------
    name : str
        Value of `dtype=` and `--dtype`.
    stored : str
        dtype of parameters, activations, gradients and moments.
    operands : str
        Type of what matrix products multiply: a key of `minidistil.kernels.gemm.operands.OPERANDS`.
    tolerance : float
        Largest relative error by which two implementations of one model may differ.
    trains : bool
        False: for prediction alone.
    """

    name: str
    stored: str
    operands: str
    tolerance: float
    trains: bool = True


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float32", "float32", "float32", 1e-5),
        Precision("float64", "float64", "float64", 1e-9),
    )
}


def precision_of(dtype: npt.DTypeLike) -> Precision:
    """Look up a precision by its name or by the dtype of arrays.

    Raises
    ------
    UsageError
        None of that name.
    """
    import numpy as np

    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in PRECISIONS:
        raise UsageError(f"dtype must be one of {', '.join(PRECISIONS)}, not {name!r}")
    return PRECISIONS[name]
