"""A smaller sentence encoder from texts: a whole run, what is measured, another tokenizer, refusals."""

import gzip
import json

import numpy as np
import pytest
from tiny import BAD, CONFIG, GOOD, OTHER, SPECIAL, make_encoder

from minidistil.cli.main import main
from minidistil.distill.teacher_cache import TeacherCache
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.layers import Dense
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.jobs.results import table
from minidistil.jobs.sentences import SentencesRecipe, TextsDistillation
from minidistil.metrics import spearman
from minidistil.model import BertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.tasks.registry import named_task
from minidistil.text.tokenizer import Tokenizer

CHANGES = ["train.epochs=6", "train.lr=5e-4", "train.save_every=20", "data.held_out=0.1"]
WORDS = (*GOOD, *BAD, *OTHER)


def sentences(n, seed):
    return [" ".join(WORDS[k % len(WORDS)] for k in random_order(18, seed, i)[: 3 + i % 5]) for i in range(n)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("texts")
    make_encoder(here)
    (here / "texts.txt").write_text("\n".join(sentences(400, 0)) + "\n")
    return here


def job(place, out, *changes, texts=None, **options):
    recipe = load_recipe(SentencesRecipe, "sentences", changes=[*CHANGES, *changes])
    texts = [place / "texts.txt"] if texts is None else texts
    return TextsDistillation(
        str(options.pop("teacher", place / "encoder")), texts, recipe, out, quiet=True, **options
    )


@pytest.fixture(scope="module")
def student(place):
    out = place / "student"
    return out, job(place, out).run()


def agreement(ours, theirs, texts):
    """Mean cosine of the vectors of two encoders, and rank correlation of their cosines of all pairs."""
    x, y = (
        v / np.linalg.norm(v, axis=1, keepdims=True)
        for v in (e.encode(texts).astype(np.float64) for e in (ours, theirs))
    )
    above = np.triu_indices(len(texts), 1)
    return (x * y).sum(1).mean(), spearman((x @ x.T)[above], (y @ y.T)[above])


def test_half_the_layers_learn_the_teachers_vectors(place, student, tmp_path):
    out, report = student
    teacher, ours = report["models"]["teacher"], report["models"]["student"]
    assert (teacher["layers"], ours["layers"]) == (6, 3)
    assert teacher["cosine"] == pytest.approx(1)
    assert teacher["spearman"] == pytest.approx(1)
    run = job(place, tmp_path)
    first = SentenceEncoder(run.first_model(), run.tokenizer, run.written)
    encoder = SentenceEncoder.from_pretrained(out / "model")
    cosine, rank = agreement(encoder, SentenceEncoder.from_pretrained(place / "encoder"), run.held_out)
    assert ours["cosine"] == pytest.approx(cosine, abs=1e-6)
    assert ours["spearman"] == pytest.approx(rank, abs=1e-3)
    before = agreement(first, run.teacher_encoder, run.held_out)
    assert cosine > before[0] + 0.1
    assert rank > before[1] + 0.01
    assert sorted(p.name for p in out.iterdir()) == [
        "metrics.jsonl", "model", "recipe.toml", "report.json", "run.json",
    ]  # fmt: skip
    pooler = "pooler.dense.weight"
    student_model, teacher_model = load_model(out / "model", strict=True), load_model(place / "encoder")
    np.testing.assert_array_equal(student_model.params[pooler], teacher_model.params[pooler])
    lines = table(report).splitlines()
    assert f"agreement with the teacher: learnt from {len(run.sources)} examples." in lines[-2]
    assert ours["retained"] == pytest.approx(ours["spearman"])
    assert ["words", "23", "23"] in [line.split() for line in lines]


def test_held_out_texts_are_others_and_every_text_counts_once(place, tmp_path):
    with gzip.open(tmp_path / "more.txt.gz", "wt") as file:
        file.write("\n".join([*sentences(400, 0), "", "warm and grim"]) + "\n")
    (tmp_path / "rows.csv").write_text("id,said\n1,the plot\n2,a bright cast\n")
    once = job(place, tmp_path / "a")
    twice = job(place, tmp_path / "b", texts=[place / "texts.txt", tmp_path / "more.txt.gz"])
    assert [*once.texts, "warm and grim"] == twice.texts
    assert len(once.texts) == len(set(sentences(400, 0)))
    assert len(once.held_out) == round(len(once.texts) / 10)
    assert not set(once.held_out) & set(once.sources)
    assert sorted([*once.held_out, *once.sources]) == sorted(once.texts)
    rows = job(place, tmp_path / "c", "data.text=said", texts=[tmp_path / "rows.csv"])
    assert rows.texts == rows.sources == ["the plot", "a bright cast"]
    with pytest.raises(DataError, match=r"which column holds the text.*id, said"):
        _ = job(place, tmp_path / "d", texts=[tmp_path / "rows.csv"]).texts


def test_it_learns_what_the_encoder_makes_of_a_text(place, tmp_path):
    """With a prompt whose tokens do not count, lower case, a length; and all of it is kept."""
    layer = Dense(np.random.default_rng(0).standard_normal((5, 48), np.float32), None, "Tanh")
    about = EmbeddingSettings("cls+mean", False, 12, (layer,), 4, True, False, {"q": "the plot "}, "q", "dot")
    encoder = SentenceEncoder.from_pretrained(place / "encoder")
    SentenceEncoder(encoder.model, encoder.tokenizer, about).save(tmp_path / "teacher")
    (tmp_path / "texts.txt").write_text("\n".join(s.upper() for s in sentences(30, 3)) + "\n")
    run = job(
        place, tmp_path / "out", "train.max_steps=2", teacher=tmp_path / "teacher",
        texts=[tmp_path / "texts.txt"],
    )  # fmt: skip
    pooled = SentenceEncoder.from_pretrained(tmp_path / "teacher", layers=(), truncate_dim=None)
    np.testing.assert_allclose(
        run.dataset.targets["teacher_pooled"], pooled.encode(run.sources), rtol=1e-4, atol=1e-5
    )
    report = run.run()
    assert report["loss"] == "mse", "lengths count before a layer"
    student = SentenceEncoder.from_pretrained(tmp_path / "out" / "model")
    assert student.settings._replace(layers=()) == about._replace(layers=())
    np.testing.assert_array_equal(student.settings.layers[0].weight, layer.weight)


def test_the_loss_follows_from_what_the_vectors_are_compared_by(place, tmp_path):
    encoder = SentenceEncoder.from_pretrained(place / "encoder")
    for settings, loss in (
        (EmbeddingSettings("mean", True, similarity="dot"), "cosine"),
        (EmbeddingSettings("mean", False, similarity="cosine"), "cosine"),
        (EmbeddingSettings("mean", False, similarity="dot"), "mse"),
    ):
        teacher = tmp_path / f"{settings.normalize}-{settings.similarity}"
        SentenceEncoder(encoder.model, encoder.tokenizer, settings).save(teacher)
        assert job(place, tmp_path / "out", teacher=teacher).embedding_loss() == loss
    assert job(place, tmp_path / "out", "objective.kind=mse").embedding_loss() == "mse"


def test_measured_by_a_task(place, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    texts = sentences(40, 5)
    rows = [f"{a}\t{b}\t{i % 7}" for i, (a, b) in enumerate(zip(texts[::2], texts[1::2], strict=True))]
    pairs.write_text("\n".join(["sentence1\tsentence2\tscore", *rows]) + "\n")
    queries = tmp_path / "queries.jsonl"
    lines = [{"query": a, "positive": b} for a, b in zip(texts[:20], texts[20:], strict=True)]
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, file, metric in (("stsb-similarity", pairs, "spearman"), ("retrieval", queries, "ndcg_at_10")):
        run = job(place, tmp_path / name, "train.max_steps=3", evaluate=file, task=name)
        assert run.sources == run.texts
        assert not run.held_out
        report = run.run()
        task = named_task(name)
        assert report["primary"] == metric == task.main_metric
        for model, path in (("teacher", place / "encoder"), ("student", tmp_path / name / "model")):
            found = task.evaluate_saved(path, task.read(file))
            assert {key: report["models"][model][key] for key in found} == pytest.approx(found), model
        logged = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        last = [record for record in logged if record["kind"] == "eval"][-1]
        assert last[metric] == pytest.approx(report["models"]["student"][metric])
        assert f"\n{name}: learnt from" in table(report)


def test_a_student_with_a_tokenizer_of_its_own(place, tmp_path, caplog):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "vocab.txt").write_text("\n".join([*SPECIAL, *reversed(WORDS), "zz"]) + "\n")
    tokenizer = Tokenizer.from_pretrained(tmp_path / "own")
    small = CONFIG.replace(vocab_size=24, num_hidden_layers=2, max_position_embeddings=20)
    BertModel(small, seed=1).save_pretrained(tmp_path / "small", tokenizer=tokenizer)
    with caplog.at_level("INFO", "minidistil"):
        run = job(place, tmp_path / "out", "train.lr=3e-3", student=str(tmp_path / "small"))
        first = SentenceEncoder(run.first_model(), run.tokenizer, run.written)
        before = agreement(first, run.teacher_encoder, run.held_out)
        report = run.run()
    assert "another tokenizer than the teacher (token 5 is 'warm' there" in caplog.text
    assert report["models"]["student"]["layers"] == 2, "all of its layers"
    assert run.written.max_length == 20, "as far as both can read"
    ids = run.dataset.batch([0]).input_ids
    assert tokenizer.decode(ids).replace(" ##", "") == run.sources[0].replace(" ##", "")
    after = agreement(SentenceEncoder.from_pretrained(tmp_path / "out" / "model"), run.teacher_encoder,
                      run.held_out)  # fmt: skip
    assert after[0] > before[0] + 0.1
    assert after[1] > before[1] + 0.1
    with pytest.raises(ConfigError, match=r"another tokenizer.*take no objective\.terms"):
        job(place, tmp_path / "no", "objective.terms.hidden=1", student=str(tmp_path / "small")).run()
    wide = CONFIG.replace(hidden_size=32)
    BertModel(wide, seed=1).save_pretrained(tmp_path / "wide", tokenizer=run.teacher_tokenizer)
    with pytest.raises(ConfigError, match=r"wide has vectors of 32 numbers, the teacher of 24"):
        job(place, tmp_path / "no", student=str(tmp_path / "wide")).run()
    with pytest.raises(ConfigError, match="is 21: expected 3 to 20, the models' positions"):
        job(place, tmp_path / "no", "data.max_length=21", student=str(tmp_path / "small")).run()
    assert not (tmp_path / "no").exists()


def test_a_student_reads_its_texts_in_its_own_case(place, tmp_path):
    """Lower case is of the tokenizer; all other settings are of the vectors, and the teacher's."""
    model, tokenizer = load_model(place / "encoder"), Tokenizer.from_pretrained(place / "encoder")
    about = EmbeddingSettings("cls", False, 9, lower_case=True, similarity="dot")
    SentenceEncoder(model, tokenizer, about).save(tmp_path / "student")
    run = job(place, tmp_path / "out", "train.max_steps=1", student=str(tmp_path / "student"))
    run.run()
    student = SentenceEncoder.from_pretrained(tmp_path / "out" / "model")
    assert student.settings == run.teacher_encoder.settings._replace(lower_case=True)
    assert student.model.config.num_hidden_layers == 6


def test_a_new_vocabulary(place, tmp_path):
    run = job(
        place, tmp_path / "out", "train.max_steps=1", "student.vocabulary=120", "student.layers=first:2"
    )
    report = run.run()["models"]["student"]
    assert report["words"] <= 120
    assert report["layers"] == 2
    student = SentenceEncoder.from_pretrained(tmp_path / "out" / "model")
    assert student.tokenizer.vocab_size == report["words"]
    changes = ["student.vocabulary=30", "objective.terms.hidden=1"]
    with pytest.raises(ConfigError, match=r"another tokenizer.*its words are made of the texts"):
        job(place, tmp_path / "no", *changes).run()
    assert not (tmp_path / "no").exists()


def test_further_terms(place, tmp_path):
    run = job(place, tmp_path / "out", "train.max_steps=2", "objective.terms={hidden = 0.5, cosine = 1.0}")
    run.run()
    logged = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in logged if record["kind"] == "train"]
    assert {"embedding", "hidden", "cosine"} <= train[0].keys()
    for term in ("soft", "embedding"):
        with pytest.raises(ConfigError, match=rf"objective\.terms\.{term} is no further term"):
            job(place, tmp_path / "no", f"objective.terms.{term}=1").run()


def test_a_stopped_run_goes_on_with_the_same_bits(place, student, tmp_path, monkeypatch):
    """And does not ask the teacher again; a finished run is read, another one is refused."""

    class StopError(Exception):
        pass

    def stop(step):
        if step.step == 30:
            raise StopError

    again = job(place, tmp_path / "out")
    with again.job.alone():
        again.job.claim(again.identity(), again.check)
        model = again.first_model()
        with pytest.raises(StopError):
            again.trainer(
                model, out=again.job.work, evaluate=again.evaluation(model), quiet=True, on_step=stop
            ).train()
    monkeypatch.setattr(TeacherCache, "_run", None)
    report = job(place, tmp_path / "out").run()
    assert report["models"] == student[1]["models"]
    ours, theirs = (load_model(out / "model").params.flat for out in (tmp_path / "out", student[0]))
    np.testing.assert_array_equal(ours, theirs)
    assert job(place, tmp_path / "out").finished() == json.loads(json.dumps(report))
    with pytest.raises(ConfigError, match="holds another run"):
        job(place, tmp_path / "out", "objective.kind=mse").run()


def test_the_command_line(place, tmp_path, capsys):
    base = ["distill", "-q", "--teacher", str(place / "encoder"), "--recipe", "sentences"]
    texts = ["--texts", str(place / "texts.txt"), "--max-steps", "2", "--out"]
    assert main([*base, *texts, str(tmp_path / "a")]) == 0
    printed = capsys.readouterr().out
    assert "The student keeps" in printed
    assert "learnt from 64 of" in printed
    assert main(["report", "-q", str(tmp_path / "a")]) == 0
    page = (tmp_path / "a" / "report.html").read_text()
    assert "spearman of the student" in page
    assert "retained" in page
    capsys.readouterr()
    (tmp_path / "rows.csv").write_text("id,said\n1,the plot\n2,a bright cast\n")
    rows = ["--texts", str(tmp_path / "rows.csv"), "--text", "said", "--max-steps", "1", "--out"]
    assert main([*base, *rows, str(tmp_path / "rows"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 2
    assert main([*base, *texts, str(tmp_path / "b"), "--eval", "none", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "spearman" not in report["models"]["student"]
    assert report["examples"] == len(set(sentences(400, 0)))
    assert main([*base, *texts, str(tmp_path / "terms"), "--set", "objective.terms.hiden=1"]) == 3
    assert (
        "objective.terms.hiden is no further term of a sentence encoder (did you mean hidden?)"
        in capsys.readouterr().err
    )
    for wrong, said in (
        (["--eval-pairs", "x"], "--eval-pairs goes with --pairs"),
        (["--task", "retrieval"], "--task is that of --eval FILE, which is missing"),
        (["--eval", "x", "--task", "sst2"], "--task sst2: expected similarity"),
        (["--eval", "x", "--task", "translations"], "--task translations: expected similarity"),
    ):
        assert main([*base, *texts, str(tmp_path / "c"), *wrong]) == 2
        assert said in capsys.readouterr().err
    corpus = [*base[:4], "--corpus", str(place / "texts.txt"), "--out", str(tmp_path / "c")]
    for option in ("--student", "--eval"):
        assert main([*corpus, option, "x"]) == 2
        assert "goes with --texts" in capsys.readouterr().err
    assert main(["distill", "--recipe", "sentences", "--print-recipe"]) == 0
    assert "held_out" in capsys.readouterr().out


def test_a_task_that_measures_no_encoder(place, tmp_path):
    with pytest.raises(UsageError, match="similarity, stsb-similarity or retrieval"):
        job(place, tmp_path, evaluate="x", task="ner")
