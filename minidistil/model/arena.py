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

from minidistil.arguments import did_you_mean
from minidistil.errors import UsageError

Role = Literal["weight", "bias", "norm", "embedding"]

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


class UnknownParameterError(UsageError, KeyError):
    """A name that no parameter has; a `KeyError` too, as of any mapping."""

    __str__ = Exception.__str__  # a KeyError puts quotes around its message


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

    For a model that only predicts, parameters may also be left where they lie in a file: see `map`.

    Parameters
    ----------
    specs : sequence of ParameterSpec
        The layout, in order. Neighbours with the same `fused` group touch.
    dtype : dtype
        float32 or float64.
    allocate : bool
        False: there is no flat array until `own`. Parameters that are not mapped begin at zero.

    Attributes
    ----------
    specs : tuple of ParameterSpec
    """

    def __init__(
        self, specs: Sequence[ParameterSpec], dtype: npt.DTypeLike = np.float32, *, allocate: bool = True
    ) -> None:
        self.specs = tuple(specs)
        self.dtype = np.dtype(dtype)
        step = ALIGNMENT // self.dtype.itemsize
        self.offsets: dict[str, int] = {}
        self._groups: dict[str, list[str]] = {}
        position, group = 0, None
        for spec in self.specs:
            if spec.fused is None or spec.fused != group:
                position = -(-position // step) * step
            group = spec.fused
            if group is not None:
                self._groups.setdefault(group, []).append(spec.name)
            self.offsets[spec.name] = position
            position += spec.size
        if len(self.offsets) != len(self.specs):
            raise ValueError("two parameters share a name")
        self._by_name = {s.name: s for s in self.specs}
        self._size = -(-position // step) * step
        self._flat: npt.NDArray[Any] | None = None
        self._views: dict[str, npt.NDArray[Any]] = {}
        self._fused: dict[str, npt.NDArray[Any]] = {}
        self._mapped: set[str] = set()
        self._release: Callable[[], None] | None = None
        self._read = False  # whether a matrix was read since the last release
        self._pack: Callable[[npt.NDArray[Any]], Any] | None = None
        self._packed: dict[str, Any] = {}  # None: used once
        if allocate:
            self.own()

    def __deepcopy__(self, memo: dict[int, Any]) -> Arena:
        """The same values in an arena of its own."""
        new = memo[id(self)] = Arena(self.specs, self.dtype)
        for name in self:
            new[name][...] = self._view(name)
        return new

    def own(self) -> None:
        """Put all parameters into one array of the arena's own, if they are not yet: they may change then."""
        if self._flat is not None:
            return
        self._flat, before = aligned_zeros(self._size, self.dtype), self._views
        self._views = {
            s.name: self._flat[self.offsets[s.name] : self.offsets[s.name] + s.size].reshape(s.shape)
            for s in self.specs
        }
        for group, names in self._groups.items():
            members = [self._by_name[name] for name in names]
            start, size = self.offsets[names[0]], sum(s.size for s in members)
            rows = sum(s.shape[0] for s in members)
            self._fused[group] = self._flat[start : start + size].reshape(rows, *members[0].shape[1:])
        for name, values in before.items():
            self._views[name][...] = values
        self._mapped.clear()
        self._release = None

    def map(self, name: str, values: npt.NDArray[Any], release: Callable[[], None]) -> None:
        """Use a parameter where it lies, in memory that the system can read again from a file.

        Parameters
        ----------
        name : str
        values : array of the parameter's shape and the arena's dtype
            Its writeable flag must be set, since compiled code tells one kind from the other; but nobody
            writes to it.
        release : callable
            Gives up that memory for now.
        """
        self._views[name] = values
        self._mapped.add(name)
        self._release = release

    @property
    def mapped(self) -> bool:
        return bool(self._mapped)

    def release(self) -> None:
        """Give up the memory of matrices that lie in a file, until one is used again."""
        if self._release is not None and self._read:
            self._release()
            self._read = False

    @property
    def flat(self) -> npt.NDArray[Any]:
        """Everything [N], padding between parameters included (always zero).

        Raises
        ------
        UsageError
            Some parameters are mapped from a file.
        """
        if self._flat is None:
            raise UsageError(
                "these parameters lie in a file and cannot change: call the model's train() first"
            )
        return _read_only(self._flat) if self.packed else self._flat

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        view = self._view(name)
        return _read_only(view) if self.packed or name in self._mapped else view

    def __setitem__(self, name: str, values: object) -> None:
        """Refused: a parameter is a view into the arena, and its values are set in place."""
        raise UsageError(f"a parameter keeps its place: write params[{name!r}][:] = values")

    def _view(self, name: str) -> npt.NDArray[Any]:
        if name not in self._views and name in self._by_name:
            self._views[name] = np.zeros(self._by_name[name].shape, self.dtype)
        try:
            return self._views[name]
        except KeyError:
            raise self._unknown(name) from None

    def _unknown(self, name: object) -> UnknownParameterError:
        return UnknownParameterError(f"there is no parameter {name!r}{did_you_mean(name, self)}")

    def array(self, name: str) -> npt.NDArray[Any]:
        """A parameter, or a fused group, as kernels read it: never to be written to."""
        if name in self._groups and self._flat is None:
            return np.concatenate([self._view(member) for member in self._groups[name]])
        return self._fused[name] if name in self._fused else self._view(name)

    def linear(self, weight: str, bias: str) -> tuple[Any, npt.NDArray[Any]]:
        """Weight and bias as a linear layer reads them: the weight packed, if the arena is."""
        packed = self._packed.get(weight)
        if packed is None:
            self._read = True
            if self._pack is None or weight not in self._packed:
                self._packed[weight] = None
                return self.array(weight), self.array(bias)
            packed = self._packed[weight] = self._pack(self.array(weight))
        return packed, self.array(bias)

    def pack(self, pack: Callable[[npt.NDArray[Any]], Any]) -> None:
        """From now on linear layers get pack(weight), made when it is asked for a second time.

        Nobody may change a value then: what was packed would not follow.
        """
        if self._pack is None:
            self._packed.clear()
        self._pack = pack

    def unpack(self) -> None:
        """Undo `pack`, and `own` the parameters: values may change again."""
        self._pack = None
        self._packed.clear()
        self.own()

    @property
    def packed(self) -> bool:
        return self._pack is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name  # and not by asking for it, which would make what is not yet there

    def spec(self, name: str) -> ParameterSpec:
        if name not in self._by_name:
            raise self._unknown(name)
        return self._by_name[name]

    @property
    def num_parameters(self) -> int:
        return sum(s.size for s in self.specs)

    @property
    def nbytes(self) -> int:
        """Bytes of the flat array, whether there is one or not."""
        return self._size * self.dtype.itemsize

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
