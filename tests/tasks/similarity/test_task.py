"""Similarity and translations: the numbers against those of the vectors, and the files."""

import json

import numpy as np
import pytest
from scipy import stats
from tiny import make_encoder

from minidistil.cli.main import main
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.semantic_search import retrieval_accuracy
from minidistil.errors import DataError, UsageError
from minidistil.tasks.data import DataSettings
from minidistil.tasks.registry import named_task
from minidistil.tasks.similarity.task import SimilarityTask, TranslationTask

FIRST = ["the film is warm", "a dull plot", "the warm film", "a dull and tired plot", "grim"]
SECOND = ["the warm film", "a tired plot", "clumsy", "the film is warm", "a dull and tired plot"]
SCORES = [4.5, 3.0, 0.5, 5.0, 0.0]
ROWS = list(zip(FIRST, SECOND, SCORES, strict=True))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("similarity")))


@pytest.fixture(scope="module")
def cosines(encoder):
    model = SentenceEncoder.from_pretrained(encoder)
    first, second = (model.encode(side).astype(float) for side in (FIRST, SECOND))
    # In float32 a vector is not quite 1 long.
    return (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))


def write(path, rows):
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def test_similarity(encoder, cosines, tmp_path, capsys):
    path = write(tmp_path / "pairs.tsv", [("sentence1", "sentence2", "score"), *ROWS])
    task = SimilarityTask()
    found = task.evaluate_saved(encoder, task.read(path))
    assert found["spearman"] == pytest.approx(stats.spearmanr(cosines, SCORES).statistic)
    assert found["pearson"] == pytest.approx(stats.pearsonr(cosines, SCORES).statistic)
    assert main(["evaluate", encoder, "--task", "similarity", "--data", str(path), "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out) == {"task": "similarity", "examples": 5, **found}


def test_stsb_as_glue_has_it(encoder, cosines, tmp_path):
    names = [
        "index",
        "genre",
        "filename",
        "year",
        "old_index",
        "source1",
        "source2",
        "sentence1",
        "sentence2",
        "score",
    ]
    rows = [[i, "g", "f", 2012, i, "s", "s", a, b, s] for i, (a, b, s) in enumerate(ROWS)]
    task = named_task("stsb-similarity")
    found = task.evaluate_saved(encoder, task.read(write(tmp_path / "dev.txt", [names, *rows])))
    assert found["spearman"] == pytest.approx(stats.spearmanr(cosines, SCORES).statistic)


def test_translations(encoder, tmp_path, capsys):
    files = [tmp_path / "a.en", tmp_path / "b.de"]
    for path, side in zip(files, (FIRST, SECOND), strict=True):
        path.write_bytes(("\ufeff" + "\r\n".join(side) + "\r\n").encode())
    base = ["evaluate", encoder, "--task", "translations", "--json", "-q", "--data"]
    assert main([*base, *map(str, files)]) == 0
    found = json.loads(capsys.readouterr().out)
    there, back = (SentenceEncoder.from_pretrained(encoder).encode(side) for side in (FIRST, SECOND))
    assert found["to_translation"] == retrieval_accuracy(there, back) != found["to_source"]
    assert found["to_source"] == retrieval_accuracy(back, there)
    assert found["cosine"] == pytest.approx(float((there * back).sum(1).mean()), rel=1e-5)
    assert found["examples"] == 5
    one = write(tmp_path / "one.tsv", [("en", "de"), *zip(FIRST, SECOND, strict=True)])
    assert main([*base, str(one), "--set", "data.text=en", "--set", "data.pair=de"]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("text", "score"), ("a", 1)], "no second text"),
        ([("sentence1", "sentence2"), ("a", "b")], "no label column"),
        (
            [("sentence1", "sentence2", "score"), ("a", "b", 1), ("a", "b", "x")],
            "line 3: a number is expected",
        ),
        ([("sentence1", "sentence2", "score"), ("a", "b", 1), ("c", "d", 1)], "every score is 1"),
        ([("sentence1", "sentence2", "score")], "no examples"),
    ],
)
def test_bad_similarities(rows, message, tmp_path):
    with pytest.raises(DataError, match=message):
        SimilarityTask().read(write(tmp_path / "a.tsv", rows))


def test_bad_translations(encoder, tmp_path, capsys):
    long, short = tmp_path / "long.txt", tmp_path / "short.txt"
    long.write_text("a\nb\n")
    short.write_text("a\n")
    with pytest.raises(DataError, match=r"long\.txt, line 2: this line has no counterpart"):
        TranslationTask().read(long, short)
    with pytest.raises(UsageError, match="columns are those of one file"):
        TranslationTask(DataSettings(text="en")).read(long, long)
    for task, files in (("translations", [long] * 3), ("similarity", [long] * 2)):
        assert main(["evaluate", encoder, "--task", task, "--data", *map(str, files)]) == 2
        assert f"not {len(files)}" in capsys.readouterr().err


def test_of_equally_near_answers_the_first_counts():
    """Each vector twice, in more rows than one: of two that are alike, only the first finds itself."""
    some = np.random.default_rng(0).standard_normal((11, 7)).astype(np.float32)
    for vectors in (np.repeat(some, 2, axis=0), np.concatenate([some, some])):
        assert retrieval_accuracy(vectors, vectors) == 0.5


def test_broken_and_unlabelled_lines_are_left_out_where_asked(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\nd\te\t-\nf\tg\t3\n")
    with pytest.raises(DataError, match="line 3"):
        SimilarityTask().read(path)
    found = SimilarityTask(DataSettings(skip_broken=True, skip_label="-")).read(path)
    assert found.texts == ["a", "f"]
