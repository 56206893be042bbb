"""Examples of the settings, written once as files that `minidistil finetune` reads.

Each function takes the folder of the data, and says where its rows come from. What is held out is held out by
its authors, or by the hash of its words; where there are more examples than the grid can afford, the first by
that hash are taken, so that anyone gets the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minidistil.jobs.demo.corpora import load_reviews, movie_split

Rows = list[dict[str, Any]]


class Split(NamedTuple):
    """Rows to learn from, to measure by, and, read without their labels, for a teacher to answer."""

    learnt: Rows
    measured: Rows
    texts: Sequence[dict[str, Any]] = ()


WORDS_OF_TRANSLATION = 20  # labels of `captions`
INTENT_PARTS = slice(20), slice(20, 40)  # of each of the 150 intents: to learn from, and texts


def by_hash(rows: Iterable[dict[str, Any]], count: int | None = None) -> Rows:
    """Rows in the order of their texts' SHA-256: the first N are a fixed random sample."""

    def key(row: dict[str, Any]) -> bytes:
        return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()

    return sorted(rows, key=key)[:count]


def _table(path: Path, *columns: int | str, header: bool = True) -> list[list[str]]:
    """Cells of some columns of a table with tabs, in which quotes are ordinary characters."""
    lines = path.read_text("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    names = lines.pop(0).split("\t") if header else []
    places = [names.index(c) if isinstance(c, str) else c for c in columns]
    return [[line.split("\t")[place] for place in places] for line in lines]


def sentences(folder: Path) -> Split:
    """Sentences of SST-2 (Socher et al. 2013), positive or negative.

    The dev file has 872, so 2,000 long phrases of the train file are held out, too. Its phrases are parts of
    one another: of those learnt from, none has five words in a row that a held-out one has.
    """
    parts = [_table(folder / "SST-2" / f"{part}.tsv", "sentence", "label") for part in ("train", "dev")]
    train, dev = (by_hash({"text": text, "label": label} for text, label in part) for part in parts)
    measured = [*dev, *[row for row in train if len(row["text"].split()) >= 12][-2000:]]
    known = {run for row in measured for run in _runs(row["text"])}
    others = [row for row in train if known.isdisjoint(_runs(row["text"]))]
    return Split(others[:3000], measured, others[3000:6000])


def _runs(text: str, words: int = 5) -> Iterator[tuple[str, ...]]:
    """Every so many words in a row."""
    found = text.split()
    return zip(*(found[i:] for i in range(words)), strict=False)


def paraphrases(folder: Path) -> Split:
    """Pairs of MRPC (Dolan and Brockett 2005), of one meaning or not. Its dev file is held out, too."""
    columns = ("#1 String", "#2 String", "Quality")
    parts = [_table(folder / "MRPC" / f"{part}.tsv", *columns) for part in ("train", "dev")]
    train, dev = (
        [{"sentence1": one, "sentence2": other, "label": label} for one, other, label in part]
        for part in parts
    )
    train = by_hash(train)
    return Split(train[:1500], [*dev, *train[2500:]], train[1500:2500])


def intents(folder: Path) -> Split:
    """Queries of CLINC150 (Larson et al. 2019), 150 intents: of each 20, 20 texts, and 30 held out."""
    data = json.loads((folder / "CLINC150" / "data_full.json").read_text("utf-8"))
    train, test = (
        by_hash({"text": text, "label": intent} for text, intent in data[part]) for part in ("train", "test")
    )
    of_each: dict[str, Rows] = {}
    for row in train:
        of_each.setdefault(row["label"], []).append(row)
    learnt, texts = ([row for rows in of_each.values() for row in rows[part]] for part in INTENT_PARTS)
    return Split(learnt, test, texts)


def captions(folder: Path) -> Split:
    """Captions of Multi30k (Elliott et al. 2016), several labels: which nouns the German translation has.

    The labels are the 20 words with a capital that are in most of the translations (Mann, Frau, Hund, ...).
    """
    parts: list[list[tuple[str, set[str]]]] = []
    for part in ("train", "val"):
        sides = [
            (folder / "Multi30k" / f"{part}.{language}").read_text("utf-8").removesuffix("\n").split("\n")
            for language in ("en", "de")
        ]
        words = [set(re.findall(r"(?<=\s)[A-ZÄÖÜ]\w+", line)) for line in sides[1]]
        parts.append(list(zip(sides[0], words, strict=True)))
    counts = Counter(word for _, words in parts[0] for word in words)
    labels = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    labels = labels[:WORDS_OF_TRANSLATION]
    train, val = (
        [{"text": text, "labels": [w for w in labels if w in words]} for text, words in part]
        for part in parts
    )
    train = by_hash(train)
    return Split(train[:3000], val, train[3000:6000])


def ratings(folder: Path) -> Split:
    """Sentences of film reviews (Hutto and Gilbert 2014), a regression of their mean rating."""
    rows = by_hash({"text": r.text, "label": r.rating} for r in load_reviews("movie") if r.text)
    return Split(rows[3000:5500], rows[:3000], rows[5500:8000])


def entities(folder: Path) -> Split:
    """Diseases in abstracts (NCBI; Dogan et al. 2014): held out are its devel and test files."""

    def read(part: str) -> Rows:
        rows = []
        text = (folder / "NCBI-disease" / f"{part}.tsv").read_text("utf-8").replace("\r\n", "\n")
        for sentence in text.split("\n\n"):
            cells = [line.split("\t") for line in sentence.split("\n") if line.strip()]
            if cells:
                words, tags = zip(*cells, strict=True)
                rows.append({"tokens": list(words), "tags": list(tags)})
        return rows

    train = by_hash(read("train"))
    return Split(train[:2000], [*read("devel"), *read("test")], train[2000:])


def answers(folder: Path, *, none: bool = False) -> Split:
    """Questions of SQuAD (Rajpurkar et al. 2016) with up to two sentences, one of which has the answer.

    No context is in two parts. Short contexts, so that five seeds of everything can be afforded.
    """
    whole = json.loads((folder / "SQuAD-subset" / "train-subset-squad-format.json").read_text("utf-8"))
    rows = []
    for paragraph in (p for article in whole["data"] for p in article["paragraphs"]):
        found = _short(paragraph)
        if found is not None:
            rows.append(found)
    rows = by_hash(rows)
    if none:
        rows = [_without_answer(row) if i % 3 == 0 else row for i, row in enumerate(rows)]
    for row in rows:
        del row["rest"]
    return Split(rows[800:1600], rows[:800], rows[1600:])


def _short(paragraph: dict[str, Any]) -> dict[str, Any] | None:
    """First question of a paragraph, with the sentence of its answer and the one after or before it."""
    context, qa = paragraph["context"], paragraph["qas"][0]
    (answer,) = qa["answers"]
    ends = [m.end() for m in re.finditer(r"[.!?]\s+(?=[A-Z])", context)]
    bounds = list(zip([0, *ends], [*ends, len(context)], strict=True))
    begin, stop = answer["answer_start"], answer["answer_start"] + len(answer["text"])
    where = next((i for i, (a, b) in enumerate(bounds) if a <= begin and stop <= b), None)
    if where is None or len(bounds) < 4:
        return None
    first = where if where + 1 < len(bounds) else where - 1
    left, right = bounds[first][0], bounds[first + 1][1]
    if right - left > 500:
        return None
    others = [context[a:b] for i, (a, b) in enumerate(bounds) if i not in (first, first + 1)]
    return {
        "id": qa["id"],
        "question": qa["question"],
        "context": context[left:right],
        "answers": {"text": [answer["text"]], "answer_start": [begin - left]},
        "rest": " ".join(" ".join(others[:2]).split())[:500],
    }


def _without_answer(row: dict[str, Any]) -> dict[str, Any]:
    """The question with two other sentences of its paragraph, which do not answer it."""
    return {**row, "context": row["rest"], "answers": {"text": [], "answer_start": []}}


def answers_or_none(folder: Path) -> Split:
    """The same with null answers: a third of the questions have two other sentences of their paragraph."""
    return answers(folder, none=True)


def few_labels(folder: Path) -> Split:
    """Sentences of film reviews, positive or negative: 1,000 with labels, 4,000 without."""
    split = movie_split()
    labelled = zip(split.train_texts[:1000], split.train_labels[:1000], strict=True)
    tested = zip(split.test_texts, split.test_labels, strict=True)
    train, test = ([{"text": t, "label": str(n)} for t, n in part] for part in (labelled, tested))
    return Split(train, test, [{"text": text} for text in split.train_texts[1000:5000]])


def spam(folder: Path) -> Split:
    """SMS, spam or not (Almeida et al. 2011): each once."""
    cells = _table(folder / "SMS-Spam" / "SMSSpamCollection", 1, 0, header=False)
    unique = {" ".join(text.casefold().split()): {"text": text, "label": label} for text, label in cells}
    rows = by_hash(unique.values())
    return Split(rows[1500:3000], rows[:1500], rows[3000:4500])


def write(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
    return path


Examples = Callable[[Path], Split]
