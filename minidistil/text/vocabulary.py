"""Vocabulary of a tokenizer: tokens, ids, special tokens, and the rows that a model has for them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer, check_type
from minidistil.arrays import Int32, Int64, as_int32
from minidistil.errors import ConfigError, InputError
from minidistil.text.encodings import TokenSpans, library_errors, without_spaces
from minidistil.text.texts import as_items, as_texts
from minidistil.text.word_marks import WordBorders, WordMarks


def _id_of(role: str) -> Any:
    """Property that gives the id of a special token."""
    return property(lambda self: self._special_id(role), doc=f"Id of the {role}; a ConfigError without one.")


def _token_of(role: str) -> Any:
    """Property that gives a special token."""
    return property(lambda self: self._special_token(role), doc=f"The {role}; None without one.")


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

    def __getstate__(self) -> dict[str, Any]:
        """State for pickle and for copies, with what the Rust library leaves out of its own."""
        return {**vars(self), "splits": self._rust.encode_special_tokens}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update({name: value for name, value in state.items() if name != "splits"})
        if self._rust.encode_special_tokens != state["splits"]:
            self._rust.encode_special_tokens = state["splits"]

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._rust.get_vocab_size())

    def __len__(self) -> int:
        return self.vocab_size

    def get_vocab(self) -> dict[str, int]:
        """Ids of all tokens, added ones included."""
        vocab: dict[str, int] = self._rust.get_vocab()
        return vocab

    @cached_property
    def num_ids(self) -> int:
        """One more than the largest id: `vocab_size`, unless the vocabulary has gaps or a model has fewer."""
        most = 1 + int(max(self.get_vocab().values(), default=-1))
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
            for token, i in (self.get_vocab().items() if self.num_ids > vocab_size else ())
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

    @cached_property
    def marks(self) -> WordMarks:
        """Marks in tokens by which words are told apart."""
        return WordMarks.of(self._rust)

    # Tokens and ids

    def content_hash(self) -> str:
        """SHA-256 of all that decides the ids of a text: vocabulary, pipeline, special tokens."""
        state = json.loads(self._rust.to_str())
        parts = {key: state.get(key) for key in ("model", "normalizer", "pre_tokenizer", "post_processor")}
        parts["added_tokens"] = sorted(state.get("added_tokens", ()), key=lambda token: int(token["id"]))
        parts["special_tokens"] = self.special_tokens
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

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

    def shown_token(self, token_id: int) -> str:
        """Token of an id for people: of byte-level BPE characters, not their bytes; "?" without one."""
        found = self.id_to_token(token_id)
        return "?" if found is None else self.marks.shown(found)

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]

    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Id of a token, or ids of several; `unk_token_id` for what the vocabulary lacks."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in as_texts("tokens", tokens)]
        found = self.token_to_id(tokens)
        return self._special_id("unk_token") if found is None else found

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...

    @overload
    def convert_ids_to_tokens(
        self, ids: npt.ArrayLike, skip_special_tokens: bool = False
    ) -> list[str | None]: ...

    def convert_ids_to_tokens(
        self, ids: int | npt.ArrayLike, skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """Token of an id, or tokens of several; None for an id that the vocabulary lacks."""
        if isinstance(ids, (int, np.integer)):
            return self.id_to_token(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self.id_to_token(i) for i in as_int32("ids", ids).reshape(-1).tolist() if i not in skipped]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Text of tokens: pieces joined, spaces before punctuation removed."""
        tokens, decoder = as_texts("tokens", tokens), self._rust.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(tokens))

    @overload
    def decode(self, ids: list[list[int]], skip_special_tokens: bool = True) -> list[str]: ...

    @overload
    def decode(self, ids: npt.ArrayLike, skip_special_tokens: bool = True) -> str: ...

    def decode(self, ids: Any, skip_special_tokens: bool = True) -> str | list[str]:
        """Text of a sequence of ids, or texts of several: pieces joined, spaces before punctuation removed.

        Parameters
        ----------
        ids : integers [length], or [B, L], or a list of sequences
        skip_special_tokens : bool
            Leave [CLS], [SEP], [PAD] and their like out. (In transformers they stay by default.)

        Raises
        ------
        InputError
            No integers, or one that can be no id.
        """
        several = ids.ndim == 2 if isinstance(ids, np.ndarray) else _holds_rows(ids)
        if several:
            return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in ids]
        numbers = as_int32("ids", ids).reshape(-1)
        if numbers.min(initial=0) < 0:
            raise InputError(f"ids hold {numbers.min()}, which is outside of any vocabulary")
        text: str = self._rust.decode(numbers.tolist(), skip_special_tokens=skip_special_tokens)
        return text

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = True) -> list[str]:
        """Texts of several sequences of ids, each as by `decode`."""
        rows = list(sequences) if isinstance(sequences, np.ndarray) else as_items("sequences", sequences)
        found = self.decode(rows, skip_special_tokens=skip_special_tokens) if rows else []
        return [found] if isinstance(found, str) else found

    # Texts end to end

    def encode_flat(self, texts: Sequence[str]) -> tuple[Int32, npt.NDArray[np.int64]]:
        """Encode texts end to end, without special tokens and without truncation: the fast way, for a corpus.

        Without spans in the text it saves a fifth of the time and more. Several threads may
        call this at once: while one makes an array of its result, the Rust library encodes for another.

        Returns
        -------
        ids : int32 [T]
        lengths : int64 [N]
            Tokens of each text; 0 if nothing is left of it.
        """
        texts = as_items("texts", texts)
        if not {str}.issuperset(map(type, texts)):  # the library takes a list for a pair
            texts = as_texts("texts", texts)
        fast = getattr(self._rust, "encode_batch_fast", self._rust.encode_batch)  # new in tokenizers 0.20.1
        with library_errors("the tokenizer cannot encode"):
            try:
                encodings: list[Any] = fast(texts, add_special_tokens=False)
            except (TypeError, UnicodeEncodeError):
                as_texts("texts", texts)
                raise
        return self._flat(encodings)

    def encode_spans(self, texts: Sequence[str]) -> TokenSpans:
        """Encode as `encode_flat`, with the characters and the word of each token; see `TokenSpans`."""
        texts = as_texts("texts", texts)
        with library_errors("the tokenizer cannot encode"):
            encodings: list[Any] = self._rust.encode_batch(texts, add_special_tokens=False)
        ids, lengths = self._flat(encodings)
        ends = chain.from_iterable(chain.from_iterable(encoding.offsets) for encoding in encodings)
        if self.marks.at_spaces:
            words = self._words(ids, lengths)
        else:
            found = chain.from_iterable(encoding.word_ids for encoding in encodings)
            words = np.fromiter(found, np.int64, len(ids))
        return TokenSpans(
            ids=ids,
            lengths=lengths,
            spans=without_spaces(texts, np.fromiter(ends, np.int64, 2 * len(ids)).reshape(-1, 2), lengths),
            word_ids=words,
        )

    def _words(self, ids: Int32, lengths: Int64) -> Int64:
        """Word of each token in its text, by the marks of the vocabulary, [T]."""
        different, place = np.unique(ids, return_inverse=True)
        borders = WordBorders.of(self.marks, map(self.id_to_token, different.tolist()))
        begins = borders.first_pieces(place)
        there = lengths[lengths > 0]
        starts = np.cumsum(there) - there
        if len(starts):
            solid = np.where(borders.bare[place], -1, np.arange(len(ids)))
            behind = np.maximum.reduceat(solid, starts) + 1  # spaces at the end are of the word before them
            begins[behind[(behind > 0) & (behind < starts + there)]] = False
            begins[starts] = True
        words: Int64 = np.cumsum(begins, dtype=np.int64)
        found: Int64 = words - np.repeat(words[starts], there)
        return found

    def _flat(self, encodings: Sequence[Any]) -> tuple[Int32, npt.NDArray[np.int64]]:
        """Ids of encodings end to end, and the number of each."""
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        flat = chain.from_iterable(encoding.ids for encoding in encodings)
        ids = np.fromiter(flat, np.int32, int(lengths.sum()))
        self.refuse_beyond(ids, lengths)
        return ids, lengths

    # Special tokens

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

    def _special_token(self, role: str) -> str | None:
        token = self.special_tokens[role]
        return None if self.token_to_id(token) is None else token

    cls_token, cls_token_id = _token_of("cls_token"), _id_of("cls_token")
    sep_token, sep_token_id = _token_of("sep_token"), _id_of("sep_token")
    pad_token, pad_token_id = _token_of("pad_token"), _id_of("pad_token")
    unk_token, unk_token_id = _token_of("unk_token"), _id_of("unk_token")
    mask_token, mask_token_id = _token_of("mask_token"), _id_of("mask_token")

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of [CLS], [SEP], [PAD], [UNK] and [MASK], as far as the vocabulary has them."""
        ids = (self.token_to_id(token) for token in self.special_tokens.values())
        return frozenset(i for i in ids if i is not None and i < self.num_ids)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Special tokens that the vocabulary has, by their roles."""
        return {role: token for role in self.special_tokens if (token := self._special_token(role))}

    @property
    def all_special_tokens(self) -> list[str]:
        """Special tokens: those with a role, then others that were added, by id."""
        added = sorted(self._rust.get_added_tokens_decoder().items())
        others = [token.content for _, token in added if token.special]
        return list(dict.fromkeys([*self.special_tokens_map.values(), *others]))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Number of special tokens that are put around a text, or around two."""
        return int(self._rust.num_special_tokens_to_add(pair))


def _holds_rows(ids: Any) -> bool:
    """True for a list of sequences of ids."""
    return isinstance(ids, (list, tuple)) and bool(ids) and isinstance(ids[0], (list, tuple, np.ndarray))
