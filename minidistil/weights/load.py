"""From the tensors of a checkpoint to the parameters of a model.

Names and shapes are checked before anything is copied. An encoder that does not fit is always an
error: a layer silently left random, or silently left out, is never what one wants. Only a head may
be missing or superfluous, and the report says so.

All checks come before memory is allocated: the sizes in a config or a header may be absurd.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

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
from minidistil.weights.safetensors_file import FLOATING

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
        What the model's family calls its parts.
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
        What messages call the checkpoint; its path by default.

    Returns
    -------
    LoadReport

    Raises
    ------
    WeightsError
        The encoder is not covered exactly, a shape or dtype does not fit, a value is NaN or Inf, two
        stored tensors claim one parameter, or `strict` and the match is not complete.
    """
    source = str(checkpoint.path if source is None else source)
    match = _match_names(params, checkpoint, names, tied, source)
    _check_encoder(params, checkpoint, match, names, source)
    mismatched = _check_shapes(params, checkpoint, match, names, ignore_mismatched, source)
    if not mapped:
        params.materialize()
    for name, stored in match.stored_as.items():
        here = not (mapped and checkpoint.holds(stored, params.dtype))
        if not here and params.spec(name).role == "weight":
            params.leave(name, partial(checkpoint.read_part, stored))
        elif not here and name.endswith(WORDS) and name not in tied.values():  # a decoder reads all of it
            params.leave(name, partial(checkpoint.read_part, stored), by_rows=True)
        else:
            here = True
            checkpoint.read_into(stored, params[name])
        parts = [params[name]] if here else _in_parts(params, name, checkpoint, stored)
        if not all(_finite(part) for part in parts):
            _refuse_not_finite(params, name, checkpoint, stored, source)
    report = LoadReport(
        source=source,
        loaded=tuple(name for name in params if name in match.stored_as),
        missing=tuple(_missing(params, match, names, mismatched)),
        unexpected=tuple(_unexpected(params, match, names)),
        converted=tuple(_conversions(params, checkpoint, match, names)),
        overridden=tuple(
            stored
            for alias, stored in match.copies.items()
            if not _equal(params, tied[alias], checkpoint, stored)
        ),
        prefix=checkpoint.prefix,
    )
    if strict and not report.complete:
        raise WeightsError(f"strict loading asks for an exact match, but\n{report}")
    return report


def check_depth(checkpoint: Checkpoint, layers: int, names: Names, source: object) -> None:
    """Raise unless the file has as many layers as the config, before a name is made for each of them.

    Parameters
    ----------
    checkpoint : Checkpoint
    layers : int
        What the config asks for.
    names : Names
        What the family calls its parts.
    source : object
        What messages call the checkpoint.

    Raises
    ------
    WeightsError
    """
    found: dict[str, set[int]] = {}
    for name in checkpoint:
        if layer := _LAYER.search(name):
            found.setdefault(layer[1], set()).add(int(layer[2]))
    if found and names.layers not in found and layers and (is_a := names.family_of(found)):
        raise WeightsError(
            f"{source} holds a {is_a} encoder, but the model is a {names.title}: load it as a {is_a} "
            f"(a BERT gets a DistilBERT for a student through minidistil.distill.init_student)"
        )
    has = sorted(found.get(names.layers, ()))
    if not (len(has) == layers and (not has or has[-1] == layers - 1)):
        what = "" if has else f"; it holds {len(checkpoint)} tensors: {shorten(checkpoint)}"
        raise WeightsError(
            f"{source} contradicts the config: the file has {len(has)} encoder layers ({_numbers(has)}), "
            f"the config asks for {layers}{what}. Correct {names.key('num_hidden_layers')} in config.json; "
            f" to keep only some layers of a model use minidistil.distill.init_student"
        )


@dataclass
class _Match:
    stored_as: dict[str, str] = field(default_factory=dict)  # parameter -> name in the file
    copies: dict[str, str] = field(default_factory=dict)  # tied name -> name in the file
    unused: list[str] = field(default_factory=list)  # names in the file


def _match_names(
    params: Parameters, checkpoint: Checkpoint, names: Names, tied: Mapping[str, str], source: str
) -> _Match:
    match = _Match()
    wanted = {*params, *tied}
    for stored in checkpoint:
        name = resolve_name(stored, wanted, names.base)
        if name not in wanted:
            if not is_buffer(stored, names.base):
                match.unused.append(stored)
            continue
        claims = match.stored_as if name in params else match.copies
        if name in claims:
            raise WeightsError(f"{source}: {claims[name]!r} and {stored!r} both claim to be {name}")
        claims[name] = stored
    for alias in list(match.copies):
        if tied[alias] not in match.stored_as:
            match.stored_as[tied[alias]] = match.copies.pop(alias)
    return match


def _check_encoder(
    params: Parameters, checkpoint: Checkpoint, match: _Match, names: Names, source: str
) -> None:
    """Raise unless file and model have exactly the same encoder tensors."""
    lacking = [name for name in params if name not in match.stored_as and names.in_encoder(name)]
    surplus = [name for name in match.unused if names.in_encoder(name)]
    if not lacking and not surplus:
        return
    problems = []
    if lacking:
        named = shorten(names_with_nearest(lacking, match.unused))
        problems.append(f"lacks {len(lacking)} tensors of the encoder: {named}")
    if unknown := surplus or match.unused:
        problems.append(f"holds {len(unknown)} that the model has no place for: {shorten(unknown)}")
    wrapped = outer_prefixes([*checkpoint], names.base)
    hint = f". In the file the names of the encoder begin with {wrapped[0]!r}" if wrapped else ""
    raise WeightsError(
        f"{source} does not fit the model its config describes: it {' and '.join(problems)}{hint}"
    )


def _numbers(layers: list[int]) -> str:
    if not layers:
        return "none"
    if layers == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return shorten(map(str, layers))


def _check_shapes(
    params: Parameters,
    checkpoint: Checkpoint,
    match: _Match,
    names: Names,
    ignore_mismatched: bool,
    source: str,
) -> dict[str, str]:
    """Raise if a tensor cannot be copied. Heads of another shape, if allowed, are unmatched and returned."""
    mismatched: dict[str, str] = {}
    for name, stored in list(match.stored_as.items()):
        dtype = checkpoint.dtype_of(stored)
        if dtype not in FLOATING:
            raise WeightsError(
                f"{source}: tensor {stored!r} is {dtype}; one of {', '.join(sorted(FLOATING))} was expected "
                f"(quantised checkpoints cannot be loaded)"
            )
        has, wants = checkpoint.shape_of(stored), params.spec(name).shape
        if has == wants:
            continue
        if ignore_mismatched and names.head_of(name):
            mismatched[name] = f"its shape in the file is {list(has)}, here {list(wants)}"
            del match.stored_as[name]
            continue
        raise WeightsError(
            f"{source}: tensor {stored!r} has shape {list(has)}, but the config calls for {list(wants)}"
            f"{_hint(params.spec(name), has, names)}"
        )
    return mismatched


def _hint(spec: ParameterSpec, has: tuple[int, ...], names: Names) -> str:
    wants = spec.shape
    if spec.name.startswith("classifier."):
        return (
            f" ({has[0] if has else 1} labels in the file, {wants[0]} in the config's id2label). "
            f"To start a new classifier pass ignore_mismatched=True"
        )
    if has[1:] == wants[1:] and len(has) == len(wants) and spec.key is not None:
        return f": the config's {names.key(spec.key)} is {wants[0]} and ought to be {has[0]}"
    return f": check {names.key('hidden_size')} and {names.key('intermediate_size')} in config.json"


def _in_parts(
    params: Parameters, name: str, checkpoint: Checkpoint, stored: str
) -> Iterator[npt.NDArray[np.floating[Any]]]:
    """A tensor that stays in its file, a little of it at a time in one piece of memory."""
    size = params.spec(name).size
    memory = np.empty(min(size, PART), params.dtype)
    for first in range(0, size, PART):
        part = memory[: size - first]
        checkpoint.read_part(stored, first, part)
        yield part


def _finite(part: npt.NDArray[np.floating[Any]]) -> bool:
    # The extremes carry NaN and Inf along, without a mask the size of the tensor.
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite((part.min(initial=0), part.max(initial=0))).all())


def _refuse_not_finite(
    params: Parameters, name: str, checkpoint: Checkpoint, stored: str, source: str
) -> NoReturn:
    bad = np.argwhere(~np.isfinite(params[name]))
    raise WeightsError(
        f"{source}: tensor {stored!r} ({checkpoint.dtype_of(stored)}) holds {len(bad)} values that are "
        f"NaN or Inf in {params.dtype}, the first at {bad[0].tolist()}: the file is damaged, or the "
        f"training that made it diverged"
    )


def _equal(params: Parameters, name: str, checkpoint: Checkpoint, stored: str) -> bool:
    """Compare a stored copy of a tied tensor with the loaded parameter."""
    with np.errstate(over="ignore"):
        return np.array_equal(params[name], np.asarray(checkpoint[stored], params.dtype))


def _missing(
    params: Parameters, match: _Match, names: Names, mismatched: Mapping[str, str]
) -> Iterable[Absence]:
    heads_in_file = {names.head_of(name) for name in match.stored_as}
    for name in params:
        if name in mismatched:
            yield Absence(name, True, mismatched[name])
        elif name not in match.stored_as:
            head = names.head_of(name)
            if head is None or head in heads_in_file:
                yield Absence(name, False, "not in the file")
            else:
                yield Absence(name, True, f"the file has no {head}")


def _unexpected(params: Parameters, match: _Match, names: Names) -> Iterable[Absence]:
    our_heads = {names.head_of(name) for name in params}
    for stored in match.unused:
        head = names.head_of(stored)
        if head is None or head in our_heads:
            yield Absence(stored, False, "unknown to this model")
        else:
            yield Absence(stored, True, f"this model has no {head}")


def _conversions(
    params: Parameters, checkpoint: Checkpoint, match: _Match, names: Names
) -> Iterable[Conversion]:
    for name in params:
        if stored := match.stored_as.get(name):
            bare_names = without_prefix(name, names.base), without_prefix(stored, names.base)
            if bare_names[0] != bare_names[1] or not same_dtype(
                checkpoint.dtype_of(stored), params.dtype.name
            ):
                yield Conversion(name, stored, params.dtype.name, checkpoint.dtype_of(stored))
