"""Students that learn a teacher's answers on texts without labels, and on copies with replaced words."""

import json
import logging
import re

import numpy as np
import pytest
from interruption import stop_after
from tiny import BAD, CONFIG, GOOD, OTHER, VOCABULARY, make_encoder, make_tokenizer

from minidistil.cli.main import main
from minidistil.errors import ConfigError, DataError, UsageError
from minidistil.jobs.baseline import WithBaseline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.results import table
from minidistil.model import BertForMaskedLM, BertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.report.run_page import write_run_page
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer

FAST = ["train.epochs=1", "train.lr=3e-3", "train.batch_size=4", "data.max_length=20"]
STUDENT = ["model.layers=first:1"]


def sentence(i):
    a, b, c = (int(x) for x in random_order(8, i)[:3])
    word = GOOD[a % 4] if i % 2 else BAD[a % 4]
    return " ".join(["the", OTHER[b], "is", word, *OTHER[: c % 5]])


def squad(first, n, answers=True):
    questions = []
    for i in range(first, first + n):
        text = sentence(i)
        given = [{"text": text.split()[3], "answer_start": text.index(text.split()[3])}]
        question = {"id": str(i), "question": "is the film"} | ({"answers": given} if answers else {})
        questions.append({"context": text, "qas": [question]})
    return json.dumps({"data": [{"paragraphs": questions}]})


def columns(first, n, tags=True):
    lines = []
    for i in range(first, first + n):
        for word in sentence(i).split():
            tag = "B-GOOD" if word in GOOD else "B-BAD" if word in BAD else "O"
            lines.append(f"{word} {tag}" if tags else word)
        lines.append("")
    return "\n".join(lines) + "\n"


def rows(row):
    return lambda first, n: "".join(json.dumps(row(i)) + "\n" for i in range(first, first + n))


def lines(first, n):
    return "".join(sentence(i) + "\n" for i in range(first, first + n))


LABEL = {0: "negative", 1: "positive"}
# Of each kind of task: the name of its files, their contents, and the same of texts without labels.
KINDS = {
    "classification": ("jsonl", rows(lambda i: {"text": sentence(i), "label": LABEL[i % 2]}), "txt", lines),
    "pairs": (
        "jsonl", rows(lambda i: {"sentence1": sentence(i), "sentence2": "a plot", "label": LABEL[i % 2]}),
        "jsonl", rows(lambda i: {"sentence1": sentence(i), "sentence2": "a film", "label": "any"}),
    ),
    "multi-label": (
        "jsonl", rows(lambda i: {"text": sentence(i), "labels": [LABEL[i % 2]][: i % 3]}), "txt", lines,
    ),
    "regression": (
        "jsonl", rows(lambda i: {"text": sentence(i), "score": 2.0 * (i % 2)}),
        "jsonl", rows(lambda i: {"text": sentence(i), "score": "no number"}),
    ),
    "token-classification": ("conll", columns, "txt", lines),
    "question-answering": ("json", squad, "json", lambda first, n: squad(first, n, answers=False)),
    "multiple-choice": (
        "jsonl", rows(lambda i: {"context": sentence(i), "choices": [GOOD[1], BAD[0]], "label": i % 2}),
        "jsonl", rows(lambda i: {"context": sentence(i), "choices": ["a", "the"], "label": -1}),
    ),
    "summarization": (
        "jsonl", rows(lambda i: {"text": f"{sentence(i)}. A plot.", "summary": sentence(i)}),
        "jsonl", rows(lambda i: {"text": f"{sentence(i)}. A plot."}),
    ),
}  # fmt: skip


def task_of(kind):
    return "classification" if kind == "pairs" else kind


class Place:
    """A directory with an encoder, and for each kind files and a teacher, made when asked for."""

    def __init__(self, here):
        self.here, self.teachers = here, {}
        make_encoder(here)
        shape = CONFIG.replace(num_hidden_layers=2)
        BertModel(shape, seed=7).save_pretrained(
            here / "small", tokenizer=Tokenizer.from_pretrained(here / "encoder")
        )
        for kind, (suffix, make, _, texts) in KINDS.items():
            (here / kind).mkdir()
            self.train(kind).write_text(make(0, 16))
            (here / kind / f"dev.{suffix}").write_text(make(16, 8))
            self.texts(kind).write_text(texts(20, 10))  # of which 4 are measured by

    def train(self, kind):
        return self.here / kind / f"train.{KINDS[kind][0]}"

    def dev(self, kind):
        return self.here / kind / f"dev.{KINDS[kind][0]}"

    def texts(self, kind):
        return self.here / kind / f"texts.{KINDS[kind][2]}"

    def tuning(self, kind, out, *changes, source="small", texts=(), **options):
        recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
        return FineTuning(
            str(self.here / source), task_of(kind), self.train(kind), recipe, out,
            evaluate=self.dev(kind), unlabelled=texts, quiet=True, **options,
        )  # fmt: skip

    def teacher(self, kind):
        if kind not in self.teachers:
            self.teachers[kind] = self.here / f"teacher-{kind}"
            self.tuning(kind, self.teachers[kind]).run()
        return str(self.teachers[kind])

    def taught(self, kind, out, *changes, texts=(), **options):
        changes = [*STUDENT, *changes]
        return self.tuning(kind, out, *changes, texts=texts, **{"teacher": self.teacher(kind), **options})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("transfer"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task(place, tmp_path, kind):
    run = place.taught(kind, tmp_path / "s", "teaching.augment=2", texts=[place.texts(kind)])
    report = run.run()
    assert (report["examples"], report["unlabelled"], report["copies"]) == (16, 6, 32)
    examples, alone = len(run._examples_data), len(run.dataset)
    assert alone - examples == 6 * examples // 16 + 2 * examples
    objective = [json.loads(line) for line in (tmp_path / "s/metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(record["loss"]) for record in objective if "loss" in record)
    shown = table(report)
    assert "learnt from 54 examples." in shown
    assert "Of these, 6 texts and 32 copies have no labels." in shown
    assert json.loads((tmp_path / "s/run.json").read_text())["unlabelled"]


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_every_example_has_a_copy(place, tmp_path, kind):
    run = place.taught(kind, tmp_path / "s")
    n = len(run._examples_data)
    assert len(run.dataset) == 2 * n
    run.dataset.batch(np.arange(n, 2 * n))
    asked = place.taught(kind, tmp_path / "t", "teaching.augment=1")
    assert run.dataset.content_hash() == asked.dataset.content_hash()


def test_the_page_counts_all_that_is_learnt_from(place, tmp_path):
    place.taught("classification", tmp_path / "s").run()
    page = write_run_page(tmp_path / "s").read_text()
    _, _, after = page.partition("examples that it learnt from")
    assert re.sub(r"<[^>]+>", " ", after).split()[0] == "32"


def test_by_default_no_copies_where_they_teach_nothing(place, tmp_path):
    """Beside texts, of labels alone, and where no word can be replaced; asked for, there are some."""
    kind, texts = "classification", [place.texts("classification")]
    for number, (changes, options) in enumerate(
        [
            (["teaching.augment=0"], {}),
            (["teaching.terms={soft = 0.0, hard = 1.0}"], {}),
            ([], {"texts": texts}),
        ]
    ):
        run = place.taught(kind, tmp_path / str(number), *changes, **options)
        assert len(run.dataset) == 16 + 6 * bool(options), changes
        assert "copies" not in run.run()
    hidden = ["teaching.terms={soft = 0.0, hard = 1.0, hidden = 1.0}", "model.layers=all"]
    assert len(place.taught(kind, tmp_path / "h", *hidden).dataset) == 32
    numbers = tmp_path / "train.jsonl"
    numbers.write_text(
        "".join(json.dumps({"text": f"{i} , .", "label": LABEL[i % 2]}) + "\n" for i in range(16))
    )
    run = place.taught(kind, tmp_path / "n")
    run._train = numbers
    assert len(run.dataset) == 16
    asked = place.taught(kind, tmp_path / "m", "teaching.augment=1")
    asked._train = numbers
    with pytest.raises(DataError, match="no word of the examples can be replaced"):
        _ = asked.dataset


def test_the_choices_of_an_example_have_the_same_words_replaced_before_them(place, tmp_path):
    run = place.taught("multiple-choice", tmp_path / "s", "teaching.augment=2", "teaching.replaced=0.7")
    sequences, n = run.dataset.sequences, len(run._examples_data.sequences)
    changed = 0
    for i in range(n, 3 * n, 2):  # two choices, each behind the context
        first, second = sequences.batch([i]), sequences.batch([i + 1])
        context = int((first.token_type_ids == 0).sum())
        assert first.input_ids[:context].tolist() == second.input_ids[:context].tolist()
        changed += (first.input_ids[:context] != sequences.batch([(i - n) % n]).input_ids[:context]).any()
    assert changed > n // 2


def test_a_text_that_is_measured_by_is_left_out(place, tmp_path, caplog):
    run = place.taught("classification", tmp_path / "s", texts=[place.texts("classification")])
    with caplog.at_level(logging.INFO, logger="minidistil"):
        (found,) = run.transfer.texts
    assert found.texts == [sentence(i) for i in range(24, 30)]
    assert "texts.txt: left out 4 of 10 texts, which are measured by" in caplog.text


def test_labels_are_learnt_where_they_are(place, tmp_path):
    """The same bits whatever labels stand beside the texts; others without the texts."""
    spoilt = tmp_path / "texts.jsonl"
    spoilt.write_text(
        "".join(json.dumps({"text": sentence(i), "label": LABEL[0]}) + "\n" for i in range(24, 30))
    )
    found = []
    for name, texts in (("a", [place.texts("classification")]), ("b", [spoilt]), ("c", [])):
        place.taught("classification", tmp_path / name, texts=texts).run()
        found.append(load_model(tmp_path / name).params.flat)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_the_mean_that_a_regression_begins_with_is_of_labels(place, tmp_path):
    run = place.taught("regression", tmp_path / "s", texts=[place.texts("regression")])
    bias = run.first_model().params["classifier.bias"]
    without = place.taught("regression", tmp_path / "t").first_model().params["classifier.bias"]
    assert np.isfinite(bias).all()
    np.testing.assert_array_equal(bias, without)


def test_the_student_without_a_teacher_takes_as_many_steps(place, tmp_path):
    kind = "classification"
    run = place.taught(kind, tmp_path / "s", "teaching.augment=1", texts=[place.texts(kind)])
    report = WithBaseline(run).run()
    steps = -(-(16 + 6 + 16) // 4)
    assert run.steps == steps
    assert "train.max_steps" not in (tmp_path / "s/recipe.toml").read_text()
    alone = json.loads((tmp_path / "s/baseline/report.json").read_text())
    assert alone["recipe"]["train"]["max_steps"] == steps
    assert "copies" not in alone
    assert report["models"].keys() == {"teacher", "student", "baseline"}


def test_stopped_and_started_again(place, tmp_path, monkeypatch):
    kind, changes = "multi-label", ["teaching.augment=1", "train.save_every=3", "train.accumulation=2"]
    options = {"texts": [place.texts(kind)]}
    place.taught(kind, tmp_path / "whole", *changes, **options).run()
    stop_after(3, place.taught(kind, tmp_path / "again", *changes, **options), monkeypatch)
    place.taught(kind, tmp_path / "again", *changes, **options).run()
    one, other = (load_model(tmp_path / name).params.flat for name in ("whole", "again"))
    np.testing.assert_array_equal(one, other)


def test_other_texts_are_another_run(place, tmp_path, monkeypatch):
    kind, texts = "classification", tmp_path / "t.txt"
    texts.write_text(lines(30, 8))
    run = place.taught(kind, tmp_path / "s", "train.save_every=1", texts=[texts])
    stop_after(2, run, monkeypatch)
    texts.write_text(lines(31, 8))
    with pytest.raises(ConfigError, match="unlabelled"):
        place.taught(kind, tmp_path / "s", "train.save_every=1", texts=[texts]).run()


def test_all_of_it_without_labels(place, tmp_path):
    """Terms without labels: the training file needs none either."""
    run = place.taught(
        "classification", tmp_path / "s", "teaching.terms={soft = 1.0, hard = 0.0}", "teaching.augment=1",
        texts=[place.texts("classification")],
    )  # fmt: skip
    run._train = tmp_path / "train.txt"
    run._train.write_text(lines(0, 12))
    assert run.dataset.targets == {}
    assert len(run.dataset) == 12 + 6 + 12


def test_words_of_copies_are_of_the_teachers_table_or_of_a_masked_lm(place, tmp_path):
    tokenizer = Tokenizer.from_pretrained(place.here / "encoder")
    BertForMaskedLM(CONFIG.replace(num_hidden_layers=1), seed=2).save_pretrained(
        tmp_path / "lm", tokenizer=tokenizer
    )
    kind, copies = "token-classification", []
    for change in ("seed=0", "words_from", "seed=1"):
        chosen = f"teaching.words_from={tmp_path / 'lm'}" if change == "words_from" else f"train.{change}"
        run = place.taught(kind, tmp_path / "s", "teaching.augment=1", chosen)
        n = len(run._examples_data)
        copy = run.dataset.subset(np.arange(n, 2 * n))
        assert (copy.token_targets["labels"] == -100).all()
        assert (copy.token_targets["compared"] == run._examples_data.token_targets["compared"]).all()
        changed = copy.input_ids != run._examples_data.input_ids
        assert 0.2 < changed.mean() < 0.5
        assert all(VOCABULARY[i].isalpha() for i in copy.input_ids[changed])
        copies.append(copy.input_ids)
        if change == "words_from":
            assert run.identity()["words_from"]["weights"]
    assert (copies[0] != copies[1]).any()
    assert (copies[0] != copies[2]).any()


def test_a_teacher_with_its_own_tokenizer_reads_the_texts(place, tmp_path):
    words = VOCABULARY[5:]
    make_tokenizer(tmp_path / "other")
    (tmp_path / "other/vocab.txt").write_text("\n".join([*VOCABULARY[:5], *words[::-1]]) + "\n")
    other = BertModel(CONFIG.replace(num_hidden_layers=1), seed=1)
    other.save_pretrained(tmp_path / "m", tokenizer=Tokenizer.from_pretrained(tmp_path / "other"))
    options = {"source": tmp_path / "m", "texts": [place.texts("classification")]}
    run = place.taught("classification", tmp_path / "s", **options)
    theirs = run._for_teacher
    assert len(theirs) == len(run.dataset) == 22
    assert theirs.content_hash() != run.dataset.content_hash()
    assert run.run()["unlabelled"] == 6
    several = place.taught(
        "classification", tmp_path / "u", teacher=[place.teacher("classification"), str(tmp_path / "s")],
        **options,
    )  # fmt: skip
    own, same = several._for_teacher
    assert own.content_hash() == theirs.content_hash()
    assert same is None
    assert several.run()["unlabelled"] == 6
    assert len(place.taught("classification", tmp_path / "v", source=tmp_path / "m").dataset) == 16
    with pytest.raises(ConfigError, match="another vocabulary"):
        place.taught("classification", tmp_path / "t", "teaching.augment=1", **options).run()


def test_what_is_refused(place, tmp_path, capsys):
    texts = [place.texts("classification")]
    with pytest.raises(UsageError, match=r"--unlabelled .* needs --distill-from"):
        place.taught("classification", tmp_path / "s", teacher=None, texts=texts)
    with pytest.raises(ConfigError, match="need a teacher"):
        place.taught("classification", tmp_path / "s", "teaching.augment=1", teacher=None)
    with pytest.raises(ConfigError, match="has texts alone, and the student learnt from pairs"):
        place.taught("pairs", tmp_path / "s", texts=texts).run()
    with pytest.raises(DataError, match=r"no question|not in SQuAD|JSON"):
        place.taught("question-answering", tmp_path / "s", texts=texts).run()
    with pytest.raises(ConfigError, match=r"is a BertModel: teaching\.words_from needs"):
        place.taught(
            "classification", tmp_path / "s", "teaching.augment=1", f"teaching.words_from={place.here}/small"
        ).run()
    for wrong in ("augment=-1", "replaced=0", "replaced=1.5", "replacements=0"):
        with pytest.raises(ConfigError, match=f"{wrong.split('=')[0]} is "):
            load_recipe(FineTuningRecipe, changes=[f"teaching.{wrong}"])
    command = ["finetune", "m", "--task", "glue", "--train", "x", "--out", "y", "--unlabelled", "z"]
    assert main(command) == 2
    assert "--unlabelled goes with one task" in capsys.readouterr().err


def test_masked_words_have_no_labels(place, tmp_path):
    tokenizer = Tokenizer.from_pretrained(place.here / "encoder")
    BertForMaskedLM(CONFIG.replace(num_hidden_layers=1), seed=2).save_pretrained(
        tmp_path / "lm", tokenizer=tokenizer
    )
    file, recipe = place.texts("classification"), load_recipe(FineTuningRecipe, changes=FAST)
    run = FineTuning(
        str(tmp_path / "lm"), "masked-lm", file, recipe, tmp_path / "s",
        teacher=str(tmp_path / "lm"), unlabelled=[file], quiet=True,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="give all of them by --train"):
        run.run()


def test_on_the_command_line(place, tmp_path, capsys):
    kind = "classification"
    command = [
        "finetune", "-q", str(place.here / "small"), "--task", kind, "--train", str(place.train(kind)),
        "--eval", str(place.dev(kind)), "--out", str(tmp_path / "s"), "--distill-from", place.teacher(kind),
        "--set", "train.epochs=1", "--unlabelled", str(place.texts(kind)), str(place.texts(kind)),
    ]  # fmt: skip
    assert main(command) == 0
    assert "Of these, 12 texts have no labels." in capsys.readouterr().out
