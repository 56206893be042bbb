"""Targets of the fuzz: each damages something once, hands it over, and checks what comes back.

A target is a function of a random generator and a folder that `prepare` has filled. It may return, or raise
a MinidistilError; whatever else happens is a failure. Where an answer comes, it must be sound: finite, of the
right size, the same in both backends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz.mutation import HOSTILE, damage_bytes, damaged_file
from fuzz.samples import SAMPLES

from minidistil import (
    Batch,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    SentenceEncoder,
    Tokenizer,
    load_model,
    pipeline,
)
from minidistil.cli.main import main
from minidistil.embeddings.layers import Dense, LayerNorm
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.errors import MinidistilError
from minidistil.jobs.finetune import FineTuningRecipe
from minidistil.settings import load_recipe
from minidistil.tasks.registry import TASKS, named_task
from minidistil.text.windows import cut_texts

Target = Callable[[Random, Path], None]
TARGETS: dict[str, Target] = {}

WORDS = [
    "a",
    "the",
    "warm",
    "dull",
    "film",
    "story",
    "ada",
    "lives",
    "in",
    "oslo",
    ".",
    ",",
    "!",
    "?",
    "##ly",
    "##s",
    "one",
    "two",
    "three",
]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
SHAPE: dict[str, Any] = {
    "vocab_size": len(VOCABULARY), "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 16, "initializer_range": 0.4,
}  # fmt: skip
TEXTS = ["a warm film", "", "ada lives in oslo .", "na\u00efve [MASK] \u4f60\u597d \U0001f600", "dull " * 40]
TAGS = dict(enumerate(("O", "B-PER", "I-PER", "B-LOC", "I-LOC")))


def target(function: Target) -> Target:
    """Register a target under its name."""
    TARGETS[function.__name__] = function
    return function


def prepare(place: Path) -> None:
    """Make the sound models and files that targets damage copies of."""
    words = place / "words"
    words.mkdir(parents=True)
    (words / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_pretrained(words)
    three = {0: "neg", 1: "none", 2: "pos"}
    kinds: dict[str, Any] = {
        "encoder": BertModel(BertConfig(**SHAPE)),
        "classifier": BertForSequenceClassification(BertConfig(**SHAPE, id2label=three)),
        "distilbert": DistilBertForSequenceClassification(DistilBertConfig(**SHAPE, id2label=three)),
        "tagger": BertForTokenClassification(BertConfig(**SHAPE, id2label=TAGS)),
        "reader": BertForQuestionAnswering(BertConfig(**SHAPE)),
        "words-model": BertForMaskedLM(BertConfig(**SHAPE)),
    }
    for name, model in kinds.items():
        model.save_pretrained(place / name, tokenizer=tokenizer)
    width = SHAPE["hidden_size"]
    layers = (
        Dense(np.eye(5, 2 * width, dtype=np.float32), np.ones(5, np.float32), "GELU"),
        LayerNorm(np.ones(5, np.float32), np.zeros(5, np.float32)),
    )
    about = EmbeddingSettings("mean+cls", True, 12, layers, 4, True, False, {"query": "a "}, "query", "dot")
    SentenceEncoder(kinds["encoder"], tokenizer, about).save(place / "sentences")
    run = place / "run"
    run.mkdir()
    models = {n: {"layers": 2, "parameters": 9, "bytes": 36, "accuracy": 0.5} for n in ("teacher", "student")}
    report = {"task": "classification", "primary": "accuracy", "better": "higher", "models": models}
    records = [
        *(
            {"kind": "train", "step": i, "loss": 1 / i, "lr": 1e-3, "tokens": 10, "seconds": 0.1}
            for i in range(1, 9)
        ),
        {"kind": "eval", "step": 8, "accuracy": 0.5},
    ]
    (run / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (run / "run.json").write_text(
        json.dumps({"recipe": {"train": {"lr": 1e-3}}, "task": "classification"}), "utf-8"
    )
    example = {"value": 1.5, "line": 2, "texts": {"text": "a film"}, "right": "good", "given": "bad"}
    details = {
        "worst": {"measure": "loss (nats)", "about": "So.", "of": 9, "examples": [example]},
        "calibration": [{"low": 0.5, "high": 0.6, "examples": 9, "confidence": 0.55, "accuracy": 0.5}],
        "thresholds": [{"threshold": 0.5, "answered": 1.0, "accuracy": 0.5}],
        "confusion": [[1, 2], [3, 4]],
        "classes": {"bad": {"f1": 0.5}, "good": {"f1": 0.25}},
    }
    (run / "evaluation.json").write_text(json.dumps({"models": {"student": details}}), "utf-8")
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(record) + "\n" for record in records), encoding="utf-8"
    )


def copied(place: Path, name: str) -> Path:
    """A fresh copy of a sound directory, the weights as a link."""
    trial = place / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(place / name, trial, copy_function=_link_weights)
    return trial


def _link_weights(source: str, to: str) -> None:
    if source.endswith(".safetensors"):
        os.link(source, to)
    else:
        shutil.copyfile(source, to)


def sound(*arrays: Any) -> None:
    """Every number is finite."""
    for array in arrays:
        assert np.isfinite(np.asarray(array)).all(), "an answer that is no number"


@target
def config(rng: Random, place: Path) -> None:
    """A model directory whose config.json is damaged."""
    trial = copied(place, rng.choice(("classifier", "distilbert", "words-model", "tagger")))
    path = trial / "config.json"
    path.write_bytes(damaged_file(rng, path.read_bytes()))
    model = load_model(trial)
    batch = Batch.from_sequences([[2, 5, 7, 3], [2, 3]])
    outputs, _ = model.forward(batch, keep_cache=False)
    assert len(outputs["logits"]) in (2, 6)
    with contextlib.suppress(MinidistilError):
        pipeline("text-classification", trial)(TEXTS[:1])


@target
def shards(rng: Random, place: Path) -> None:
    """An index of shards that is damaged."""
    trial = copied(place, "classifier")
    (trial / "model.safetensors").rename(trial / "model-1.safetensors")
    from minidistil.weights.safetensors_file import SafetensorsFile

    names = dict.fromkeys(SafetensorsFile(trial / "model-1.safetensors"), "model-1.safetensors")
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": names}).encode()
    (trial / "model.safetensors.index.json").write_bytes(damaged_file(rng, index))
    load_model(trial)


@target
def tokenizer(rng: Random, place: Path) -> None:
    """Tokenizer files of which one or two are damaged."""
    trial = copied(place, "words-model")
    if rng.random() < 0.4:
        (trial / "tokenizer.json").unlink()
    extra = {
        "special_tokens_map.json": b'{"cls_token": "[CLS]", "additional_special_tokens": ["[ENT]"]}',
        "added_tokens.json": b'{"[ENT]": 24}',
    }
    for name, content in extra.items():
        if not (trial / name).exists() and rng.random() < 0.5:
            (trial / name).write_bytes(content)
    files = [
        path
        for path in sorted(trial.iterdir())
        if path.name.endswith((".json", ".txt")) and path.stem != "config"
    ]
    for path in rng.sample(files, rng.choice((1, 1, 2))):
        content = path.read_bytes()
        damage = damage_bytes if path.suffix == ".txt" else damaged_file
        path.write_bytes(damage(rng, content))
    ours = Tokenizer.from_pretrained(trial)
    encoded = ours.encode(TEXTS, max_length=rng.choice((None, 1, 4, 16)))
    assert len(encoded.input_ids) == len(TEXTS)
    for ids in encoded.input_ids:
        assert len(ids) == 0 or 0 <= min(ids) <= max(ids) < max(ours.num_ids, 1)
    cut_texts(ours, TEXTS, rng.choice((4, 16)))
    ours.save(place / "saved")


@target
def sentence_encoder(rng: Random, place: Path) -> None:
    """Files of a sentence encoder of which one is damaged."""
    trial = copied(place, "sentences")
    names = (
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "3_LayerNorm/model.safetensors",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    )
    path = trial / rng.choice(names)
    content, damage = path.read_bytes(), damaged_file if path.suffix == ".json" else damage_bytes
    path.unlink()  # it may be a link to the sound one
    path.write_bytes(damage(rng, content))
    vectors = SentenceEncoder.from_pretrained(trial).encode(TEXTS)
    assert len(vectors) == len(TEXTS)
    sound(vectors)


@cache
def models(name: str) -> tuple[Any, Any]:
    """The same small model in both backends."""
    kinds = {
        "sequence": (BertForSequenceClassification, BertConfig),
        "tokens": (BertForTokenClassification, BertConfig),
        "spans": (BertForQuestionAnswering, BertConfig),
        "distilbert": (DistilBertForSequenceClassification, DistilBertConfig),
    }
    model, config = kinds[name]
    fast, textbook = (model(config(**SHAPE), backend=backend, seed=5) for backend in ("numba", "numpy"))
    return fast, textbook


def _damaged_array(rng: Random, array: Any) -> Any:
    """An array with other values, of another length, type, byte order or shape."""
    kind = rng.randrange(12)
    if not isinstance(array, np.ndarray):
        return rng.choice(HOSTILE)
    if kind == 0:
        return array[: rng.randint(0, len(array))]
    if kind == 1:
        return np.concatenate([array, array[: rng.randint(0, len(array))]])
    if kind in (2, 3, 4) and array.size:
        array = array.astype(np.int64)
        array.flat[rng.randrange(array.size)] = rng.choice(
            (-1, 0, 1, 2, 5, 24, 25, 1000, 2**31, 2**32 + 1, -(2**40))
        )
        return array if rng.random() < 0.5 else array.astype(np.int32)
    if kind == 5:
        return array.astype(
            rng.choice((np.float64, np.float32, np.uint8, np.int16, np.uint64, bool, ">i4", "U3", object))
        )
    if kind == 6:
        return array[None]
    if kind == 7:
        return array[::-1]
    if kind == 8:
        return array.tolist()
    if kind == 9:
        return np.repeat(array, 2)[::2]
    if kind == 10:
        return array * np.where(np.arange(array.size).reshape(array.shape) % 2, 0.5, 1)
    return rng.choice(HOSTILE)


def _answers(model: Any, batch: Any, targets: bool) -> list[Any]:
    outputs, cache = model.forward(batch)
    found = [outputs[name] for name in sorted(outputs) if isinstance(outputs[name], np.ndarray)]
    if targets:
        terms = model.losses(outputs, batch)
        grads = model.params.like()
        model.backward(terms.douts, cache, grads)
        found += [np.array(list(terms.sums.values())), *(grads[name] for name in grads)]
    return found


def _same(fast: Any, textbook: Any, ask: Callable[[Any], list[Any]]) -> None:
    """Both backends refuse, or both answer alike."""
    said: list[Any] = []
    for model in (fast, textbook):
        try:
            said.append(ask(model))
        except MinidistilError as error:
            said.append(error)
    if any(isinstance(answer, Exception) for answer in said):
        assert all(isinstance(answer, Exception) for answer in said), f"one refuses, one answers: {said}"
        raise said[0]
    for a, b in zip(*said, strict=True):
        sound(a, b)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@target
def batch(rng: Random, place: Path) -> None:
    """A packed batch of which one field does not fit the others."""
    name = rng.choice(("sequence", "tokens", "spans", "distilbert"))
    lengths = [rng.randint(1, 16) for _ in range(rng.randint(1, 4))]
    one = Batch.from_sequences([[rng.randrange(24) for _ in range(n)] for n in lengths])
    labels: dict[str, Any] = {
        "sequence": {"labels": np.array([rng.randrange(2) for _ in lengths])},
        "tokens": {"labels": np.array([rng.randrange(2) for _ in range(sum(lengths))])},
        "spans": {
            f"{end}_positions": np.array([rng.randrange(n) for n in lengths]) for end in ("start", "end")
        },
    }.get(name, {"labels": np.array([0 for _ in lengths])})
    one = one.with_targets(**labels)
    fields = [
        "input_ids",
        "cu_seqlens",
        "token_type_ids",
        "position_ids",
        "example_ids",
        "columns",
        "width",
        "targets",
    ]
    for field in rng.sample(fields, rng.choice((1, 1, 1, 2))):
        if field == "targets":
            key = rng.choice(list(labels))
            one = replace(one, targets={**one.targets, key: _damaged_array(rng, labels[key])})
        else:
            one = replace(one, **{field: _damaged_array(rng, getattr(one, field))})
    _same(*models(name), lambda model: _answers(model, one, True))


@target
def call(rng: Random, place: Path) -> None:
    """Rectangular arguments of a call of which one is damaged or misspelt."""
    name = rng.choice(("sequence", "tokens", "spans", "distilbert"))
    B, L = rng.randint(1, 3), rng.randint(1, 8)
    ids = np.array([[rng.randrange(24) for _ in range(L)] for _ in range(B)])
    given: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": np.ones((B, L), np.int64),
        "token_type_ids": np.zeros((B, L), np.int64),
        "position_ids": np.arange(L)[None].repeat(B, 0),
    }
    given |= (
        {"start_positions": np.zeros(B, np.int64), "end_positions": np.zeros(B, np.int64)}
        if name == "spans"
        else {"labels": np.zeros((B, L) if name == "tokens" else B, np.int64)}
    )
    key = rng.choice(list(given))
    if rng.random() < 0.15:
        given[key + "x"] = given.pop(key) if key != "input_ids" else given[key]
        refused = True
    else:
        given[key] = _damaged_array(rng, given[key])
        refused = False

    def ask(model: Any) -> list[Any]:
        loss, grads = model.loss_and_grads(**given)
        return [np.array(loss), *(grads[name] for name in grads)]

    _same(*models(name), ask)
    assert not refused, "a keyword that does not exist was taken"


@target
def data(rng: Random, place: Path) -> None:
    """A data file that is damaged, read for a task."""
    suffix, content, tasks = rng.choice(SAMPLES)
    name = (
        rng.choice(tasks)
        if rng.random() < 0.9
        else rng.choice([name for name in TASKS if name != "retrieval"])
    )
    path = (
        place
        / f"data.{suffix if rng.random() < 0.9 else rng.choice(('txt', 'csv', 'tsv', 'jsonl', 'json', 'x'))}"
    )
    path.write_bytes(damage_bytes(rng, content.encode() * rng.choice((1, 1, 3))))
    try:
        settings = {"entries": str(path)} if name == "faq" else None
        named_task(name, None, settings).read(*[path] * (2 if name == "translations" else 1))
    finally:
        path.unlink()


class RefusedError(MinidistilError):
    """A command ended with an exit code of its own and with a line on standard error."""


def said(arguments: list[str]) -> str:
    """Standard output of the command; a `RefusedError` where it refuses, as it should."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([*arguments, "-q"])
        except SystemExit as stop:  # of argparse
            code = stop.code
    assert code in (0, 2, 3, 4), f"exit code {code}"
    if code:
        assert "minidistil" in err.getvalue(), "no word of what is wrong"
        raise RefusedError(err.getvalue())
    return out.getvalue()


@target
def predicted(rng: Random, place: Path) -> None:
    """A damaged file that is predicted: as many answers as rows, or one clear line."""
    suffix, content, _ = rng.choice(SAMPLES)
    path = place / f"asked.{suffix}"
    path.write_bytes(damage_bytes(rng, content.encode()))
    model = place / rng.choice(("classifier", "tagger", "reader", "sentences"))
    verb = (
        ["embed", str(model), str(path)]
        if model.name == "sentences"
        else ["predict", str(model), "--data", str(path)]
    )
    for line in said([*verb, "--json"]).split("\n")[:-1]:  # a text may hold other ends of lines
        json.loads(line)


@target
def run(rng: Random, place: Path) -> None:
    """A run's directory of which one file is damaged, reported."""
    trial = copied(place, "run")
    path = rng.choice(sorted(trial.iterdir()))
    content = path.read_bytes()
    if path.suffix == ".jsonl":
        lines = content.splitlines()
        i = rng.randrange(len(lines))
        lines[i] = damaged_file(rng, lines[i])
        path.write_bytes(b"\n".join(lines) + b"\n")
    else:
        path.write_bytes(damaged_file(rng, content))
    said(["report", str(trial)])


@target
def recipe(rng: Random, place: Path) -> None:
    """A recipe in TOML that is damaged, or settings that are."""
    sample = b'[train]\nlr = 1e-3\nepochs = 2\nkeep_best = "accuracy"\n\n[data]\ntext = "a"\nmax_length = 8\n'
    path = place / "recipe.toml"
    if rng.random() < 0.6:
        path.write_bytes(damage_bytes(rng, sample))
        load_recipe(FineTuningRecipe, file=path)
        return
    key = rng.choice(
        ("train.lr", "train.epochs", "data.text", "train.seed", "data.header", "train.x", "", "train")
    )
    load_recipe(FineTuningRecipe, changes=[f"{key}={rng.choice(HOSTILE)}"])


@target
def command(rng: Random, place: Path) -> None:
    """A command line of which one argument is damaged: an exit code and a line, never a traceback."""
    classifier, tagger, reader, words = (
        str(place / n) for n in ("classifier", "tagger", "reader", "words-model")
    )
    encoder = str(place / "sentences")
    lines = [
        ["predict", classifier, "a film", "--top-k", "2"],
        ["predict", classifier, "a film", "--threshold", "0.5", "--json"],
        ["predict", tagger, "ada lives", "--aggregation", "first"],
        ["predict", reader, "ada lives", "--question", "who ?", "--n-best", "2"],
        ["predict", words, "a [MASK] film", "--top-k", "3", "--targets", "warm"],
        ["predict", encoder, "--task", "summarization", "One. Two.", "--sentences", "1"],
        ["inspect", classifier, "--json"],
        ["embed", encoder, "--json", "--max-length", "4"],
        ["search", encoder, "a film", "--corpus", str(place / "words" / "vocab.txt"), "-k", "2"],
    ]
    line = rng.choice(lines)
    i = rng.randrange(len(line))
    new = rng.choice(
        [str(value) for value in HOSTILE if "\0" not in str(value)] + [str(place), "--json", "-1"]
    )
    line[i] = new.encode("utf-8", "surrogateescape" if "\ud800" not in new else "replace").decode(
        "utf-8", "replace"
    )
    said(line)
