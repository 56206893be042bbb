"""Token classification: named entities, and whatever else is a tag for each word."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.model.base import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.tasks.base import DataSettings, Task
from minidistil.tasks.by_token import read_windows
from minidistil.tasks.entities import OUTSIDE, PREFIXES, Aggregation, Entity, decode_entities, tag_tokens
from minidistil.tasks.tagged import Tagged, read_tagged
from minidistil.text.dataset import Dataset
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.windows import Windows, cut_texts

log = logging.getLogger("minidistil")

Array = npt.NDArray[np.floating[Any]]


class TokenTask(Task):
    """A tag for each word, and from them entities.

    The first piece of a word has its tag to learn; the others count for nothing (Devlin et al. 2018, section
    5.3). Texts longer than `max_length` are cut into windows that overlap by a quarter.

    Parameters
    ----------
    data : DataSettings
        `label` is the column of the tag, counted from 0; by default the last. `format`: "columns" or "jsonl".
    """

    kind: ClassVar[str] = "token-classification"
    reads: ClassVar[tuple[str, ...]] = ("label", "format", "max_length")
    head: ClassVar[str] = "ForTokenClassification"
    pipeline_tag: ClassVar[str] = "token-classification"

    def __init__(self, data: DataSettings | None = None) -> None:
        self.data = data or DataSettings()
        self.primary, self._labelled = "f1", True

    def read(self, path: str | Path) -> Tagged:
        column = -1 if self.data.label is None else self.data.label
        if not str(column).removeprefix("-").isdecimal():
            raise UsageError(f"data.label is {column!r}: the column of the tag is a number, counted from 0")
        return read_tagged(
            path, column=int(column), format=self.data.format_of(path), labelled=self._labelled
        )

    def without_labels(self) -> Self:
        other = super().without_labels()
        other._labelled = False
        return other

    def changes(self, examples: Tagged) -> dict[str, Any]:
        if examples.numbers is not None:
            raise DataError(
                "its tags are numbers, and nothing says what they are called: write names, or take a parquet "
                "file whose schema has them",
                path=examples.path,
            )
        types = sorted({entity.type for marked in examples.entities for entity in marked})
        if not types:
            raise DataError("no entity is marked in it: there is nothing to learn", path=examples.path)
        tags = [OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]
        return {"id2label": dict(enumerate(tags))}

    def dataset(
        self, tokenizer: Tokenizer, examples: Tagged, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        windows = self.windows(tokenizer, examples.texts, config)
        data = windows.dataset()
        if not labelled:
            return data
        examples = examples.named(config.id2label)
        labels = np.full(data.num_tokens, IGNORE_INDEX, np.int64)
        ids = {tag: i for i, tag in config.id2label.items()}
        for i in range(len(examples)):
            inside = windows.text_tokens(i)
            own = windows.owned_tokens(i)
            words = word_ids(windows, own, examples, i)
            firsts = np.flatnonzero(np.append(True, words[1:] != words[:-1])) if len(own) else own
            tags = tag_tokens(examples.texts[i], examples.entities[i], windows.spans[own]).tags
            row = np.full(len(own), IGNORE_INDEX, np.int64)
            for t in firsts.tolist():
                if tags[t] not in ids:
                    raise DataError(
                        f"there is no tag {tags[t]!r}; the tags are: {', '.join(ids)}",
                        path=examples.path,
                        line=examples.lines[i],
                    )
                row[t] = ids[tags[t]]
            labels[inside] = row[windows.text_positions[inside]]
        return data.with_token_targets(labels=labels)

    def windows(self, tokenizer: Tokenizer, texts: list[str], config: ModelConfig) -> Windows:
        """Texts cut for a model."""
        return cut_texts(tokenizer, texts, self.max_length(tokenizer, config))

    def predict(
        self,
        model: Model,
        tokenizer: Tokenizer,
        texts: list[str],
        *,
        aggregation: Aggregation = "first",
        examples: Tagged | None = None,
        quiet: bool = True,
    ) -> list[list[Entity]]:
        """Entities of each text.

        Parameters
        ----------
        aggregation : {"none", "simple", "first", "average", "max"}
            See `decode_entities`.
        examples : Tagged, optional
            Whose words are the words; by default those of the tokenizer.
        """
        texts = as_texts("texts", texts)
        found: list[list[Entity]] = []

        def cut(part: slice) -> Windows:
            return self.windows(tokenizer, texts[part], model.config)

        for part, windows, (logits,) in read_windows(
            model, cut, len(texts), "logits", label="tagging", quiet=quiet
        ):
            probabilities = softmax_forward(logits.astype(np.float64))[0]
            for i, text in enumerate(texts[part]):
                own = windows.owned_tokens(i)
                words = windows.word_ids[own]
                if examples is not None:
                    words = word_ids(windows, own, examples, part.start + i)
                found.append(
                    decode_entities(
                        text, probabilities[own], windows.spans[own], words, model.config.id2label,
                        aggregation=aggregation,
                    )
                )  # fmt: skip
        return found

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Tagged, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Strict entities: precision, recall and F1 over all ("f1") and by type; accuracy of words' tags.

        Words are those of the file; of running text, the tokenizer's.
        """
        examples = examples.named(model.config.id2label)
        self._check_types(model.config, examples)
        found = self.predict(model, tokenizer, examples.texts, examples=examples, quiet=quiet)
        gold, predicted = [], []
        for i, text in enumerate(examples.texts):
            spans = self._words(tokenizer, examples, i)
            gold.append(tag_tokens(text, examples.entities[i], spans).tags)
            predicted.append(tag_tokens(text, found[i], spans).tags)
        scores = metrics.entity_scores(gold, predicted, "IOB2")
        return {
            "precision": scores.micro.precision,
            "recall": scores.micro.recall,
            "f1": scores.micro.f1,
            "accuracy": scores.accuracy,
            "types": {kind: score._asdict() for kind, score in scores.by_type.items()},
        }

    @staticmethod
    def _check_types(config: ModelConfig, examples: Tagged) -> None:
        """A ConfigError if a model knows none of the types of entity in a file, a warning if only some."""
        theirs = sorted({entity.type for marked in examples.entities for entity in marked})
        ours = sorted(
            {tag[2:] if tag[:2] in PREFIXES else tag for tag in config.id2label.values()} - {OUTSIDE}
        )
        unknown = [kind for kind in theirs if kind not in ours]
        if theirs and unknown == theirs:
            raise ConfigError(
                f"the types of {examples.path} are {', '.join(theirs[:8])}, the model's {', '.join(ours[:8])}"
            )
        if unknown:
            log.warning("%s: the model does not know %s", examples.path, ", ".join(unknown))

    @staticmethod
    def _words(tokenizer: Tokenizer, examples: Tagged, i: int) -> npt.NDArray[np.int64]:
        """Characters of each word of a text, [W, 2]."""
        if examples.words is not None:
            return np.array(examples.words[i], np.int64).reshape(-1, 2)
        tokens = tokenizer.encode_spans([examples.texts[i]])
        changes = np.flatnonzero(np.diff(tokens.word_ids))  # the last token of each word but the last
        firsts, lasts = np.append(0, changes + 1), np.append(changes, len(tokens.word_ids) - 1)
        if not len(tokens.word_ids):
            return np.zeros((0, 2), np.int64)
        return np.stack([tokens.spans[firsts, 0], tokens.spans[lasts, 1]], axis=1)


def word_ids(
    windows: Windows, tokens: npt.NDArray[np.int64], examples: Tagged, i: int
) -> npt.NDArray[np.int64]:
    """Which word each of a text's tokens is of: a word of the file, where it has words."""
    if examples.words is None:
        return windows.word_ids[tokens]
    begins = np.array([begin for begin, _ in examples.words[i]], np.int64)
    found: npt.NDArray[np.int64] = np.searchsorted(begins, windows.spans[tokens, 0], "right") - 1
    return found
