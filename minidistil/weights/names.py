"""The one table of names: how tensors in checkpoints map to the names minidistil uses.

Our names are those transformers writes today. Checkpoints differ in four ways, all settled here:

- Conversions from the first TensorFlow BERT say `gamma` and `beta` for a layernorm's weight and bias.
- A bare encoder is saved without the base prefix, a model with a head with it: `encoder.layer.0...`
  and `bert.encoder.layer.0...` are the same tensor.
- Old files hold buffers (`embeddings.position_ids`), which are constants and no parameters.
- A model saved out of a wrapper has its attribute before every name: `module.`, `_orig_mod.`, `model.`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# The parent must be a layernorm: `LayerNorm`, `sa_layer_norm`, `vocab_layer_norm`. Renaming every
# gamma, as transformers long did, garbles models with parameters of that name (transformers#29554).
_LEGACY_NORM = re.compile(r"(?P<norm>(?:^|.*\.)(?:LayerNorm|(?:\w+_)?layer_norm)\.)(?P<old>gamma|beta)")
_NEW_NAMES = {"gamma": "weight", "beta": "bias"}

BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")

# Attributes in which DataParallel, torch.compile, and Lightning or an own class keep the model.
WRAPPERS = frozenset({"module", "_orig_mod", "model"})

WORDS = "embeddings.word_embeddings.weight"

# What every model of a family has, whatever its task.
ENCODER = ("embeddings.", "encoder.", "transformer.")

# What sits on top of an encoder and so comes and goes with the task. Each is a unit: a file that
# holds a part of one is damaged, a file without it comes from another task.
HEADS = (
    "pooler",
    "cls.predictions",
    "cls.seq_relationship",
    "classifier",
    "pre_classifier",
    "qa_outputs",
    "vocab_transform",
    "vocab_layer_norm",
    "vocab_projector",
)


def modern_name(name: str) -> str:
    """`name` with a layernorm's legacy gamma or beta replaced by weight or bias."""
    match = _LEGACY_NORM.fullmatch(name)
    return name if match is None else match["norm"] + _NEW_NAMES[match["old"]]


def without_prefix(name: str, base_prefix: str) -> str:
    """`name` without a leading `base_prefix` component."""
    return name.removeprefix(base_prefix + ".")


def resolve_name(name: str, wanted: Collection[str], base_prefix: str) -> str:
    """The parameter that a stored tensor is meant for.

    Parameters
    ----------
    name : str
        As stored.
    wanted : collection of str
        The model's parameter names, with or without `base_prefix`.
    base_prefix : str
        "bert" or "distilbert".

    Returns
    -------
    str
        A member of `wanted` if the tensor has a place there, else its modern name as it stands.
    """
    modern = modern_name(name)
    for candidate in (modern, f"{base_prefix}.{modern}", without_prefix(modern, base_prefix)):
        if candidate in wanted:
            return candidate
    return modern


def wrapper_prefix(names: Collection[str], base_prefix: str) -> str:
    """Prefix that a wrapper put before every name; "" where there is none, or some names are without it.

    Only what says nothing of the model, see `WRAPPERS`: "roberta." is another family's own prefix.
    """
    found = outer_prefixes(names, base_prefix)
    if len(found) != 1 or not all(name.startswith(found[0]) for name in names):
        return ""
    return found[0] if set(found[0].removesuffix(".").split(".")) <= WRAPPERS else ""


def outer_prefixes(names: Collection[str], base_prefix: str) -> list[str]:
    """Prefix of the word table's name, wherever there is one, beside or above `base_prefix`."""
    found = {name.removesuffix(WORDS): None for name in names if name.endswith("." + WORDS)}
    outer = {prefix.removesuffix(base_prefix + "."): None for prefix in found}
    return [prefix for prefix in outer if prefix]


def is_buffer(name: str, base_prefix: str) -> bool:
    """Whether a stored tensor is a constant that holds nothing learned."""
    return without_prefix(name, base_prefix) in BUFFERS


def in_encoder(name: str, base_prefix: str) -> bool:
    """Whether a parameter belongs to the embeddings or the layers."""
    return without_prefix(name, base_prefix).startswith(ENCODER)


def head_of(name: str, base_prefix: str) -> str | None:
    """The head a parameter belongs to, one of `HEADS`; None for the encoder and for the unknown."""
    bare = without_prefix(name, base_prefix)
    return next((head for head in HEADS if bare.startswith(head + ".")), None)
