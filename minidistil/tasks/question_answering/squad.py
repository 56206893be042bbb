"""Questions with their contexts and answers, from files in the format of SQuAD."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.errors import DataError
from minidistil.text.json_text import has_rows, read_json
from minidistil.text.sources import shown_name
from minidistil.text.tables import format_of, is_missing, listed, read_rows, suffix_of

TABLES = (".jsonl", ".ndjson", ".json", ".parquet")


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


def read_squad(
    path: str | Path, *, labelled: bool = True, format: str | None = None, empty: bool = False
) -> Questions:
    """Read the JSON of SQuAD 1.1 or 2.0 (Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822).

    Parameters
    ----------
    path : str or Path
        "-" is standard input; `.gz` is unpacked on the way. Also a table (JSON lines, an array of objects,
        Parquet) of "id", "context", "question" and "answers", as the `datasets` library hands SQuAD out:
        those are an object with the lists "text" and "answer_start", both empty where there is no answer.
    labelled : bool
        Whether each question must have its answers, or say that there is none.
    format : "json", "jsonl" or "parquet", optional
        Default: what the file's name says, else JSON.
    empty : bool
        Whether a question may be empty.

    Raises
    ------
    DataError
        Not JSON, not of this form, two questions of one id, or an answer that is not where it is said to be;
        the question is named.
    """
    name = shown_name(path)
    found = Questions([], [], [], [], name)
    seen = set()
    for context, question in _questions(path, name, format):
        key = str(question["id"])
        if key in seen:
            raise DataError(f"two questions have the id {key!r}", path=name)
        seen.add(key)
        if not question["question"].strip() and not empty:
            raise DataError(f"question {key} is empty", path=name)
        found.ids.append(key)
        found.questions.append(question["question"].strip())
        found.contexts.append(context)
        found.answers.append(_answers(question, context, name) if labelled or "answers" in question else [])
    if not found.ids:
        raise DataError("there are no questions in it", path=name)
    return found


def is_squad(path: str | Path) -> bool:
    """True if a file is in SQuAD's own form: JSON by its name, and no rows."""
    return suffix_of(path) == ".json" and not has_rows(path)


def _questions(path: str | Path, name: str, format: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Questions with their contexts."""
    if format is None and suffix_of(path) in TABLES and not is_squad(path):
        format = format_of(path, None)
    if format not in (None, "json"):
        for line, row in read_rows(path, format=format):
            if not all(isinstance(row.get(key), str) for key in ("context", "question")):
                what = 'texts "context" and "question" are expected'
                raise DataError(f"{what}; this line has: {listed(list(row))}", path=name, line=line)
            yield row["context"], {**row, "id": line if is_missing(row.get("id")) else row["id"]}
        return
    content = read_json(path, name)
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
    """Right answers; none for a question that is marked as impossible."""

    def bad(message: str) -> DataError:
        return DataError(f"question {question['id']}{message}", path=name)

    impossible = question.get("is_impossible")
    if not isinstance(impossible, bool | None):
        raise bad(f": is_impossible is true or false, not {impossible!r:.60}")
    if "answers" not in question:
        if impossible:
            return []
        raise bad(' has neither "answers" nor "is_impossible": true')
    given, found = question["answers"], []
    if isinstance(given, dict) and given.keys() == {"text", "answer_start"}:
        texts, starts = given["text"], given["answer_start"]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise bad(f": as many texts as starts of answers are expected, not {given!r:.80}")
        given = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(given, list):
        raise bad(f": a list of answers is expected, not {given!r:.80}")
    if impossible and given:
        raise bad(f" is_impossible, and has answers, such as {given[0]!r:.80}: one of the two is a mistake")
    for answer in given:
        start, text = (
            answer.get(key) if isinstance(answer, dict) else None for key in ("answer_start", "text")
        )
        if not isinstance(start, int) or isinstance(start, bool) or not isinstance(text, str):
            raise bad(f': an answer has "text" and "answer_start", not {answer!r:.80}')
        if not text or start < 0 or context[start : start + len(text)] != text:
            there = context[max(0, start) : max(0, start) + len(text)]
            raise bad(
                f": the answer {text!r:.60} is not at character {start}, where the context has {there!r:.60}"
            )
        found.append((start, text))
    return found
