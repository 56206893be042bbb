"""Summaries on the command line and on a page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from minidistil.tasks.base import PredictingTask, Predictor
from minidistil.tasks.inputs import Input, Shown, with_origins
from minidistil.tasks.summarization.documents import read_documents


class ShownSummaries(PredictingTask):
    """`minidistil predict` with a summariser: a text is a document."""

    setup: ClassVar[tuple[str, ...]] = ()
    options = (*("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams"),)
    whole_documents = True
    template = "summarization"

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Documents of a table, or a line each."""
        found = read_documents(
            args.data, text=args.text_column, format=args.format, header=not args.no_header, empty=True
        )
        return with_origins(found, found.texts)

    def show(self, predictor: Predictor, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
        for text, found in zip(texts, predictor(texts, **options), strict=True):
            facts = {"text": text, "summary": found.text, "method": found.method}
            yield Shown(
                [[sentence.text] for sentence in found.sentences],
                {**facts, "sentences": [asdict(sentence) for sentence in found.sentences]},
            )
