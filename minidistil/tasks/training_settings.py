"""Settings of a model's training, kept in its config.json, so that every verb reads texts as training did.

The key "minidistil" holds an object, which transformers keeps and ignores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.tasks.token_classification.schemes import SCHEMES

KEY = "minidistil"
NONE = "none"  # the answer where no label is likely enough
THRESHOLD = "none_threshold"  # a key of its own, beside that object
# Keys that are about a head, and so not about the next one.
OF_A_HEAD = (KEY, THRESHOLD, "sentence_transformers", "sbert_ce_default_activation_function")
TYPES = {
    "max_length": int,
    "pairs": bool,
    "columns": dict,
    "whitespace_words": bool,
    "scheme": str,
    "tags": list,
    "positive": str,
}


@dataclass(frozen=True)
class TrainingRecord:
    """Settings of a model's training. None: not known, or without meaning for its task.

    Attributes
    ----------
    max_length : int or None
        Most tokens of an example.
    pairs : bool or None
        Whether examples were pairs of texts.
    columns : dict of str to str, or None
        Of tables: the columns of "text", "pair" and "label", which are looked for first in other files.
    whitespace_words : bool or None
        Of tags: whether words were given, with white space between them; else they were the tokenizer's.
    scheme : str or None
        Of tags: how they mark where an entity begins and ends; see `token_classification.schemes`.
    tags : list of str or None
        The tags that `scheme` is of. Where a config has been given others since, it says nothing of those.
    positive : str or None
        Of two classes: the one that F1 is of.
    """

    max_length: int | None = None
    pairs: bool | None = None
    columns: Mapping[str, str] | None = None
    whitespace_words: bool | None = None
    scheme: str | None = None
    tags: list[str] | None = None
    positive: str | None = None

    @classmethod
    def of(cls, config: ModelConfig) -> Self:
        """Settings that a model's config holds.

        Raises
        ------
        ConfigError
            Values that cannot be.
        """
        said = config.extra.get(KEY, {})
        if not isinstance(said, Mapping):
            raise ConfigError(f"{KEY!r} in config.json must be an object, not {said!r:.60}")
        known: dict[str, Any] = {key: said[key] for key in TYPES if said.get(key) is not None}
        for key, value in known.items():
            named = not isinstance(value, dict) or all(isinstance(name, str) for name in value.values())
            named = named and (key != "scheme" or value in SCHEMES)
            named = named and (key != "tags" or all(isinstance(tag, str) for tag in value))
            if type(value) is not TYPES[key] or (type(value) is int and value < 1) or not named:
                raise ConfigError(f"{KEY}.{key} in config.json cannot be {value!r:.60}")
        return cls(**known)

    def merged_into(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Further keys of a config, with these in place of those about another head."""
        said = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        rest = {key: value for key, value in extra.items() if key not in OF_A_HEAD}
        return {**rest, KEY: said} if said else rest


def stored_threshold(config: ModelConfig) -> float | None:
    """The probability below which a model's answer is `NONE`, if its config says one.

    Raises
    ------
    ConfigError
        It is no number.
    """
    value = config.extra.get(THRESHOLD)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigError(f"{THRESHOLD} in config.json must be a number, not {value!r}")
    return value
