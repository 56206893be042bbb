"""Operands of matrix products: for each type, how packed numbers lie in a register and what multiplies them.

A further type is a row of this table: `pack` moves lanes, whatever a lane holds, and `micro` multiplies them.
bfloat16 would have two neighbours in k in each lane, and an instruction that takes both, with float32 sums;
int8 four, with int32 sums, and a factor for each column of B that multiplies the sums before the bias comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from minidistil.kernels.engine.native import F32, LANES, PLAIN, TARGET
from minidistil.precision import PRECISIONS


@dataclass(frozen=True)
class Operands:
    """A type of operands that the micro-kernel multiplies.

    Attributes
    ----------
    lane : LLVM type
        Content of a lane of a register of A or B: the numbers of one or several k.
    sums : LLVM type
        Of the accumulators, and of C.
    multiply_add : callable
        Writes sums + a b for registers of LANES: f(builder, a, b, sums). One instruction.
    """

    lane: ir.Type
    sums: ir.Type
    multiply_add: Callable[[ir.IRBuilder, Any, Any, Any], Any]


def _fma(builder: ir.IRBuilder, a: Any, b: Any, sums: Any) -> Any:
    type_ = ir.FunctionType(sums.type, [sums.type] * 3)
    return builder.call(builder.module.declare_intrinsic(f"llvm.fma.v{LANES}f32", (), type_), [a, b, sums])


OPERANDS = {"float32": Operands(lane=F32, sums=F32, multiply_add=_fma)}

# dtypes that the micro-kernel multiplies; BLAS multiplies the others.
TILED = {
    np.dtype(precision.stored)
    for precision in PRECISIONS.values()
    if precision.operands in OPERANDS and TARGET is not PLAIN
}
