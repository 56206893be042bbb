"""How good the vectors of an encoder are for pairs of texts: alike or not, and translations of each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.semantic_search import retrieval_accuracy
from minidistil.embeddings.similarity import pairwise_similarities
from minidistil.errors import DataError, UsageError
from minidistil.tasks.base import Task
from minidistil.tasks.data import TABLE, DataSettings
from minidistil.tasks.similarity.settings import EncoderSettings
from minidistil.text.labels import encode_numbers
from minidistil.text.readers import Examples
from minidistil.text.translations import read_translations


class SimilarityTask(Task):
    """Correlation of similarities, by the encoder's own measure, with what people say of two texts.

    Parameters
    ----------
    data : DataSettings
        `text`, `pair` and `label`, a number.
    settings : EncoderSettings
    """

    kind: ClassVar[str] = "similarity"
    data_settings: ClassVar[tuple[str, ...]] = (*TABLE, "pair")
    settings_type: ClassVar[type[Any] | None] = EncoderSettings

    def __init__(self, data: DataSettings | None = None, settings: EncoderSettings | None = None) -> None:
        self.data, self.settings = data or DataSettings(), settings or EncoderSettings()
        self.main_metric = "spearman"

    def read(self, path: str | Path) -> Examples:
        found = self.data.read(path)
        if found.pairs is None:
            raise DataError(
                "there is no second text to compare with",
                path=found.path,
                remedy=(("pair", "NAME"),) if found.columns else (("format", "tsv"),),
            )
        scores = encode_numbers(found)
        if (scores == scores[0]).all():
            raise DataError(
                f"every score is {scores[0]:g}: nothing can be said to rise and fall with it", path=found.path
            )
        return replace(found, labels=scores.tolist())

    def evaluate_saved(
        self, path_or_id: str | Path, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Spearman's and Pearson's correlation of the cosines with the scores.

        In place of cosines it may be another similarity that the encoder's directory names.
        Spearman's is what encoders are compared by (Reimers et al. 2016, "Task-Oriented Intrinsic Evaluation
        of Semantic Textual Similarity").
        """
        encoder = self.settings.encoder(path_or_id)
        first, second = encode_pairs(encoder, examples.texts, examples.pairs or [], quiet=quiet)
        near = pairwise_similarities(first, second, encoder.settings.similarity)
        return {
            "spearman": metrics.spearman(near, examples.labels or []),
            "pearson": metrics.pearson(near, examples.labels or []),
        }


class TranslationTask(Task):
    """How often a sentence's vector finds that of its translation among all of them, and the other way round.

    Parameters
    ----------
    data : DataSettings
        Of pairs in one file, the columns `text` and `pair`. Two files are aligned line by line.
    settings : EncoderSettings
    """

    kind: ClassVar[str] = "translations"
    data_settings: ClassVar[tuple[str, ...]] = ("text", "pair")
    settings_type: ClassVar[type[Any] | None] = EncoderSettings
    files: ClassVar[int] = 2

    def __init__(self, data: DataSettings | None = None, settings: EncoderSettings | None = None) -> None:
        self.data, self.settings = data or DataSettings(), settings or EncoderSettings()
        self.main_metric = "to_translation"

    def read(self, path: str | Path, *more: str | Path) -> list[tuple[str, str]]:
        paths = [path, *more]
        if len(more) == 1 and (self.data.text or self.data.pair):
            raise UsageError("columns are those of one file with both sides; two files are lines of text")
        return list(
            zip(*read_translations(paths, source=self.data.text, translation=self.data.pair), strict=True)
        )

    def evaluate_saved(
        self, path_or_id: str | Path, examples: list[tuple[str, str]], *, quiet: bool = True
    ) -> dict[str, Any]:
        """Shares found; and the mean cosine of a sentence with its translation.

        If the encoder's directory names another similarity, it is that, under its name.
        """
        encoder = self.settings.encoder(path_or_id)
        sources, translations = (list(side) for side in zip(*examples, strict=True))
        there, back = encode_pairs(encoder, sources, translations, quiet=quiet)
        similarity = encoder.settings.similarity
        return {
            "to_translation": retrieval_accuracy(there, back, similarity=similarity),
            "to_source": retrieval_accuracy(back, there, similarity=similarity),
            similarity: float(pairwise_similarities(there, back, similarity).mean()),
        }


def encode_pairs(
    encoder: SentenceEncoder, first: list[str], second: list[str], *, quiet: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vectors of both sides, [N, H] each; a text that occurs more than once is embedded once."""
    distinct = {text: i for i, text in enumerate(dict.fromkeys([*first, *second]))}
    vectors = encoder.encode(list(distinct), quiet=quiet)
    ours, theirs = (vectors[[distinct[text] for text in side]] for side in (first, second))
    return ours, theirs
