"""From the tensors of a checkpoint to the parameters of a model.

Names and shapes are checked before anything is copied. An encoder that does not fit is always an
error: a layer silently left random, or silently left out, is never what one wants. Only a head may
be missing or superfluous, and the report says so.

All checks come before memory is allocated: the sizes in a config or a header may be absurd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import with_article
from minidistil.errors import WeightsError
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.weights.checkpoint import Checkpoint
from minidistil.weights.names import (
    WORDS,
    Names,
    is_buffer,
    outer_prefixes,
    resolve_name,
    without_prefix,
)
from minidistil.weights.report import Absence, Conversion, LoadReport, names_with_nearest, same_dtype, shorten
from minidistil.weights.safetensors_file import FLOATING, Tensor

# By the field of the config that counts them.
_COUNTED = {"num_hidden_layers": "encoder layers", "num_hidden_groups": "groups of encoder layers"}
_LAYER = re.compile(r"(?:^|\.)(\w+\.\w+\.)(\d{1,9})\.")
PART = 1 << 18  # numbers of a tensor that are looked at together: 1 MB, which caches hold


def load_into(
    params: Parameters,
    checkpoint: Checkpoint,
    *,
    names: Names,
    tied: Mapping[str, str],
    strict: bool = False,
    ignore_mismatched: bool = False,
    mapped: bool = False,
    source: object = None,
) -> LoadReport:
    """Fill a model's parameters from a checkpoint.

    Parameters
    ----------
    params : Parameters
        The parameters: those the checkpoint lacks keep their values. Memory is taken here, if it is not yet.
    checkpoint : Checkpoint
        From `open_checkpoint`.
    names : Names
        Names of the parts in the model's family.
    tied : mapping of str to str
        {name of a tensor that is no parameter of its own: the parameter it equals}. A stored copy is
        not needed; it stands in for the parameter if that one is not stored. A name that is in the
        params too is taken for a parameter.
    strict : bool
        Raise also when a head is missing, or a tensor is not used.
    ignore_mismatched : bool
        Leave a head whose shape differs at its initial values, as when the number of labels was
        changed, instead of raising.
    mapped : bool
        Leave matrices in the file where possible, see `Parameters.leave`.
    source : object
        Name of the checkpoint for messages; its path by default.

    Returns
    -------
    LoadReport

    Raises
    ------
    WeightsError
        The encoder is not covered exactly, a shape or dtype does not fit, a value is NaN or Inf, two
        stored tensors claim one parameter, or `strict` and the match is not complete.
    """
    loading = _Loading(params, checkpoint, names, tied, str(checkpoint.path if source is None else source))
    loading.match_names()
    loading.check_encoder()
    loading.check_shapes(ignore_mismatched)
    loading.fill(mapped)
    report = loading.report()
    if strict and not report.complete:
        raise WeightsError(f"strict loading asks for an exact match, but\n{report}")
    return report


def stored_copies_differ(checkpoint: Checkpoint, tied: Mapping[str, str], base: str) -> bool:
    """True if a file holds a matrix and a tied copy of it that are not equal: then the model is not tied.

    Parameters
    ----------
    checkpoint : Checkpoint
    tied : mapping of str to str
        As of `load_into`.
    base : str
        Prefix of the encoder's names in a model with a head.
    """
    wanted = {*tied, *tied.values()}
    stored = {resolve_name(name, wanted, base): name for name in checkpoint}
    return any(
        len(checkpoint.tensors[stored[alias]].shape) == 2
        and not np.array_equal(checkpoint[stored[alias]], checkpoint[stored[name]])
        for alias, name in tied.items()
        if alias in stored and name in stored
    )


def check_depth(checkpoint: Checkpoint, layers: int, names: Names, source: object) -> None:
    """Raise unless the file has as many layers as the config, before a name is made for each of them.

    Parameters
    ----------
    checkpoint : Checkpoint
    layers : int
        Number of layers in the config, or of groups of layers: `names.counted`.
    names : Names
        Names of the parts in the family.
    source : object
        Name of the checkpoint for messages.

    Raises
    ------
    WeightsError
    """
    found: dict[str, set[int]] = {}
    for name in checkpoint:
        if layer := _LAYER.search(name):
            found.setdefault(layer[1], set()).add(int(layer[2]))
    if found and names.layers not in found and layers and (is_a := names.family_of(found)):
        theirs, student = with_article(is_a), ""
        if names.title == "DistilBERT":
            student = " (a BERT gets a DistilBERT for a student through minidistil.distill.init_student)"
        raise WeightsError(
            f"{source} holds {theirs} encoder, but the model is {with_article(names.title)}: load it as "
            f"{theirs}{student}"
        )
    has = sorted(found.get(names.layers, ()))
    if not (len(has) == layers and (not has or has[-1] == layers - 1)):
        what = "" if has else f"; it holds {len(checkpoint)} tensors: {shorten(checkpoint)}"
        raise WeightsError(
            f"{source} contradicts the config: the file has {len(has)} {_COUNTED[names.counted]} "
            f"({_numbers(has)}), the config asks for {layers}{what}. Correct {names.key(names.counted)} in "
            f"config.json;  to keep only some layers of a model use minidistil.distill.init_student"
        )


@dataclass
class _Loading:
    """The steps of `load_into`, in their order, and what they found."""

    params: Parameters
    checkpoint: Checkpoint
    names: Names
    tied: Mapping[str, str]
    source: str
    stored_as: dict[str, str] = field(default_factory=dict)  # parameter -> name in the file
    copies: dict[str, str] = field(default_factory=dict)  # tied name -> name in the file
    unused: list[str] = field(default_factory=list)  # names in the file
    mismatched: dict[str, str] = field(default_factory=dict)  # parameter -> its two shapes, in words

    def match_names(self) -> None:
        base, wanted = self.names.base, {*self.params, *self.tied}
        for stored in self.checkpoint:
            name = resolve_name(stored, wanted, base)
            if name not in wanted:
                if not is_buffer(stored, base):
                    self.unused.append(stored)
                continue
            claims = self.stored_as if name in self.params else self.copies
            if name in claims:
                raise WeightsError(f"{self.source}: {claims[name]!r} and {stored!r} both claim to be {name}")
            claims[name] = stored
        for alias, copy in list(self.copies.items()):
            name = self.tied[alias]
            if name not in self.stored_as:
                self.stored_as[name] = self.copies.pop(alias)
            elif self._of_tied_decoder(alias) and not self._alike(copy, self.stored_as[name]):
                # It is the decoder's own, with which transformers computes.
                self.stored_as[name], self.copies[alias] = copy, self.stored_as[name]

    def check_encoder(self) -> None:
        """Raise unless file and model have exactly the same encoder tensors."""
        names = self.names
        lacking = [name for name in self.params if name not in self.stored_as and names.in_encoder(name)]
        surplus = [name for name in self.unused if names.in_encoder(name)]
        if not lacking and not surplus:
            return
        problems = []
        if lacking:
            named = shorten(names_with_nearest(lacking, self.unused))
            problems.append(f"lacks {len(lacking)} tensors of the encoder: {named}")
        if unknown := surplus or self.unused:
            problems.append(f"holds {len(unknown)} that the model has no place for: {shorten(unknown)}")
        wrapped = outer_prefixes([*self.checkpoint], names.base)
        hint = f". In the file the names of the encoder begin with {wrapped[0]!r}" if wrapped else ""
        raise WeightsError(
            f"{self.source} does not fit the model its config describes: it {' and '.join(problems)}{hint}"
        )

    def check_shapes(self, ignore_mismatched: bool) -> None:
        """Raise if a tensor cannot be copied. Heads of another shape, if allowed, are unmatched."""
        for name, stored in list(self.stored_as.items()):
            dtype = self.checkpoint.tensors[stored].dtype
            if dtype not in FLOATING:
                raise WeightsError(
                    f"{self.source}: tensor {stored!r} is {dtype}; one of {', '.join(sorted(FLOATING))} was "
                    f"expected (quantised checkpoints cannot be loaded)"
                )
            has, wants = self.checkpoint.tensors[stored].shape, self.params.spec(name).shape
            if has != wants and ignore_mismatched and self.names.head_of(name):
                self.mismatched[name] = f"its shape in the file is {list(has)}, here {list(wants)}"
                del self.stored_as[name]
            elif has != wants:
                raise WeightsError(
                    f"{self.source}: tensor {stored!r} has shape {list(has)}, but the config calls for "
                    f"{list(wants)}{_hint(self.params.spec(name), has, self.names)}"
                )

    def fill(self, mapped: bool) -> None:
        """Copy the tensors, or leave matrices in the file; raise for a NaN or Inf."""
        params = self.params
        if not mapped:
            params.materialize()
        for name, stored in self.stored_as.items():
            tensor = self.checkpoint.tensors[stored]
            here = not (mapped and tensor.holds(params.dtype))
            if not here and params.spec(name).role == "weight":
                params.leave(name, tensor.read_part)
            elif not here and name.endswith(WORDS) and name not in self.tied.values():
                params.leave(name, tensor.read_part, by_rows=True)
            else:  # here too: a word table that a decoder reads all of
                here = True
                tensor.read_into(params[name])
            parts = [params[name]] if here else self._in_parts(name, tensor)
            if all(_finite(part) for part in parts):
                continue
            bad = np.argwhere(~np.isfinite(params[name]))
            raise WeightsError(
                f"{self.source}: tensor {stored!r} ({tensor.dtype}) holds {len(bad)} values "
                f"that are NaN or Inf in {params.dtype}, the first at {bad[0].tolist()}: the file is "
                f"damaged, or the training that made it diverged"
            )

    def _in_parts(self, name: str, tensor: Tensor) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """A tensor that stays in its file, a little of it at a time in one piece of memory."""
        size = self.params.spec(name).size
        memory = np.empty(min(size, PART), self.params.dtype)
        for first in range(0, size, PART):
            part = memory[: size - first]
            tensor.read_part(first, part)
            yield part

    def report(self) -> LoadReport:
        return LoadReport(
            source=self.source,
            loaded=tuple(name for name in self.params if name in self.stored_as),
            missing=tuple(self._missing()),
            unexpected=tuple(self._unexpected()),
            converted=tuple(self._conversions()),
            overridden=tuple(
                stored for alias, stored in self.copies.items() if not self._equal(self.tied[alias], stored)
            ),
            prefix=self.checkpoint.prefix,
        )

    def _of_tied_decoder(self, alias: str) -> bool:
        """True for the bias of a layer whose weight is tied."""
        module, _, kind = alias.rpartition(".")
        return kind == "bias" and f"{module}.weight" in self.tied

    def _alike(self, one: str, other: str) -> bool:
        return np.array_equal(np.asarray(self.checkpoint[one]), np.asarray(self.checkpoint[other]))

    def _equal(self, name: str, stored: str) -> bool:
        """Compare a stored copy of a tied tensor with the loaded parameter."""
        with np.errstate(over="ignore"):
            return np.array_equal(self.params[name], np.asarray(self.checkpoint[stored], self.params.dtype))

    def _missing(self) -> Iterator[Absence]:
        heads_in_file = {self.names.head_of(name) for name in self.stored_as}
        for name in self.params:
            if name in self.mismatched:
                yield Absence(name, True, self.mismatched[name])
            elif name not in self.stored_as:
                head = self.names.head_of(name)
                known = head is None or head in heads_in_file
                yield Absence(name, not known, "not in the file" if known else f"the file has no {head}")

    def _unexpected(self) -> Iterator[Absence]:
        our_heads = {self.names.head_of(name) for name in self.params}
        for stored in self.unused:
            head = self.names.head_of(stored)
            ours = head is None or head in our_heads
            yield Absence(stored, not ours, "unknown to this model" if ours else f"this model has no {head}")

    def _conversions(self) -> Iterator[Conversion]:
        base, dtype = self.names.base, self.params.dtype.name
        for name in self.params:
            if stored := self.stored_as.get(name):
                has = self.checkpoint.tensors[stored].dtype
                renamed = without_prefix(name, base) != without_prefix(stored, base)
                if renamed or not same_dtype(has, dtype):
                    yield Conversion(name, stored, dtype, has)


def _numbers(layers: list[int]) -> str:
    if not layers:
        return "none"
    if layers == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return shorten(map(str, layers))


def _hint(spec: ParameterSpec, has: tuple[int, ...], names: Names) -> str:
    wants = spec.shape
    if spec.name.startswith("classifier."):
        return (
            f" ({has[0] if has else 1} labels in the file, {wants[0]} in the config's id2label). "
            f"To start a new classifier pass ignore_mismatched=True"
        )
    if has[1:] == wants[1:] and len(has) == len(wants) and spec.key is not None:
        return f": the config's {names.key(spec.key)} is {wants[0]} and ought to be {has[0]}"
    *others, last = names.widths
    return f": check {', '.join(others)} and {last} in config.json"


def _finite(part: npt.NDArray[np.floating[Any]]) -> bool:
    # The extremes carry NaN and Inf along, without a mask the size of the tensor.
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite((part.min(initial=0), part.max(initial=0))).all())
