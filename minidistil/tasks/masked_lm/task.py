"""Masked language modelling: prediction of masked words, and its evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.config import ModelConfig
from minidistil.errors import DataError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.tasks.base import Predictor, TrainableTask
from minidistil.tasks.details import Details
from minidistil.tasks.inputs import Shown
from minidistil.tasks.masked_lm.details import MaskedWords
from minidistil.tasks.masked_lm.fill import Candidate, Filling, FillMask, word_scores
from minidistil.tasks.predictor import keyword_names
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.corpus.chunks import chunk
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.readers import Examples
from minidistil.text.tokenizer import Tokenizer

MASK = ("mask", "word", "score", "filled")  # cells of a word for a mask in a table


@dataclass(frozen=True)
class MaskedLMSettings:
    """Settings of masked language modelling.

    Attributes
    ----------
    whole_words : bool
        Whether the pieces of a word are masked together, where it learns and where it is measured.
    """

    whole_words: bool = False


class MaskedLMTask(TrainableTask):
    """Masked words of running text.

    An example is a line, or the text of a row; longer ones than `max_length` are cut into pieces. Of their
    words 15 % are asked for, all alike (BERT's masking, see `minidistil.text.masking`): others in every epoch
    of a training, and always the same where a model is measured.

    Parameters
    ----------
    data : DataSettings
        Of which `text`, `format`, `header`, `skip_broken` and `max_length` count.
    settings : MaskedLMSettings, optional
    """

    kind = "masked-lm"
    data_settings = ("text", "format", "header", "skip_broken", "max_length")
    settings_type = MaskedLMSettings
    head = "ForMaskedLM"
    pipeline_tag = "fill-mask"
    does = "guess words"
    setup = ()
    options = ("top_k", "targets")
    template = "fill-mask"
    default_length = 128
    lower_is_better = ("masked_lm", "perplexity")
    loss_metric = "masked_lm"
    main_metric = "perplexity"
    settings: MaskedLMSettings

    def read(self, path: str | Path) -> Examples:
        return replace(self.data.read(path, empty=self.empty), pairs=None, labels=None)

    def config_overrides(self, examples: Examples) -> dict[str, Any]:
        return {}

    def dataset(
        self, tokenizer: Tokenizer, examples: Examples, config: ModelConfig, *, labelled: bool = True
    ) -> MaskedDataset:
        length = self.max_length(tokenizer, config)
        tokenizer = tokenizer.for_model(config.vocab_size)  # random words are the model's
        corpus = Corpus.in_memory(tokenizer, examples.texts, examples.path)
        nothing = DataError("it has no word of the vocabulary that could be masked", path=examples.path)
        if not len(corpus):
            raise nothing
        # [CLS] and a word and [SEP] are enough, and unknown words may be many: nothing is left out.
        sequences = chunk(corpus, tokenizer, max_length=length, shortest=3, unknown=2.0).train
        data = MaskedDataset.create(
            sequences, tokenizer, Masking(smoothing=0.0, whole_words=self.settings.whole_words)
        )
        if not corpus.counts[data.weights > 0].any():
            raise nothing
        return data

    def tokenizer_to_save(self, tokenizer: Tokenizer, config: ModelConfig) -> Tokenizer:
        """The same tokenizer: a text to fill in may be longer than the pieces of training."""
        return tokenizer

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """See `evaluate_masked_lm`."""
        data = self.dataset(tokenizer, examples, model.config).fixed()
        words = None if details is None else MaskedWords(data, tokenizer)
        found = dict(evaluate_masked_lm(model, data, words=words, quiet=quiet))
        if details is not None and words is not None:
            words.keep(details)
        return found

    def predictor(self, model: Model, tokenizer: Tokenizer) -> FillMask:
        return FillMask(self, model, tokenizer)

    def predict(self, model: Model, tokenizer: Tokenizer, *args: Any, **options: Any) -> list[Filling]:
        """Words for the masks of texts; the arguments are those of `FillMask.answer`."""
        return self.predictor(model, tokenizer).answer(*args, **options)

    @classmethod
    def call_options(cls) -> tuple[str, ...]:
        return keyword_names(FillMask.answer)

    def show(self, predictor: Predictor, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
        for text, found in zip(texts, predictor.answer(texts, **options), strict=True):
            rows: list[list[object]] = [[c.token, c.score, c.text] for m in found.masks for c in m.candidates]
            if len(found.masks) > 1:
                rows.append([" ".join(found.tokens), found.score, found.text])
            masks = [m._asdict() | {"candidates": [_shown(c) for c in m.candidates]} for m in found.masks]
            facts = {"text": text, "filled": found.text, "score": found.score, "tokens": found.tokens}
            table: list[dict[str, object]] = [
                dict(zip(MASK, (i, c.token, c.score, c.text), strict=True))
                for i, m in enumerate(found.masks)
                for c in m.candidates
            ]
            yield Shown(rows, {**facts, "masks": masks}, table or [dict.fromkeys(MASK)])


def _shown(word: Candidate) -> dict[str, Any]:
    """A candidate as the command line prints it."""
    return {"token": word.token, "score": word.score, "text": word.text}


def evaluate_masked_lm(
    model: Model,
    dataset: MaskedDataset,
    *,
    words: MaskedWords | None = None,
    label: str = "evaluating",
    quiet: bool = True,
) -> dict[str, float]:
    """Cross-entropy, accuracy and perplexity over the masked tokens of a dataset.

    Parameters
    ----------
    model : Model
        A masked LM; runs in evaluation mode.
    dataset : MaskedDataset
        With `fixed` masks the numbers of two models, or of two moments, can be compared.
    words : MaskedWords, optional
        Takes in the loss of each word, for `Details`.
    label, quiet
        Of the progress shown.

    Returns
    -------
    dict
        "masked_lm": nats a masked token; "accuracy": share guessed right; "perplexity": e^masked_lm.
    """
    total, right, count = 0.0, 0, 0
    with Progress(len(dataset), label, "sequence", quiet=quiet) as progress:
        for indices in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
            batch = dataset.batch(indices)
            labels = batch.targets["labels"]
            rows = np.flatnonzero(labels != IGNORE_INDEX)
            logits = word_scores(model, batch, rows)
            total += cross_entropy(logits, labels[rows]).sum
            right += int((logits.argmax(1) == labels[rows]).sum())
            count += len(rows)
            if words is not None:
                words.add(indices, batch, rows, logits, labels[rows])
            progress.update(len(indices))
    mean = total / max(count, 1)
    perplexity = math.exp(mean) if mean < 700 else math.inf
    return {"masked_lm": mean, "accuracy": right / max(count, 1), "perplexity": perplexity}
