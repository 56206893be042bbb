"""Inside of one or two models on one text: what `minidistil explore` shows, from their own passes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.distill.explain import TermExplained, explain, mask_some
from minidistil.distill.objective import Distillation
from minidistil.distill.score_terms import ComparedScores, label_order
from minidistil.distill.terms import TERMS
from minidistil.errors import ConfigError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.report.attention import TOKENS_SHOWN, AttentionMaps, stacked
from minidistil.report.maps import HeatMap
from minidistil.report.scores import Scores, SoftScores, dependence, scores_of
from minidistil.text.lengths import sequence_length
from minidistil.text.mask_filling import find_masks
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer

MOST_TOKENS = 128  # maps take their square, for each head: ten megabytes for a BERT-base
MASKS_SHOWN = 2  # masked words whose scores are on the page: each is a number for each word there is
WIDTH = 32  # most numbers of a vector in a row
TABLES = {  # of embeddings, by the ids that they are for
    "input_ids": "word",
    "position_ids": "position",
    "token_type_ids": "segment",
    "task_type_ids": "task",
}


@dataclass(frozen=True)
class Token:
    """One token: its piece, its id, its segment, and the characters that it is made of."""

    piece: str
    id: int
    segment: int
    characters: str
    start: int | None
    end: int | None


@dataclass(frozen=True, eq=False)
class Reading:
    """A text, or a pair of texts, as tokens.

    Attributes
    ----------
    texts : list of str
        One or two.
    tokens : list of Token
    batch : Batch
        Of this one sequence.
    masks : list of int
        Places of the first masks, for a masked LM.
    hidden : bool
        The masks are not the text's: some words were masked, and `batch` has them as labels.
    words : list of str
        The vocabulary.
    cut : bool
        The text has more tokens.
    """

    texts: Sequence[str]
    tokens: Sequence[Token]
    batch: Batch
    masks: Sequence[int]
    hidden: bool
    words: Sequence[str]
    cut: bool

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        models: Sequence[Model],
        text: str,
        pair: str | None = None,
        *,
        max_length: int | None = None,
    ) -> Self:
        """Tokens that all of the models can read.

        If the first model is a masked LM it gets the masks of the text; without any, some words are masked.

        Parameters
        ----------
        max_length : int, optional
            Most tokens, up to 128; 64 by default.

        Raises
        ------
        UsageError
            More than a page can hold.
        ConfigError
            More tokens are asked for than a model has positions.
        InputError
            See `Tokenizer.encode`.
        """
        if max_length is not None:
            check_integer("max_length", max_length, 1)
            if max_length > MOST_TOKENS:
                raise UsageError(f"a page shows {MOST_TOKENS} tokens at most, not {max_length}")
        texts = as_texts("texts", [text] if pair is None else [text, pair])
        guesses = any(head.over_vocabulary for head in models[0].heads)
        if guesses:
            texts = [find_masks(tokenizer, some)[1] for some in texts]
        limit = min(
            sequence_length(tokenizer, model.config, max_length, usual=TOKENS_SHOWN) for model in models
        )
        encoded = tokenizer.encode(texts[:1], texts[1:] or None, max_length=limit)
        batch, raw = Batch.from_sequences(encoded.input_ids, encoded.token_type_ids), encoded.raw[0]
        masks: list[int] = []
        hidden = False
        if guesses:
            mask = tokenizer.mask_token_id
            hidden = mask not in batch.input_ids
            if hidden:
                batch = mask_some(batch, mask, list(tokenizer.special_ids))
            masks = np.flatnonzero(batch.input_ids == mask)[:MASKS_SHOWN].tolist()
        tokens = []
        for id_, segment, owner, (start, end) in zip(
            batch.input_ids.tolist(),
            batch.token_type_ids.tolist(),
            raw.sequence_ids,
            raw.offsets,
            strict=True,
        ):
            piece = tokenizer.shown_token(id_)
            own = ("", None, None) if owner is None else (texts[owner][start:end], start, end)
            tokens.append(Token(piece, id_, segment, *own))
        ids = range(models[0].config.vocab_size if guesses else 0)
        words = [f"id {i}" if tokenizer.id_to_token(i) is None else tokenizer.shown_token(i) for i in ids]
        return cls(texts, tokens, batch, masks, hidden, words, encoded.truncated > 0)

    @property
    def pieces(self) -> list[str]:
        """Tokens as the vocabulary has them."""
        return [token.piece for token in self.tokens]

    def with_label(self, label: int) -> Self:
        """The same with the right class of the text."""
        return replace(self, batch=self.batch.with_targets(labels=np.array([label])))


@dataclass(frozen=True, eq=False)
class Inside:
    """Inside of one model on one text.

    Attributes
    ----------
    name : str
    facts : dict of str to str
        Class and sizes.
    parts : HeatMap
        Norm of each part of a token's embedding [T, ...].
    vectors : HeatMap
        The embedding of each token, the input of the first layer.
    attention : AttentionMaps
    norms : HeatMap
        Norm of the hidden state of each token, after each layer [L + 1, T].
    steps : HeatMap or None
        Cosine of the hidden state of each token before and after each layer [L, T]; None without layers.
    tokens : HeatMap
        Cosine between the hidden states of tokens [L + 1, T, T].
    scores : list of Scores
        Of each head.
    dependence : HeatMap or None
        Dependence of the likeliest classes on each token; None without scores.
    """

    name: str
    facts: Mapping[str, str]
    parts: HeatMap
    vectors: HeatMap
    attention: AttentionMaps
    norms: HeatMap
    steps: HeatMap | None
    tokens: HeatMap
    scores: Sequence[Scores]
    dependence: HeatMap | None


def look_inside(model: Model, reading: Reading, name: str) -> Inside:
    """One forward pass, what there is to see in it, and for each row of scores a pass backward."""
    pieces, batch, config = reading.pieces, reading.batch, model.config
    outputs, cache = model.forward(batch, hidden_states=True, attentions=True)
    states = np.stack(outputs["hidden_states"])  # [L + 1, T, H]
    wide = states.astype(np.float64)
    norms = np.linalg.norm(wide, axis=2)
    unit = wide / np.maximum(norms, np.finfo(np.float64).tiny)[:, :, None]
    steps = (unit[1:] * unit[:-1]).sum(2).astype(np.float32)
    between = (unit @ unit.transpose(0, 2, 1)).astype(np.float32)
    layers = config.depth
    places = ["embeddings", *(f"after layer {i}" for i in range(layers))]
    scores = scores_of(model, outputs, pieces, reading.words, reading.masks)
    maps = stacked([one[0] for one in outputs["attentions"]], len(pieces), model)
    return Inside(
        name=name,
        facts={
            "class": type(model).__name__,
            "layers": f"{layers}",
            "heads of a layer": f"{config.num_attention_heads}",
            "hidden size": f"{config.hidden_size}",
            "parameters": f"{model.params.num_parameters:,}",
        },
        parts=_parts(model, reading, norms[0]),
        vectors=_vectors(states[0], pieces),
        attention=AttentionMaps(name, pieces, maps),
        norms=HeatMap("Norm of each hidden state", places, pieces, norms.astype(np.float32), between=" of "),
        steps=HeatMap(
            "Cosine of a token's state before and after a layer",
            [f"layer {i}" for i in range(layers)], pieces, steps, between=" of ", full=1.0,
        ) if layers else None,
        tokens=HeatMap(
            "Cosine between the states of tokens", pieces, pieces, between, names=places, slider="Layer",
            first=layers, full=1.0,
        ),
        scores=scores,
        dependence=dependence(model, outputs, cache, scores, pieces),
    )  # fmt: skip


def _parts(model: Model, reading: Reading, after: npt.NDArray[np.float64]) -> HeatMap:
    """Norms of the rows that make the embedding of each token, of their sum, and of that after its norm."""
    module, batch = model.encoder.embeddings, reading.batch
    found: dict[str, npt.NDArray[np.float64]] = {}
    total = np.zeros((batch.num_tokens, model.config.embedding_size))
    for table in module.tables:
        rows, ids = model.params.rows(table.name, table.ids_of(batch))
        vectors = rows[ids].astype(np.float64)
        total += vectors
        found[TABLES.get(table.ids, table.ids)] = np.linalg.norm(vectors, axis=1)
    last = "after the norm" if module.project is None else "after the projection"
    found |= {"sum": np.linalg.norm(total, axis=1), last: after}
    values = np.stack(list(found.values()), axis=1).astype(np.float32)
    return HeatMap(
        "Norm of each part of the embedding", reading.pieces, list(found), values, between=", ",
        scale="column", text=True,
    )  # fmt: skip


def _vectors(states: Array, pieces: Sequence[str]) -> HeatMap:
    """Embeddings [T, H], each broken into rows of as many numbers as fit."""
    tokens, width = states.shape
    columns = max(n for n in range(1, WIDTH + 1) if width % n == 0)
    return HeatMap(
        "Embedding, the input of layer 0",
        rows=[f"{i}" for i in range(0, width, columns)],
        columns=[f"+{i}" for i in range(columns)],
        values=states.reshape(tokens, width // columns, columns),
        between=" ",
        names=[f"{i} {piece}" for i, piece in enumerate(pieces)],
        slider="Token",
        root=True,
    )


@dataclass(frozen=True, eq=False)
class Lesson:
    """A teacher and a student on one text.

    Attributes
    ----------
    terms : list of TermExplained
        Each term of the objective by itself.
    refused : dict of str to str
        Terms that do not fit these two models or this text, and why.
    soft : list of SoftScores
        Scores for the slider of temperatures; empty where soft labels do not fit.
    temperature : float
    """

    terms: Sequence[TermExplained]
    refused: Mapping[str, str]
    soft: Sequence[SoftScores]
    temperature: float

    @property
    def values(self) -> HeatMap:
        """Weight and value of each term."""
        values = np.array([[term.weight, term.value] for term in self.terms])
        return self._map("Weight and value of each term", ["weight", "value"], values, "column")

    @property
    def gradients(self) -> HeatMap:
        """Norm of each term's weighted gradient, by the parameters of each part of the student."""
        parts = list(self.terms[0].gradient)
        names = [re.sub(r"\d+", lambda i: str(int(i[0]) - 1), part) for part in parts]
        names = [f"layer {name}" if name[0].isdecimal() else name for name in names]
        norms = np.array([[term.gradient[part] for part in parts] for term in self.terms])
        title = "Norm of each term's gradient, weight included, by part of the student"
        return self._map(title, names, norms, "row")

    def _map(self, title: str, columns: list[str], values: Array, scale: Any) -> HeatMap:
        rows = [term.name for term in self.terms]
        return HeatMap(title, rows, columns, values, between=", ", scale=scale, text=True)


def teach(
    student: Model,
    teacher: Model,
    reading: Reading,
    sides: tuple[Inside, Inside],
    weights: Mapping[str, float] | None = None,
    *,
    temperature: float = 2.0,
) -> Lesson:
    """Terms of a distillation on one text, and where their gradients go.

    Parameters
    ----------
    student, teacher : Model
    reading : Reading
    sides : (Inside, Inside)
        Of student and teacher.
    weights : mapping of str to float, optional
        By default every term that fits, with a weight of 1.
    temperature : float

    Raises
    ------
    ConfigError
        Terms that are asked for and do not fit the models.
    """
    apart = _scores_apart(student, teacher)
    soft: list[SoftScores] = []
    if apart is None:
        try:
            objective = Distillation(student, {"soft": 1.0}, teacher=teacher, temperature=temperature)
            order = label_order(objective.pair)
            soft = [
                SoftScores(ours, theirs.reordered(order), temperature)
                for ours, theirs in zip(*(side.scores for side in sides), strict=True)
            ]
        except ConfigError:
            pass  # the term says why
    if weights is not None:
        terms = explain(student, teacher, reading.batch, weights, temperature=temperature)
        return Lesson(terms, {}, soft, temperature)
    terms, refused = [], {}
    for name, term in TERMS.items():
        compared = apart if issubclass(term, ComparedScores) else None
        if why := compared or _needs(name, student, teacher, reading):
            refused[name] = why
            continue
        try:
            terms += explain(student, teacher, reading.batch, {name: 1.0}, temperature=temperature)
        except ConfigError as error:
            refused[name] = str(error)
    return Lesson(terms, refused, soft, temperature)


def _scores_apart(student: Model, teacher: Model) -> str | None:
    """Reason why scores of the two cannot be compared, if there is one."""
    heads = [model.heads[0] if len(model.heads) == 1 else Head() for model in (student, teacher)]
    kinds = [(head.score_outputs, head.by_token, head.over_vocabulary) for head in heads]
    if not heads[0].score_outputs or kinds[0] != kinds[1]:
        names = " and ".join(type(model).__name__ for model in (student, teacher))
        return f"there are no scores that both models have: they are {names}"
    return "the choices of a question are compared, and here is one text" if heads[0].over_choices else None


def _needs(name: str, student: Model, teacher: Model, reading: Reading) -> str | None:
    """Reason why a term has not what it needs here, if there is one."""
    labels = reading.batch.targets.get("labels")
    if name in ("triplet", "contrastive"):
        return "it compares sentences of several classes, and here is one"
    if TERMS[name].needs_labels and (labels is None or (labels == IGNORE_INDEX).all()):
        return "it needs the right answer: --label for a classifier; for a masked LM a text without masks"
    if name == "hidden" and student.config.hidden_size != teacher.config.hidden_size:
        return "between two widths it learns a projection, which is random before training"
    return None
