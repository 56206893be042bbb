"""Texts longer than a model takes, cut into windows that overlap.

A text is tokenised once, whole, and the row of its tokens is cut: [CLS] window [SEP], or with a question
before it [CLS] question [SEP] window [SEP], or what else the tokenizer puts around a pair, as RoBERTa's
<s> question </s></s> window </s>. A token that several windows hold belongs to the one with
the most context around it, so that putting the windows' answers together counts every token once.

The windows, the cut of the question and the rule of most context are those of BERT's run_squad.py (Devlin et
al. 2018, arXiv:1810.04805; github.com/google-research/bert), but for two things. What it calls `doc_stride`
is the step from one window to the next; `stride` here is the overlap, as in the library `tokenizers`. And it
adds a hundredth of a window's length to the context it compares, so that of the last two windows the longer
one can own tokens up to its very end, and answers that begin there and end in the other are lost; here only
context counts.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int32, Int64
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer

log = logging.getLogger("minidistil")


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows over N texts, laid end to end in the order of the texts; every text has at least one.

    Attributes
    ----------
    input_ids, token_type_ids : int32 [T]
    offsets : int64 [W + 1]
        Window w is `input_ids[offsets[w]:offsets[w + 1]]`.
    examples : int64 [W]
        Text of each window.
    token_ranges : int64 [W, 2]
        Its tokens in that text, from and up to.
    spans : int64 [T, 2]
        Characters of the text each token stands for, from and up to, together with the accents that follow
        them; -1 for special tokens and for the question.
    word_ids : int64 [T]
        Word of the text of each token (see `TokenSpans`); -1 for none.
    text_positions : int64 [T]
        Index of each token in its text; -1 for none.
    owned : bool [T]
        True for the copy of a token that counts, one for each token of a text: the one with the most
        context, which is the smaller of the numbers of tokens on its left and on its right in the window
        (of equal ones the earlier).

    Notes
    -----
    A token owned by a window has at least `stride // 2` of the text's tokens after it there, unless the
    text ends. So whatever is at most `stride // 2 + 1` tokens long is whole in the window that owns its
    first token.
    """

    input_ids: Int32
    token_type_ids: Int32
    offsets: Int64
    examples: Int64
    token_ranges: Int64
    spans: Int64
    word_ids: Int64
    text_positions: Int64
    owned: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.examples)

    def tokens_of(self, example: int) -> slice:
        """Slice of the T tokens that holds the windows of a text."""
        first, last = np.searchsorted(self.examples, [example, example + 1])
        if first == last:
            raise InputError(f"there are no windows of text {example}")
        return slice(int(self.offsets[first]), int(self.offsets[last]))

    def text_tokens(self, example: int) -> Int64:
        """Indices among the T tokens of those of a text, copies too, without special tokens and question."""
        tokens = self.tokens_of(example)
        return np.flatnonzero(self.text_positions[tokens] >= 0) + np.int64(tokens.start)

    def owned_tokens(self, example: int) -> Int64:
        """Indices among the T tokens at which a text's tokens count, in its order: int64 [n]."""
        tokens = self.tokens_of(example)
        return np.flatnonzero(self.owned[tokens]) + np.int64(tokens.start)

    def of(self, example: int) -> Self:
        """The windows of one text alone."""
        tokens = self.tokens_of(example)
        windows = self.examples == example
        return type(self)(
            input_ids=self.input_ids[tokens],
            token_type_ids=self.token_type_ids[tokens],
            offsets=np.append(self.offsets[:-1][windows], tokens.stop) - tokens.start,
            examples=self.examples[windows],
            token_ranges=self.token_ranges[windows],
            spans=self.spans[tokens],
            word_ids=self.word_ids[tokens],
            text_positions=self.text_positions[tokens],
            owned=self.owned[tokens],
        )

    def dataset(self, **targets: npt.ArrayLike) -> Dataset:
        """The windows as a dataset's examples, under their own numbers; `targets` have a row for each."""
        return Dataset(
            input_ids=self.input_ids,
            token_type_ids=self.token_type_ids,
            offsets=self.offsets,
            example_ids=np.arange(len(self), dtype=np.int64),
            targets={name: np.asarray(rows) for name, rows in targets.items()},
        )


def cut_windows(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    questions: Sequence[str] | None = None,
    *,
    max_length: int | None = None,
    stride: int = 128,
    max_query_length: int = 64,
) -> Windows:
    """Tokenise texts and cut them into windows.

    Parameters
    ----------
    tokenizer : Tokenizer
    texts : sequence of str
        An empty text has one window without any token of it.
    questions : sequence of str, optional
        `questions[i]` goes before every window of `texts[i]`, with token type 0; the window has 1.
    max_length : int, optional
        Tokens of a window, question and special tokens included; by default `model_max_length`.
        Where neither is known nothing is cut.
    stride : int
        Tokens that a window and the next have in common.
    max_query_length : int
        Tokens of a question; those after them are cut off, and a warning says of how many questions.

    Raises
    ------
    InputError
        Something that is not text, or unequal numbers of texts and questions.
    UsageError
        A window that has no room for more than `stride` tokens of a text.
    ConfigError
        A tokenizer that puts other special tokens around texts than BERT's or RoBERTa's.
    """
    pair = questions is not None
    frame, cls, sep = tokenizer.frames[pair], tokenizer.cls_token_id, tokenizer.sep_token_id
    added = len(frame.ids)
    middle = (-1, 0, *[-1] * (added - 2), 1, -1) if pair else (-1, 0, -1)
    if frame.owners != middle or frame.ids != (cls, *[sep] * (added - 1)):
        names = " ".join(tokenizer.id_to_token(i) or "?" for i in frame.ids)
        raise ConfigError(
            f"windows have {'3 or 4' if pair else 2} special tokens, as [CLS] and [SEP] of BERT, or <s> and "
            f"</s> of RoBERTa; this tokenizer adds {added} ({names})"
        )
    if stride < 0 or max_query_length < 0:
        raise UsageError(f"stride ({stride}) and max_query_length ({max_query_length}) cannot be negative")
    text = tokenizer.encode_spans(texts)
    question_ids, whole = tokenizer.encode_flat(questions if questions is not None else [""] * len(texts))
    if len(whole) != len(text.lengths):
        raise InputError(f"{len(text.lengths)} texts but {len(whole)} questions")
    asked = np.minimum(whole, max_query_length)  # [N] tokens of each question
    limit = tokenizer.model_max_length if max_length is None else max_length
    if limit is None:  # one window for each text
        limit = added + int(asked.max(initial=0)) + max(int(text.lengths.max(initial=0)), stride + 1)
    if cut := int((whole > asked).sum()):
        log.warning(
            "%d of %d questions are longer than %d tokens and were truncated",
            cut,
            len(whole),
            max_query_length,
        )
    room = limit - added - asked  # [N] tokens of the text in each window
    if (room <= stride).any():
        i = int(room.argmin())
        raise UsageError(
            f"a window of {limit} tokens has room for {max(0, room[i])} of text {i}, which must be more than "
            f"the stride of {stride}"
        )

    step = room - stride
    counts = 1 + np.maximum(0, -((room - text.lengths) // step))  # [N] windows: 1 + ceil((n - room) / step)
    examples = np.repeat(np.arange(len(counts)), counts)  # [W]
    begins = _ranges(np.zeros_like(counts), counts) * step[examples]
    ends = np.minimum(begins + room[examples], text.lengths[examples])
    sizes = ends - begins
    before = (asked + added - 1)[examples]  # [W] tokens in front of the text's
    lengths = before + sizes + 1
    offsets = np.append(0, np.cumsum(lengths))
    firsts = offsets[:-1]

    here = _ranges(firsts + before, sizes)  # of the T tokens, those of texts
    source = _ranges((np.cumsum(text.lengths) - text.lengths)[examples] + begins, sizes)  # in `text`
    positions = _ranges(begins, sizes)
    total = int(offsets[-1])
    input_ids = np.full(total, sep, np.int32)
    input_ids[firsts] = cls
    input_ids[here] = text.ids[source]
    token_type_ids = np.full(total, frame.types[0], np.int32)
    if pair:
        asked_first = (np.cumsum(whole) - whole)[examples]
        input_ids[_ranges(firsts + 1, asked[examples])] = question_ids[_ranges(asked_first, asked[examples])]
        token_type_ids[_ranges(firsts + before, sizes + 1)] = frame.types[-1]

    spans = np.full((total, 2), -1, np.int64)
    word_ids, text_positions = np.full(total, -1, np.int64), np.full(total, -1, np.int64)
    spans[here] = _with_accents(texts, text.spans, text.lengths)[source]
    word_ids[here] = text.word_ids[source]
    text_positions[here] = positions
    owned = np.zeros(total, np.bool_)
    context = np.minimum(positions - np.repeat(begins, sizes), np.repeat(ends, sizes) - 1 - positions)
    owned[here[_most_context(source, context, len(text.ids))]] = True
    return Windows(
        input_ids=input_ids,
        token_type_ids=token_type_ids,
        offsets=offsets,
        examples=examples,
        token_ranges=np.stack([begins, ends], axis=1),
        spans=spans,
        word_ids=word_ids,
        text_positions=text_positions,
        owned=owned,
    )


def cut_texts(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> Windows:
    """Windows of texts without questions, that overlap by a quarter; see `cut_windows`."""
    return cut_windows(tokenizer, texts, max_length=max_length, stride=max_length // 4)


def _ranges(starts: Int64, lengths: Int64) -> Int64:
    """`arange(s, s + n)` for each s and n, one after the other."""
    ends = np.cumsum(lengths)
    shifts: Int64 = np.repeat(starts - (ends - lengths), lengths)
    return shifts + np.arange(len(shifts))


def _most_context(token: Int64, context: Int64, num_tokens: int) -> Int64:
    """First copy of each token with the most context; `token` and `context` have a value for each copy."""
    most = np.full(num_tokens, -1)
    np.maximum.at(most, token, context)
    candidates: Int64 = np.flatnonzero(context == most[token])
    chosen = np.unique(token[candidates], return_index=True)[1]
    return candidates[chosen]


def _with_accents(texts: Sequence[str], spans: Int64, lengths: Int64) -> Int64:
    """Spans, each with the combining marks after it that no other token has.

    BERT's normaliser takes é written as e and U+0301 apart and drops the accent; the token e then ends before
    it, and a name cut out by such spans would lose its last accent.
    """
    spans = spans.copy()
    last = 0
    for text, n in zip(texts, lengths, strict=True):
        first, last = last, last + int(n)
        if n == 0 or text.isascii():
            continue
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        marks = [code for code in np.unique(codes) if unicodedata.category(chr(code))[0] == "M"]
        if not marks:
            continue
        # after[i] is the first character from i on that is no mark
        after = np.append(np.where(np.isin(codes, marks), len(codes), np.arange(len(codes))), len(codes))
        after = np.minimum.accumulate(after[::-1])[::-1]
        part = spans[first:last]
        free = np.append(part[1:, 0], len(codes))
        part[:, 1] = np.maximum(part[:, 1], np.minimum(after[part[:, 1]], free))
    return spans
