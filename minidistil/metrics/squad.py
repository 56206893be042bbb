"""Metrics of question answering, as in the official scripts of SQuAD.

evaluate-v1.1.py (Rajpurkar et al. 2016, arXiv:1606.05250) and evaluate-v2.0.py (Rajpurkar, Jia and Liang
2018, arXiv:1806.03822). Both compare answers as text, so a right answer taken from elsewhere in the passage
counts, and give percentages, so `squad_v1` and `squad_v2` do too.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

from minidistil.errors import InputError

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """`text` in lower case, without punctuation, English articles and superfluous white space.

    Only the punctuation of ASCII goes, and before the articles, so that "A." is one and "x-a" is not.

    Raises
    ------
    InputError
        Not a string.
    """
    if not isinstance(text, str):
        raise InputError(f"an answer must be a string, not {type(text).__name__}")
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def exact_match(gold: str, prediction: str) -> float:
    """1 if the two are the same once normalised, else 0."""
    return float(normalize_answer(gold) == normalize_answer(prediction))


def answer_f1(gold: str, prediction: str) -> float:
    """F1 of the normalised words, each as often as it occurs in both.

    If either answer has no words left, 1 if both have none, else 0: SQuAD 2.0. (In 1.1 it is 0 either way.)
    """
    g, p = normalize_answer(gold).split(), normalize_answer(prediction).split()
    if not g or not p:
        return float(g == p)
    common = (Counter(g) & Counter(p)).total()
    if not common:
        return 0.0
    precision, recall = common / len(p), common / len(g)
    return 2 * precision * recall / (precision + recall)  # rounded as in the script


def squad_v1(answers: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> dict[str, float]:
    """Exact match and F1 of SQuAD 1.1, in percent.

    Parameters
    ----------
    answers : mapping of str to sequences of str
        For each question's id its right answers, one or more; the best match counts.
    predictions : mapping of str to str
        For each question's id the answer given. A question without one scores 0; answers to other questions
        are ignored.

    Returns
    -------
    dict
        `exact_match` and `f1`, means over all questions.

    Raises
    ------
    InputError
        No questions, a question without right answers, or an answer that is not a string.
    """
    _check_answers(answers)
    exact = f1 = 0.0
    for key, gold in answers.items():
        if not gold:
            raise InputError(f"question {key!r} has no right answer: SQuAD 1.1 has none such, 2.0 has")
        if key in predictions:
            prediction = predictions[key]
            exact += max(exact_match(g, prediction) for g in gold)
            if normalize_answer(prediction):  # without words it shares none with any answer
                f1 += max(answer_f1(g, prediction) for g in gold)
    return {"exact_match": 100 * exact / len(answers), "f1": 100 * f1 / len(answers)}


def squad_v2(
    answers: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    null_scores: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """Scores of SQuAD 2.0, where some questions have no answer, in percent.

    Parameters
    ----------
    answers : mapping of str to sequences of str
        For each question's id its right answers; none, if the passage does not hold one.
    predictions : mapping of str to str
        For each question's id the answer given, "" for none.
    null_scores : mapping of str to float, optional
        For each question's id how likely it is to have no answer: a probability, or a difference of logits.
    threshold : float
        Questions with a null score above it count as not answered, whatever was predicted. The default of the
        script, 1, is above no probability.

    Returns
    -------
    dict
        With the names of the script. `exact`, `f1`, `total`: means over all questions, and their number.
        `HasAns_exact`, `HasAns_f1`, `HasAns_total`: over those that have an answer, if there are any.
        `NoAns_...`: over those that have none, if there are any. With null scores also `best_exact` and
        `best_f1`, what the best threshold would give, and `best_exact_thresh` and `best_f1_thresh`, that
        threshold.

    Raises
    ------
    InputError
        No questions, one without a prediction or null score, NaN, or an answer that is not a string. (The
        script warns of a missing prediction and then fails.)

    Notes
    -----
    Predictions and null scores of other questions are ignored.

    Right answers without any words are left out, and if none is left the right answer is "". The question
    still counts among those that have an answer.

    The best threshold is searched as the script does it, question by question from the lowest null score up,
    which has two consequences. Between questions of equal null scores it may stop where no threshold could,
    so their order matters. And if answering nothing is best, the threshold is 0, which for differences of
    logits means something else.
    """
    _check_answers(answers)
    _check_keys("prediction", answers, predictions)
    exact, f1 = {}, {}
    for key, texts in answers.items():
        gold = [text for text in texts if normalize_answer(text)] or [""]
        exact[key] = max(exact_match(g, predictions[key]) for g in gold)
        f1[key] = max(answer_f1(g, predictions[key]) for g in gold)
    best: dict[str, float] = {}
    if null_scores is not None:
        _check_keys("null score", answers, null_scores)
        order = sorted((key for key in null_scores if key in answers), key=lambda key: null_scores[key])
        if any(math.isnan(null_scores[key]) for key in order):
            raise InputError("a null score is NaN")
        answered = {key for key in order if predictions[key]}
        for name, scores in (("exact", exact), ("f1", f1)):
            highest, where = _best_threshold(order, scores, answers, answered, null_scores)
            best |= {f"best_{name}": highest, f"best_{name}_thresh": where}
            scores |= {key: float(not answers[key]) for key in order if null_scores[key] > threshold}
    return {
        **_means("", exact, f1, list(answers)),
        **_means("HasAns_", exact, f1, [key for key in answers if answers[key]]),
        **_means("NoAns_", exact, f1, [key for key in answers if not answers[key]]),
        **best,
    }


def _means(
    prefix: str, exact: Mapping[str, float], f1: Mapping[str, float], keys: Sequence[str]
) -> dict[str, float]:
    if not keys:
        return {}
    return {
        f"{prefix}exact": 100 * sum(exact[key] for key in keys) / len(keys),
        f"{prefix}f1": 100 * sum(f1[key] for key in keys) / len(keys),
        f"{prefix}total": len(keys),
    }


def _best_threshold(
    order: Sequence[str],
    scores: Mapping[str, float],
    answers: Mapping[str, Sequence[str]],
    answered: set[str],
    null_scores: Mapping[str, float],
) -> tuple[float, float]:
    """Highest mean in percent of any number of questions answered, in order, and the null score of the last.

    Starts from none answered, which is right for those without an answer. Answering one more gains its score
    if it has an answer, and loses 1 if it has none, unless what is predicted is empty anyway.
    """
    current: float = sum(not answers[key] for key in order)
    best, threshold = current, 0.0
    for key in order:
        current += scores[key] if answers[key] else -float(key in answered)
        if current > best:
            best, threshold = current, null_scores[key]
    return 100 * best / len(order), threshold


def _check_answers(answers: Mapping[str, Sequence[str]]) -> None:
    if not answers:
        raise InputError("answers are empty: there is nothing to score")
    for key, gold in answers.items():
        if isinstance(gold, str):
            raise InputError(f"the right answers of {key!r} must be a sequence of strings, not one string")


def _check_keys(what: str, answers: Mapping[str, Sequence[str]], found: Mapping[str, object]) -> None:
    missing = [key for key in answers if key not in found]
    if missing:
        raise InputError(f"{len(missing)} questions have no {what}, the first is {missing[0]!r}")
