"""Questions with their contexts and answers, from files in the format of SQuAD."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.text.readers import STDIN, opened


@dataclass(frozen=True)
class Questions:
    """N questions.

    Attributes
    ----------
    ids : list of str
    questions, contexts : list of str
    answers : list of list of (int, str)
        The right ones: where each begins in the context, and its text. None: the context does not answer.
    path : str
    """

    ids: list[str]
    questions: list[str]
    contexts: list[str]
    answers: list[list[tuple[int, str]]]
    path: str

    def __len__(self) -> int:
        return len(self.ids)


def read_squad(path: str | Path) -> Questions:
    """Read the JSON of SQuAD 1.1 or 2.0 (Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822).

    Parameters
    ----------
    path : str or Path
        "-" is standard input; `.gz` is unpacked on the way.

    Raises
    ------
    DataError
        Not JSON, not of this form, two questions of one id, or an answer that is not where it is said to be;
        the question is named.
    """
    name = "standard input" if str(path) == STDIN else str(path)
    with opened(path, name) as file:
        try:
            content = json.loads(file.read().decode("utf-8-sig"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"not JSON: {error}", path=name) from error
    found = Questions([], [], [], [], name)
    seen = set()
    for context, question in _questions(content, name):
        key = str(question["id"])
        if key in seen:
            raise DataError(f"two questions have the id {key!r}", path=name)
        seen.add(key)
        found.ids.append(key)
        found.questions.append(question["question"].strip())
        found.contexts.append(context)
        found.answers.append([] if question.get("is_impossible") else _answers(question, context, name))
    if not found.ids:
        raise DataError("there are no questions in it", path=name)
    return found


def _questions(content: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    if not isinstance(question["question"], str) or not isinstance(paragraph["context"], str):
                        raise TypeError("question and context are texts")
                    _ = question["id"]
                    yield paragraph["context"], question
    except (KeyError, TypeError) as error:
        raise DataError(
            f"not in SQuAD's format, which is data > paragraphs > context and qas: {error!r}", path=name
        ) from error


def _answers(question: dict[str, Any], context: str, name: str) -> list[tuple[int, str]]:
    found = []
    for answer in question.get("answers", []):
        try:
            start, text = int(answer["answer_start"]), str(answer["text"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'question {question["id"]}: an answer has "text" and "answer_start", not {answer!r:.80}',
                path=name,
            ) from error
        if not text or start < 0 or context[start : start + len(text)] != text:
            there = context[max(0, start) : max(0, start) + len(text)]
            raise DataError(
                f"question {question['id']}: the answer {text!r:.60} is not at character {start}, where the "
                f"context has {there!r:.60}",
                path=name,
            )
        found.append((start, text))
    return found
