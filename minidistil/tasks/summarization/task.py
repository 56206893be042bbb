"""Extractive summarization: a choice of sentences of a document.

Any encoder can do it: `centroid` and `mmr` compare vectors of sentences (`selection`); `lead`, the first
sentences, is the baseline. A trained model is a token classifier: each token has the class of its sentence,
in the summary or not, and the score of a sentence is the mean of its tokens' log-odds. A document is read
once, in windows, each sentence in its context, as in BERTSUM (Liu and Lapata 2019, arXiv:1908.08345), but
without tokens that mark the sentences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil.config import ModelConfig
from minidistil.embeddings.encoder import ENCODING, SentenceEncoder
from minidistil.errors import ConfigError, DataError
from minidistil.losses import IGNORE_INDEX
from minidistil.metrics import rouge_scores
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.tasks.base import Predictor, TrainableTask
from minidistil.tasks.details import Details, line_of
from minidistil.tasks.inference import token_outputs
from minidistil.tasks.inputs import Input, Shown, with_origins
from minidistil.tasks.summarization.documents import Documents, read_documents
from minidistil.tasks.summarization.oracle import oracle, words
from minidistil.tasks.summarization.selection import best, centroid, mmr
from minidistil.tasks.summarization.summary import Extract, Method, Summary, SummarySettings
from minidistil.text.dataset import Dataset
from minidistil.text.sentences import Sentence
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.windows import Windows, cut_texts

LABELS = {0: "rest", 1: "summary"}  # of a model that was trained for it
CHARACTERS_AT_ONCE = 2_000_000  # of documents: bounds the tokens and vectors that exist at a time


class SummarizationTask(TrainableTask):
    """Extractive summarization: the sentences of a document that summarise it.

    It learns the sentences that a greedy choice by ROUGE would take for the summaries that were
    written (`oracle`): each token of such a sentence has the label "summary". Documents
    longer than `max_length` are cut into windows that overlap by a quarter.

    Parameters
    ----------
    data : DataSettings
        `text` is the column of the document, `label` that of the summary.
    settings : SummarySettings
    """

    kind = "summarization"
    data_settings = ("text", "label", "format", "header", "max_length")
    settings_type = SummarySettings
    head = "ForTokenClassification"
    pipeline_tag = "summarization"
    does = "summarise"
    setup: ClassVar[tuple[str, ...]] = ()
    options = ("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams")
    whole_documents = True
    template = "summarization"
    default_training_length = 512
    main_metric = "rouge1"
    settings: SummarySettings

    @classmethod
    def open(cls, path_or_id: str | Path, **options: Any) -> Predictor:
        return Summarizer(SentenceEncoder.from_pretrained(path_or_id, quiet=True, **options))

    @classmethod
    def bind(cls, model: Model, tokenizer: Tokenizer, **setup: Any) -> Predictor:
        return Summarizer(SentenceEncoder.of_model(model, tokenizer, **setup))

    @classmethod
    def call_options(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(SummarySettings))

    @classmethod
    def loading_options(cls) -> tuple[str, ...]:
        return ENCODING

    @classmethod
    def fits(cls, model: Model) -> bool:
        return is_trained(model)

    def read(self, path: str | Path) -> Documents:
        d = self.data
        return read_documents(path, text=d.text, summary=d.label, format=d.format, header=d.named_columns)

    def config_overrides(self, examples: Documents) -> dict[str, Any]:
        return {"id2label": LABELS}

    def dataset(
        self, tokenizer: Tokenizer, examples: Documents, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        windows = self.windows(tokenizer, examples.texts, config)
        data = windows.dataset()
        if not labelled:
            return data
        labels = np.full(data.num_tokens, IGNORE_INDEX, np.int64)
        for i, (text, summaries) in enumerate(zip(examples.texts, examples.summaries, strict=True)):
            if not summaries:
                raise DataError("there is no summary of it", path=examples.path, line=examples.lines[i])
            sentences = self.settings.split(text)
            wanted = np.zeros(len(sentences), np.int64)
            wanted[oracle([s.text for s in sentences], summaries)] = 1
            inside = windows.text_tokens(i)
            labels[inside] = wanted[_sentence_of(sentences, windows.spans[inside])]
        if not (labels == 1).any():
            raise DataError(
                "no summary has a word of its document: there is nothing to learn", path=examples.path
            )
        return data.with_token_targets(labels=labels)

    def windows(self, tokenizer: Tokenizer, texts: Sequence[str], config: ModelConfig) -> Windows:
        """Documents cut for a model."""
        return cut_texts(tokenizer, texts, self.max_length(tokenizer, config))

    def predict(self, encoder: SentenceEncoder, texts: Sequence[str], *, quiet: bool = True) -> list[Summary]:
        """Summaries of documents, in order; none depends on another.

        Parameters
        ----------
        encoder : SentenceEncoder
            For "trained" its model must have learnt it.
        texts : sequence of str
            A blank one has no sentences.

        Raises
        ------
        ConfigError
            "trained" is asked of a model that has not learnt it.
        """
        method = self.settings.method or ("trained" if is_trained(encoder.model) else "mmr")
        if method == "trained":
            encoder.model.check_trained()
        if method == "trained" and not is_trained(encoder.model):
            raise ConfigError(
                f"this {type(encoder.model).__name__} has not learnt to summarise: fine-tune it for "
                "summarization, or take the method mmr or centroid"
            )
        found = []
        with Progress(len(texts), "summarising", "document", quiet=quiet) as progress:
            for some in _groups(texts):
                documents = [self.settings.split(text) for text in some]
                scored = self._scores(method, encoder, some, documents)
                found += [self._choose(method, s, x) for s, x in zip(documents, scored, strict=True)]
                progress.update(len(some))
        return found

    def _scores(
        self, method: Method, encoder: SentenceEncoder, texts: list[str], documents: list[list[Sentence]]
    ) -> list[npt.NDArray[Any]]:
        """Numbers, or vectors, of the sentences of each document, by which `method` chooses."""
        if method == "lead":
            return [1 - np.arange(len(s)) / max(len(s), 1) for s in documents]
        if method == "trained":
            windows = self.windows(encoder.tokenizer, texts, encoder.model.config)
            (logits,) = token_outputs(encoder.model, windows.dataset(), "logits")
            odds = logits[:, 1].astype(np.float64) - logits[:, 0]
            owned = [windows.owned_tokens(i) for i in range(len(texts))]
            return [
                _probabilities(odds[own], _sentence_of(s, windows.spans[own]), len(s))
                for s, own in zip(documents, owned, strict=True)
            ]
        vectors = encoder.encode([sentence.text for s in documents for sentence in s])
        return np.split(vectors, np.cumsum([len(s) for s in documents])[:-1])

    def _choose(self, method: Method, sentences: list[Sentence], scored: npt.NDArray[Any]) -> Summary:
        said = [words(sentence.text) for sentence in sentences]
        lengths = np.array([len(w) for w in said], np.int64)
        # Lines of stars and the like say nothing.
        kept = np.flatnonzero(lengths) if lengths.any() else np.arange(len(sentences))
        scored, lengths, limits = scored[kept], lengths[kept], self.settings.limits
        if method == "centroid":
            picks = centroid(scored, lengths, limits)
        elif method == "mmr":
            picks = mmr(scored, lengths, limits, weight=self.settings.mmr_lambda)
        else:
            blocked = method == "trained" and self.settings.block_trigrams
            picks = best(scored, lengths, limits, words=[said[i] for i in kept] if blocked else None)
        extracts = []
        for i, score in zip(kept[picks.indices].tolist(), picks.scores.tolist(), strict=True):
            text, start, end = sentences[i]
            extracts.append(Extract(text, start, end, i, score))
        return Summary(joined([extract.text for extract in extracts]), extracts, method)

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Documents of a table, or a line each."""
        found = read_documents(
            args.data, text=args.text_column, format=args.format, header=not args.no_header, empty=True
        )
        return with_origins(found, found.texts)

    def show(self, predictor: Predictor, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
        for text, found in zip(texts, predictor.answer(texts, **options), strict=True):
            facts = {"text": text, "summary": found.text, "method": found.method}
            yield Shown(
                [[sentence.text] for sentence in found.sentences],
                {**facts, "sentences": [sentence._asdict() for sentence in found.sentences]},
                [{"summary": found.text, "method": found.method}],
            )

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Documents, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        return self._compare(SentenceEncoder(model, tokenizer), examples, details, quiet=quiet)

    def evaluate_saved(
        self,
        path_or_id: str | Path,
        examples: Documents,
        *,
        quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:
        encoder = SentenceEncoder.from_pretrained(path_or_id, quiet=True)  # with its directory's pooling
        return self._compare(encoder, examples, details, quiet=quiet)

    def _compare(
        self, encoder: SentenceEncoder, examples: Documents, details: Details | None, *, quiet: bool
    ) -> dict[str, Any]:
        """Mean F1 of ROUGE: of the summaries, of the first sentences ("lead_..."), of the oracle's."""
        for line, summaries in zip(examples.lines, examples.summaries, strict=True):
            if not summaries:
                raise DataError("there is no summary to compare with", path=examples.path, line=line)
        found = self.predict(encoder, examples.texts, quiet=quiet)
        if details is not None:
            _add_details(details, examples, [summary.text for summary in found])
        lead = SummarizationTask(self.data, replace(self.settings, method="lead"))
        return {
            "method": found[0].method,
            **mean_rouge(examples, [summary.text for summary in found]),
            **mean_rouge(examples, [s.text for s in lead.predict(encoder, examples.texts)], "lead_"),
            **mean_rouge(examples, self.oracle_summaries(examples), "oracle_"),
        }

    def oracle_summaries(self, examples: Documents) -> list[str]:
        """The greedy choice by ROUGE from each document, whatever its length."""
        found = []
        for text, summaries in zip(examples.texts, examples.summaries, strict=True):
            sentences = [sentence.text for sentence in self.settings.split(text)]
            found.append(joined([sentences[i] for i in oracle(sentences, summaries)]))
        return found


def _add_details(details: Details, examples: Documents, summaries: Sequence[str]) -> None:
    """Add the documents whose summaries have least in common with those that were written."""
    each = zip(examples.summaries, summaries, strict=True)
    details.keep_worst(
        [rouge_scores(written, summary, words)["rouge1"] for written, summary in each],
        lambda i: {
            **line_of(examples, i),
            "texts": {"document": examples.texts[i]},
            "right": examples.summaries[i][0],
            "given": summaries[i],
        },
        measure="ROUGE-1",
        about="F1 of the words of the summary and of those of the written one.",
        lowest=True,
    )


def is_trained(model: Model) -> bool:
    """True if a model was trained to summarise."""
    return any(head.by_token and head.classes() == list(LABELS.values()) for head in model.heads)


def joined(sentences: Sequence[str]) -> str:
    """Sentences, one a line."""
    return "\n".join(" ".join(sentence.split()) for sentence in sentences)


def mean_rouge(examples: Documents, summaries: Sequence[str], prefix: str = "") -> dict[str, float]:
    """Means over documents of F1, see `minidistil.metrics.rouge_scores`."""
    each = [rouge_scores(r, s, words) for r, s in zip(examples.summaries, summaries, strict=True)]
    return {prefix + name: float(np.mean([scores[name] for scores in each])) for name in each[0]}


def _sentence_of(sentences: Sequence[Sentence], spans: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sentence in which each token begins; `spans` [T, 2] are their characters."""
    begins = np.array([sentence.start for sentence in sentences], np.int64)
    found: npt.NDArray[np.int64] = np.searchsorted(begins, spans[:, 0], "right") - 1
    return found


def _probabilities(
    odds: npt.NDArray[np.float64], sentence: npt.NDArray[np.int64], n: int
) -> npt.NDArray[np.float64]:
    """Probabilities of n sentences, from the log-odds of their tokens; 0 for one without tokens."""
    counts = np.bincount(sentence, minlength=n)
    means = np.bincount(sentence, odds, minlength=n) / np.maximum(counts, 1)
    return np.where(counts > 0, 1 / (1 + np.exp(-means)), 0.0)


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts, as many at a time as have not too many characters together."""
    some: list[str] = []
    size = 0
    for text in texts:
        if some and size + len(text) > CHARACTERS_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some


class Summarizer(Predictor):
    """Extractive summarizer: `pipeline("summarization", "encoder/")(document, sentences=3)`.

    Any encoder will do, also one that has not learnt it; one that has is taken for it without being told.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        super().__init__(SummarizationTask(), encoder.model, encoder.tokenizer)
        self.encoder = encoder

    def answer(self, texts: str | Sequence[str], **settings: Any) -> list[Summary]:
        """A summary of each document, of any length, with the characters of its sentences.

        The options are those of `SummarySettings`; errors as of it and of `SummarizationTask.predict`.
        """
        texts = as_texts("documents", texts, one=True)
        return SummarizationTask(settings=SummarySettings(**settings)).predict(self.encoder, texts)
