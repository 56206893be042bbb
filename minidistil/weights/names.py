"""Names in checkpoints, and how they map to the names that minidistil uses.

Our names are those transformers writes today. Checkpoints differ in four ways, all settled here:

- Conversions from the first TensorFlow BERT say `gamma` and `beta` for a layernorm's weight and bias.
- A bare encoder is saved without the base prefix, a model with a head with it: `encoder.layer.0...`
  and `bert.encoder.layer.0...` are the same tensor.
- Old files hold buffers (`embeddings.position_ids`), which are constants and no parameters.
- A model saved out of a wrapper has its attribute before every name: `module.`, `_orig_mod.`, `model.`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

# The parent must be a layernorm: `LayerNorm`, `sa_layer_norm`, `vocab_layer_norm`. Renaming every
# gamma, as transformers long did, garbles models with parameters of that name (transformers#29554).
_LEGACY_NORM = re.compile(r"(?P<norm>(?:^|.*\.)(?:LayerNorm|(?:\w+_)?layer_norm)\.)(?P<old>gamma|beta)")
_NEW_NAMES = {"gamma": "weight", "beta": "bias"}

BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")

# Attributes in which DataParallel, torch.compile, and Lightning or an own class keep the model.
WRAPPERS = frozenset({"module", "_orig_mod", "model"})

WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Names:
    """Names of the parts of a family in files.

    Attributes
    ----------
    title : str
        The family as papers write it, "BERT".
    base : str
        Prefix of the encoder in a model with a head, "bert". Names match with or without it, on either side.
    encoder : set of str
        First components of the encoder's names, "embeddings" and "encoder".
    layers : str
        Text before a layer's number, "encoder.layer.".
    family_of : callable
        Gives the family, as papers write it, that has one of these before a layer's number; or None.
    units : callable
        Gives the units of all heads that are known, such as "classifier" or "cls.predictions": a file holds
        all of a unit or, if it comes from another task, nothing.
    key : callable
        Gives the family's word in config.json for a field of the config.
    counted : str
        Field of the config that has the number of layers with names of their own, "num_hidden_layers".
    widths : tuple of str
        The family's words for its sizes of matrices.
    """

    title: str
    base: str
    encoder: Collection[str]
    layers: str
    family_of: Callable[[Collection[str]], str | None]
    units: Callable[[], Collection[str]]
    key: Callable[[str], str]
    counted: str = "num_hidden_layers"
    widths: tuple[str, ...] = ("hidden_size", "intermediate_size")

    def in_encoder(self, name: str) -> bool:
        """True for a name that begins as one of the encoder's does, whether the encoder has it or not."""
        return without_prefix(name, self.base).partition(".")[0] in self.encoder

    def head_of(self, name: str) -> str | None:
        """The unit of a head that a parameter belongs to; None for the encoder and for the unknown."""
        bare = without_prefix(name, self.base)
        return next((unit for unit in self.units() if bare.startswith(unit + ".")), None)


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
    """True for a stored tensor that is a constant and holds nothing learned."""
    return without_prefix(name, base_prefix) in BUFFERS
