"""Token classification: named entities, and whatever else is a tag for each word."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minidistil import metrics
from minidistil.arrays import Int64
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.metrics import Span
from minidistil.model.model import Model
from minidistil.ops.softmax import softmax_forward
from minidistil.tasks.base import Predictor, TrainableTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.details import Details
from minidistil.tasks.inference import read_windows
from minidistil.tasks.inputs import Input, Shown, read_texts, with_origins
from minidistil.tasks.token_classification.conll import Tagged, are_columns, format_of_words, read_tagged
from minidistil.tasks.token_classification.details import tag_details
from minidistil.tasks.token_classification.entities import (
    Aggregation,
    Entity,
    Placed,
    WordTags,
    choose_tags,
    first_tokens,
    place_entities,
    tagged_entities,
    words_of_tokens,
)
from minidistil.tasks.token_classification.schemes import TagSet, check_scheme
from minidistil.tasks.training_settings import TrainingRecord
from minidistil.text.dataset import Dataset
from minidistil.text.readers import read_examples
from minidistil.text.tables import FORMATS, suffix_of
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.windows import Windows, cut_texts

log = logging.getLogger("minidistil")

ENTITY = ("type", "entity", "score", "start", "end")  # cells of one in a table
ASKED = 64  # texts, to see how a teacher writes its tags


class TokenClassificationTask(TrainableTask):
    """A tag for each word, and from them entities.

    The first piece of a word has its tag to learn; the others count for nothing (Devlin et al. 2018, section
    5.3). Texts longer than `max_length` are cut into windows that overlap by a quarter.

    Parameters
    ----------
    data : DataSettings
        `label` is the column of the tag, counted from 0; by default the last. `format`: "columns" or "jsonl".
        `scheme`: how a model's tags are written, and "plain" also how the file's are.
    """

    kind = "token-classification"
    data_settings = ("label", "format", "max_length", "scheme")
    head = "ForTokenClassification"
    pipeline_tag = "token-classification"
    does = "classify tokens"
    setup = ("max_length", "scheme")
    options = ("aggregation",)
    template = "token-classification"
    main_metric = "f1"

    def __init__(self, data: DataSettings | None = None) -> None:
        super().__init__(data)
        if self.data.scheme is not None:
            check_scheme(self.data.scheme)

    def read(self, path: str | Path) -> Tagged:
        column = -1 if self.data.label is None else self.data.label
        if not str(column).removeprefix("-").isdecimal():
            raise UsageError(f"data.label is {column!r}: the column of the tag is a number, counted from 0")
        return read_tagged(
            path, column=int(column), format=self.data.format_of(path), labelled=self.labelled,
            scheme=self.data.scheme,
        )  # fmt: skip

    def read_unlabelled(self, path: str | Path) -> Tagged:
        """Texts of a file of words, or of running text: the lines of plain text, or the column "text"."""
        suffix = suffix_of(path)
        format = None if suffix == ".txt" else self.data.format_of(path)  # its lines are of either kind
        if format is None and suffix not in FORMATS:
            format = "columns"
        words = format_of_words(str(path), format)
        if words is not None:
            return read_tagged(path, format=words, labelled=False)
        found = read_examples(path, format=format, usual_labels=())
        return Tagged(found.texts, [[]] * len(found), None, found.lines, found.path)

    def config_overrides(self, examples: Tagged) -> dict[str, Any]:
        if examples.numbers is not None:
            raise DataError(
                "its tags are numbers, and nothing says what they are called: write names, or take a parquet "
                "file whose schema has them",
                path=examples.path,
            )
        types = sorted({entity.type for marked in examples.entities for entity in marked})
        if not types:
            raise DataError("no entity is marked in it: there is nothing to learn", path=examples.path)
        return {"id2label": dict(enumerate(TagSet.of_types(types, self.data.scheme or "IOB2").tags))}

    def training_record(
        self,
        examples: Tagged,
        config: ModelConfig,
        tokenizer: Tokenizer,
        teacher: tuple[Model, Tokenizer] | None = None,
    ) -> TrainingRecord:
        learnt = super().training_record(examples, config, tokenizer)
        tags = None if teacher is None else self._tags_of(*teacher, examples.texts[:ASKED])
        scheme = (self.data.scheme or "IOB2") if tags is None else tags.scheme
        words = examples.words is not None
        return replace(learnt, whitespace_words=words, scheme=scheme, tags=config.label_names)

    def tag_set(self, config: ModelConfig) -> TagSet:
        """The tags of a model, in the scheme that the settings say, that it learnt, or that they look like.

        Raises
        ------
        UsageError, ConfigError
            There is no such scheme.
        """
        tags, learnt = config.label_names, TrainingRecord.of(config)
        kept = learnt.scheme if learnt.tags in (None, tags) else None  # of tags renamed by hand: guessed anew
        return TagSet(tags, self.data.scheme or kept)

    def _tags_of(self, model: Model, tokenizer: Tokenizer, texts: list[str]) -> TagSet:
        """The tags of a model, in the scheme in which it gives them for some texts if nothing says it."""
        tags = self.tag_set(model.config)
        if tags.certain:
            return tags
        found = self._word_tags(model, tokenizer, texts, "first", None, quiet=True)
        return tags.as_used([tags.tags[i] for i in some.tags.tolist()] for some in found)

    def dataset(
        self, tokenizer: Tokenizer, examples: Tagged, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        windows = self.windows(tokenizer, examples.texts, config)
        data = windows.dataset()
        words = [_words_of(windows, examples, i) for i in range(len(examples))]
        compared = np.zeros(data.num_tokens, bool)
        for i, (of_tokens, _) in enumerate(words):
            first = np.isin(np.arange(len(of_tokens)), first_tokens(of_tokens))
            inside = windows.text_tokens(i)
            compared[inside] = first[windows.text_positions[inside]]
        targets: dict[str, Any] = {"compared": compared}
        if labelled:
            targets["labels"] = self._labels(windows, words, examples, config)
        return data.with_token_targets(**targets)

    def _labels(
        self, windows: Windows, words: Sequence[tuple[Int64, Int64]], examples: Tagged, config: ModelConfig
    ) -> Int64:
        """Number of the tag of each token, -100 of all but first pieces, [T]."""
        examples = examples.named(config.id2label)
        labels = np.full(len(windows.input_ids), IGNORE_INDEX, np.int64)
        all_tags = self.tag_set(config)
        ids = {tag: i for i, tag in enumerate(all_tags.tags)}
        placed: list[Placed] = []
        for i, (of_tokens, where) in enumerate(words):
            placed.append(place_entities(examples.texts[i], examples.entities[i], where))
            tags = all_tags.write(placed[-1].spans, len(where))
            row = np.full(len(of_tokens), IGNORE_INDEX, np.int64)
            for t in first_tokens(of_tokens).tolist():
                tag = tags[of_tokens[t]]
                if tag not in ids:
                    raise DataError(
                        f"there is no tag {tag!r}; the tags are: {', '.join(ids)}",
                        path=examples.path,
                        line=examples.lines[i],
                    )
                row[t] = ids[tag]
            inside = windows.text_tokens(i)
            labels[inside] = row[windows.text_positions[inside]]
        _say_inexact(examples, placed)
        return labels

    def windows(self, tokenizer: Tokenizer, texts: list[str], config: ModelConfig) -> Windows:
        """Texts cut for a model."""
        return cut_texts(tokenizer, texts, self.max_length(tokenizer, config))

    def predict(
        self,
        model: Model,
        tokenizer: Tokenizer,
        texts: str | Sequence[str],
        *,
        aggregation: Aggregation | None = None,
        quiet: bool = True,
    ) -> list[list[Entity]]:
        """Entities of each text, with their characters in it. Texts may be of any length.

        Parameters
        ----------
        aggregation : {"none", "simple", "first", "average", "max", "whitespace"}, optional
            See `choose_tags`. By default "whitespace" for a model that learnt from files of words, else
            "first".
        """
        texts = as_texts("texts", texts, one=True)
        tags, apart = self.tag_set(model.config), aggregation == "none"
        usual = self.usual_aggregation(model.config)
        found = self._word_tags(model, tokenizer, texts, aggregation or usual, None, quiet=quiet)
        return [
            tagged_entities(text, some, tags, apart=apart) for text, some in zip(texts, found, strict=True)
        ]

    def usual_aggregation(self, config: ModelConfig) -> Aggregation:
        """The words that a model learnt to tag."""
        return "whitespace" if TrainingRecord.of(config).whitespace_words else "first"

    def _word_tags(
        self,
        model: Model,
        tokenizer: Tokenizer,
        texts: list[str],
        aggregation: Aggregation,
        words: list[list[tuple[int, int]]] | None,
        *,
        quiet: bool,
    ) -> Iterator[WordTags]:
        """The tags of each text's words; `words` are those of a file that has some."""

        def cut(part: slice) -> Windows:
            return self.windows(tokenizer, texts[part], model.config)

        for part, windows, (logits,) in read_windows(
            model, cut, len(texts), "logits", label="tagging", quiet=quiet
        ):
            probabilities = softmax_forward(logits.astype(np.float64))[0]
            for i, text in enumerate(texts[part]):
                own = windows.owned_tokens(i)
                yield choose_tags(
                    text, probabilities[own], windows.spans[own], windows.word_ids[own],
                    model.config.num_labels, aggregation=aggregation,
                    words=None if words is None else words[part.start + i],
                )  # fmt: skip

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Tagged, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Strict entities: precision, recall and F1 over all ("f1") and by type; accuracy of words' tags.

        Right is an entity whose characters and type are. Words are those of the file; of running text, those
        that `predict` takes. Their tags are compared as the model gave them.
        """
        tags, examples = self.tag_set(model.config), examples.named(model.config.id2label)
        self._check_types(tags, examples)
        usual = self.usual_aggregation(model.config)
        found = self._word_tags(model, tokenizer, examples.texts, usual, examples.words, quiet=quiet)
        said = [some if details is not None else some._replace(probabilities=None) for some in found]
        names = [[tags.tags[i] for i in some.tags.tolist()] for some in said]
        written = tags if tags.certain else tags.as_used(names)
        gold, predicted, placed, right_tags = [], [], [], []
        right = count = 0
        for i, (text, some, given) in enumerate(zip(examples.texts, said, names, strict=True)):
            predicted.append([Span(e.type, e.start, e.end) for e in tagged_entities(text, some, tags)])
            gold.append([Span(e.type, e.start, e.end) for e in examples.entities[i]])
            placed.append(place_entities(text, examples.entities[i], some.spans))
            right_tags.append(written.write(placed[-1].spans, len(given)))
            right += sum(a == b for a, b in zip(right_tags[-1], given, strict=True))
            count += len(given)
            if examples.words is not None:  # a word of which the tokenizer left nothing has no tag: O
                right += _right_without_tokens(examples, i, some)
                count += len(examples.words[i]) - len(given)
        if not count:
            raise DataError("there is no word in it", path=examples.path)
        _say_inexact(examples, placed)
        if details is not None:
            tag_details(details, tags, examples, said, right_tags, gold, predicted)
        scores = metrics.span_scores(gold, predicted, accuracy=right / count)
        return {
            "precision": scores.micro.precision,
            "recall": scores.micro.recall,
            "f1": scores.micro.f1,
            "accuracy": scores.accuracy,
            "types": {kind: score._asdict() for kind, score in scores.by_type.items()},
        }

    # On the command line

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Texts of a table, or of a file whose rows or lines have words."""
        format = format_of_words(args.data, args.format, text=args.text_column)
        if format is None:
            return read_texts(args)
        found = read_tagged(args.data, format=format, labelled=False)
        return with_origins(found, found.texts)

    def check_lines(self, lines: Iterable[str]) -> None:
        if are_columns(lines):
            raise UsageError("these lines are words and tags in columns: say --data FILE --format columns")

    def show(
        self, predictor: Predictor, texts: Sequence[str], *, aggregation: Aggregation | None = None
    ) -> Iterator[Shown]:
        answers = self.predict(predictor.model, predictor.tokenizer, texts, aggregation=aggregation)
        for text, found in zip(texts, answers, strict=True):
            rows: list[list[object]] = [[e.type, e.score, e.start, e.end, e.text] for e in found]
            cells: list[list[object]] = [[e.type, e.text, e.score, e.start, e.end] for e in found]
            table = [dict(zip(ENTITY, row, strict=True)) for row in cells or [[None] * len(ENTITY)]]
            yield Shown(rows, {"text": text, "entities": [e._asdict() for e in found]}, table)

    @staticmethod
    def _check_types(tags: TagSet, examples: Tagged) -> None:
        """Raise a ConfigError if a model knows none of a file's types of entity; warn if only some."""
        theirs, ours = sorted({e.type for marked in examples.entities for e in marked}), tags.types
        unknown = [kind for kind in theirs if kind not in ours]
        if theirs and unknown == theirs:
            raise ConfigError(
                f"the types of {examples.path} are {', '.join(theirs[:8])}, the model's {', '.join(ours[:8])}"
            )
        if unknown:
            log.warning("%s: the model does not know %s", examples.path, ", ".join(unknown))


def _right_without_tokens(examples: Tagged, i: int, found: WordTags) -> int:
    """Number of a text's words without a token that are outside of every entity."""
    assert examples.words is not None
    seen = set(found.spans[:, 0].tolist())
    inside = [(e.start, e.end) for e in examples.entities[i]]
    return sum(
        begin not in seen and not any(a <= begin < b for a, b in inside) for begin, _ in examples.words[i]
    )


def _words_of(windows: Windows, examples: Tagged, i: int) -> tuple[Int64, Int64]:
    """Words of a text as `words_of_tokens` gives them."""
    own = windows.owned_tokens(i)
    given = None if examples.words is None else examples.words[i]
    return words_of_tokens(windows.spans[own], windows.word_ids[own], given)


def _say_inexact(examples: Tagged, placed: list[Placed]) -> None:
    """A warning that counts entities which do not begin and end where words do: mostly wrong offsets."""
    bad = [i for i, one in enumerate(placed) if one.inexact or one.missed]
    if bad:
        log.warning(
            "%s: %d of %d entities do not begin and end where words do, and cannot be found; the first is on "
            "line %d",
            examples.path, sum(one.inexact + one.missed for one in placed),
            sum(map(len, examples.entities)), examples.lines[bad[0]],
        )  # fmt: skip
