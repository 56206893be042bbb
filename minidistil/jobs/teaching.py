"""Input of a teacher that has another tokenizer than its student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidistil.distill.terms import weight_of
from minidistil.distill.vocabulary import difference
from minidistil.errors import ConfigError
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.tasks.base import TrainableTask
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer

APART = {"soft", "logits", "hard", "triplet"}  # terms for which a teacher may have a tokenizer of its own


def input_for_teacher(
    task: TrainableTask,
    examples: Any,
    teacher: Model,
    tokenizers: tuple[Tokenizer, Tokenizer],
    names: tuple[str, str],
    terms: Mapping[str, Any],
) -> Dataset | None:
    """Examples by the teacher's own tokenizer, a row for each; None if both tokenizers give the same.

    Parameters
    ----------
    task, examples, teacher
    tokenizers, names : pairs
        Of the student and of the teacher.
    terms : mapping
        Terms of the student's loss.

    Raises
    ------
    ConfigError
        The student learns from it something of each token, or of other sequences.
    """
    differing = difference(*tokenizers)
    if differing is None:
        return None
    taught = {name for name, weight in terms.items() if weight_of(weight)}
    head = teacher.heads[0] if teacher.heads else Head()
    if head.by_token or not head.classes() or not taught <= APART:
        raise ConfigError(
            f"the teacher {names[1]} has another vocabulary than {names[0]}: {differing}. Only scores of "
            f"whole texts can be learnt from it (the terms {', '.join(sorted(APART))}); take two models with "
            "the same tokenizer"
        )
    # It reads as long as it learnt.
    data = task.as_trained().dataset(tokenizers[1], examples, teacher.config, labelled=False)
    assert isinstance(data, Dataset)
    return data
