"""Students of a sentence encoder in the grid: arms, what they learn from, what is measured, what it costs."""

import json

import numpy as np
import pytest
from tiny import BAD, CONFIG, GOOD, OTHER, make_encoder

from benchmarks.retention.arms import ARMS, TAUGHT, TEACHER
from benchmarks.retention.cells import Cell, Grid, cells_of
from benchmarks.retention.examples import Split
from benchmarks.retention.settings import SETTINGS, Setting, files_of
from benchmarks.retention.vectors import SentenceEncoders, measure, questions
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.metrics import average_precision
from minidistil.model import load_model
from minidistil.ops.philox import random_order

WORDS = (*GOOD, *BAD, *OTHER)
RECIPE = ("train.epochs=2", "train.batch_size=8", "data.max_length=16")


def sentence(*key):
    return " ".join(WORDS[k % len(WORDS)] for k in random_order(18, *key)[:6])


def examples(folder):
    """Queries share words with what answers them; the first two have one answer."""
    rows = [{"query": f"{sentence(i)[:12]}", "positive": sentence(max(i, 1))} for i in range(30)]
    pairs = [{"sentence1": sentence(i), "sentence2": sentence(i + 1), "label": str(i % 2)} for i in range(20)]
    texts = [{"text": sentence(100 + i)} for i in range(24)]
    return Split(rows[:20], [*rows[20:], *pairs], texts)


SETTING = Setting(
    SentenceEncoders(),
    examples,
    RECIPE,
    texts="taught",
    from_data=False,
    without=SETTINGS["vectors"].without,
)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    here = tmp_path_factory.mktemp("vectors")
    make_encoder(here)
    files = files_of("vectors", SETTING, here / "examples", None, write=True)
    return Grid(here / "out", {"vectors": SETTING}, {"vectors": files}, {}, str(here / "encoder"))


@pytest.fixture(scope="module")
def results(grid):
    cells = list(cells_of(grid.settings, list(ARMS), [0]))
    assert [cell.arm for cell in cells] == [TEACHER, "encoder-steps", "encoder-cost", TAUGHT]
    return {cell.arm: grid.run(cell) for cell in cells}


def test_every_arm_is_measured_alike(grid, results):
    encoder = SentenceEncoder.from_pretrained(grid.encoder)
    rows = examples(None)[1]
    expected = measure(encoder, rows)
    found = {key: results[TEACHER]["metrics"][key] for key in expected}
    assert found == pytest.approx(expected)
    assert {"ndcg_at_10", "mrr_at_10", "average_precision"} <= found.keys()
    assert results[TEACHER]["steps"] == 0
    pairs = [row for row in rows if "label" in row]
    one, other = (encoder.encode([row[side] for row in pairs]) for side in ("sentence1", "sentence2"))
    labels = [int(row["label"]) for row in pairs]
    assert expected["average_precision"] == pytest.approx(average_precision(labels, (one * other).sum(1)))
    for arm, result in results.items():
        assert result["primary"] == "ndcg_at_10"
        assert result["metrics"]["layers"] == (6 if arm == TEACHER else 3), arm
        assert results[TEACHER]["metrics"].keys() == result["metrics"].keys()
    values = [result["metrics"]["average_precision"] for result in results.values()]
    assert len(set(values)) > 1


def test_steps_and_costs(grid, results):
    """24 texts in batches of 8, two epochs: 6 steps. The teacher reads the texts once."""
    job = grid.job(Cell("vectors", TAUGHT, 0), grid.out / "none")
    read, budget = job.lengths.sum(), grid.budget(Cell("vectors", TAUGHT, 0))
    assert (budget.steps, budget.layers, budget.teacher_layers, budget.read) == (6, 3, 6, read)
    assert budget.alone_tokens == pytest.approx(4 * job.pairs.lengths.mean())
    assert results[TAUGHT]["steps"] == results["encoder-steps"]["steps"] == 6
    assert results[TAUGHT]["cost"] == 3 * 3 * 2 * read + 6 * read
    assert results["encoder-cost"]["steps"] == budget.equal("cost") > 6


def test_a_student_alone_learns_from_pairs(grid, tmp_path):
    job = grid.job(Cell("vectors", "encoder-steps", 0), tmp_path)
    assert len(job.pairs) == 20
    batch = job.pairs.batch([0, 1, 5])
    labels = batch.targets["labels"].tolist()
    assert labels[:4] == [labels[0]] * 4, "the first two queries have one answer"
    assert labels[4:] == [labels[4]] * 2 != labels[:2]
    assert batch.num_tokens == job.pairs.lengths[[0, 1, 5]].sum()
    rows = [json.loads(line) for line in job.files.train.read_text().splitlines()]
    ids = np.split(batch.input_ids, batch.cu_seqlens[1:-1])
    decode = job.taught.tokenizer.decode
    assert [decode(x) for x in ids[4:]] == [decode(job.taught.tokenizer.encode([t]).input_ids[0])
                                           for t in (rows[5]["query"], rows[5]["positive"])]  # fmt: skip
    encoder = job._alone()
    assert not np.array_equal(encoder.model.params.flat, job.taught.first_model().params.flat)


def test_a_taught_student_is_that_of_the_command(grid, tmp_path):
    cell = Cell("vectors", TAUGHT, 0)
    job = grid.job(cell, tmp_path / "a")
    job.run_once()
    assert job.taught.sources == [sentence(100 + i) for i in range(24)]
    model = load_model(tmp_path / "a" / "model")
    assert model.config.num_hidden_layers == CONFIG.num_hidden_layers // 2
    other = grid.job(cell._replace(seed=1), tmp_path / "b")
    other.run_once()
    assert not np.array_equal(load_model(tmp_path / "b" / "model").params.flat, model.params.flat)


def test_examples_of_the_data(tmp_path):
    """Paragraphs to measure by are not learnt from, neither their questions nor their sentences."""
    paragraphs = [
        {
            "context": f"Fact {i} is known. So is {i}.",
            "qas": [{"question": f"Is {i}?"}, {"question": f"Why {i}?"}],
        }
        for i in range(640)
    ]
    place = tmp_path / "SQuAD-subset" / "train-subset-squad-format.json"
    place.parent.mkdir()
    place.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    for name in ("train", "dev"):
        (tmp_path / "MRPC").mkdir(exist_ok=True)
        (tmp_path / "MRPC" / f"{name}.tsv").write_text(
            "Quality\t#1 String\t#2 String\n1\ta b\ta c\n0\ta\td\n"
        )
    (tmp_path / "Multi30k").mkdir()
    (tmp_path / "Multi30k" / "train.en").write_text("A dog.\nA cat.\n\n")
    learnt, measured, texts = questions(tmp_path)
    queries = [row for row in measured if "query" in row]
    assert (len(learnt), len(queries), len(measured)) == (80, 1200, 1202)
    kept = {row["positive"] for row in queries}
    assert len(kept) == 600
    assert not kept & {row["positive"] for row in learnt}
    found = [row["text"] for row in texts]
    assert len(found) == len(set(found)) == 40 + 80 + 80 + 2
    assert not set(found) & (kept | {row["query"] for row in queries})
