"""Base of all predictors: a model with the right head, its tokenizer, and a result for each text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from minidistil.arguments import check_type
from minidistil.errors import ConfigError
from minidistil.model import load_to_answer
from minidistil.model.model import Model
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.hub import resolve

ENDINGS = {
    "text-classification": "ForSequenceClassification",
    "multiple-choice": "ForMultipleChoice",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "fill-mask": "ForMaskedLM",
}


class Pipeline(ABC):
    """From text to answer in one call.

    An empty text is a text like others: the model reads its special tokens alone, as in transformers. So
    there is a result for each text, in its place.

    Parameters
    ----------
    model : Model
        In evaluation mode.
    tokenizer : Tokenizer

    Attributes
    ----------
    task : str
        The hub's word for what is done.
    head : type
        The head that the model must have.
    does : str
        What a model without that head does not do, for messages.
    own : tuple of str
        Options that it is made with, beside model and tokenizer.

    Raises
    ------
    ConfigError
        The model has no such head.
    WeightsError
        It has, but nobody has trained it.
    """

    task: ClassVar[str]
    head: ClassVar[type]
    does: ClassVar[str]
    own: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        check_type("the model of a pipeline", model, Model)
        check_type("the tokenizer of a pipeline", tokenizer, Tokenizer)
        if not self.suits(model):
            raise ConfigError(f"{type(model).__name__} does not {self.does}")
        model.check_trained([head for head in model.heads if isinstance(head, self.head)])
        self.model, self.tokenizer = model, tokenizer.for_model(model.config.vocab_size)

    @classmethod
    def suits(cls, model: Model) -> bool:
        """Whether the model has the head for it."""
        return any(isinstance(head, cls.head) for head in model.heads)

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, **options: Any) -> Self:
        """Load a directory or hub id; options are the class's own and those of `Model.from_pretrained`.

        All of the model is in memory then, whatever becomes of its file, but with `mapped=True`.
        """
        own = {name: options.pop(name) for name in cls.own if name in options}
        return cls(*load(path_or_id, ending_of(cls.task), **options), **own)

    @abstractmethod
    def __call__(self, *args: Any, **options: Any) -> list[Any]:
        """A result for each text, in order; none depends on another."""


def load(path_or_id: str | Path, head: str | None = None, **options: Any) -> tuple[Model, Tokenizer]:
    """A model ready to predict, see `load_to_answer`, and its tokenizer."""
    path = resolve(path_or_id)
    return load_to_answer(path, head, **options), Tokenizer.from_pretrained(path)


def ending_of(task: str) -> str | None:
    """Ending of the names of a task's model classes."""
    return ENDINGS.get(task)
