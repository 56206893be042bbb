"""Evaluation of sentence encoders on pairs of texts: semantic similarity (STS), and translation retrieval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from minidistil import metrics
from minidistil.arrays import Float32
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.semantic_search import retrieval_accuracy
from minidistil.embeddings.similarity import pairwise_similarities
from minidistil.errors import DataError, UsageError
from minidistil.tasks.data import TABLE
from minidistil.tasks.details import Details
from minidistil.tasks.similarity.details import nearest_details, rank_details
from minidistil.tasks.similarity.encoder_task import EncoderTask
from minidistil.text.labels import encode_numbers
from minidistil.text.readers import Examples, read_translations


class SimilarityTask(EncoderTask):
    """Semantic textual similarity (STS): correlation of an encoder's similarities with people's scores."""

    kind: ClassVar[str] = "similarity"
    data_settings: ClassVar[tuple[str, ...]] = (*TABLE, "pair")
    main_metric = "spearman"

    def read(self, path: str | Path) -> Examples:
        """Read pairs of texts, with a number as label."""
        examples = self.data.read(path)
        if examples.pairs is None:
            raise DataError(
                "there is no second text to compare with",
                path=examples.path,
                remedy=(("pair", "NAME"),) if examples.columns else (("format", "tsv"),),
            )
        scores = encode_numbers(examples)
        if (scores == scores[0]).all():
            raise DataError(
                f"every score is {scores[0]:g}: nothing can be said to rise and fall with it",
                path=examples.path,
            )
        return replace(examples, labels=scores.tolist())

    def evaluate(
        self,
        encoder: SentenceEncoder,
        examples: Examples,
        *,
        quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:
        """Spearman's and Pearson's correlation of similarities and scores.

        Spearman's is the usual one (Reimers et al. 2016, "Task-Oriented Intrinsic Evaluation of Semantic
        Textual Similarity").
        """
        first, second = encode_pairs(encoder, examples.texts, examples.pairs or [], quiet=quiet)
        similarities = pairwise_similarities(first, second, encoder.settings.similarity)
        if details is not None:
            rank_details(details, examples, similarities)
        return {
            "spearman": metrics.spearman(similarities, examples.labels or []),
            "pearson": metrics.pearson(similarities, examples.labels or []),
        }


class TranslationTask(EncoderTask):
    """Translation retrieval: the share of sentences whose nearest vector is that of their translation."""

    kind: ClassVar[str] = "translations"
    data_settings: ClassVar[tuple[str, ...]] = ("text", "pair")
    files: ClassVar[int] = 2
    main_metric = "to_translation"

    def read(self, path: str | Path, *more: str | Path) -> list[tuple[str, str]]:
        """Read pairs from the columns `text` and `pair` of one file, or from two files line by line."""
        paths = [path, *more]
        if len(more) == 1 and (self.data.text or self.data.pair):
            raise UsageError("columns are those of one file with both sides; two files are lines of text")
        return list(
            zip(*read_translations(paths, source=self.data.text, translation=self.data.pair), strict=True)
        )

    def evaluate(
        self, encoder: SentenceEncoder, examples: list[tuple[str, str]], *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Accuracy in both directions; and the mean similarity of translations, under its name."""
        sources, translations = (list(side) for side in zip(*examples, strict=True))
        x, y = encode_pairs(encoder, sources, translations, quiet=quiet)
        similarity = encoder.settings.similarity
        if details is not None:
            nearest_details(details, sources, translations, x, y, similarity)
        return {
            "to_translation": retrieval_accuracy(x, y, similarity=similarity),
            "to_source": retrieval_accuracy(y, x, similarity=similarity),
            similarity: float(pairwise_similarities(x, y, similarity).mean()),
        }


def encode_pairs(
    encoder: SentenceEncoder, first: list[str], second: list[str], *, quiet: bool
) -> tuple[Float32, Float32]:
    """Encode both sides, [N, H] each; a text that occurs more than once is encoded once."""
    distinct = {text: i for i, text in enumerate(dict.fromkeys([*first, *second]))}
    vectors = encoder.encode(list(distinct), quiet=quiet)
    a, b = (vectors[[distinct[text] for text in side]] for side in (first, second))
    return a, b
