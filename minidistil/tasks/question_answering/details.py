"""Details of an evaluation of answers: questions whose answers have least in common with the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidistil.metrics import answer_f1
from minidistil.tasks.details import Details, excerpt
from minidistil.tasks.question_answering.spans import Answers
from minidistil.tasks.question_answering.squad import Questions

NO_ANSWER = "no answer"


def question_details(details: Details, examples: Questions, found: Sequence[Answers]) -> None:
    """Add the questions with the lowest F1, of equal ones those that the model was surest of."""

    def f1(i: int) -> float:
        gold, given = examples.answers[i], found[i].best.text
        return max((answer_f1(text, given) for _, text in gold), default=float(not given))

    def describe(i: int) -> dict[str, Any]:
        gold, best, context = examples.answers[i], found[i].best, examples.contexts[i]
        start, end = (gold[0][0], gold[0][0] + len(gold[0][1])) if gold else (best.start, best.end)
        return {
            "texts": {"question": examples.questions[i], "context": excerpt(context, start, end)},
            "right": " / ".join(dict.fromkeys(text for _, text in gold)) or NO_ANSWER,
            "given": best.text or NO_ANSWER,
            "probability": best.score,
        }

    details.keep_worst(
        [f1(i) for i in range(len(examples))],
        describe,
        measure="F1",
        about="F1 of the words of the answer and those of the most similar right answer; the lowest, and of "
        "equal ones those that the model finds most probable.",
        lowest=True,
        ties=[answers.best.score for answers in found],
    )
