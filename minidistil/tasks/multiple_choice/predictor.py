"""Which of some choices goes with a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from minidistil.errors import InputError
from minidistil.model.heads import ChoiceHead
from minidistil.model.model import Model
from minidistil.tasks.data import DataSettings
from minidistil.tasks.multiple_choice.task import ChoiceTask, choice_probabilities
from minidistil.tasks.predictor import Pipeline
from minidistil.text.texts import as_items, as_texts
from minidistil.text.tokenizer import Tokenizer


class Choice(NamedTuple):
    """What was chosen for one text.

    Attributes
    ----------
    number : int
        Which of the choices, from 0.
    text : str
        The choice itself.
    score : float
        Its probability among the choices.
    scores : list of float
        The probability of every choice, in their order.
    """

    number: int
    text: str
    score: float
    scores: list[float]


class MultipleChoice(Pipeline):
    """Chooses: `MultipleChoice(model, tokenizer)("She opened it", ["and walked in.", "and ate it."])`."""

    task: ClassVar[str] = "multiple-choice"
    head: ClassVar[type] = ChoiceHead
    does: ClassVar[str] = "choose"
    own: ClassVar[tuple[str, ...]] = ("max_length",)

    def __init__(self, model: Model, tokenizer: Tokenizer, *, max_length: int | None = None) -> None:
        super().__init__(model, tokenizer)
        self._task = ChoiceTask(DataSettings(max_length=max_length))

    def __call__(
        self,
        texts: str | Sequence[str],
        choices: Sequence[str] | Sequence[Sequence[str]],
        *,
        starts: Sequence[str] | None = None,
        truncation: bool = True,
    ) -> list[Choice]:
        """The likeliest choice for each text.

        Parameters
        ----------
        texts : str or sequence of str
        choices : sequence of str, or of sequences of str
            The same for every text, or some for each; their number may differ from text to text.
        starts : sequence of str, optional
            For each text what its choices go on with, as SWAG's second sentence.
        truncation : bool
            False: what is longer than the model takes is an error, and not cut.

        Raises
        ------
        InputError
            Fewer than two choices, or an empty one.
        """
        texts = as_texts("texts", texts, one=True)
        if isinstance(choices, str):
            raise InputError("choices must be a list of texts, not one")
        choices = as_items("choices", choices)
        flat = [choice for choice in choices if isinstance(choice, str)]
        same = len(flat) == len(choices)
        lists = [flat] * len(texts) if same else [as_texts("choices", some) for some in choices]
        begun = [""] * len(texts) if starts is None else as_texts("starts", starts)
        if len(lists) != len(texts) or len(begun) != len(texts):
            raise InputError(f"{len(texts)} texts, but choices for {len(lists)} and starts for {len(begun)}")
        for some in lists:
            if len(some) < 2:
                raise InputError(f"{len(some) or 'no'} choice: there is nothing to choose from")
            if not all(choice.strip() for choice in some):
                raise InputError(f"a choice is empty: {some!r:.80}")
        data = self._task.grouped(
            self.tokenizer, texts, begun, lists, self.model.config, truncation=truncation
        )
        found = []
        for some, probabilities in zip(lists, choice_probabilities(self.model, data), strict=True):
            best = int(probabilities.argmax())
            found.append(Choice(best, some[best], float(probabilities[best]), probabilities.tolist()))
        return found
