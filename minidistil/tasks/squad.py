"""Questions with their contexts and answers, from files in the format of SQuAD."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.text.readers import opened, parse_json, shown_name


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


def read_squad(path: str | Path, *, labelled: bool = True) -> Questions:
    """Read the JSON of SQuAD 1.1 or 2.0 (Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822).

    Parameters
    ----------
    path : str or Path
        "-" is standard input; `.gz` is unpacked on the way.
    labelled : bool
        Whether each question must have its answers, or say that there is none.

    Raises
    ------
    DataError
        Not JSON, not of this form, two questions of one id, or an answer that is not where it is said to be;
        the question is named.
    """
    name = shown_name(path)
    with opened(path, name) as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "this is UTF-16" if utf16 else f"byte {error.start} is not UTF-8"
        raise DataError(f"{what}; save the file as UTF-8", path=name) from error
    content = parse_json(text, name)
    found = Questions([], [], [], [], name)
    seen = set()
    for context, question in _questions(content, name):
        key = str(question["id"])
        if key in seen:
            raise DataError(f"two questions have the id {key!r}", path=name)
        seen.add(key)
        if not question["question"].strip():
            raise DataError(f"question {key} is empty", path=name)
        found.ids.append(key)
        found.questions.append(question["question"].strip())
        found.contexts.append(context)
        unanswered = question.get("is_impossible") or ("answers" not in question and not labelled)
        found.answers.append([] if unanswered else _answers(question, context, name))
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
                    if not isinstance(question["id"], (str, int)):
                        raise TypeError("an id is a text")
                    yield paragraph["context"], question
    except (KeyError, TypeError) as error:
        raise DataError(
            f"not in SQuAD's format, which is data > paragraphs > context and qas: {error!r}", path=name
        ) from error


def _answers(question: dict[str, Any], context: str, name: str) -> list[tuple[int, str]]:
    if "answers" not in question:
        raise DataError(
            f'question {question["id"]} has neither "answers" nor "is_impossible": true', path=name
        )
    given, found = question["answers"], []
    if not isinstance(given, list):
        raise DataError(
            f"question {question['id']}: a list of answers is expected, not {given!r:.80}", path=name
        )
    for answer in given:
        start, text = (
            answer.get(key) if isinstance(answer, dict) else None for key in ("answer_start", "text")
        )
        if not isinstance(start, int) or isinstance(start, bool) or not isinstance(text, str):
            raise DataError(
                f'question {question["id"]}: an answer has "text" and "answer_start", not {answer!r:.80}',
                path=name,
            )
        if not text or start < 0 or context[start : start + len(text)] != text:
            there = context[max(0, start) : max(0, start) + len(text)]
            raise DataError(
                f"question {question['id']}: the answer {text!r:.60} is not at character {start}, where the "
                f"context has {there!r:.60}",
                path=name,
            )
        found.append((start, text))
    return found
