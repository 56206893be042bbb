"""Extractive question answering: from scores of starts and ends to answers, and from answers to positions.

An answer is a span of the context; its score is the logit of its first token as a start plus that of its
last as an end. The rules are those of BERT's run_squad.py (github.com/google-research/bert) for SQuAD 1.1
and 2.0 (Rajpurkar et al. 2016, arXiv:1606.05250, and 2018, arXiv:1806.03822): an answer's first token must
have its most context in the window, no answer has more than `max_answer_length` tokens, and "no answer"
scores what [CLS] scores as start and as end, in the window where that is least.

It differs in three things. run_squad.py tries the best 20 starts with the best 20 ends of each window; here
every pair is looked at, so the best answers are never missed. It takes answers for the same if they read
alike; here, if they are the same characters of the context. And "no answer" takes no place among the
`n_best`.

The probability of an answer is a softmax over all possible answers: every span of the context that is not too
long, and "no answer" where that is allowed. So it depends neither on how many answers are asked for nor
on how the context was cut. The probabilities of transformers 4's pipeline are lower: its softmax
includes pairs of an end before its start, or too far behind it, and always [CLS].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer, check_number
from minidistil.arrays import Float64, Int64
from minidistil.errors import InputError
from minidistil.model.checks import require_finite
from minidistil.tasks.result import Result
from minidistil.text.windows import Windows


@dataclass(frozen=True, eq=False)
class Answer(Result):
    """A stretch of the context, or nothing; its keys are `answer`, `score`, `start` and `end`.

    Attributes
    ----------
    text : str
        `context[start:end]`; "" if there is no answer.
    score : float
        Its probability: softmax over all stretches that could be an answer and, where it is allowed, no
        answer.
    start, end : int
        Characters of the context, from and up to; 0 and 0 if there is no answer.
    """

    text: str
    score: float
    start: int
    end: int

    def keyed(self) -> dict[str, Any]:
        return {"answer": self.text, "score": self.score, "start": self.start, "end": self.end}


@dataclass(frozen=True, eq=False)
class Answers(Result):
    """Answers of a model to one question; its keys are those of the best.

    Attributes
    ----------
    best : Answer
        The most probable candidate, or nothing: if `null_odds` is above the threshold, or if there is no
        candidate, since the context has no tokens.
    candidates : list of Answer
        At most `n_best`, the most probable first; of equals the one that begins, then ends first.
    null_score : float
        Probability that there is no answer; 0 where that is not allowed but there are candidates.
    null_odds : float
        Score of no answer minus that of the best candidate, in logits; infinite without candidates.
    """

    best: Answer
    candidates: list[Answer]
    null_score: float
    null_odds: float

    def keyed(self) -> dict[str, Any]:
        return dict(self.best)

    def ranked(self, top_k: int | None = None) -> list[Answer]:
        """The `top_k` best answers; no answer alone where that is what was found."""
        return (self.candidates if self.best.text else [self.best])[:top_k]


def decode_answers(
    context: str,
    windows: Windows,
    start_logits: npt.ArrayLike,
    end_logits: npt.ArrayLike,
    *,
    n_best: int = 20,
    max_answer_length: int = 30,
    null_threshold: float | None = None,
) -> Answers:
    """The best answers to one question.

    Parameters
    ----------
    context : str
    windows : Windows
        Windows of this context, T tokens (see `Windows.of`).
    start_logits, end_logits : float [T]
    n_best : int
        Number of candidates to keep.
    max_answer_length : int
        Tokens an answer may have. If it is above `stride // 2 + 1`, one that lies across the border of two
        windows may be missed.
    null_threshold : float, optional
        Answer nothing if `null_odds` is above this. Without it there always is an answer.

    Raises
    ------
    InputError
        Windows of several contexts, other numbers of logits than tokens, or a NaN or an Inf among them.
    UsageError
        `n_best` or `max_answer_length` below 1.
    """
    check_integer("n_best", n_best, 1)
    check_integer("max_answer_length", max_answer_length, 1)
    if null_threshold is not None:
        check_number("null_threshold", null_threshold, -np.inf, np.inf)
    starts, ends = np.asarray(start_logits, np.float64), np.asarray(end_logits, np.float64)
    if len(set(windows.examples.tolist())) != 1:
        raise InputError("expected the windows of one context")
    if not starts.shape == ends.shape == windows.input_ids.shape:
        raise InputError(
            f"{len(windows.input_ids)} tokens, but start logits {list(starts.shape)} and end logits "
            f"{list(ends.shape)}"
        )
    require_finite(starts, ends)
    cls_rows = windows.offsets[:-1]
    null = float((starts[cls_rows] + ends[cls_rows]).min())
    spans, scores, every = _best_spans(windows, starts, ends, n_best, max_answer_length)
    null_odds = null - float(scores[0]) if len(scores) else np.inf

    with_null = null_threshold is not None or not len(scores)
    total = _log_sum(np.append(every, null) if with_null else every)
    probabilities = np.exp(scores - total).tolist()
    null_score = float(np.exp(null - total)) if with_null else 0.0
    candidates = [
        Answer(context[start:end], probability, start, end)
        for (start, end), probability in zip(spans.tolist(), probabilities, strict=True)
    ]
    no_answer = not candidates or (null_threshold is not None and null_odds > null_threshold)
    best = Answer("", null_score, 0, 0) if no_answer else candidates[0]
    return Answers(best, candidates, null_score, null_odds)


def answer_positions(
    windows: Windows,
    contexts: Sequence[str],
    answers: Sequence[tuple[int, str] | None],
    *,
    names: Sequence[object] | None = None,
) -> tuple[Int64, Int64]:
    """Start and end positions of an answer in each window: the targets of training.

    Parameters
    ----------
    windows : Windows
        Of N contexts.
    contexts : sequence of str [N]
    answers : sequence [N]
        (first character, text) as in SQuAD's files; None, or an empty text, where there is no answer.
    names : sequence [N], optional
        Names of the answers for messages; by default their numbers.

    Returns
    -------
    start_positions, end_positions : int64 [W]
        Of the answer's first and last token among the tokens of the window. An answer that is only part of
        a token is widened to it. 0, that is [CLS], in windows that do not hold all of the answer.

    Raises
    ------
    InputError
        Other numbers of answers or contexts than the windows are of, or an answer that is not what stands
        there in its context, or that no token stands for.
    """
    N = int(windows.examples.max(initial=-1)) + 1
    if not len(contexts) == len(answers) == N:
        raise InputError(f"windows of {N} contexts, but {len(contexts)} contexts and {len(answers)} answers")
    names = range(N) if names is None else names
    wanted = np.zeros((N, 2), np.int64)  # characters
    for i, (context, answer) in enumerate(zip(contexts, answers, strict=True)):
        if answer is None or not answer[1]:
            continue
        start, text = answer
        if start < 0 or context[start : start + len(text)] != text:
            found = context[max(start, 0) : max(start, 0) + len(text)]
            raise InputError(
                f"answer {names[i]} is {text!r}, but its context has {found!r} at character {start}"
            )
        wanted[i] = start, start + len(text)

    example = np.repeat(windows.examples, np.diff(windows.offsets))  # [T]
    inside = windows.text_positions >= 0
    inside &= (windows.spans[:, 0] < wanted[example, 1]) & (windows.spans[:, 1] > wanted[example, 0])
    first, last = np.full(N, len(inside)), np.full(N, -1)  # tokens of the context
    np.minimum.at(first, example[inside], windows.text_positions[inside])
    np.maximum.at(last, example[inside], windows.text_positions[inside])
    for i in np.flatnonzero((last < 0) & (wanted[:, 1] > 0)).tolist():
        raise InputError(f"no token stands for answer {names[i]}, {answers[i]!r}")

    begins, ends = windows.token_ranges.T
    first, last = first[windows.examples], last[windows.examples]
    whole = (last >= 0) & (begins <= first) & (last < ends)
    before = np.diff(windows.offsets) - 1 - (ends - begins)  # tokens in front of the context's
    return np.where(whole, before + first - begins, 0), np.where(whole, before + last - begins, 0)


def _log_sum(x: Float64) -> float:
    """log(sum(e^x)), without overflow."""
    most = x.max()
    return float(most + np.log(np.exp(x - most).sum()))


def _best_spans(
    windows: Windows, starts: Float64, ends: Float64, n_best: int, max_answer_length: int
) -> tuple[Int64, Float64, Float64]:
    """Characters [n, 2] and scores [n] of the best answers, each stretch of characters once.

    Also the logarithms of sums of e^score over all answers, a sum for each window that has some.
    """
    spans, scores, sums = [np.zeros((0, 2), np.int64)], [np.zeros(0)], []
    sizes = np.diff(windows.token_ranges, axis=1)[:, 0]
    for sep, n in zip(windows.offsets[1:] - 1, sizes, strict=True):
        context = slice(sep - n, sep)  # tokens of the context in this window
        where = windows.spans[context]
        first = np.flatnonzero(windows.owned[context])
        last = first[:, None] + np.arange(min(n, max_answer_length))  # [starts, lengths]
        valid = last < n
        pairs = starts[context][first][:, None] + ends[context].take(last, mode="clip")
        if valid.any():
            sums.append(_log_sum(pairs[valid]))
        # So many pairs of tokens can stand for the same characters (as two bytes of one may).
        alike = np.prod([np.unique(side, return_counts=True)[1].max(initial=1) for side in where.T])
        keep = n_best * int(alike)
        if valid.sum() > keep:
            valid &= pairs >= np.partition(pairs[valid], -keep)[-keep]
        i, j = np.nonzero(valid)
        spans.append(np.stack([where[first[i], 0], where[last[i, j], 1]], axis=1))
        scores.append(pairs[i, j])
    where, score = np.concatenate(spans), np.concatenate(scores)
    order = np.lexsort((where[:, 1], where[:, 0], -score))
    _, once = np.unique(where[order], axis=0, return_index=True)  # where each first occurs: at its best score
    best = order[np.sort(once)[:n_best]]
    return where[best], score[best], np.array(sums)
