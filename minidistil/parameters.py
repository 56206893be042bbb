"""All parameters of a model in one flat array, each a named view into it.

Gradients and the two Adam moments are laid out alike. The optimiser, gradient
clipping, checkpoints and hashes then each work on one array, whatever the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arguments import UnknownNameError, did_you_mean
from minidistil.arrays import IntArray
from minidistil.errors import MemoryLimitError, UsageError
from minidistil.memory import available_memory

Reader = Callable[[int, npt.NDArray[Any]], None]  # fills an array from an element's number on
Role = Literal["weight", "bias", "norm", "embedding"]

LARGE = 1 << 28  # bytes below which nobody asks whether there is room
LARGEST = 1 << 46  # bytes that a processor can address, or half of it
READ_ONLY = (
    "parameters of a model that predicts cannot change: call its train() first, as trainers do themselves"
)
ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


@dataclass(frozen=True)
class ParameterSpec:
    """Declaration of a parameter: Hugging Face name, shape and role.

    `role` decides weight decay and initialisation: "weight" (a matrix), "embedding" (a table),
    "bias", or "norm" (gain and bias of a layernorm).
    `fused` names a group of neighbours laid without a gap, so that one view spans them: q, k and v.
    `key` is the field of the config that has the number of rows, for messages.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    fused: str | None = None
    key: str | None = field(default=None, compare=False)

    @property
    def size(self) -> int:
        return prod(self.shape)


class Parameters(Mapping[str, npt.NDArray[Any]]):
    """A flat, aligned array with one view a parameter: `params["bert.pooler.dense.weight"]`.

    For a model that only predicts, matrices may also be left in their file: see `leave`.

    Parameters
    ----------
    specs : sequence of ParameterSpec
        The layout, in order. Neighbours with the same `fused` group touch.
    dtype : dtype
        float32 or float64.
    allocate : bool
        False: there is no flat array until `materialize`. Parameters that are not in a file begin at zero.

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
        self._left: dict[str, Reader] = {}  # in a file: what reads them
        self._rows: set[str] = set()  # tables among them
        self._asked: set[str] = set()  # for rows, at least once
        self._pack: Callable[[npt.NDArray[Any]], Any] | None = None
        self._resolved: dict[str, npt.NDArray[Any]] = {}  # views and groups, once there is a flat array
        self._several: dict[tuple[str, ...], list[npt.NDArray[Any]]] = {}  # of them, as they are asked for
        self._linear: dict[str, tuple[Any, npt.NDArray[Any]]] = {}  # weight and bias, if they stay
        self._used: set[str] = set()  # weights, at least once since `pack`
        if allocate:
            self.materialize()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameters:
        """The same values in an array of their own."""
        new = memo[id(self)] = Parameters(self.specs, self.dtype)
        for name in self:
            new[name][...] = self._view(name)
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values once, wherever they are; a copy is in memory, and may change."""
        whole = self if self._flat is not None else copy.deepcopy(self)
        return _restored, (self.specs, self.dtype, whole._flat)

    def __repr__(self) -> str:
        place = ", some in their file" if self.mapped else ", read-only" if self.packed else ""
        return f"Parameters({len(self)} tensors, {self.num_parameters:,} numbers, {self.dtype}{place})"

    def materialize(self) -> None:
        """Put all parameters into one array in memory, if they are not yet: they may change then."""
        if self._flat is not None:
            return
        self._check_room()
        self._flat, before = aligned_zeros(self._size, self.dtype), self._views
        self._views = {
            s.name: self._flat[self.offsets[s.name] : self.offsets[s.name] + s.size].reshape(s.shape)
            for s in self.specs
        }
        fused = {}
        for group, names in self._groups.items():
            members = [self._by_name[name] for name in names]
            start, size = self.offsets[names[0]], sum(s.size for s in members)
            rows = sum(s.shape[0] for s in members)
            fused[group] = self._flat[start : start + size].reshape(rows, *members[0].shape[1:])
        for name, values in before.items():
            self._views[name][...] = values
        for name, read in self._left.items():
            read(0, self._views[name])
        self._left.clear()
        self._rows.clear()
        self._resolved = self._views | fused

    def _check_room(self) -> None:
        """Refuse more than there is: the system may promise it, and end the process at the first write."""
        if self.nbytes < LARGE:
            return
        room = available_memory()
        if self.nbytes > (LARGEST if room is None else room):
            has = "" if room is None else f", and {room / 1e9:,.1f} GB are available"
            raise MemoryLimitError(f"the parameters take {self.nbytes / 1e9:,.1f} GB of memory{has}")

    def leave(self, name: str, read: Reader, *, by_rows: bool = False) -> None:
        """Leave a matrix in its file; it is read when it is used, and kept only where it is packed.

        Parameters
        ----------
        name : str
        read : callable
            read(first, out) fills an array of the parameters' dtype with elements from number `first` on.
        by_rows : bool
            It is a table of which `rows` asks for some.
        """
        self._left[name] = read
        if by_rows:
            self._rows.add(name)
        self._views.pop(name, None)

    def rows(self, name: str, ids: IntArray) -> tuple[npt.NDArray[Any], IntArray]:
        """A table with the rows `ids` of a parameter, and their indices in it.

        The whole parameter, unless it is left in a file; of a model that predicts many times it is read whole
        when it is asked for a second time.

        Parameters
        ----------
        name : str
        ids : int32 [T]

        Returns
        -------
        table : [R, H]
        indices : int32 [T]
        """
        if name in self._rows and name in self._asked and self.packed:
            self._views[name] = self._from_file([name])
            self._left.pop(name, None)
            self._rows.discard(name)
        read = self._left.get(name) if name in self._rows else None
        if read is None:
            return self.array(name), ids
        self._asked.add(name)
        some, indices = np.unique(ids, return_inverse=True)
        table = np.empty((len(some), *self._by_name[name].shape[1:]), self.dtype)
        for out, row in zip(table, some.tolist(), strict=True):
            read(row * out.size, out)
        return table, indices.astype(np.int32)

    @property
    def mapped(self) -> bool:
        """True if some parameters are left in their file."""
        return bool(self._left)

    @property
    def flat(self) -> npt.NDArray[Any]:
        """Everything [N], padding between parameters included (always zero).

        Raises
        ------
        UsageError
            Some parameters are left in a file.
        """
        if self._flat is None:
            raise UsageError(
                "these parameters lie in a file and cannot change: call the model's train() first"
            )
        return _read_only(self._flat) if self.packed else self._flat

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        view = self._view(name)
        return _read_only(view) if self.packed or name in self._left else view

    def __setitem__(self, name: str, values: object) -> None:
        """Refused: a parameter is a view into the flat array, and its values are set in place."""
        raise UsageError(f"a parameter keeps its place: write params[{name!r}][:] = values")

    def _view(self, name: str) -> npt.NDArray[Any]:
        if name in self._left:
            return self._from_file([name])
        if name not in self._views and name in self._by_name:
            self._views[name] = np.zeros(self._by_name[name].shape, self.dtype)
        try:
            return self._views[name]
        except KeyError:
            raise self._unknown(name) from None

    def _unknown(self, name: object) -> UnknownNameError:
        return UnknownNameError(f"there is no parameter {name!r}{did_you_mean(name, self)}")

    def _from_file(self, names: Sequence[str]) -> npt.NDArray[Any]:
        """Matrices one below the other, each from its file or from memory."""
        shapes = [self._by_name[name].shape for name in names]
        out = np.empty((sum(shape[0] for shape in shapes), *shapes[0][1:]), self.dtype)
        start = 0
        for name, shape in zip(names, shapes, strict=True):
            part = out[start : start + shape[0]]
            if read := self._left.get(name):  # another thread may have read a table meanwhile
                read(0, part)
            else:
                part[...] = self._view(name)
            start += shape[0]
        return out

    def array(self, name: str) -> npt.NDArray[Any]:
        """A parameter, or a fused group, as kernels read it: never to be written to."""
        found = self._resolved.get(name)
        return self._array(name) if found is None else found

    def arrays(self, *names: str) -> list[npt.NDArray[Any]]:
        """Several of them."""
        found = self._several.get(names)
        if found is None:
            found = [self.array(name) for name in names]
            if self._flat is not None:
                self._several[names] = found
        return found

    def _array(self, name: str) -> npt.NDArray[Any]:
        """A parameter or fused group that is not resolved yet."""
        return self._from_file(self._groups[name]) if name in self._groups else self._view(name)

    def linear(self, weight: str, bias: str) -> tuple[Any, npt.NDArray[Any]]:
        """Weight and bias as a linear layer reads them: the weight packed, see `pack`."""
        found = self._linear.get(weight)
        if found is not None:
            return found
        pair = self.array(weight), self.array(bias)
        if self._pack is None:
            if self._flat is not None:
                self._linear[weight] = pair
        elif weight in self._used:
            pair = self._linear[weight] = self._pack(pair[0]), pair[1]
        else:
            self._used.add(weight)
        return pair

    def pack(self, pack: Callable[[npt.NDArray[Any]], Any]) -> None:
        """Give linear layers pack(weight) from now on, made at the second use of a weight.

        Nobody may change a value then: what was packed would not follow.
        """
        if self._pack is None:
            self._linear.clear()
            self._used.clear()
        self._pack = pack

    def unpack(self) -> None:
        """Undo `pack`, and `materialize` the parameters: values may change again."""
        if self._pack is not None:
            self._pack = None
            self._linear.clear()
        self.materialize()

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

    def check_writable(self) -> None:
        """Raise a UsageError if values cannot change, see `pack`."""
        if self.packed:
            raise UsageError(READ_ONLY)

    def check_like(self, other: Parameters) -> None:
        """Raise a UsageError unless others are laid out as these, as gradients and moments are."""
        if not isinstance(other, Parameters) or other.specs != self.specs or other.dtype != self.dtype:
            raise UsageError("grads must be laid out as the model's params: params.like() makes them")

    def part(self, specs: Sequence[ParameterSpec], name_of: Callable[[str], str]) -> Parameters:
        """Some of these under other names, such as those of a second model that learns in the same steps.

        They are views of these, without a flat array of their own. `name_of` gives the name here of a
        parameter or a fused group there.
        """
        part = Parameters(specs, self.dtype, allocate=False)
        part._views = {spec.name: self.array(name_of(spec.name)) for spec in part.specs}
        part._resolved = part._views | {group: self.array(name_of(group)) for group in part._groups}
        return part

    def like(self, dtype: npt.DTypeLike | None = None) -> Parameters:
        """Zeros of the same layout: for gradients or moments."""
        return Parameters(self.specs, self.dtype if dtype is None else dtype)


def _restored(specs: Sequence[ParameterSpec], dtype: npt.DTypeLike, values: npt.NDArray[Any]) -> Parameters:
    """Parameters from a pickle."""
    params = Parameters(specs, dtype)
    params.flat[...] = values
    return params


class _ReadOnly(npt.NDArray[Any] if TYPE_CHECKING else np.ndarray):  # type: ignore[misc]
    """A view that says why it cannot be written to. What is computed from it is an ordinary array."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise UsageError(READ_ONLY)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        if any(isinstance(array, _ReadOnly) for array in out):
            raise UsageError(READ_ONLY)
        plain = [x.view(np.ndarray) if isinstance(x, _ReadOnly) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **({"out": out} if out else {}), **options)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view(_ReadOnly)
    view.flags.writeable = False
    return view


def aligned_zeros(size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """[size] zeros whose first element lies on a cache-line boundary."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
    shift = -raw.ctypes.data % ALIGNMENT
    return raw[shift : shift + size * dtype.itemsize].view(dtype)
