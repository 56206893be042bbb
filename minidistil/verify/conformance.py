"""A reference (`minidistil.verify.reference`) as one side of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.arrays import AnyArray
from minidistil.errors import ConfigError, WeightsError
from minidistil.files import read_json
from minidistil.model.taps import GRADIENT
from minidistil.verify.capture import INPUTS as IDS
from minidistil.verify.capture import questions
from minidistil.verify.operations import written_taps
from minidistil.verify.reference_index import FORMAT, GRADIENTS, INDEX, INPUTS, PACKED, VALUES, VERSION
from minidistil.verify.saved import HALF, Saved, read_saved


@dataclass(frozen=True)
class Reference:
    """A reference that was read.

    Attributes
    ----------
    path : Path
    index : mapping
        Content of its index.
    saved : Saved
        Inputs, targets, values and gradients, in the rectangular form.
    """

    path: Path
    index: Mapping[str, Any]
    saved: Saved

    @property
    def title(self) -> str:
        return f"reference of {self.index['architecture']}, seed {self.index['seed']}, float64"

    @property
    def base(self) -> str:
        """Beginning of the names of the encoder's modules."""
        return str(self.index["base"])

    @property
    def modules(self) -> dict[str, str]:
        """{module: the tap that it writes}."""
        return written_taps({t["name"]: t["module"] for t in self.index["tensors"] if t.get("module")})

    @property
    def names(self) -> list[str]:
        """Tensors that another implementation is compared with, in the order of computation."""
        return list(self._tolerances)

    @cached_property
    def _tolerances(self) -> dict[str, dict[str, float]]:
        return {t["name"]: t["tolerance"] for t in self.index["tensors"] if "tolerance" in t}

    @cached_property
    def _of_tokens(self) -> set[str]:
        """Names of the tensors with a row for each token, [B, L, ...]."""
        return {t["name"] for t in self.index["tensors"] if t["letters"][:2] == ["B", "L"]}

    def tolerances(self, stored: Mapping[str, str], computed: str) -> dict[str, float]:
        """Tolerance of each tensor.

        Parameters
        ----------
        stored : mapping of str to str
            Floating-point type of each tensor of the other side.
        computed : str
            Of tensors that are not in `stored`.
        """
        found = {}
        for name, limits in self._tolerances.items():
            kind = stored.get(name, computed)
            found[name] = max(HALF[kind], limits["float32"]) if kind in HALF else limits.get(kind, 0.0)
        return found

    def beside(self, theirs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Tensors of the other side in our form, with the inputs and targets that they lack.

        Rows of tokens, [T, ...] or padded, become [B, L, ...] with our numbers at padding. The gradient of a
        tied parameter may be under its other name.
        """
        found = dict(questions(self.saved))
        tied = {GRADIENT + alias: GRADIENT + name for alias, name in self.index.get("tied", {}).items()}
        for name, value in theirs.items():
            if name.startswith(PACKED):
                continue
            ours = tied[name] if name in tied and tied[name] not in theirs else name
            rows = ours in self._of_tokens or (ours in IDS and ours in self.saved)
            found[ours] = self._padded(ours, value) if rows else value
        return found

    def _padded(self, name: str, theirs: AnyArray) -> AnyArray:
        """Rows of tokens in our form, if they fit."""
        ours, mask = self.saved[name], self.saved["attention_mask"]
        real = mask.reshape(-1, mask.shape[-1]) != 0
        rows = ours.reshape(*real.shape, -1)  # of choices ids are [G, C, L]
        tokens = int(real.sum())
        if theirs.shape[:1] == (tokens,) and theirs.size == tokens * rows.shape[2]:
            numbers = theirs.reshape(tokens, -1)
        elif theirs.size == ours.size and theirs.shape in (ours.shape, real.shape):
            numbers = theirs.reshape(rows.shape)[real]
        else:
            return theirs
        found = np.array(rows, np.result_type(rows, theirs))
        found[real] = numbers
        return found.reshape(ours.shape)


def is_reference(path: str | Path) -> bool:
    """True for a directory with the index of a reference, of whatever version, or a damaged one."""
    try:
        return bool(read_json(Path(path) / INDEX).get("format") == FORMAT)
    except ConfigError:
        return all((Path(path) / name).is_file() for name in (INDEX, VALUES))


def open_reference(path: str | Path) -> Reference:
    """Read the index of a reference; its tensors are read when they are asked for.

    Raises
    ------
    ConfigError
        No reference, one of another version, or an index that lacks something.
    WeightsError
        A file of tensors that is missing or damaged, or that lacks a tensor of the index.
    """
    path = Path(path)
    index = read_json(path / INDEX)
    if index.get("format") != FORMAT:
        raise ConfigError(f"{path / INDEX} is not the index of a reference: its format is no {FORMAT!r}")
    if index.get("version") != VERSION:
        raise ConfigError(
            f"{path / INDEX} has version {index.get('version')!r}, and {VERSION} is read: "
            "make the reference again, with minidistil reference"
        )
    try:
        listed = {str(t["name"]): str(t["file"]) for t in index["tensors"]}
        limits = [t["tolerance"] for t in index["tensors"] if "tolerance" in t]
        whole = all({"float32", "float64"} <= limit.keys() for limit in limits)
        _ = index["architecture"], index["base"], index["seed"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path / INDEX} is damaged: {error!r}. Make the reference again") from error
    if not whole:
        raise ConfigError(f"{path / INDEX} is damaged: a tolerance is missing. Make the reference again")
    files = (INPUTS, VALUES, GRADIENTS)
    saved = read_saved([str(path / file) for file in files])
    for name, file in listed.items():
        if file in files and name not in saved:
            raise WeightsError(f"{path / file} lacks {name}, which {INDEX} lists: make the reference again")
    wanted = [name for name, file in listed.items() if file in files and not name.startswith(PACKED)]
    return Reference(path, index, saved.only(wanted))
