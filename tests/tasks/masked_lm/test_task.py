"""Masked words as a task: measured with masks that stay, learnt with masks that change, resumable, taught."""

import json
import math

import numpy as np
import pytest
from interruption import stop_after
from tiny import BAD, CONFIG, GOOD, OTHER, make_classifier, make_encoder, make_tokenizer

from minidistil.cli.main import main
from minidistil.errors import ConfigError, DataError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.losses import IGNORE_INDEX
from minidistil.model import BertForMaskedLM, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.tasks.data import DataSettings
from minidistil.tasks.masked_lm.task import MaskedLMTask
from minidistil.tasks.registry import named_task
from minidistil.text.corpus.chunks import chunk
from minidistil.text.corpus.corpus import Corpus
from minidistil.text.corpus.writer import encode_corpus

FAST = ["train.epochs=6", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16", "train.save_every=4"]
METRICS = ("masked_lm", "accuracy", "perplexity")


def line(i):
    """Words in pairs: each tells the other."""
    a, b, c, *_ = (int(x) for x in random_order(8, i))
    kinds = GOOD if i % 2 else BAD
    return " ".join(["the", kinds[a % 4], OTHER[b], kinds[a % 4], OTHER[b], "of", kinds[c % 4]])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("masked")
    make_encoder(here)
    (here / "train.txt").write_text("".join(line(i) + "\n" for i in range(120)))
    (here / "held.txt").write_text("".join(line(i) + "\n" for i in range(120, 160)))
    return here


def job(place, out, *changes, source="encoder", **options):
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
    return FineTuning(
        str(place / source), "masked-lm", place / "train.txt", recipe, out, evaluate=place / "held.txt",
        quiet=True, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(place):
    return place / "tuned", job(place, place / "tuned").run()


def test_a_corpus_in_memory_is_the_one_on_disk(place, tmp_path):
    tokenizer = make_tokenizer(place / "vocabulary")
    texts = [line(i) for i in range(30)]
    (tmp_path / "a.txt").write_text("\n".join(texts) + "\n")
    disk = encode_corpus(tokenizer, tmp_path / "a.txt", tmp_path / "corpus", quiet=True)
    memory = Corpus.in_memory(tokenizer, [*texts[:7], "", " ", *texts[7:]], "a.txt")
    np.testing.assert_array_equal(memory.tokens, disk.tokens)
    np.testing.assert_array_equal(memory.offsets, disk.offsets)
    np.testing.assert_array_equal(memory.counts, disk.counts)
    assert memory.tokens.dtype == disk.tokens.dtype
    assert memory.content_hash() == disk.content_hash()
    a, b = (chunk(c, tokenizer, max_length=6, shortest=3).train for c in (memory, disk))
    assert a.content_hash() == b.content_hash()


def test_lines_become_sequences(place, tmp_path):
    tokenizer = make_tokenizer(place / "vocabulary")
    path = tmp_path / "a.txt"
    path.write_text("the film\n\nzebra zebra the\n" + "warm " * 30 + "\n")
    task = MaskedLMTask(DataSettings(max_length=12))
    data = task.dataset(tokenizer, task.read(path), CONFIG)
    assert data.lengths.tolist() == [4, 5, 12, 12, 12], "short and unknown ones too; long ones in pieces"
    measured = data.fixed()
    every = measured.batch(np.arange(5))
    labels = every.targets["labels"]
    assert [int((labels[every.sequence_ids == i] != IGNORE_INDEX).sum()) for i in range(5)] == [1, 1, 2, 2, 2]
    alone = measured.batch([3]).targets["labels"]
    np.testing.assert_array_equal(alone, labels[every.sequence_ids == 3])
    epochs = [data.for_epoch(i).batch(np.arange(5)).targets["labels"].tolist() for i in range(4)]
    assert len(set(map(tuple, epochs))) > 1
    (tmp_path / "b.jsonl").write_text('{"text": "the film", "label": 1}\n')
    read = task.read(tmp_path / "b.jsonl")
    assert (read.texts, read.labels, read.pairs) == (["the film"], None, None)


def test_it_learns(place, tuned, capsys):
    out, report = tuned
    found = report["models"]["model"]
    assert found["accuracy"] > 0.3
    assert found["masked_lm"] < 2.0 < math.log(CONFIG.vocab_size)
    assert found["perplexity"] == pytest.approx(math.exp(found["masked_lm"]))
    assert (report["primary"], report["better"], report["evaluated"]) == ("perplexity", "lower", 40)
    assert isinstance(load_model(out, strict=True), BertForMaskedLM)
    assert 'pipeline_tag: "fill-mask"' in (out / "README.md").read_text()
    arguments = ["evaluate", "-q", str(out), "--task", "masked-lm", "--data", str(place / "held.txt")]
    arguments += ["--set", "data.max_length=16"]
    assert main([*arguments, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {k: again[k] for k in METRICS} == {k: pytest.approx(found[k], rel=1e-6) for k in METRICS}
    assert main(arguments) == 0
    assert "perplexity" in capsys.readouterr().out


def test_measured_by_hand(place, tuned):
    """The mean of minus the log-probability of what was masked, over every mask."""
    task = named_task("masked-lm", DataSettings(max_length=16))
    examples, model = task.read(place / "held.txt"), load_model(tuned[0])
    tokenizer = make_tokenizer(place / "vocabulary")
    data = task.dataset(tokenizer, examples, CONFIG).fixed()
    losses, right = [], []
    for i in range(len(data)):
        batch = data.batch([i])
        rows = np.flatnonzero(batch.targets["labels"] != IGNORE_INDEX)
        z = model.forward(batch)[0]["logits"][rows].astype(np.float64)
        labels = batch.targets["labels"][rows]
        losses += (np.log(np.exp(z).sum(1)) - z[np.arange(len(rows)), labels]).tolist()
        right += (z.argmax(1) == labels).tolist()
    found = task.evaluate(model, tokenizer, examples)
    assert found["masked_lm"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(right))


def test_stopped_and_started_again(place, tuned, tmp_path, monkeypatch):
    """In the middle of an epoch: the masks of the rest of it are those that would have come."""
    stop_after(23, job(place, tmp_path / "run"), monkeypatch)
    job(place, tmp_path / "run").run()
    bits = [(out / "model.safetensors").read_bytes() for out in (tmp_path / "run", tuned[0])]
    assert bits[0] == bits[1]


def test_another_seed_has_other_masks(place):
    labels = [
        job(place, place / "unused", f"train.seed={seed}").dataset.batch(np.arange(40)).targets["labels"]
        for seed in (0, 1, 1)
    ]
    assert not np.array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[1], labels[2])


def test_a_student_learns_from_a_teacher(place, tuned, tmp_path):
    """Soft labels over words, and a few layers; the same masks for both, whatever they are."""
    report = job(place, tmp_path / "s", "model.layers=alternate", source="tuned", teacher=str(tuned[0])).run()
    teacher, student = (report["models"][name] for name in ("teacher", "student"))
    assert (teacher["layers"], student["layers"]) == (6, 3)
    assert student["masked_lm"] < 2.2
    assert teacher["masked_lm"] == pytest.approx(tuned[1]["models"]["model"]["masked_lm"])


def test_what_is_refused(place, tuned, tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"less perplexity is better: .* goes with train\.best_is=min"):
        job(place, tmp_path / "o", "train.keep_best=perplexity")
    job(place, tmp_path / "o", "train.keep_best=perplexity", "train.best_is=min")
    with pytest.raises(ConfigError, match="keep_best is 'accurcy', but what is measured is masked_lm, "):
        job(place, tmp_path / "o", "train.keep_best=accurcy").run()
    assert not (tmp_path / "o" / "metrics.jsonl").exists(), "before anything is learnt"
    with pytest.raises(ConfigError, match=r"masked-lm needs a \.\.\.ForMaskedLM"):
        MaskedLMTask().evaluate_saved(make_classifier(tmp_path), MaskedLMTask().read(place / "held.txt"))
    (tmp_path / "nothing.txt").write_text("zebra [SEP]\n")
    task = MaskedLMTask()
    with pytest.raises(DataError, match=r"nothing\.txt: it has no word of the vocabulary"):
        task.dataset(make_tokenizer(place / "vocabulary"), task.read(tmp_path / "nothing.txt"), CONFIG)
    arguments = ["evaluate", "-q", str(tuned[0]), "--task", "masked-lm", "--data"]
    assert main([*arguments, str(tmp_path / "missing.txt")]) == 3
    (tmp_path / "empty.txt").write_text("\n")
    assert main([*arguments, str(tmp_path / "empty.txt")]) == 3
    assert "no examples" in capsys.readouterr().err


def test_an_encoder_without_the_head_gets_a_new_one(place, tmp_path, tuned):
    run = job(place, tmp_path / "o")
    model = run.first_model()
    assert isinstance(model, BertForMaskedLM)
    missing = {absence.name for absence in model.load_report.missing}
    assert missing == {n for n in model.params if n.startswith("cls.predictions")}
    assert not {a.name for a in job(place, tmp_path / "p", source="tuned").first_model().load_report.missing}
