"""A teacher's outputs on disk: the same as live, computed once, found again, never stale."""

import errno
import json
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import RANDOM, random_dataset

from minidistil.distill import Distillation, DistillationTrainer, TeacherCache, init_student
from minidistil.errors import ConfigError, InputError, StorageError
from minidistil.files import only_writer
from minidistil.model import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minidistil.train.settings import TrainSettings

QUIET = {"quiet": True}


def teacher_of(cls, **options):
    return cls(RANDOM, **{"dtype": "float64", "backend": "numpy", "seed": 1, **options})


@pytest.fixture
def teacher():
    return teacher_of(BertForSequenceClassification)


def count_calls(monkeypatch, teacher):
    calls = []
    forward = type(teacher).forward
    monkeypatch.setattr(type(teacher), "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    return calls


@pytest.mark.parametrize(
    ("cls", "terms", "options"),
    [
        (BertForSequenceClassification, {"soft": 1, "logits": 1}, {}),
        (BertForSequenceClassification, {"embedding": 1, "hard": 1}, {}),
        (BertForTokenClassification, {"soft": 1, "cosine": 1}, {}),
        (BertForQuestionAnswering, {"soft": 1}, {}),
        (BertForMaskedLM, {"soft": 1, "hard": 1, "cosine": 1}, {}),
        (BertForMaskedLM, {"soft": 1, "hard": 1}, {"soft_on": "masked"}),
        (BertForSequenceClassification, {"hidden": 1, "pkd": 1}, {}),
        (BertForSequenceClassification, {"attention": 1, "relations": 1, "cosine": 2, "soft": 1}, {}),
    ],
)
def test_kept_is_live(cls, terms, options, tmp_path):
    """Every term, from what is kept, without the teacher being run again."""
    data, teacher = random_dataset(), teacher_of(cls)
    student = init_student(teacher, [0, 2])
    student.params.flat[:] += 0.05
    live = Distillation(student, terms, teacher=teacher, **options)
    cache = TeacherCache(teacher, data, tmp_path, live.teacher_outputs(), **QUIET)
    batch = data.batch(np.array([7, 3, 19, 0]))
    rng = np.random.default_rng(0)
    if cls is BertForSequenceClassification:
        batch = batch.with_targets(labels=np.array([0, 1, 1, 0]))
    else:
        labels = np.where(rng.random(batch.num_tokens) < 0.5, rng.integers(0, 2, batch.num_tokens), -100)
        batch = batch.with_targets(labels=labels)
    results = []
    for outputs in (None, cache):
        live.teacher_cache = outputs
        grads, totals = student.params.like(), live.counts(batch)
        results.append((live(student, batch, totals, None, grads), grads.flat))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-9, atol=1e-14)


def test_in_half_the_bytes_and_nearly_the_same(tmp_path):
    data, teacher = random_dataset(), teacher_of(BertForMaskedLM, dtype="float32", backend="numba")
    exact = TeacherCache(teacher, data, tmp_path, ["hidden_states.2"], **QUIET)
    half = TeacherCache(teacher, data, tmp_path, ["hidden_states.2"], dtype="float16", **QUIET)
    batch = data.batch(np.arange(20))
    ours, theirs = (cache(batch)["hidden_states"][2] for cache in (half, exact))
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=2**-11, atol=1e-7)
    assert exact.nbytes - half.nbytes == 2 * data.num_tokens * 16
    teacher.params["bert.embeddings.LayerNorm.weight"][...] = 1e5
    with pytest.raises(InputError, match=r"hidden_states\.0 reaches .*: too large for float16"):
        TeacherCache(teacher, data, tmp_path, ["hidden_states.0"], dtype="float16", **QUIET)


def test_the_likeliest_words_are_kept(tmp_path):
    data, teacher = random_dataset(), teacher_of(BertForMaskedLM)
    cache = TeacherCache(teacher, data, tmp_path, ["top_k.7"], **QUIET)
    batch = data.batch(np.array([4, 2]))
    words, scores = cache(batch)["top_k"]
    logits = teacher.forward(batch)[0]["logits"]
    np.testing.assert_array_equal(words, np.argsort(-logits, axis=1)[:, :7])
    np.testing.assert_allclose(scores, -np.sort(-logits, axis=1)[:, :7], rtol=1e-12)
    assert TeacherCache(teacher, data, tmp_path, ["top_k.99"], **QUIET)(batch)["top_k"][0].shape[1] == 60


def test_the_teacher_runs_once(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("minidistil.distill.teacher_cache.PART", 16)
    data = random_dataset(50)
    ask = lambda *outputs: TeacherCache(teacher, data, tmp_path, outputs, **QUIET)
    first = ask("logits").whole("logits")
    np.testing.assert_allclose(first, teacher.forward(data.batch(np.arange(50)))[0]["logits"], rtol=1e-9)

    calls = count_calls(monkeypatch, teacher)
    np.testing.assert_array_equal(ask("logits").whole("logits"), first)
    assert not calls
    labelled = data.with_targets(labels=np.zeros(50, np.int64))
    TeacherCache(teacher, labelled, tmp_path, ["logits"], **QUIET)
    assert not calls, "targets are none of the teacher's business"
    ask("logits", "pooled.cls")
    assert len(calls) == 4, "another output is asked for alone"
    np.testing.assert_array_equal(ask("logits").whole("logits"), first)

    # What a kill or a full disk cut short is made again from the last whole part.
    calls.clear()
    path = next(tmp_path.glob("*/logits.float64.npy"))
    state = path.parent / "done.json"
    known = json.loads(state.read_text())
    part = {"examples": 32, "bytes": path.stat().st_size - 18 * 2 * 8}
    state.write_text(json.dumps({**known, path.name: part}))
    np.testing.assert_array_equal(ask("logits").whole("logits"), first)
    assert len(calls) == 2
    calls.clear()
    path.write_bytes(path.read_bytes()[:-5])
    np.testing.assert_array_equal(ask("logits").whole("logits"), first)
    assert len(calls) == 4

    # Another teacher, other texts: nothing of this.
    other = random_dataset(50, seed=1)
    assert not np.array_equal(
        TeacherCache(teacher, other, tmp_path, ["logits"], **QUIET).whole("logits"), first
    )
    teacher.params["classifier.bias"][0] += 1
    assert not np.array_equal(ask("logits").whole("logits"), first)


def test_an_example_that_was_not_asked_about(teacher, tmp_path):
    data = random_dataset()
    cache = TeacherCache(teacher, data.subset(np.arange(10)), tmp_path, ["logits"], **QUIET)
    with pytest.raises(InputError, match=f"was not asked about example {data.example_ids[12]}"):
        cache(data.batch(np.array([3, 12])))


def test_a_full_disk(teacher, tmp_path, monkeypatch):
    data = random_dataset(40)
    monkeypatch.setattr("minidistil.distill.teacher_cache.PART", 16)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(StorageError, match="0 MB are free"):
        TeacherCache(teacher, data, tmp_path, ["logits"], **QUIET)
    monkeypatch.undo()
    monkeypatch.setattr("minidistil.distill.teacher_cache.PART", 16)
    sync, calls = "minidistil.distill.teacher_cache.os.fsync", []

    def full(descriptor):
        calls.append(1)
        if len(calls) == 4:  # the second part; each is followed by what was done, in a directory
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sync, full)
        with pytest.raises(StorageError, match="the disk is full"):
            TeacherCache(teacher, data, tmp_path, ["logits"], **QUIET)
    asked = count_calls(monkeypatch, teacher)
    TeacherCache(teacher, data, tmp_path, ["logits"], **QUIET)
    assert len(asked) == 2, "the first part was whole"


def train(teacher, student, data, out, **options):
    settings = TrainSettings(epochs=2, batch_size=5, lr=1e-3, dropout=False, save_every=None)
    DistillationTrainer(student, teacher, data, settings=settings, out=out, quiet=True, **options).train()
    return student.params.flat.copy()


def test_training_with_it_is_training_without(teacher, tmp_path, monkeypatch):
    data, terms = random_dataset(30), {"soft": 1, "hidden": 1}
    run = lambda name, **options: train(
        teacher, init_student(teacher, [0, 2]), data, tmp_path / name, weights=terms, **options
    )
    live = run("live")
    kept = run("kept", keep="all", kept_in=tmp_path / "shared")
    np.testing.assert_allclose(kept, live, rtol=1e-9, atol=1e-12)
    calls = count_calls(monkeypatch, teacher)
    half = run("half", keep="all", keep_dtype="float16")
    np.testing.assert_allclose(half, live, atol=1e-2)
    calls.clear()
    np.testing.assert_array_equal(run("again", keep="all", kept_in=tmp_path / "shared"), kept)
    # The student is of the teacher's class: twelve steps of its own, none of the teacher.
    assert len(calls) == 12


def test_what_cannot_be_kept(teacher, tmp_path):
    student = init_student(teacher, [0])
    with pytest.raises(ConfigError, match="need a directory"):
        train(teacher, student, random_dataset(), None, keep="all")
    with pytest.raises(ConfigError, match="top_k"):
        train(teacher, student, random_dataset(), tmp_path, keep="all", top_k=5)
    with pytest.raises(ConfigError, match="keep='float16' is now keep='all' with keep_dtype='float16'"):
        train(teacher, student, random_dataset(), tmp_path, keep="float16")
    with pytest.raises(ConfigError, match="it goes with keep='all'"):
        train(teacher, student, random_dataset(), tmp_path, keep_dtype="float16")
    with pytest.raises(ConfigError, match="keep is 'some'"):
        train(teacher, student, random_dataset(), tmp_path, keep="some")
    with pytest.raises(InputError, match="has no features"):
        TeacherCache(teacher, random_dataset(), tmp_path, ["features"], **QUIET)
    with pytest.raises(InputError, match="has no features"):
        TeacherCache(teacher, random_dataset(), tmp_path, ["top_k.3"], **QUIET)


def test_what_comes_once_is_not_kept(teacher, tmp_path):
    data = random_dataset()
    for name, kept, options in (
        ("one epoch", False, {"epochs": 1}),
        ("as many steps", False, {"epochs": 9, "max_steps": 2}),
        ("one step more", True, {"epochs": 1, "max_steps": 3}),
        ("two epochs", True, {"epochs": 2}),
    ):
        student, out = init_student(teacher, [0, 2]), tmp_path / name
        settings = TrainSettings(batch_size=5, accumulation=2, **options)
        DistillationTrainer(student, teacher, data, settings=settings, out=out, **QUIET)
        assert (out / "teacher_outputs").exists() == kept, name
    settings = TrainSettings(batch_size=5, epochs=1)
    shared = {"kept_in": tmp_path / "shared", "out": tmp_path / "a", **QUIET}
    DistillationTrainer(init_student(teacher, [0, 2]), teacher, data, settings=settings, **shared)
    assert (tmp_path / "shared").exists(), "others may ask again"


def test_two_that_write_the_same(teacher, tmp_path, monkeypatch):
    """The second is told to wait, before it cuts what the first has mapped; what is whole anyone may read."""
    data, began = random_dataset(), []
    ask = TeacherCache._run

    def meanwhile(self, *arguments):
        if not began:
            began.append(True)
            with pytest.raises(StorageError, match="another process is writing"):
                TeacherCache(teacher, data, tmp_path, ["logits"], **QUIET)
        return ask(self, *arguments)

    monkeypatch.setattr(TeacherCache, "_run", meanwhile)
    first = TeacherCache(teacher, data, tmp_path, ["logits"], **QUIET)
    assert began
    with only_writer(first.home):
        TeacherCache(teacher, data, tmp_path, ["logits"], **QUIET)
