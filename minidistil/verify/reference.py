"""References: a tiny random model, its inputs, and every tensor of one step, for whoever writes their own.

A reference is a directory that holds all that another implementation needs to be checked, in any language:
a model in the Hugging Face layout, inputs, and in float64 every number of a forward and a backward pass, with
an index that describes each. `minidistil.verify.conformance` reads it; docs/conformance.md has the layout.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.arguments import check_integer, check_names, did_you_mean
from minidistil.arrays import AnyArray
from minidistil.batch import Batch
from minidistil.config_fields import LABELS
from minidistil.errors import ConfigError, StorageError, UsageError
from minidistil.files import atomic_directory, write_json
from minidistil.losses import IGNORE_INDEX
from minidistil.model import model_class, model_classes
from minidistil.model.families import FAMILIES
from minidistil.model.model import Model
from minidistil.model.packed_model import get_backend
from minidistil.model.taps import GRADIENT
from minidistil.precision import PRECISIONS
from minidistil.verify.capture import COTANGENT, Activations, capture, questions, token_outputs
from minidistil.verify.compare import compare
from minidistil.verify.conformance import is_reference
from minidistil.verify.model_cases import tiny_model
from minidistil.verify.operations import TARGETS, order
from minidistil.verify.reference_index import (
    FORMAT,
    GRADIENTS,
    INDEX,
    INPUTS,
    MODEL,
    PACKED,
    VALUES,
    VERSION,
    described,
    sizes_of,
)
from minidistil.weights.safetensors_file import write_safetensors

DEFAULT_HEAD = "masked-lm"

# No two sizes are equal, so that no tensor passes for its transpose, and each is one letter's.
SIZES: dict[str, Any] = {
    "vocab_size": 37,
    "max_position_embeddings": 13,
    "type_vocab_size": 4,
    "hidden_size": 15,
    "num_attention_heads": 5,
    "intermediate_size": 22,
    "embedding_size": 8,
    "layer_norm_eps": 1e-3,  # far from every default, so that a constant in its place shows
    "id2label": {0: "a", 1: "b", 2: "c"},
}
LENGTHS = (7, 1, 13, 2, 5, 3)  # the longest is as many as the model takes
CHOICES = 3  # sequences of an example of multiple choice
UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}  # unit roundoff


def heads_of(family: str) -> dict[str, str]:
    """Heads of a family as options name them: {"bare": "Model", "masked-lm": "ForMaskedLM"}.

    Raises
    ------
    UsageError
        No such family.
    """
    if family not in FAMILIES:
        raise UsageError(f"there is no family {family!r}{did_you_mean(family, FAMILIES)}")
    kinds = [name for name, kind in model_classes().items() if kind.config_class.model_type == family]
    heads = [name.removeprefix(FAMILIES[family]) for name in kinds]
    return {_kebab(head): head for head in heads}


def _kebab(head: str) -> str:
    """The option's name of a head: "masked-lm" for "ForMaskedLM"."""
    if head == "Model":
        return "bare"
    return "-".join(re.findall(r"[A-Z][a-z]+|[A-Z]+", head.removeprefix("For"))).lower()


def reference_model(family: str, head: str, seed: int = 0, changes: Mapping[str, Any] | None = None) -> Model:
    """A float64 model of the textbook whose parameters are float32 numbers, with all dropout rates 0.

    Parameters
    ----------
    family : str
        "bert".
    head : str
        One of `heads_of`.
    seed : int
    changes : mapping, optional
        Fields of the config.

    Raises
    ------
    UsageError
        No such family, head, or field of the config.
    ConfigError
        A value that the config does not take.
    """
    check_integer("the seed", seed, 0)
    heads = heads_of(family)
    if head not in heads:
        raise UsageError(f"{family} has no head {head!r}{did_you_mean(head, heads)}")
    name = FAMILIES[family] + heads[head]
    kind = model_class(name).config_class
    given = {kind.aliases.get(key, key): value for key, value in (changes or {}).items()}
    fields = [field.name for field in dataclasses.fields(kind)]
    known = [name for name in fields if name not in {"extra", "architectures", *kind.constants}]
    check_names(kind.__name__, "field", given, [*dict.fromkeys([*known, *LABELS])])
    sizes = {key: value for key, value in SIZES.items() if key in known}
    if labels := {key: given.pop(key) for key in LABELS if key in given}:
        sizes["id2label"] = kind(**labels).id2label
    rates = {key: 0.0 for key in known if "dropout" in key}
    model = tiny_model(name, get_backend("numpy"), seed=seed, **{**sizes, **rates, **given})
    if any("start_positions" in part.target_names for part in model.heads):
        model.config = model.config.replace(id2label={0: "start", 1: "end"})  # what transformers goes by
    if model.config.max_sequence_length < 1 or model.config.vocab_size < 2:
        raise ConfigError("a reference needs a word beside padding, and a position for it")
    return model


def reference_inputs(model: Model, seed: int = 0) -> Activations:
    """Inputs [B, L] of a model, padded on the right; [G, C, L] for multiple choice.

    Lengths are 1, 2, odd ones, and as many tokens as the model takes. No token is padding's, for which
    implementations have rules of their own.
    """
    longest, pad = model.config.max_sequence_length, model.config.pad_token_id or 0
    lengths = np.array([min(n, longest) for n in LENGTHS])
    lengths[lengths.argmax()] = longest
    rng = np.random.default_rng((seed, 1))
    mask = np.arange(longest) < lengths[:, None]
    words = [word for word in range(model.config.vocab_size) if word != pad]
    ids = rng.choice(words, mask.shape)
    ids[lengths.argmax(), : min(3, longest)] = words[-1]  # several times: gradients of its row add
    found: Activations = {"input_ids": np.where(mask, ids, pad), "attention_mask": mask.astype(np.int64)}
    for table in model.encoder.embeddings.types:
        if table.ids == "token_type_ids" or not model.over_choices:  # of others transformers flattens none
            found[table.ids] = rng.integers(0, table.rows, mask.shape) * mask
    if model.over_choices:
        found = {name: value.reshape(-1, CHOICES, longest) for name, value in found.items()}
    return {name: value.astype(np.int64) for name, value in found.items()}


def reference_targets(model: Model, batch: Batch, outputs: Mapping[str, Any], seed: int = 0) -> Activations:
    """Random targets of the model's own loss, in the form that a call takes; none for a bare encoder.

    Of tokens about half have a class, the others -100; where the label is yes or no, all have one.
    """
    rng, config, by_token = np.random.default_rng((seed, 2)), model.config, token_outputs(model)
    targets: Activations = {}
    for name, target in TARGETS.items():
        if name not in outputs:
            continue
        scores = outputs[name]
        if target.endswith("_positions"):
            targets[target] = rng.integers(0, batch.lengths)
        elif name in by_token:
            classes = scores.shape[1] if scores.ndim == 2 else 2
            chosen = rng.random(len(scores)) < (0.5 if scores.ndim == 2 else 1)
            chosen[0] = True
            labels = np.where(chosen, rng.integers(0, classes, len(scores)), IGNORE_INDEX)
            targets[target] = batch.unpack(labels, fill=IGNORE_INDEX)
        elif model.over_choices:
            targets[target] = rng.integers(0, batch.num_choices)
        elif name == "logits" and config.problem_type == "multi_label_classification":
            targets[target] = rng.integers(0, 2, scores.shape).astype(np.float64)
        elif name == "logits" and (scores.shape[1] == 1 or config.problem_type == "regression"):
            values = rng.standard_normal(scores.shape, np.float32).astype(np.float64)
            targets[target] = values[:, 0] if scores.shape[1] == 1 else values
        else:
            targets[target] = rng.integers(0, scores.shape[1], len(scores))
    return targets


def cotangents(model: Model, batch: Batch, outputs: Mapping[str, Any], seed: int = 0) -> Activations:
    """Random cotangents of all outputs, in place of a loss; zero at padding."""
    rng, by_token = np.random.default_rng((seed, 3)), token_outputs(model)
    found: Activations = {}
    for name, value in outputs.items():
        random = rng.standard_normal(value.shape, np.float32).astype(np.float64)
        found[COTANGENT + name] = batch.unpack(random) if name in by_token else random
    return found


def packed_inputs(model: Model, batch: Batch) -> Activations:
    """The same inputs and targets without padding: ids [T], and where each sequence begins."""
    table = model.encoder.embeddings.position
    found: Activations = {"input_ids": batch.input_ids, "cu_seqlens": batch.cu_seqlens}
    found |= {table.ids: table.ids_of(batch) for table in (table, *model.encoder.embeddings.types)}
    if batch.cu_choices is not None:
        found["cu_choices"] = batch.cu_choices
    found |= {name: v for name, v in batch.targets.items() if len(v) == batch.num_tokens}
    return {PACKED + name: value.astype(np.int64) for name, value in found.items()}


def single_precision(model: Model) -> Model:
    """The same model in float32; its parameters are the same numbers."""
    other = type(model)(model.config, dtype="float32", backend="numpy")
    for name, value in model.params.items():
        other.params[name][...] = value
    return other


def tolerances(model: Model, found: Activations, tokens: int) -> dict[str, dict[str, float]]:
    """Largest relative error of each tensor that an implementation in float64, or float32, may have.

    N k u, with the unit roundoff u of the precision, 2^-53 or 2^-24. k is measured: the error of this model
    in float32, in units of 2^-24; at least the median of all tensors, since one run may be lucky. N is the
    number of terms in the longest sum, by which another order of its terms may change the error (Higham 2002,
    "Accuracy and Stability of Numerical Algorithms", section 3.1).
    """
    single = capture(single_precision(model), questions(found), taps=True)
    measured = compare(single, found, tolerance=PRECISIONS["float32"].tolerance).tensors
    errors = {t.name: t.relative / UNITS["float32"] for t in measured}
    least = max(1.0, float(np.median(list(errors.values()))))
    terms = max(tokens, *(size for value in model.params.values() for size in value.shape))
    return {
        name: {kind: _two_digits(terms * max(error, least) * unit) for kind, unit in UNITS.items()}
        for name, error in errors.items()
    }


def _two_digits(value: float) -> float:
    """The next number above with two digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step) * step:.1e}")


def write_reference(
    path: str | Path,
    family: str,
    head: str = DEFAULT_HEAD,
    *,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a reference, as `atomic_directory` does; the same arguments give the same bytes.

    Parameters
    ----------
    path : str or Path
        A new or empty directory, or a reference, which is replaced.
    family, head, seed, changes
        As of `reference_model`.

    Returns
    -------
    dict
        The content of its index.

    Raises
    ------
    UsageError, ConfigError
        As of `reference_model`.
    StorageError
        The directory holds something else, or cannot be written. What was there is untouched.
    """
    path = Path(path)
    if path.is_dir() and any(path.iterdir()) and not is_reference(path):
        raise StorageError(f"{path} is not empty, and holds no reference: choose another directory")
    model = reference_model(family, head, seed, changes)
    given = reference_inputs(model, seed)
    outputs, _ = model.forward(model.pack(**given), keep_cache=False)
    targets = reference_targets(model, model.pack(**given), outputs, seed)
    batch = model.pack(**given, **targets)
    found = capture(model, {**given, **(targets or cotangents(model, batch, outputs, seed))}, taps=True)
    files: dict[str, dict[str, AnyArray]] = {INPUTS: questions(found) | packed_inputs(model, batch)}
    names = sorted((name for name in found if name not in files[INPUTS]), key=order)
    files[VALUES] = {name: found[name] for name in names if not name.startswith(GRADIENT)}
    files[GRADIENTS] = {name: found[name] for name in names if name.startswith(GRADIENT)}
    index = {
        "format": FORMAT,
        "version": VERSION,
        "family": family,
        "head": head,
        "architecture": type(model).__name__,
        "base": model.base,
        "seed": seed,
        "changes": dict(changes or {}),
        "gradient_of": "the loss" if "loss" in found else "sum(output * cotangent.output) over the outputs",
        "sizes": sizes_of(model, batch),
        "tied": model.copies(model.config),
        "tensors": described(model, batch, files, tolerances(model, found, batch.num_tokens)),
    }
    with atomic_directory(path) as staging:
        model.save_pretrained(staging, card=_card(index))
        for file, tensors in files.items():
            write_safetensors(staging / file, tensors)
        write_json(staging / INDEX, index)
    return index


def _card(index: Mapping[str, Any]) -> str:
    """README.md of the directory."""
    command = f"minidistil reference --family {index['family']} --head {index['head']} --seed {index['seed']}"
    command += "".join(f" --set '{key}={json.dumps(value)}'" for key, value in index["changes"].items())
    return f"""# A reference of {index["architecture"]}

A tiny {index["architecture"]} of random weights, and every number of one forward and one backward pass in
float64, to check another implementation against.

- `config.json`, `{MODEL}`: the model. Parameters are stored in float64, and each is a float32 number.
- `{INPUTS}`: ids and targets, padded [B, L], and without padding [T] under names that begin with `{PACKED}`.
- `{VALUES}`: every number of the forward pass. `{GRADIENTS}`: the gradients.
- `{INDEX}`: of each tensor what it is, its shape, what it is computed from, and a tolerance.

`minidistil compare THIS_DIRECTORY YOURS.safetensors` names the first tensor of yours that differs.

    {command} --out DIR
"""
