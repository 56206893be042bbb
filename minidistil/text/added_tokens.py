"""Special tokens, and tokens that were added to a vocabulary later.

They may stand in four files, which may differ. They are read as transformers 5.24 does
(`tokenization_utils_base.py`): with `added_tokens_decoder` in tokenizer_config.json that file says all;
without it special_tokens_map.json overrules it, and added_tokens.json counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from minidistil.errors import ConfigError
from minidistil.files import read_json

SPECIAL_TOKENS = {  # the roles, and BERT's names for them
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
ROLES = ("bos_token", "eos_token", *SPECIAL_TOKENS)  # in the order in which new ones get ids
FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")  # of an added token
MOST_IDS = 1 << 24  # more than any model has; the library counts through all of them when it saves


def read_if_any(path: Path) -> dict[str, Any]:
    """A JSON object; {} if there is no such file."""
    found: dict[str, Any] = read_json(path) if os.path.lexists(path) else {}
    return found


@dataclass(frozen=True)
class AddedTokens:
    """Tokens that the files beside tokenizer.json and vocab.txt name.

    Attributes
    ----------
    directory : Path
    by_id : {id: token}
        Of added_tokens_decoder or added_tokens.json.
    named : {"cls_token": token}
        Special tokens with a role, and others with a name.
    absent : set of str
        Roles that are said to have no token.
    extra : list of tokens
        Further special tokens.
    usual : mapping
        Special tokens of the roles that no file names.
    mask_takes_space : bool
        Whether a mask token that is written without flags takes the space before it.
    """

    directory: Path
    by_id: dict[int, Any]
    named: dict[str, Any]
    absent: frozenset[str]
    extra: list[Any]
    usual: Mapping[str, str] = field(default_factory=lambda: SPECIAL_TOKENS)
    mask_takes_space: bool = False

    @classmethod
    def read(
        cls,
        directory: Path,
        config: Mapping[str, Any],
        map_: Mapping[str, Any],
        usual: Mapping[str, str] = SPECIAL_TOKENS,
        *,
        mask_takes_space: bool = False,
    ) -> AddedTokens:
        decoder = config.get("added_tokens_decoder")
        files = {"tokenizer_config.json": config} | (
            {} if decoder is not None else {"special_tokens_map.json": map_}
        )
        named = {key: value for values in files.values() for key, value in values.items()}
        tokens = {
            key: _token(directory, key, value)
            for key, value in named.items()
            if value is not None and (key in ROLES or (key.endswith("_token") and _is_token(value)))
        }
        if mask_takes_space and isinstance(named.get("mask_token"), str):
            tokens["mask_token"] = _special(named["mask_token"], lstrip=True)
        roles = {role: tokens.pop(role) for role in ROLES if role in tokens}
        special = {token.content for token in roles.values()}
        extra: list[Any] = []
        for file, values in files.items():
            given = values.get("extra_special_tokens") or values.get("additional_special_tokens")
            if isinstance(given, dict):  # tokens by name
                tokens |= {str(key): _token(directory / file, key, value) for key, value in given.items()}
            elif isinstance(given, list):
                more = [_token(directory / file, "a special token", value) for value in given]
                extra += more
                if values is config:
                    special |= {token.content for token in more}
            elif given is not None:
                raise ConfigError(
                    f"{directory / file}: its special tokens are {given!r:.80}: expected a list"
                )
        return cls(
            directory,
            _numbered(directory, decoder, special),
            roles | tokens,
            frozenset(role for role in ROLES if role in named and named[role] is None),
            extra,
            usual,
            mask_takes_space,
        )

    def role(self, role: str) -> str:
        """The token of a role; the usual one where none is named."""
        return self.named[role].content if role in self.named else self.usual[role]

    def put_into(self, rust: Any, *, usual: bool) -> None:
        """Add them to a tokenizer that may have some of them; with `usual`, the usual ones too."""
        for i, token in self.by_id.items():
            rust.add_tokens([token])
            if rust.token_to_id(token.content) != i:
                raise ConfigError(
                    f"{self.directory}: the added token {token.content!r} is to have id {i}, but after the "
                    f"vocabulary it has {rust.token_to_id(token.content)}: the files contradict each other"
                )
        known = {token.content for token in rust.get_added_tokens_decoder().values()}
        named = dict(self.named)
        if usual:
            named = {
                role: _special(name, lstrip=self.mask_takes_space and role == "mask_token")
                for role, name in self.usual.items()
                if role not in self.absent
            } | named
            named = {role: named[role] for role in ROLES if role in named} | named
        for token in (*named.values(), *self.extra):
            if token.content not in known:
                rust.add_tokens([token])  # of one that is named twice the later flags hold


def _special(name: str, *, lstrip: bool = False) -> Any:
    return AddedToken(name, special=True, normalized=False, lstrip=lstrip)


def _numbered(directory: Path, decoder: Any, special: set[str]) -> dict[int, Any]:
    """Tokens with ids, in order, of added_tokens_decoder if there is one, else of added_tokens.json."""
    if decoder is None:
        path = directory / "added_tokens.json"
        by_id = [
            (i, AddedToken(name, special=name in special, normalized=name not in special))
            for name, i in read_if_any(path).items()
        ]
    else:
        path = directory / "tokenizer_config.json"
        if not isinstance(decoder, dict):
            raise ConfigError(f"{path}: added_tokens_decoder is {decoder!r:.80}: expected an object")
        by_id = [(i, _token(path, f"token {i}", value, special=False)) for i, value in decoder.items()]
    return dict(sorted(((_id(path, i), token) for i, token in by_id), key=lambda item: item[0]))


def _is_token(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and "content" in value)


def _token(path: Path, key: str, value: Any, *, special: bool = True) -> Any:
    """A token that is written as "[X]" or as {"content": "[X]", "lstrip": true, ...}."""
    if isinstance(value, str) and special:
        return _special(value)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = {flag: value[flag] for flag in FLAGS if flag in value}
        if all(isinstance(flag, bool) for flag in flags.values()):
            return AddedToken(value["content"], **{**flags, **({"special": True} if special else {})})
    raise ConfigError(
        f"{path}: {key} is {value!r:.80}: expected a token, or an object with its content and flags"
    )


def _id(path: Path, value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 12 else value
    if type(number) is not int or not 0 <= number < MOST_IDS:
        raise ConfigError(
            f"{path}: an added token has the id {value!r:.80}: expected a number from 0 below 2^24"
        )
    return number
