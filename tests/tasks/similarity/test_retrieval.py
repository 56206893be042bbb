"""Retrieval: both kinds of files, and the numbers against each query ranked by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tiny import make_encoder

from minidistil.cli.main import main
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import DataError, UsageError
from minidistil.tasks.registry import named_task
from minidistil.tasks.similarity.retrieval import RetrievalTask, read_queries

CORPUS = [
    "the film is warm",
    "a dull plot",
    "the warm film",
    "clumsy",
    "a tired plot",
    "a lovely cast",
    "grim",
]
CORPUS += ["bright and funny", "the plot is dull", "the cast", "with the film", "of the plot"]
QUERIES = [
    ("warm", {0: 1, 2: 1}),
    ("the plot", {4: 1, 1: 1, 3: 1}),
    ("cast", {5: 1}),
    ("dull and grim", {6: 1, 8: 1}),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("retrieval")))


@pytest.fixture
def file(tmp_path):
    rest = set(range(len(CORPUS))) - {i for _, relevant in QUERIES for i in relevant}
    rows = [{"query": q, "positive": [CORPUS[i] for i in relevant]} for q, relevant in QUERIES]
    rows[0]["negatives"] = [CORPUS[i] for i in sorted(rest)]
    rows[2]["positive"] = rows[2]["positive"][0]
    rows[2]["negatives"] = CORPUS[0]
    return write(tmp_path / "q.jsonl", rows)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def by_hand(encoder, queries, corpus=CORPUS, without=None):
    """Ranks by plain sorting, and the metrics' textbook sums."""
    model = SentenceEncoder.from_pretrained(encoder)
    vectors = model.encode(corpus)
    sums = {}
    for query, relevant in queries:
        scores = model.encode([query])[0] @ vectors.T
        if without and query in without:
            scores[without[query]] = -9
        order = np.argsort(-scores, kind="stable").tolist()
        hits = [relevant.get(i, 0) for i in order]
        found = {f"recall_at_{k}": sum(h > 0 for h in hits[:k]) / len(relevant) for k in (1, 5, 10)}
        first = next(i for i, h in enumerate(hits) if h)
        found["mrr_at_10"] = 1 / (first + 1) if first < 10 else 0
        dcg = [
            sum(g / math.log2(i + 2) for i, g in enumerate(x[:10]))
            for x in (hits, sorted(hits, reverse=True))
        ]
        found["ndcg_at_10"] = dcg[0] / dcg[1]
        sums = {key: sums.get(key, 0) + value / len(queries) for key, value in found.items()}
    return sums


def test_ranks(encoder, file, capsys, monkeypatch):
    expected = by_hand(encoder, QUERIES)
    assert 0 < expected["recall_at_1"] < expected["recall_at_5"] < expected["recall_at_10"]
    task = RetrievalTask()
    examples = task.read(file)
    assert sorted(examples.corpus) == sorted(CORPUS), "each text once"
    found = task.evaluate_saved(encoder, examples)
    assert found == pytest.approx({**expected, "corpus": len(CORPUS)})
    monkeypatch.setattr("minidistil.metrics.ranking.CELLS_AT_ONCE", 30)
    assert task.evaluate_saved(encoder, examples) == pytest.approx(found)
    assert main(["evaluate", encoder, "--task", "retrieval", "--data", str(file), "-q"]) == 0
    assert "ndcg at 10" in capsys.readouterr().out


def test_beir(encoder, tmp_path):
    """Grades count, a title stands before the text, nothing finds itself, unanswered queries are left out."""
    corpus = [{"_id": f"d{i}", "title": "", "text": text} for i, text in enumerate(CORPUS)]
    corpus[1] = {"_id": "d1", "title": "a dull", "text": "plot"}
    corpus[3]["_id"] = "q2"
    queries = [{"_id": f"q{i}", "text": q} for i, (q, _) in enumerate(QUERIES)] + [
        {"_id": "q9", "text": "of"}
    ]
    queries[2]["text"] = "clumsy"
    write(tmp_path / "b" / "corpus.jsonl", corpus)
    write(tmp_path / "b" / "queries.jsonl", queries)
    (tmp_path / "b" / "qrels").mkdir()
    grades = [
        "query-id\tcorpus-id\tscore",
        "q0\td0\t2",
        "q0\td2\t1",
        "q1\td4\t1",
        "q1\td1\t3",
        "q2\td5\t1",
        "q9\td0\t0",
    ]
    (tmp_path / "b" / "qrels" / "test.tsv").write_text("\r\n".join(grades) + "\r\n")
    task = RetrievalTask()
    examples = task.read(tmp_path / "b")
    assert examples.corpus == CORPUS
    assert (len(examples), examples.itself) == (3, {2: 3})
    asked = [("warm", {0: 2, 2: 1}), ("the plot", {4: 1, 1: 3}), ("clumsy", {5: 1})]
    expected = by_hand(encoder, asked, without={"clumsy": 3})
    assert task.evaluate_saved(encoder, examples) == pytest.approx({**expected, "corpus": len(CORPUS)})
    assert by_hand(encoder, asked) != pytest.approx(expected)
    for name, line, message in (
        ("qrels/test.tsv", "q0\td77\t1", "line 8: there is no id 'd77'"),
        ("qrels/test.tsv", "q0 d0 1", "line 8: query, text and grade"),
        ("corpus.jsonl", '{"_id": "d0", "text": "x"}', "line 13: the id 'd0' is there twice"),
        ("queries.jsonl", '{"id": "d0", "text": "x"}', 'line 6: "_id" and "text" are expected'),
    ):
        path = tmp_path / "b" / name
        before = path.read_bytes()
        path.write_bytes(before + line.encode() + b"\n")
        with pytest.raises(DataError, match=message):
            task.read(tmp_path / "b")
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"query": "a", "positive": "b"}\n\n{"query": "a"}\n', "line 3: no key 'positive'"),
        ('{"text": "a", "positive": "b"}', "line 1: no key 'query'; this line has: text, positive"),
        ('{"query": ["a", "b"], "positive": "b"}', "line 1: 'query' should hold text"),
        ('{"query": "a", "positive": []}', "line 1: 'positive' should hold a text, or a list"),
        ('{"query": "a", "positive": ["b", " "]}', "'positive' should hold"),
        ('{"query": "a", "positive": "b", "negatives": [5]}', "'negatives' should hold"),
        ("\n", "there are no queries in it"),
        ("a\n", "line 1: not valid JSON"),
    ],
)
def test_bad_files(content, message, tmp_path):
    (tmp_path / "q.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        RetrievalTask().read(tmp_path / "q.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        RetrievalTask().read(tmp_path)


def test_a_query_may_have_several_lines(tmp_path):
    rows = [{"query": "hound", "positive": "dog"}, {"query": "puss", "positive": "cat"},
            {"query": "hound", "positive": "puppy", "negative": "cat"}]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_queries(tmp_path / "a.jsonl")
    assert (found.queries, found.corpus) == (["hound", "puss"], ["dog", "cat", "puppy"])
    assert found.relevant == [{0: 1.0, 2: 1.0}, {1: 1.0}]


def test_other_names_of_the_keys(tmp_path):
    rows = [{"anchor": "a", "positive": "b", "negative": "c"}, {"query": "d", "pos": ["b"], "neg": []}]
    found = RetrievalTask().read(write(tmp_path / "q.jsonl", rows))
    assert (found.queries, found.corpus, found.relevant) == (["a", "d"], ["b", "c"], [{0: 1.0}, {0: 1.0}])


def test_prompts_of_texts_and_of_queries(encoder, file, tmp_path):
    """As if they stood in the file; by their texts, or by their names in the directory."""
    task, place = RetrievalTask(), tmp_path / "encoder"
    SentenceEncoder.from_pretrained(encoder, prompts={"query": "cast ", "passage": "a plot "}).save(place)
    plain = task.read(file)
    marked = replace(
        plain, queries=["cast " + q for q in plain.queries], corpus=["a plot " + t for t in plain.corpus]
    )
    expected = task.evaluate_saved(place, marked)
    assert expected != task.evaluate_saved(place, plain)
    for texts, queries in (("passage", "query"), ("a plot ", "cast ")):
        other = named_task("retrieval", settings={"prompt": texts, "query_prompt": queries})
        assert other.evaluate_saved(place, plain) == expected
    with pytest.raises(UsageError, match="there is no prompt 'queries'"):
        named_task("retrieval", settings={"prompt": "queries"}).evaluate_saved(place, plain)


def test_what_is_near_is_what_the_encoder_is_made_for(encoder, file, tmp_path):
    SentenceEncoder.from_pretrained(encoder, normalize=False, pooling="max", similarity="dot").save(
        tmp_path / "dot"
    )
    task = RetrievalTask()
    found = task.evaluate_saved(tmp_path / "dot", task.read(file))
    expected = by_hand(tmp_path / "dot", QUERIES)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    cosines = SentenceEncoder.from_pretrained(encoder, pooling="max")
    cosines.save(tmp_path / "cosine")
    assert by_hand(tmp_path / "cosine", QUERIES) != pytest.approx(expected), "so that the test can fail"
