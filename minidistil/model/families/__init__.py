"""Table of families, a file each, and look-ups over all of them.

A family's file holds its config (`BertConfig`), a function that composes its encoder of modules, and a class
for each architecture (`BertForMaskedLM`), under transformers' names. A file is imported when it is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidistil.config import ModelConfig
from minidistil.config_fields import OTHER_FAMILIES, did_you_mean, short
from minidistil.errors import ConfigError
from minidistil.files import read_json
from minidistil.modules_json import cross_encoder, encoder_directory
from minidistil.weights.checkpoint import INDEX, SINGLE
from minidistil.weights.names import Names, without_prefix

if TYPE_CHECKING:
    from minidistil.model.families.albert import *  # noqa: F403
    from minidistil.model.families.bert import *  # noqa: F403
    from minidistil.model.families.camembert import *  # noqa: F403
    from minidistil.model.families.distilbert import *  # noqa: F403
    from minidistil.model.families.electra import *  # noqa: F403
    from minidistil.model.families.ernie import *  # noqa: F403
    from minidistil.model.families.mpnet import *  # noqa: F403
    from minidistil.model.families.roberta import *  # noqa: F403
    from minidistil.model.families.xlm_roberta import *  # noqa: F403
    from minidistil.model.model import Model

# `model_type` in config.json, which is the file here with _ for -: what the names of the classes begin with.
FAMILIES = {
    "bert": "Bert",
    "distilbert": "DistilBert",
    "ernie": "Ernie",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "camembert": "Camembert",
    "mpnet": "MPNet",
    "electra": "Electra",
    "albert": "Albert",
}

MANY = 5  # models in a directory that a message lists
UNIT = re.compile(r"cls\.\w+|\w+")  # what belongs together in the names of a head; `cls` holds several


def public(name: str) -> Any:
    """A config or model class of any family by its name, or None."""
    starts = {start: family for family, start in FAMILIES.items() if name.startswith(start)}
    return _classes(starts[max(starts, key=len)]).get(name) if starts else None


def public_names() -> list[str]:
    """Names of all configs and models."""
    return [name for family in FAMILIES for name in _classes(family)]


def model_classes() -> dict[str, type[Model]]:
    """Every model class by its name, in the order of the table."""
    return {name: kind for family in FAMILIES for name, kind in _models(family).items()}


@cache
def _classes(model_type: str) -> dict[str, Any]:
    module = import_module(f"{__name__}.{model_type.replace('-', '_')}")
    return {name: value for name, value in vars(module).items() if name in module.__all__}


def _models(model_type: str) -> dict[str, type[Model]]:
    return {name: kind for name, kind in _classes(model_type).items() if hasattr(kind, "build_encoder")}


def model_class(architecture: str) -> type[Model]:
    """The class of that name, or an error that names those supported."""
    kind = public(architecture)
    if kind is None or not hasattr(kind, "build_encoder"):
        supported = ", ".join(model_classes())
        raise ConfigError(f"architecture {architecture!r} is not supported; supported: {supported}")
    found: type[Model] = kind
    return found


def class_with(head: str, family: str) -> type[Model]:
    """The class of a family with a head: "ForMaskedLM", or "Model" for the bare encoder.

    Raises
    ------
    ConfigError
        No such family.
    """
    if family not in FAMILIES:
        raise ConfigError(f"there is no family {family!r}; there are: {', '.join(FAMILIES)}")
    return model_class(FAMILIES[family] + head)


def config_from_dict(values: Mapping[str, Any], source: object = "config.json") -> ModelConfig:
    """Config of the family that `values["model_type"]` names.

    Raises
    ------
    ConfigError
        Unknown family (the supported ones are named), or a value that makes no sense.
    """
    family = values.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        supported = ", ".join(sorted(FAMILIES))
        if isinstance(family, str) and family in OTHER_FAMILIES:
            what = "is another family of models, which is not supported"
        else:  # one that is unknown may be anything: only a slip of the pen is taken for ours
            what = f"is not supported{did_you_mean(str(family).lower(), FAMILIES, cutoff=0.85)}"
        raise ConfigError(f"{source}: model_type {short(family)} {what}; supported: {supported}")
    try:
        config: ModelConfig = _classes(family)[FAMILIES[family] + "Config"].from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return config


def load_config(path: Path) -> ModelConfig:
    """Read config.json. `path` is the file, or a directory of which `encoder_directory` says where it is.

    Raises
    ------
    ConfigError
        No such file, no JSON object, or what `config_from_dict` refuses.
    """
    beside: dict[str, Any] = {}
    if os.path.isdir(path):
        path, beside = encoder_directory(path) / "config.json", cross_encoder(path)
    if not os.path.lexists(path):
        below = _models_below(path.parent)
        raise ConfigError(f"{path} does not exist, so {path.parent} is not a model directory{below}")
    return config_from_dict({**read_json(path), **beside}, path)


def _models_below(directory: Path) -> str:
    """A hint to the models in the folders of a directory, if it has some."""
    seed = directory / "seed-0"
    if seed.is_dir():
        return f": it has a model for each seed, such as {seed}"
    inside = {file.parent for file in directory.glob("*/config.json")}
    found = sorted(str(place) for place in inside if any((place / name).exists() for name in (SINGLE, INDEX)))
    some = ", ".join(found[:MANY]) + (f" and {len(found) - MANY} more" if len(found) > MANY else "")
    return f"; in it are: {some}" if found else ""


def title_of(layers: Collection[str]) -> str | None:
    """The first family that has one of these before a layer's number: "BERT" for "encoder.layer."."""
    return next((kind.title for kind in model_classes().values() if kind.layer_prefix in layers), None)


def names_of(kind: type[Model], config: ModelConfig) -> Names:
    """Names of the parts of a class, for files."""
    # A config may ask for any number of layers; one is enough to see the names.
    encoder = kind.encoder_of(config.with_layers([0]) if config.num_hidden_layers else config)
    first = {without_prefix(spec.name, kind.base).partition(".")[0] for spec in encoder.specs()}
    counted, _ = config.layers_stored
    widths = tuple(map(config.key, config.widths))
    return Names(
        kind.title, kind.base, first, kind.layer_prefix, title_of, head_units, config.key, counted, widths
    )


def unit_of(name: str, base: str) -> str:
    """Unit of a head's parameter, such as "classifier": a file holds all of a unit or nothing."""
    match = UNIT.match(name.removeprefix(base + "."))
    return "" if match is None else match[0]


@cache
def head_units() -> frozenset[str]:
    """Units of the heads of every family: what comes and goes with the task."""
    return frozenset(unit for name in model_classes() for part in _units(name) for unit in part)


def head_in(names: Iterable[str], config: ModelConfig) -> str | None:
    """Head, such as "ForMaskedLM", of the only class that fits a file's parameters outside the encoder.

    A pooler that no class asks for does not count: many files keep one. "Model" where there is no head.
    None if several fit, as a pooler and a classifier do: sequences or choices; or none.
    """
    start, found = FAMILIES[config.model_type], set(names)
    fitting = []
    for name in _models(config.model_type):
        needed, copies = _units(name)
        needed = frozenset() if name == start + "Model" else needed
        if needed <= found <= needed | copies | {"pooler"}:
            fitting.append(name.removeprefix(start))
    return fitting[0] if len(fitting) == 1 else None


@cache
def _units(architecture: str) -> tuple[frozenset[str], frozenset[str]]:
    """Units of a class's heads: those that it needs, and those that a file may hold as copies."""
    kind = model_class(architecture)
    config = kind.config_class(num_hidden_layers=0)
    names = {spec.name for head in kind.heads_of(config) for spec in head.specs()}

    def units(names: Collection[str]) -> frozenset[str]:
        return frozenset(unit_of(name, kind.base) for name in names)

    return units(names), units(kind.copies(config))
