"""Words for the masks of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.arrays import Array, Int64
from minidistil.batch import Batch
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.model.model import Model
from minidistil.model.token_heads import MaskedLMHead
from minidistil.ops.softmax import softmax_forward
from minidistil.tasks.base import PredictingTask, Predictor
from minidistil.tasks.result import Result
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.lengths import sequence_length
from minidistil.text.mask_filling import Span, fill, find_masks
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer

UNUSED = re.compile(r"\[unused\d+\]")  # entries that BERT's vocabularies keep free
TOP_K = 5

Guess = tuple[int, float]  # an id and its probability


@dataclass(frozen=True, eq=False)
class Candidate(Result):
    """A word for a mask; its keys are `score`, `token` (the id), `token_str` and `sequence`.

    Attributes
    ----------
    token : str
        As the vocabulary has it; "##ing" goes on with the word before the mask. Of byte-level BPE and Unigram
        its text, as in transformers: in byte-level BPE " film" is a word, and "film" goes on with one.
    score : float
        Its probability among all tokens of the vocabulary.
    text : str
        The text with it in the place of this mask. Other masks stay.
    id : int
        Its id.
    """

    token: str
    score: float
    text: str
    id: int

    def keyed(self) -> dict[str, Any]:
        return {"score": self.score, "token": self.id, "token_str": self.token, "sequence": self.text}


@dataclass(frozen=True, eq=False)
class Mask(Result):
    """One mask of a text: its characters there, from and up to, and the candidates, the likeliest first."""

    start: int
    end: int
    candidates: list[Candidate]


@dataclass(frozen=True, eq=False)
class Filling(Result):
    """Words for the masks of one text; it has the keys of a candidate, with lists for several masks.

    Attributes
    ----------
    text : str
        With all masks filled in.
    score : float
        The product of the probabilities with which they were.
    tokens : list of str
        The words, mask by mask.
    masks : list of Mask
    ids : list of int
        The ids of the words.
    """

    text: str
    score: float
    tokens: list[str]
    masks: list[Mask]
    ids: list[int]

    def keyed(self) -> dict[str, Any]:
        one = len(self.ids) == 1
        token, word = (self.ids[0], self.tokens[0]) if one else (self.ids, self.tokens)
        return {"score": self.score, "token": token, "token_str": word, "sequence": self.text}


class FillMask(Predictor):
    """Predictor of masked words: `FillMask(model, tokenizer)("Paris is the [MASK] of France.")`.

    A mask is written as the tokenizer's own mask token, or as [MASK]. Special tokens and those that the
    vocabulary keeps free ([unused0], ...) are never guessed; what they have of the probability is not shared
    out to the others.
    """

    def __init__(self, task: PredictingTask, model: Model, tokenizer: Tokenizer) -> None:
        super().__init__(task, model, tokenizer)
        tokenizer = self.tokenizer
        self._mask_id = tokenizer.mask_token_id
        own = tokenizer.special_tokens["mask_token"]
        if tokenizer.encode_flat([own])[0].tolist() != [self._mask_id]:
            raise ConfigError(f"the tokenizer does not read {own} as one token, though it is to be its mask")
        tokens = [tokenizer.id_to_token(i) for i in range(model.config.vocab_size)]
        self._words = np.array(
            [
                i
                for i, token in enumerate(tokens)
                if token is not None and i not in tokenizer.special_ids and not UNUSED.fullmatch(token)
            ],
            np.int64,
        )

    def answer(
        self, texts: str | Sequence[str], *, top_k: int | None = None, targets: Sequence[str] | None = None
    ) -> list[Filling]:
        """Guesses in the order of `texts`, whose results do not depend on each other.

        Several masks of a text are each guessed with the others still there, as in transformers. For the
        whole text they are filled in one after the other, always the one that the model is surest of, and
        the others are guessed anew.

        Parameters
        ----------
        texts : str or sequence of str
        top_k : int, optional
            Number of candidates for each mask; 5 by default, or all targets.
        targets : sequence of str, optional
            Compare these words alone. Each must be one token of the vocabulary, maybe after lower-casing.

        Raises
        ------
        InputError
            A text without a mask that is not empty, or with one beyond what the model reads; a target that is
            not one token.
        UsageError
            A `top_k` below 1, or no targets.
        """
        texts = as_texts("texts", texts, one=True)
        if top_k is not None:
            check_integer("top_k", top_k, 1)
        among = self._words if targets is None else self._ids_of(targets)
        k = min(len(among), top_k or (TOP_K if targets is None else len(among)))
        spans, ids, positions = self._read(texts)
        guesses = self._guess(ids, positions, among, k)
        first = [[g[0] for g in some] for some in guesses]
        together = self._one_after_the_other(ids, positions, among, first)
        return [
            self._filling(text, where, found, final)
            for text, where, found, final in zip(texts, spans, guesses, together, strict=True)
        ]

    def _ids_of(self, targets: Sequence[str]) -> Int64:
        """Ids of the targets, each once, [n]."""
        found: list[int] = []
        for word in as_texts("targets", targets, one=True):
            token_id = self._id_of_word(word)
            if token_id is None:
                pieces = self.tokenizer.encode_flat([word])[0].tolist()
                token_id = pieces[0] if len(pieces) == 1 else None
                if len(pieces) > 1:
                    names = ", ".join(str(self.tokenizer.id_to_token(i)) for i in pieces)
                    raise InputError(f"the target {word!r} is {len(pieces)} tokens ({names}); a mask is one")
            if token_id is None or token_id not in self._words:
                raise InputError(f"the target {word!r} is not in the vocabulary as a word")
            found.append(token_id)
        if not found:
            raise UsageError("no targets: give at least one, or leave them out")
        return np.array(list(dict.fromkeys(found)), np.int64)

    def _id_of_word(self, word: str) -> int | None:
        """Id of a word behind a space, where the vocabulary marks those; else of the token, pieces too."""
        if self.tokenizer.marks.at_spaces:
            ids = self.tokenizer.encode_flat([f" {word.strip()}"])[0].tolist()
            if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
                return int(ids[0])
        return self.tokenizer.token_to_id(word)

    def _read(self, texts: Sequence[str]) -> tuple[list[list[Span]], list[Int64], list[Int64]]:
        """Masks of each text by their characters, its ids, and the positions of masks among them."""
        own = self.tokenizer.special_tokens["mask_token"]
        found = [find_masks(self.tokenizer, text) for text in texts]
        for i, (spans, _) in enumerate(found):
            if not spans and texts[i].strip():
                raise InputError(
                    f"text {i + 1} of {len(texts)} has no {own}: write it where a word is to be guessed",
                    index=i,
                )
        limit = sequence_length(self.tokenizer, self.model.config)
        encoded = self.tokenizer.encode([marked for _, marked in found], max_length=limit)
        ids = [row.astype(np.int64) for row in encoded.input_ids]
        positions = [np.flatnonzero(row == self._mask_id) for row in ids]
        for i, ((spans, _), seen) in enumerate(zip(found, positions, strict=True)):
            if len(seen) < len(spans):
                start = spans[len(seen)][0]
                raise InputError(
                    f"text {i + 1} of {len(texts)} is longer than the {limit} tokens that the model reads: "
                    f"the {own} at character {start} is cut off",
                    index=i,
                )
        return [spans for spans, _ in found], ids, positions

    def _guess(
        self, ids: Sequence[Int64], positions: Sequence[Int64], among: Int64, k: int
    ) -> list[list[list[Guess]]]:
        """The k most probable words for each place of each text, best first."""
        found: list[list[list[Guess]]] = [[] for _ in ids]
        asked = [i for i, where in enumerate(positions) if len(where)]  # an empty text has no mask
        for some in sorted_batches([len(ids[i]) for i in asked], TOKENS_AT_ONCE):
            rows = [asked[i] for i in some]
            batch = Batch.from_sequences([ids[i] for i in rows])
            where = np.concatenate([batch.cu_seqlens[j] + positions[i] for j, i in enumerate(rows)])
            scores = word_scores(self.model, batch, where)
            owners = np.repeat(rows, [len(positions[i]) for i in rows])
            for i, row in zip(owners.tolist(), scores, strict=True):
                probabilities = softmax_forward(row[None].astype(np.float64))[0][0][among]
                best = np.argsort(-probabilities, kind="stable")[:k]
                found[i].append([(int(among[b]), float(probabilities[b])) for b in best])
        return found

    def _one_after_the_other(
        self, ids: Sequence[Int64], positions: Sequence[Int64], among: Int64, first: list[list[Guess]]
    ) -> list[list[Guess]]:
        """Fill the masks of each text in turn, the most probable first; `first` are guesses for all."""
        filled = [row.copy() for row in ids]
        final: list[dict[int, Guess]] = [{} for _ in ids]
        open_positions = [row.tolist() for row in positions]
        under_way = [i for i, row in enumerate(positions) if len(row)]
        latest = [first[i] for i in under_way]
        while under_way:
            for i, guesses in zip(under_way, latest, strict=True):
                surest = int(np.argmax([score for _, score in guesses]))
                place = open_positions[i].pop(surest)
                final[i][place] = guesses[surest]
                filled[i][place] = guesses[surest][0]
            under_way = [i for i in under_way if open_positions[i]]
            left = [np.array(open_positions[i]) for i in under_way]
            again = self._guess([filled[i] for i in under_way], left, among, 1)
            latest = [[guesses[0] for guesses in some] for some in again]
        return [[final[i][place] for place in row.tolist()] for i, row in enumerate(positions)]

    def _filling(self, text: str, spans: list[Span], found: list[list[Guess]], final: list[Guess]) -> Filling:
        def candidate(span: Span, guess: Guess) -> Candidate:
            filled = fill(self.tokenizer, text, [span], [self._token(guess)])
            return Candidate(self._shown(guess), guess[1], filled, guess[0])

        return Filling(
            text=fill(self.tokenizer, text, spans, [self._token(guess) for guess in final]),
            score=float(np.prod([score for _, score in final])),
            tokens=[self._shown(guess) for guess in final],
            masks=[
                Mask(*span, [candidate(span, guess) for guess in guesses])
                for span, guesses in zip(spans, found, strict=True)
            ],
            ids=[i for i, _ in final],
        )

    def _token(self, guess: Guess) -> str:
        return str(self.tokenizer.id_to_token(guess[0]))

    def _shown(self, guess: Guess) -> str:
        token = self._token(guess)
        return self.tokenizer.convert_tokens_to_string([token]) if self.tokenizer.marks.at_spaces else token


def masked_lm_head(model: Model) -> MaskedLMHead:
    """The head of a masked LM.

    Raises
    ------
    InputError
        The model has none.
    """
    for head in model.heads:
        if head.over_vocabulary:
            return cast(MaskedLMHead, head)
    raise InputError(f"{type(model).__name__} does not guess words; a ...ForMaskedLM is needed")


def word_scores(model: Model, batch: Batch, tokens: npt.NDArray[np.int64]) -> Array:
    """Scores of all words [n, V] in the place of n of a batch's tokens, and of those alone.

    Raises
    ------
    InputError
        The model is no masked LM.
    """
    head = masked_lm_head(model)
    outputs, _ = model.forward(batch, logits=False, keep_cache=False)
    last = model.params.linear(*head.decoder_names)
    return np.asarray(model.backend.linear_forward(outputs["features"][tokens], *last)[0])
