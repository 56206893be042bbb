"""Retrieval: files of queries with relevant texts, and the evaluation of a sentence encoder on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minidistil.arrays import Float64
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.similarity import Similarity, prepare, similarities
from minidistil.errors import DataError
from minidistil.metrics.ranking import Block, ranking_scores, row_blocks
from minidistil.progress import Progress
from minidistil.tasks.details import Details
from minidistil.tasks.similarity.details import FirstRelevant
from minidistil.tasks.similarity.encoder_task import EncoderSettings, EncoderTask
from minidistil.text.sources import lines_of, shown_name
from minidistil.text.tables import read_rows

# Keys of our files, of those of sentence-transformers and of FlagEmbedding.
QUERY = ("query", "anchor", "question")
POSITIVE = ("positive", "positives", "pos")
NEGATIVE = ("negatives", "negative", "neg")


@dataclass
class Retrieval:
    """Queries [Q] over a corpus [N].

    Attributes
    ----------
    queries, corpus : list of str
    relevant : list of dict of int to float
        For each query its relevant texts with their grades.
    itself : dict of int to int
        Queries that are texts of the corpus, and do not find themselves.
    """

    queries: list[str] = field(default_factory=list)
    corpus: list[str] = field(default_factory=list)
    relevant: list[dict[int, float]] = field(default_factory=list)
    itself: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.queries)

    def relevance(self, rows: slice) -> Float64:
        """Relevance of all texts to some queries, [., N]."""
        relevance = np.zeros((rows.stop - rows.start, len(self.corpus)))
        for row, grades in enumerate(self.relevant[rows]):
            relevance[row, list(grades)] = list(grades.values())
        return relevance


@dataclass(frozen=True)
class RetrievalSettings(EncoderSettings):
    """Settings of retrieval, as `task.`.

    Attributes
    ----------
    query_prompt : str or None
        Prompt of the queries; None: `prompt`.
    """

    query_prompt: str | None = None


class RetrievalTask(EncoderTask):
    """Ranking of a corpus for queries by an encoder."""

    kind: ClassVar[str] = "retrieval"
    data_settings: ClassVar[tuple[str, ...]] = ()
    settings_type: ClassVar[type[Any]] = RetrievalSettings
    main_metric = "ndcg_at_10"

    def read(self, path: str | Path) -> Retrieval:
        """Read a JSONL file, see `read_queries`, or a folder as of BEIR, see `read_beir`."""
        return read_beir(Path(path)) if Path(path).is_dir() else read_queries(path)

    def evaluate(
        self, encoder: SentenceEncoder, examples: Retrieval, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Recall at 1, 5 and 10, reciprocal rank and nDCG at 10; and the size of the corpus."""
        prompt, similarity = self.settings.query_prompt, encoder.settings.similarity
        if prompt is not None:
            prompt = encoder.settings.named_or_text(prompt)
        corpus = prepare(encoder.encode(examples.corpus, quiet=quiet), similarity)
        queries = prepare(encoder.encode(examples.queries, prompt=prompt, quiet=quiet), similarity)
        with Progress(len(examples), "searching", "query", quiet=quiet) as progress:
            blocks, first = _blocks(examples, queries, corpus, similarity, progress), FirstRelevant()
            scores = ranking_scores(blocks if details is None else first.watch(blocks))
        if details is not None:
            first.keep(details, examples.queries, examples.corpus, examples.relevant)
        return {**scores, "corpus": len(corpus)}


def _blocks(
    examples: Retrieval,
    queries: Float64,
    corpus: Float64,
    similarity: Similarity,
    progress: Progress,
) -> Iterator[Block]:
    for rows in row_blocks(len(queries), len(corpus)):
        scores = similarities(queries[rows], corpus, similarity)
        for i in range(rows.start, rows.stop):
            if i in examples.itself:
                scores[i - rows.start, examples.itself[i]] = -np.inf
        yield examples.relevance(rows), scores
        progress.update(len(scores))


def read_queries(path: str | Path) -> Retrieval:
    """Read queries with relevant texts and others; the corpus is all of these texts, each once.

    Parameters
    ----------
    path : str or Path
        JSON, an object a line or an array of them, "-" or `.gz` too: with "query" (or "anchor", "question"),
        "positive" (or "positives", "pos"), a text or a list of them, and, if there are some, "negatives" (or
        "negative", "neg").

    Raises
    ------
    DataError
        Anything else; file and line are named.
    """
    name = shown_name(path)
    numbers: dict[str, int] = {}
    relevant: dict[str, dict[int, float]] = {}  # a query may have several lines
    for number, row in read_rows(path, format="jsonl"):
        (query,) = _texts(row, QUERY, name, number, most=1)
        positive = _texts(row, POSITIVE, name, number)
        for text in [*positive, *(_texts(row, NEGATIVE, name, number) if set(NEGATIVE) & row.keys() else [])]:
            numbers.setdefault(text, len(numbers))
        relevant.setdefault(query, {}).update({numbers[text]: 1.0 for text in positive})
    retrieval = Retrieval(corpus=list(numbers), queries=list(relevant), relevant=list(relevant.values()))
    return _checked(retrieval, name)


def read_beir(folder: Path) -> Retrieval:
    """Read a folder as of BEIR (Thakur et al. 2021, arXiv:2104.08663).

    Parameters
    ----------
    folder : Path
        `corpus.jsonl` with "_id", "text" and, if it has one, "title", which is put before the text;
        `queries.jsonl` with "_id" and "text"; `qrels/test.tsv`: a line of names, then query, text and grade
        between tabs. Queries without a grade above 0 do not count, and a query that has the id of a text does
        not find that.

    Raises
    ------
    DataError
        Anything else; file and line are named.
    """
    numbers: dict[str, int] = {}
    retrieval = Retrieval()
    for key, row in _objects(folder / "corpus.jsonl"):
        numbers[key] = len(numbers)
        retrieval.corpus.append(f"{row.get('title') or ''} {row['text']}".strip())
    queries = {key: row["text"] for key, row in _objects(folder / "queries.jsonl")}
    grades: dict[str, dict[int, float]] = {}
    path = folder / "qrels" / "test.tsv"
    for number, line in lines_of(path, str(path)):
        cells = line.rstrip("\r\n").split("\t")
        if number == 1 or not line.strip():
            continue
        try:
            query, text, grade = cells[0], cells[1], float(cells[2])
            if not math.isfinite(grade):
                raise ValueError("grade")
        except (IndexError, ValueError) as error:
            raise DataError(
                "query, text and grade are expected, between tabs", path=path, line=number
            ) from error
        for key, known in ((query, queries), (text, numbers)):
            if key not in known:
                raise DataError(f"there is no id {key!r}", path=path, line=number)
        if grade > 0:
            grades.setdefault(query, {})[numbers[text]] = grade
    for key, relevant in grades.items():
        if key in numbers:
            retrieval.itself[len(retrieval.queries)] = numbers[key]
        retrieval.queries.append(queries[key])
        retrieval.relevant.append(relevant)
    return _checked(retrieval, str(path))


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read objects with an id and a text from a JSONL file."""
    seen = set()
    for number, row in read_rows(path, format="jsonl"):
        key = row.get("_id")
        if key is None or not isinstance(row.get("text"), str):
            raise DataError('"_id" and "text" are expected', path=path, line=number)
        if str(key) in seen:
            raise DataError(f"the id {str(key)!r} is there twice", path=path, line=number)
        seen.add(str(key))
        yield str(key), row


def _texts(
    row: Mapping[str, Any], names: tuple[str, ...], path: str, line: int, *, most: int | None = None
) -> list[str]:
    """Texts under one of these names."""
    key = next((name for name in names if name in row), None)
    if key is None:
        raise DataError(f"no key {names[0]!r}; this line has: {', '.join(row)}", path=path, line=line)
    value = row[key]
    texts = [value] if isinstance(value, str) else value
    good = isinstance(texts, list) and all(isinstance(text, str) and text.strip() for text in texts)
    if not good or (names is not NEGATIVE and not texts) or (most is not None and len(texts) > most):
        wanted = "text" if most == 1 else "a text, or a list of texts"
        raise DataError(f"{key!r} should hold {wanted}, not {value!r:.60}", path=path, line=line)
    return list(texts)


def _checked(retrieval: Retrieval, name: str) -> Retrieval:
    if not retrieval.queries:
        raise DataError("there are no queries in it, with what answers them", path=name)
    return retrieval
