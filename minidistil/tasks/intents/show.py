"""Intents, and answers to questions asked before, on the command line and on a page."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import UsageError
from minidistil.tasks.base import PredictingTask, Predictor
from minidistil.tasks.inputs import Input, Shown, read_texts

CANDIDATES = 5  # in an object, if nothing is said


class ShownNearest(PredictingTask):
    """The nearest of some entries, by an encoder.

    Attributes
    ----------
    own : tuple of str
        Options of a predictor that are not the encoder's.
    """

    setup: ClassVar[tuple[str, ...]] = ("entries", "vectors", "prompt", "max_length")
    options: ClassVar[tuple[str, ...]] = ("top_k", "threshold")
    own: ClassVar[tuple[str, ...]] = ("entries", "vectors", "threshold")

    @classmethod
    def open(cls, path_or_id: str | Path, **options: Any) -> Predictor:
        """Load an encoder; the options are `own`, and those of `SentenceEncoder.from_pretrained`."""
        if options.get("entries") is None:
            raise UsageError(f"{cls.kind} needs entries, texts to compare with: --entries FILE")
        ours = {key: options.pop(key) for key in cls.own if key in options}
        return cls.of_encoder(SentenceEncoder.from_pretrained(path_or_id, **options), **ours)

    @classmethod
    @abstractmethod
    def of_encoder(cls, encoder: SentenceEncoder, **options: Any) -> Predictor:
        """A predictor of an encoder in memory; the options are `own`."""

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        return read_texts(args)

    def show(self, predictor: Predictor, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
        top_k = options.pop("top_k", None)
        found = predictor(texts, top_k=top_k or CANDIDATES, **options)
        for text, answer in zip(texts, found, strict=True):
            rows = [self.cells(answer)] if top_k is None else [list(c)[:3] for c in answer.candidates]
            candidates = [c._asdict() for c in answer.candidates]
            facts = {"text": text, **answer._asdict(), "candidates": candidates}
            yield Shown([[*row, text] for row in rows], facts)

    def cells(self, answer: Any) -> list[object]:
        """What a line has beside the text: the answer, and its score."""
        return [answer.label, answer.score]
