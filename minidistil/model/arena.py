"""All parameters of a model in one flat array, each a named view into it.

Gradients and the two Adam moments are arenas of the same layout. The optimiser, gradient
clipping, checkpoints and hashes then each work on one array, whatever the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Role = Literal["weight", "bias", "norm", "embedding"]

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its Hugging Face name, its shape, and what it is.

    `role` decides weight decay and initialisation: "weight" (a matrix), "embedding" (a table),
    "bias", or "norm" (gain and bias of a layernorm).
    `fused` names a group of neighbours laid without a gap, so that one view spans them: q, k and v.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    fused: str | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)


class Arena(Mapping[str, npt.NDArray[Any]]):
    """A flat, aligned array with one view a parameter: `arena["bert.pooler.dense.weight"]`.

    Parameters
    ----------
    specs : sequence of ParameterSpec
        The layout, in order. Neighbours with the same `fused` group touch.
    dtype : dtype
        float32 or float64.

    Attributes
    ----------
    flat : array [N]
        Everything, padding between parameters included (always zero).
    specs : tuple of ParameterSpec
    """

    def __init__(self, specs: Sequence[ParameterSpec], dtype: npt.DTypeLike = np.float32) -> None:
        self.specs = tuple(specs)
        self.dtype = np.dtype(dtype)
        step = ALIGNMENT // self.dtype.itemsize
        self.offsets: dict[str, int] = {}
        position, group = 0, None
        for spec in self.specs:
            if spec.fused is None or spec.fused != group:
                position = -(-position // step) * step
            group = spec.fused
            self.offsets[spec.name] = position
            position += spec.size
        if len(self.offsets) != len(self.specs):
            raise ValueError("two parameters share a name")
        self._flat = aligned_zeros(-(-position // step) * step, self.dtype)
        self._views = {
            s.name: self._flat[self.offsets[s.name] : self.offsets[s.name] + s.size].reshape(s.shape)
            for s in self.specs
        }
        self._by_name = {s.name: s for s in self.specs}
        self._fused: dict[str, npt.NDArray[Any]] = {}
        for name in dict.fromkeys(s.fused for s in self.specs if s.fused):
            members = [s for s in self.specs if s.fused == name]
            start, size = self.offsets[members[0].name], sum(s.size for s in members)
            rows = sum(s.shape[0] for s in members)
            self._fused[name] = self._flat[start : start + size].reshape(rows, *members[0].shape[1:])

        self._pack: Callable[[npt.NDArray[Any]], Any] | None = None
        self._packed: dict[str, Any] = {}

    @property
    def flat(self) -> npt.NDArray[Any]:
        return _read_only(self._flat) if self.packed else self._flat

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return _read_only(self._views[name]) if self.packed else self._views[name]

    def array(self, name: str) -> npt.NDArray[Any]:
        """A parameter, or a fused group, as kernels read it: never to be written to."""
        return self._fused[name] if name in self._fused else self._views[name]

    def linear(self, weight: str, bias: str) -> tuple[Any, npt.NDArray[Any]]:
        """Weight and bias as a linear layer reads them: the weight packed, if the arena is."""
        if self._pack is None:
            return self.array(weight), self.array(bias)
        if weight not in self._packed:
            self._packed[weight] = self._pack(self.array(weight))
        return self._packed[weight], self.array(bias)

    def pack(self, pack: Callable[[npt.NDArray[Any]], Any]) -> None:
        """From now on linear layers get pack(weight), made when first asked for.

        Nobody may change a value then: what was packed would not follow.
        """
        self._pack = pack

    def unpack(self) -> None:
        """Undo `pack`: values may change again."""
        self._pack = None
        self._packed.clear()

    @property
    def packed(self) -> bool:
        return self._pack is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def fused(self, group: str) -> npt.NDArray[Any]:
        """The one view over a fused group, stacked along the first axis: q, k, v as [3H, H]."""
        return self._fused[group]

    def spec(self, name: str) -> ParameterSpec:
        return self._by_name[name]

    @property
    def num_parameters(self) -> int:
        return sum(s.size for s in self.specs)

    def like(self, dtype: npt.DTypeLike | None = None) -> Arena:
        """A zeroed arena of the same layout: for gradients or moments."""
        return Arena(self.specs, self.dtype if dtype is None else dtype)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def aligned_zeros(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """[size] zeros whose first element lies on a cache-line boundary."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
    shift = -raw.ctypes.data % ALIGNMENT
    return raw[shift : shift + size * dtype.itemsize].view(dtype)
