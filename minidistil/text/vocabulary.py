"""Vocabulary of a tokenizer: tokens, ids, special tokens, and the rows that a model has for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np

from minidistil.arguments import check_integer, check_type
from minidistil.arrays import Int32, Int64
from minidistil.errors import ConfigError, InputError


def _id_of(role: str) -> Any:
    """Property that gives the id of a special token."""
    return property(lambda self: self._special_id(role), doc=f"Id of the {role}; a ConfigError without one.")


class Vocabulary:
    """Tokens and ids of a tokenizer.

    Parameters
    ----------
    rust : tokenizers.Tokenizer
    special_tokens : mapping
        {"mask_token": "[MASK]", ...}
    """

    def __init__(self, rust: Any, special_tokens: Mapping[str, str]) -> None:
        self._rust = rust
        self.special_tokens = dict(special_tokens)
        self._rows: int | None = None  # of the model it is for, if those are fewer than its ids

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._rust.get_vocab_size())

    @cached_property
    def num_ids(self) -> int:
        """One more than the largest id: `vocab_size`, unless the vocabulary has gaps or a model has fewer."""
        most = 1 + int(max(self._rust.get_vocab().values(), default=-1))
        return most if self._rows is None else min(most, self._rows)

    def for_model(self, vocab_size: int) -> Self:
        """Copy for a model with `vocab_size` rows in its word table.

        It may have tokens beyond; transformers allows them too. A text that holds one of them is an
        InputError that names it, and `num_ids` counts those of the model.
        """
        if self.num_ids <= vocab_size:
            return self
        other = copy.copy(self)
        other._rows = vocab_size
        del other.num_ids
        return other

    def check_rows(self, vocab_size: int, path: object) -> Self:
        """Copy for a model with so many rows in its table of words, if it can be trained with it.

        Parameters
        ----------
        vocab_size : int
        path : object
            Source of both, for the message.

        Raises
        ------
        ConfigError
            A token beyond, which a text may hold. (Special tokens, such as [PAD], do not count.)
        """
        roles = set(self.special_tokens.values())
        beyond = [
            (i, token)
            for token, i in (self._rust.get_vocab().items() if self.num_ids > vocab_size else ())
            if i >= vocab_size and token not in roles
        ]
        if beyond:
            some = ", ".join(repr(token) for _, token in sorted(beyond)[:3])
            more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
            raise ConfigError(
                f"{path}: its tokenizer has {self.num_ids} ids, but the model's table of words has "
                f"{vocab_size} rows: there is none for {some}{more}. Take the tokenizer that the model was "
                "trained with, or a model whose table was enlarged for these tokens"
            )
        return self.for_model(vocab_size)

    def refuse_beyond(self, ids: Int32, lengths: Int64, first: int = 0) -> None:
        """Raise an InputError for a text with a token that the model has no row for."""
        if self._rows is None or int(ids.max(initial=0)) < self._rows:
            return
        place = int(np.argmax(ids >= self._rows))
        text = first + int(np.searchsorted(np.cumsum(lengths), place, side="right"))
        raise InputError(
            f"text {text} holds the token {self.id_to_token(int(ids[place]))!r}, whose id is {ids[place]}, "
            f"but the model's table of words has {self._rows} rows: fewer than the tokenizer has ids"
        )

    def token_to_id(self, token: str) -> int | None:
        """Id of a token, or None if the vocabulary lacks it."""
        check_type("a token", token, str)
        found: int | None = self._rust.token_to_id(token)
        return found

    def id_to_token(self, token_id: int) -> str | None:
        """Token of an id, or None if there is none."""
        check_integer("the id of a token", token_id)
        found: str | None = self._rust.id_to_token(int(token_id)) if 0 <= token_id < 2**32 else None
        return found

    def _special_id(self, role: str) -> int:
        token = self.special_tokens[role]
        found = self.token_to_id(token)
        if found is None:
            raise ConfigError(f"the tokenizer's {role} {token!r} is not in its vocabulary")
        if self._rows is not None and found >= self._rows:
            raise ConfigError(
                f"the tokenizer's {role} {token!r} has id {found}, beyond the model's {self._rows} rows"
            )
        return found

    cls_token_id = _id_of("cls_token")
    sep_token_id = _id_of("sep_token")
    pad_token_id = _id_of("pad_token")
    unk_token_id = _id_of("unk_token")
    mask_token_id = _id_of("mask_token")

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of [CLS], [SEP], [PAD], [UNK] and [MASK], as far as the vocabulary has them."""
        ids = (self.token_to_id(token) for token in self.special_tokens.values())
        return frozenset(i for i in ids if i is not None and i < self.num_ids)
