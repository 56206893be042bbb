"""Predictors: from texts to answers in one call."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from minidistil.arguments import check_device, check_integer, check_names, check_type
from minidistil.model.model import Model
from minidistil.tasks.calls import Inputs
from minidistil.tasks.training_settings import TrainingRecord
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from minidistil.tasks.base import PredictingTask

ANY = ("batch_size", "device")  # options of every call and of `pipeline`, which change no answer
# Names of options and of texts in transformers, and of the arguments of `predict`.
ELSEWHERE = {"aggregation_strategy": "aggregation", "max_answer_len": "max_answer_length"}
TEXTS = {"texts": "text", "pairs": "text_pair", "questions": "question", "contexts": "context"}


class Predictor:
    """A model with the task that it answers: from text to answer in one call.

    An empty text is a text like others: the model reads its special tokens alone, as in transformers. So
    there is a result for each text, in its place, and none depends on another.

    Parameters
    ----------
    task : PredictingTask
    model : Model
        In evaluation mode.
    tokenizer : Tokenizer

    Attributes
    ----------
    defaults : mapping
        Options of every call that does not say otherwise.
    """

    defaults: Mapping[str, Any] = {}

    def __init__(self, task: PredictingTask, model: Model, tokenizer: Tokenizer) -> None:
        check_type("the model of a pipeline", model, Model)
        check_type("the tokenizer of a pipeline", tokenizer, Tokenizer)
        self.task, self.model, self.tokenizer = task, model, fit_tokenizer(tokenizer, model.config)

    def __repr__(self) -> str:
        from minidistil.model.description import described, lines

        return lines(type(self).__name__, {**self.facts(), **described(self.model)})

    def facts(self) -> dict[str, str]:
        """Rows of `repr` about the task, by their names."""
        options = ", ".join(f"{name}={value!r:.40}" for name, value in self.defaults.items())
        return {"task": self.task.kind, "reads": " and ".join(self.task.inputs), "options": options}

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Answer texts, in order.

        Parameters
        ----------
        *args
            A text, or a list, array, column or generator of texts. Where the task reads two: two of these, or
            pairs. Or a mapping such as {"text": ..., "text_pair": ...} ({"question": ..., "context": ...}),
            a list of them, or a table with such columns. Then what else the task's `predict` takes.
        **options
            The texts by their names, which beside a table are the names of its columns; the options of the
            task's `predict`; `top_k`, the number of best answers, each of its own, or None for all;
            `batch_size` and `device`, which change nothing.

        Returns
        -------
        list
            An answer for each text; with `top_k`, a list of answers for each. What is one text by itself,
            given by its names or asked for `top_k`, has what it has without a list around it.

        Raises
        ------
        UsageError
            An option that is unknown, or means nothing to the task.
        InputError
            Something that is no text; a table without a known column.
        """
        names = self.task.inputs
        options = {TEXTS.get(name, name): value for name, value in options.items()}
        by_name = {name: value for name in names if (value := options.pop(name, None)) is not None}
        options = checked_options(self.task, {**self.defaults, **options})
        learnt = TrainingRecord.of(self.model.config).columns
        args, rest = args[: len(names)], args[len(names) :]
        texts = Inputs(names, self.task.least_inputs, learnt).read(args, by_name)
        ranked = self.task.ranks and "top_k" in options
        if ranked:
            top_k = options.pop("top_k")
            if top_k is not None:
                check_integer("top_k", top_k, 1)
                if "n_best" in self.task.call_options():
                    options.setdefault("n_best", top_k)
        found = self.answer(*texts.columns, *rest, **options)
        if ranked:
            found = [answer.ranked(top_k) for answer in found]
        return found[0] if texts.named or (texts.one and ranked) else found

    def answer(self, *args: Any, **options: Any) -> list[Any]:
        """An answer for each text, in order. The arguments are those of the task's `predict`."""
        return self.task.predict(self.model, self.tokenizer, *args, **options)

    def with_defaults(self, **options: Any) -> Self:
        """The same predictor with other options of every call."""
        other = copy.copy(self)
        other.defaults = checked_options(self.task, {**self.defaults, **options})
        return other


def checked_options(task: PredictingTask, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a call under the task's own names; those that change no answer are checked and left out.

    Raises
    ------
    UsageError
        One that is unknown; the message has the nearest name.
    """
    ours = {ELSEWHERE.get(name, name): value for name, value in without_any(options).items()}
    setup = f"; {', '.join(task.setup)}: when the pipeline is made" if task.setup else ""
    known = [*task.inputs, *task.call_options(), *(["top_k"] if task.ranks else []), *ANY]
    check_names(f"a pipeline of {task.kind}", "option", ours, known, setup)
    return ours


def without_any(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options but for those of `ANY`, once these are checked."""
    check_device(options.get("device"))
    if (size := options.get("batch_size")) is not None:
        check_integer("batch_size", size, 1)
    return {name: value for name, value in options.items() if name not in ANY}


@cache
def keyword_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the arguments of a function that are given by name alone."""
    arguments = inspect.signature(function).parameters.values()
    return tuple(argument.name for argument in arguments if argument.kind is argument.KEYWORD_ONLY)
