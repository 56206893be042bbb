"""Result of a call of the tokenizer: a mapping of lists or arrays, which knows the tokens behind them."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice, check_device, did_you_mean
from minidistil.errors import InputError, UsageError
from minidistil.text.encodings import Side

Tensors = Literal["np"]
SHOWN = 400  # characters of the values under a name that `repr` shows in full

# Values of the mapping, and the attribute of an encoding that each is made of.
FIELDS = {
    "input_ids": "ids",
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}


class CharSpan(NamedTuple):
    """Characters of a text, from and up to."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a text, from and up to."""

    start: int
    end: int


class PaddedEncoding:
    """An encoding with padding before or after its tokens, up to a length.

    It has of an encoding what a reader of tokens needs.
    """

    def __init__(self, encoding: Any, length: int, side: Side, pad_token: str, pad_token_id: int) -> None:
        self._inner, self._pads, self._side = encoding, length - len(encoding), side
        self._token, self._id = pad_token, pad_token_id

    def __len__(self) -> int:
        return len(self._inner) + self._pads

    def _of(self, values: list[Any], fill: object) -> list[Any]:
        pads = [fill] * self._pads
        return pads + values if self._side == "left" else values + pads

    @property
    def ids(self) -> list[int]:
        return self._of(self._inner.ids, self._id)

    @property
    def type_ids(self) -> list[int]:
        return self._of(self._inner.type_ids, 0)

    @property
    def tokens(self) -> list[str]:
        return self._of(self._inner.tokens, self._token)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return self._of(self._inner.offsets, (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        return self._of(self._inner.word_ids, None)

    @property
    def sequence_ids(self) -> list[int | None]:
        return self._of(self._inner.sequence_ids, None)

    @property
    def special_tokens_mask(self) -> list[int]:
        return self._of(self._inner.special_tokens_mask, 1)

    @property
    def attention_mask(self) -> list[int]:
        return self._of(self._inner.attention_mask, 0)


class BatchEncoding(UserDict[str, Any]):
    """Encoded texts: `model(**batch)`, `batch["input_ids"]`, `batch.input_ids`; `batch[0]` is an encoding.

    Parameters
    ----------
    values : mapping of str to list or array
        "input_ids", "token_type_ids", "attention_mask", ...: a list for each text, or one for a single text.
    encodings : sequence of tokenizers.Encoding, CutEncoding or PaddedEncoding, optional
        What the methods about tokens read. For each text, and each further window of it, one.
    tensor_type : "np", optional
        Make arrays of the values.

    Raises
    ------
    UsageError
        Another type of tensors.
    InputError
        Rows of different lengths, of which no array can be made.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        encodings: Sequence[Any] | None = None,
        tensor_type: Tensors | None = None,
    ) -> None:
        super().__init__(values or {})
        self._encodings = encodings
        self.convert_to_tensors(tensor_type)

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return self.data[key]
        return self.encodings[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "data":  # which a copy does not have yet
            raise AttributeError(name)
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(f"this encoding has no {name!r}{did_you_mean(name, self.data)}") from None

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {_shown(value)}' for name, value in self.items())}}}"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.data]

    @property
    def encodings(self) -> Sequence[Any]:
        """Encodings of the Rust library, one a text: all that the tokenizer knows of it.

        Raises
        ------
        UsageError
            It did not make these values.
        """
        if self._encodings is None:
            raise UsageError("only what a call of the tokenizer gives knows its tokens and characters")
        return self._encodings

    def convert_to_tensors(self, tensor_type: Tensors | None) -> Self:
        """Make arrays of lists, int64 where they hold integers."""
        if tensor_type is None:
            return self
        check_tensors(tensor_type)
        for name, value in self.items():
            self[name] = _array(name, value)
        return self

    def to(self, device: object) -> Self:
        """The same: everything is computed on the CPU. A UsageError for another device."""
        check_device(device)
        return self

    # Tokens. Where a batch has one text its index can be left out.

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Tokens of a text, special tokens and padding included."""
        found: list[str] = self.encodings[batch_index].tokens
        return found

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Word of each token, counted from 0 in its text; None for special tokens and padding."""
        found: list[int | None] = self.encodings[batch_index].word_ids
        return found

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Text of each token, 0 or 1 of a pair; None for special tokens and padding."""
        found: list[int | None] = self.encodings[batch_index].sequence_ids
        return found

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """Characters that a token stands for; None for special tokens and padding."""
        batch, token = _indices(batch_or_token_index, token_index)
        encoding = self.encodings[batch]
        if encoding.sequence_ids[token] is None:
            return None
        return CharSpan(*encoding.offsets[token])

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Index of the token that a character of a text is in; None if none has it, as of a space.

        `sequence_index` is 1 for the second text of a pair.
        """
        batch, char = _indices(batch_or_char_index, char_index)
        encoding = self.encodings[batch]
        pairs = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        found = (t for t, (text, (a, b)) in enumerate(pairs) if text == sequence_index and a <= char < b)
        return next(found, None)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Text that a token is of, 0 or 1 of a pair; None for special tokens and padding."""
        batch, token = _indices(batch_or_token_index, token_index)
        return self.sequence_ids(batch)[token]

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Word that a token is of, counted from 0 in its text; None for special tokens and padding."""
        batch, token = _indices(batch_or_token_index, token_index)
        return self.word_ids(batch)[token]

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Tokens of a word of a text; None if there is no such word, or it was cut off."""
        batch, word = _indices(batch_or_word_index, word_index)
        pairs = zip(self.sequence_ids(batch), self.word_ids(batch), strict=True)
        found = [t for t, pair in enumerate(pairs) if pair == (sequence_index, word)]
        return TokenSpan(found[0], found[-1] + 1) if found else None

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Characters of a word of a text; None if there is no such word, or it was cut off."""
        tokens = self.word_to_tokens(batch_or_word_index, word_index, sequence_index)
        if tokens is None:
            return None
        offsets = self.encodings[_indices(batch_or_word_index, word_index)[0]].offsets
        return CharSpan(offsets[tokens.start][0], offsets[tokens.end - 1][1])

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Word that a character of a text is in; None if none has it, as of a space."""
        batch, char = _indices(batch_or_char_index, char_index)
        token = self.char_to_token(batch, char, sequence_index)
        return None if token is None else self.word_ids(batch)[token]


def _indices(first: int, second: int | None) -> tuple[int, int]:
    return (0, first) if second is None else (first, second)


def _array(name: str, value: Any) -> npt.NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise InputError(
            f"{name} has rows of different lengths: say padding=True for arrays; lists need none, "
            "and a model takes them too"
        ) from None
    return array if array.size and array.dtype.kind not in "iu" else array.astype(np.int64)


def check_tensors(kind: object) -> None:
    """Raise a UsageError unless arrays of NumPy are asked for."""
    if kind == "pt":
        raise UsageError('return_tensors="pt" needs PyTorch, which is not used here; say return_tensors="np"')
    check_choice("return_tensors", kind, ("np",))


def _shown(value: Any) -> str:
    """Values of an encoding in full, or of many texts the kind and number of them."""
    text = repr(value)
    if len(text) <= SHOWN:
        return text
    array = isinstance(value, np.ndarray)
    return f"<{value.dtype} {list(value.shape)}>" if array else f"<{len(value):,} rows>"
