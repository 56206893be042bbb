"""Transfer set of a taught student: texts without labels, and copies of examples with replaced words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.config import ModelConfig
from minidistil.distill.masked_candidates import masked_candidates
from minidistil.distill.terms import needs_labels
from minidistil.distill.vocabulary import check_same_ids, difference
from minidistil.errors import ConfigError
from minidistil.jobs.finetune_settings import TeachingSettings
from minidistil.jobs.sources import content, examples_hash
from minidistil.jobs.teaching import Teaching, own_tokenizer
from minidistil.model import class_of
from minidistil.model.families import load_config
from minidistil.model.model import Model
from minidistil.tasks.base import TrainableTask
from minidistil.tasks.split import some_of
from minidistil.text.dataset import Dataset, MultipleChoiceDataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.word_replacement import (
    Bools,
    Candidates,
    replaced_copies,
    table_candidates,
    word_ids,
    word_tokens,
)
from minidistil.train.objective import TrainingData, check_positions
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")


@dataclass(frozen=True)
class TransferSet:
    """Inputs on which a student learns its teacher's answers alone. They are read when first asked for.

    Parameters
    ----------
    task : TrainableTask
        Reads the files.
    paths : sequence of paths
        Files of texts; labels in them are not looked at.
    held_out : examples or None
        Examples that are measured by. A text of the files that is also here is left out.
    settings : TeachingSettings
        Its `augment`, `replaced`, `replacements` and `words_from` count.
    seed : int
        Of the replaced words.
    quiet : bool
        Show no progress.
    """

    task: TrainableTask
    paths: Sequence[str | Path]
    held_out: Any
    settings: TeachingSettings
    seed: int
    quiet: bool = False

    @cached_property
    def files(self) -> list[Any]:
        """Examples of each file."""
        return [self.task.read_unlabelled(path) for path in self.paths]

    @cached_property
    def texts(self) -> list[Any]:
        """Examples of each file, but for those with a text that is measured by, which a line counts."""
        measured = () if self.held_out is None else set(self.task.shared_texts(self.held_out))
        found = []
        for examples in self.files:
            texts = self.task.shared_texts(examples)
            kept = [i for i, text in enumerate(texts) if text not in measured]
            if left_out := len(examples) - len(kept):
                log.info(
                    "%s: left out %s of %s texts, which are measured by",
                    examples.path, f"{left_out:,}", f"{len(examples):,}",
                )  # fmt: skip
            if kept:
                found.append(some_of(examples, kept) if left_out else examples)
        return found

    def identity(self) -> dict[str, Any]:
        """Hashes of the files, and of the masked LM."""
        found: dict[str, Any] = {}
        if self.paths:
            found["unlabelled"] = [examples_hash(examples) for examples in self.files]
        if self.settings.augment != 0 and self.settings.words_from is not None:
            found["words_from"] = content(self.settings.words_from)
        return found

    def copies(self, data: TrainingData, tokenizer: Tokenizer, teaching: Teaching | None) -> int:
        """Copies of every example: of the settings, or by default what is usual where words can be replaced.

        By default there are none beside texts without labels, which teach more; for a teacher whose tokenizer
        is another; where nothing is learnt without labels; and where no word is a single token.
        """
        if teaching is None or self.settings.augment is not None:
            return self.settings.augment or 0
        usual = 0 if self.paths else teaching.usual.copies
        of_labels = all(needs_labels({name: 1}) for name in teaching.compared)
        if not usual or of_labels or not isinstance(data, Dataset | MultipleChoiceDataset):
            return 0
        if any(difference(tokenizer, own_tokenizer(path, tokenizer)) for path in teaching.paths):
            return 0
        words = word_ids(tokenizer, teaching.teacher.config.vocab_size)
        return usual if words.sum() > 1 and word_tokens(_sequences(data), words, tokenizer).any() else 0

    def sizes(self, examples: int, copies: int) -> dict[str, int]:
        """Numbers of texts without labels and of copies of the examples, if there are some."""
        found = {"unlabelled": sum(map(len, self.texts)), "copies": copies * examples}
        return {name: n for name, n in found.items() if n}

    def added_to(
        self,
        data: TrainingData,
        copies: int,
        tokenizer: Tokenizer,
        teaching: Teaching | None,
        student: ModelConfig,
    ) -> TrainingData:
        """The data of the examples, followed by those of the texts and of the copies.

        Parameters
        ----------
        data : Dataset or MultipleChoiceDataset
        copies : int
            Of every example, as the method of this name gives it.
        tokenizer : Tokenizer
        teaching : Teaching or None
        student : ModelConfig

        Raises
        ------
        ConfigError
            Another kind of data; files of another form than the examples; a teacher or a masked LM of another
            vocabulary.
        """
        if teaching is None or not (self.paths or copies):
            return data
        if not isinstance(data, Dataset | MultipleChoiceDataset):
            raise ConfigError(
                f"{self.task.kind} learns from texts that have no labels: give all of them by --train "
                "(--unlabelled and teaching.augment are for tasks with labels)"
            )
        parts: list[Any] = []
        for examples in self.texts:
            self.task.check_examples(examples, student, "the student")
            parts.append(self.task.dataset(tokenizer, examples, student, labelled=False))
        if copies:
            parts.append(self._copies(copies, data, tokenizer, teaching))
            log.info("%s copies of examples with replaced words (teaching.augment)", f"{len(parts[-1]):,}")
        return data.concatenate(*parts)  # each is of the same kind as the first

    def own_input(self, teaching: Teaching | None, examples: Any, tokenizer: Tokenizer, name: str) -> Any:
        """As of `teaching`, of the examples and then of the texts; None without a teacher."""
        if teaching is None:
            return None
        known = teaching.own_input(examples, tokenizer, name, labelled=teaching.needs_labels)
        parts: list[Any] = [known, *(teaching.own_input(some, tokenizer, name) for some in self.texts)]
        if isinstance(parts[0], list):  # of several teachers
            return [_end_to_end(of_one) for of_one in zip(*parts, strict=True)]
        return _end_to_end(parts)

    def _copies(
        self, copies: int, data: Dataset | MultipleChoiceDataset, tokenizer: Tokenizer, teaching: Teaching
    ) -> Dataset | MultipleChoiceDataset:
        """So many copies of all examples with replaced words."""
        for path in teaching.paths:
            check_same_ids(tokenizer, own_tokenizer(path, tokenizer), names=("the student", path))
        groups = isinstance(data, MultipleChoiceDataset)
        sequences = _sequences(data)
        words = word_ids(tokenizer, teaching.teacher.config.vocab_size)
        if words.sum() < 2:
            raise ConfigError("teaching.augment: the vocabulary has no words to replace others by")
        replaced = replaced_copies(
            sequences,
            word_tokens(sequences, words, tokenizer),
            self._candidates(sequences, words, tokenizer, teaching),
            copies=copies,
            share=self.settings.replaced,
            seed=self.seed,
            examples=np.repeat(np.arange(len(data)), np.diff(data.offsets)) if groups else None,
        )
        if not isinstance(data, MultipleChoiceDataset):
            return replaced
        sizes = np.tile(np.diff(data.offsets), copies)
        return MultipleChoiceDataset(replaced, np.append(0, np.cumsum(sizes)))

    def _candidates(
        self, data: Dataset, words: Bools, tokenizer: Tokenizer, teaching: Teaching
    ) -> Candidates:
        k, source = self.settings.replacements, self.settings.words_from
        if source is None:
            teacher = teaching.teacher
            table = teacher.params[teacher.encoder.embeddings.word.name]
            return table_candidates(table, words, data, k, ops=teacher.backend)
        model = masked_lm(source)
        check_same_ids(tokenizer, own_tokenizer(source, tokenizer), names=("the student", source))
        if len(words) != model.config.vocab_size:
            raise ConfigError(
                f"{source} has {model.config.vocab_size} words, the teacher {len(words)}: "
                "teaching.words_from is a masked LM of the same vocabulary"
            )
        check_positions(data, model, f"the masked LM {source}")
        return masked_candidates(model, words, tokenizer.mask_token_id, k, quiet=self.quiet)


def _sequences(data: Dataset | MultipleChoiceDataset) -> Dataset:
    """Sequences that a teacher reads: of choices, each choice."""
    return data.sequences if isinstance(data, MultipleChoiceDataset) else data


def _end_to_end(parts: Sequence[Dataset | None]) -> Dataset | None:
    """Parts of a teacher's own input; None if it has none."""
    first, *others = parts
    return None if first is None else first.concatenate(*(part for part in others if part is not None))


def masked_lm(source: str) -> Model:
    """The masked LM of a directory or hub id.

    Raises
    ------
    ConfigError, WeightsError
        It is none, or nobody has trained its head.
    """
    path = resolve(source)
    model = class_of(load_config(path), path, "ForMaskedLM").from_pretrained(path, mapped=True, quiet=True)
    if len(model.heads) != 1 or not model.heads[0].over_vocabulary:
        raise ConfigError(f"{source} is a {type(model).__name__}: teaching.words_from needs a ...ForMaskedLM")
    model.check_trained()
    return model
