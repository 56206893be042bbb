"""minidistil explain: what it prints is what the objective computes."""

import json

import numpy as np
import pytest
from tiny import CONFIG, make_classifier, make_tokenizer

from minidistil.batch import Batch
from minidistil.cli.main import main
from minidistil.distill import init_student
from minidistil.distill.explain import explain, gradient_norms
from minidistil.model import BertForMaskedLM, BertForSequenceClassification


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    here = tmp_path_factory.mktemp("pair")
    teacher = make_classifier(here)
    student = init_student(BertForSequenceClassification.from_pretrained(teacher), "even:2", seed=1)
    student.params.flat[:] *= 1.1
    student.save_pretrained(here / "student")
    return str(teacher), str(here / "student")


def test_it_adds_up(pair):
    teacher, student = (BertForSequenceClassification.from_pretrained(path) for path in pair)
    batch = Batch.from_sequences([[2, 6, 7, 3], [2, 9, 3]], targets={"labels": np.array([0, 1])})
    terms = explain(student, teacher, batch, {"hard": 2.0, "cosine": 1.0})
    _, grads = student.loss_and_grads([[2, 6, 7, 3], [2, 9, 3, 0]], [[1] * 4, [1, 1, 1, 0]], labels=[0, 1])
    assert list(terms[0].gradient) == ["embeddings", "1", "2", "head"]
    for part, norm in gradient_norms(student, grads).items():
        assert terms[0].gradient[part] == pytest.approx(2 * norm, rel=1e-4)
    squares = sum(norm**2 for norm in gradient_norms(student, grads).values())
    assert squares**0.5 == pytest.approx(np.linalg.norm(grads.flat), rel=1e-5)
    assert terms[1].gradient["head"] == 0, "hidden states know nothing of the classifier"
    assert all(term.value > 0 for term in terms)


def test_what_an_objective_learns_is_not_the_students(pair):
    teacher, student = (BertForSequenceClassification.from_pretrained(path) for path in pair)
    narrow = init_student(student, "first:2", width=12, seed=1)
    batch = Batch.from_sequences([[2, 6, 7, 3], [2, 9, 3]])
    (term,) = explain(narrow, teacher, batch, {"hidden": 1.0})
    assert term.gradient["2"] > 0
    assert term.gradient["head"] == 0


def test_the_command_line(pair, capsys):
    assert (
        main(
            [
                "explain",
                *pair,
                "--text",
                "the film is warm",
                "--label",
                "1",
                "--term",
                "soft=2",
                "--term",
                "hard",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "T^2 KL" in out
    assert "-log softmax" in out
    assert all(len(line) <= 100 for line in out.splitlines())
    assert main(["explain", *pair, "--text", "warm", "--json"]) == 0
    terms = json.loads(capsys.readouterr().out)
    assert [term["name"] for term in terms] == ["soft", "cosine"]
    assert main(["explain", *pair, "--text", "warm", "--term", "soft", "--term", "cosine=0", "--json"]) == 0
    assert [term["name"] for term in json.loads(capsys.readouterr().out)] == ["soft"]
    assert main(["explain", *pair, "--text", "warm", "--term", "soft=0"]) == 3
    assert "no term has a weight" in capsys.readouterr().err
    assert main(["explain", *pair, "--text", "warm", "--term", "soft=x"]) == 2
    assert main(["explain", *pair, "--text", "warm", "--label", "1", "2"]) == 2
    assert main(["explain", *pair, "--text", "warm", "--term", "soff"]) == 3
    assert "no term 'soff'" in capsys.readouterr().err


def test_a_masked_lm_masks_some_words(tmp_path, capsys):
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    teacher = BertForMaskedLM(CONFIG, seed=3)
    teacher.save_pretrained(tmp_path / "t", tokenizer=tokenizer)
    init_student(teacher, "first:2").save_pretrained(tmp_path / "s")
    text = "the film is warm and funny and bright and lovely"
    assert main(["explain", str(tmp_path / "t"), str(tmp_path / "s"), "--text", text, "--json"]) == 0
    terms = {term["name"]: term for term in json.loads(capsys.readouterr().out)}
    assert set(terms) == {"soft", "hard", "cosine"}
    assert terms["hard"]["value"] > 1
