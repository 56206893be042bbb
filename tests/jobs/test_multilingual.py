"""Embeddings for a second language from pairs: the loss, a whole run, another vocabulary, what is refused."""

import json

import numpy as np
import pytest
from tiny import BAD, GOOD, OTHER, SPECIAL, make_encoder

from minidistil.cli.main import main
from minidistil.distill.vocabulary import with_vocabulary
from minidistil.embeddings.directory import read_settings, write_settings
from minidistil.embeddings.encoder import SentenceEncoder, embed
from minidistil.embeddings.layers import Dense
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.errors import ConfigError, DataError
from minidistil.jobs.multilingual import PairsDistillation, PairsRecipe, pairs_table
from minidistil.model import BertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer

FOREIGN = {word: word[::-1] for word in (*GOOD, *BAD, *OTHER)}  # a language of its own, if not a real one
CHANGES = [
    "train.epochs=8",
    "train.lr=3e-3",
    "student.vocabulary=160",
    "data.max_length=16",
    "train.save_every=50",
]


def write_pairs(directory, n, seed):
    directory.mkdir(exist_ok=True)
    source, translation = [], []
    for i in range(n):
        words = [(*GOOD, *BAD, *OTHER[:5])[k % 13] for k in random_order(13, seed, i)[:5]]
        source.append(" ".join(words))
        translation.append(" ".join(FOREIGN[word] for word in words))
    (directory / f"{seed}.en").write_text("\n".join(source) + "\n")
    (directory / f"{seed}.xx").write_text("\n".join(translation) + "\n")
    return [directory / f"{seed}.en", directory / f"{seed}.xx"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("pairs")
    make_encoder(here)
    write_pairs(here, 600, 0)
    write_pairs(here, 60, 1)
    return here


def job(place, out, *changes):
    recipe = load_recipe(PairsRecipe, "multilingual", changes=[*CHANGES, *changes])
    return PairsDistillation(
        str(place / "encoder"), [place / "0.en", place / "0.xx"], recipe, out,
        held_out=[place / "1.en", place / "1.xx"], quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def student(place):
    out = place / "student"
    return out, job(place, out).run()


def test_translations_are_found_where_the_teacher_put_the_originals(place, student):
    out, report = student
    teacher, ours = report["models"]["teacher"], report["models"]["student"]
    assert teacher["to_source"] < 0.2, "the teacher does not know the language"
    assert ours["to_source"] > 0.6
    assert ours["to_translation"] > 0.6
    assert ours["cosine"] > teacher["cosine"]
    assert sorted(p.name for p in out.iterdir()) == [
        "evaluation.json", "metrics.jsonl", "model", "recipe.toml", "report.json", "run.json", "tokenizer",
    ]  # fmt: skip
    worst = json.loads((out / "evaluation.json").read_text())["models"]["student"]["worst"]
    missed = sum(example["value"] > 0 for example in worst["examples"])
    assert missed == min(20, round((1 - ours["to_translation"]) * report["held_out_pairs"]))
    assert all((x["right"] == x["given"]) == (x["value"] == 0) for x in worst["examples"])
    assert all(len(line) <= 80 for line in pairs_table(report).splitlines())
    model = load_model(out / "model", strict=True)
    assert isinstance(model, BertModel)
    pooler = "pooler.dense.weight"
    np.testing.assert_array_equal(model.params[pooler], load_model(place / "encoder").params[pooler])
    assert read_settings(out / "model") == EmbeddingSettings("mean", True, 16)


def test_it_learns_the_teachers_vector_of_the_source_from_both(place, tmp_path):
    run = job(place, tmp_path)
    data, n = run.dataset, 600
    teacher = load_model(place / "encoder")
    tokenizer = Tokenizer.from_pretrained(place / "encoder")
    expected = embed(teacher, Dataset.from_texts(tokenizer, run.pairs[0]), EmbeddingSettings(normalize=False))
    carried = data.targets["teacher_pooled"]
    np.testing.assert_allclose(carried[:n], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(carried[:n], carried[n:])
    ids = data.batch([n]).input_ids
    assert run.tokenizer.decode(ids).replace(" ", "") == run.pairs[1][0].replace(" ", "")


def test_a_new_vocabulary_starts_from_the_old(place, student):
    old = Tokenizer.from_pretrained(place / "encoder")
    new = Tokenizer.from_pretrained(student[0] / "model")
    teacher = load_model(place / "encoder")
    other = with_vocabulary(teacher, old, new)
    words, table = (m.params["embeddings.word_embeddings.weight"] for m in (other, teacher))
    assert len(words) == new.vocab_size != len(table)
    for token in ("warm", "[CLS]", "[MASK]", "the"):
        np.testing.assert_array_equal(words[new.token_to_id(token)], table[old.token_to_id(token)])
    assert other.params["encoder.layer.0.output.dense.weight"] is not None
    np.testing.assert_array_equal(
        other.params["encoder.layer.5.output.dense.bias"], teacher.params["encoder.layer.5.output.dense.bias"]
    )
    assert np.isfinite(words).all()


def test_a_new_word_is_the_mean_of_its_old_pieces(place, tmp_path):
    old = Tokenizer.from_pretrained(place / "encoder")
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, "warm", "warmly", "##warm", "zz"]) + "\n")
    new = Tokenizer.from_pretrained(tmp_path)
    teacher = load_model(place / "encoder")
    other = with_vocabulary(teacher, old, new, seed=5)
    words, table = (m.params["embeddings.word_embeddings.weight"] for m in (other, teacher))
    warm, ending = table[old.token_to_id("warm")], table[old.token_to_id("##ly")]
    np.testing.assert_allclose(words[6], (warm + ending) / 2, rtol=1e-6)
    np.testing.assert_array_equal(words[7], warm)
    assert not any(np.array_equal(words[8], row) for row in table), "unknown letters start from new weights"


def test_the_teachers_vocabulary_by_default(place, tmp_path):
    run = job(place, tmp_path, "student.vocabulary=none", "train.max_steps=1")
    report = run.run()
    assert report["models"]["student"]["words"] == report["models"]["teacher"]["words"]


def test_a_finished_run_and_another(place, student, monkeypatch):
    monkeypatch.setattr(PairsDistillation, "first_model", None)
    assert job(place, student[0]).run()["models"] == student[1]["models"]
    with pytest.raises(ConfigError, match="holds another run"):
        job(place, student[0], "train.epochs=9").run()
    other = job(place, student[0])
    other.held_out = other.pairs
    with pytest.raises(ConfigError, match=r"held_out\.hash is"):
        other.run()


def test_a_teacher_with_a_prompt_and_layers_teaches_what_is_pooled(place, tmp_path):
    """After its prompt, whose tokens do not count; what follows pooling is the student's as it stands."""
    layer = Dense(np.random.default_rng(0).standard_normal((5, 48), np.float32), None, "Tanh")
    about = EmbeddingSettings("cls+mean", True, 20, (layer,), 4, True, False, {"q": "the plot "}, "q", "dot")
    encoder = SentenceEncoder.from_pretrained(place / "encoder")
    SentenceEncoder(encoder.model, encoder.tokenizer, about).save(tmp_path / "teacher")
    run = PairsDistillation(
        str(tmp_path / "teacher"), [place / "1.en", place / "1.xx"],
        load_recipe(PairsRecipe, "multilingual", changes=["train.max_steps=1", "data.max_length=16"]),
        tmp_path / "out", held_out=[place / "1.en", place / "1.xx"], quiet=True,
    )  # fmt: skip
    taught = run.dataset.targets["teacher_pooled"]
    pooled = SentenceEncoder.from_pretrained(
        tmp_path / "teacher", layers=(), normalize=False, truncate_dim=None, max_length=16
    )
    np.testing.assert_allclose(taught[:60], pooled.encode(run.pairs[0]), rtol=1e-4, atol=1e-5)
    report = run.run()
    student = SentenceEncoder.from_pretrained(tmp_path / "out" / "model")
    assert student.settings._replace(layers=()) == about._replace(layers=(), max_length=16)
    there, back = (student.encode(side).astype(np.float64) for side in run.pairs)
    lengths = np.linalg.norm(there, axis=1) * np.linalg.norm(back, axis=1)
    assert report["models"]["student"]["cosine"] == pytest.approx(
        ((there * back).sum(1) / lengths).mean(), abs=1e-6
    )


def test_the_teacher_is_measured_as_far_as_it_reads(place, tmp_path):
    """The recipe cuts what the student learns; the teacher's numbers are those that `evaluate` prints."""
    pairs = [place / "1.en", place / "1.xx"]
    recipe = load_recipe(PairsRecipe, "multilingual", changes=["train.max_steps=1", "data.max_length=5"])
    run = PairsDistillation(str(place / "encoder"), pairs, recipe, tmp_path, held_out=pairs, quiet=True)
    models = run.run()["models"]
    for name, path in (("teacher", place / "encoder"), ("student", tmp_path / "model")):
        encoder = SentenceEncoder.from_pretrained(path)
        there, back = (encoder.encode(side) for side in run.pairs)
        assert models[name]["cosine"] == pytest.approx((there * back).sum(1).mean(), abs=1e-6), name


def test_bad_pairs(place, tmp_path):
    (tmp_path / "a.txt").write_text("one\n\nthree\n")
    (tmp_path / "b.txt").write_text("eins\n\ndrei\nvier\n")
    recipe = load_recipe(PairsRecipe)
    with pytest.raises(DataError, match=r"b\.txt.*4.*no counterpart"):
        PairsDistillation(
            str(place / "encoder"), [tmp_path / "a.txt", tmp_path / "b.txt"], recipe, tmp_path / "o"
        ).run()
    with pytest.raises(ConfigError, match="expected 3 to 24"):
        job(place, tmp_path / "o", "data.max_length=30").run()
    assert not (tmp_path / "o").exists()


def test_the_command_line(place, tmp_path, capsys):
    pairs = [str(place / name) for name in ("0.en", "0.xx")]
    arguments = ["distill", "-q", "--teacher", str(place / "encoder"), "--pairs", *pairs]
    arguments += ["--out", str(tmp_path / "run"), "--recipe", "multilingual", "--set", "train.max_steps=2"]
    arguments += ["--set", "data.max_length=20"]
    assert main(arguments) == 0
    assert "Learnt from 64 of the 1,200 sentences of 600 pairs." in capsys.readouterr().out
    tsv = tmp_path / "pairs.tsv"
    tsv.write_text("english\tother\nwarm film\tmraw mlif\n")
    one = [
        "distill",
        "-q",
        "--teacher",
        str(place / "encoder"),
        "--pairs",
        str(tsv),
        "--out",
        str(tmp_path / "b"),
    ]
    changes = ["data.source=english", "data.translation=other", "train.max_steps=1", "data.max_length=20"]
    assert main([*one, "--json", *(x for c in changes for x in ("--set", c))]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 1
    with pytest.raises(SystemExit):
        main([*one, "--corpus", str(tsv)])
    corpus = [
        "distill",
        "--teacher",
        str(place / "encoder"),
        "--corpus",
        str(tsv),
        "--out",
        str(tmp_path / "c"),
    ]
    assert main([*corpus, "--eval-pairs", str(tsv)]) == 2


def test_sentence_transformers_files(tmp_path):
    assert read_settings(tmp_path) == EmbeddingSettings("mean", True, None)
    for embedding in (EmbeddingSettings("cls", False, None), EmbeddingSettings("max", True, 77)):
        place = tmp_path / embedding.pooling
        write_settings(place, embedding, 24)
        assert read_settings(place) == embedding
    config = json.loads((place / "1_Pooling" / "config.json").read_text())
    assert config["word_embedding_dimension"] == 24
    (place / "1_Pooling" / "config.json").write_text(json.dumps({**config, "pooling_mode_cls_token": True}))
    assert read_settings(place).pooling == "cls+max"
    modules = json.loads((place / "modules.json").read_text())
    modules.append({"type": "sentence_transformers.models.CNN", "path": "3_CNN"})
    (place / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match="CNN are not supported"):
        read_settings(place)
