"""Guessing masked words: probabilities, whole texts, several masks, targets, and what is refused."""

import json

import numpy as np
import pytest
from tiny import CONFIG, SPECIAL, make_classifier, predictor_of

from minidistil.cli.main import main
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.model import BertForMaskedLM, BertForPreTraining
from minidistil.tasks.masked_lm.fill import FillMask
from minidistil.tasks.masked_lm.task import MaskedLMTask
from minidistil.tasks.registry import pipeline
from minidistil.text.tokenizer import Tokenizer

WORDS = [*SPECIAL, "[unused0]", "[unused17]", "a", "the", "film", "plot", "is", "warm", "dull", "of", "play"]
WORDS += [".", "##ly", "##ing"]
SIZE = CONFIG.replace(vocab_size=len(WORDS) + 3, initializer_range=0.5)  # three rows that no token has
TEXTS = ["The [MASK] is warm.", "the  FILM [MASK]", "[MASK] [MASK], the\t[MASK]!", "[MASK]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("words")
    (here / "vocabulary").mkdir()
    (here / "vocabulary" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = Tokenizer.from_pretrained(here / "vocabulary")
    BertForMaskedLM(SIZE, seed=4).save_pretrained(here / "model", tokenizer=tokenizer)
    return here


@pytest.fixture(scope="module")
def guess(place):
    return pipeline("fill-mask", place / "model", dtype="float64", mapped=False)


def probabilities(guess, ids, place):
    """Of every word at a place, straight from the model."""
    logits = guess.model(np.array([ids])).logits[0, place]
    return np.exp(logits) / np.exp(logits).sum()


def test_scores_are_the_models(guess):
    assert isinstance(guess, FillMask)
    found = guess(TEXTS, top_k=50)
    for text, filling in zip(TEXTS, found, strict=True):
        ids = guess.tokenizer.encode([text]).input_ids[0]
        places = np.flatnonzero(ids == guess.tokenizer.mask_token_id)
        assert len(places) == len(filling.masks) == len(filling.tokens) == text.count("[MASK]")
        for place, mask in zip(places, filling.masks, strict=True):
            p = probabilities(guess, ids, place)
            assert text[mask.start : mask.end] == "[MASK]"
            assert {c.token for c in mask.candidates} == set(WORDS[7:]), "nothing special, unused or nameless"
            scores = [c.score for c in mask.candidates]
            assert scores == sorted(scores, reverse=True)
            assert scores == pytest.approx([p[WORDS.index(c.token)] for c in mask.candidates], rel=1e-9)
            for c in mask.candidates:
                glued = c.token.startswith("##")
                before = text[: mask.start].rstrip() if glued else text[: mask.start]
                assert c.text == before + c.token.removeprefix("##") + text[mask.end :]


def test_all_masks_together(guess):
    """The surest first, and the others guessed anew with it in its place."""
    text = TEXTS[2]
    ids = guess.tokenizer.encode([text]).input_ids[0].copy()
    words, score, places = np.arange(7, len(WORDS)), 1.0, np.flatnonzero(ids == 4).tolist()
    expected, left = {}, list(places)
    while left:
        rows = [probabilities(guess, ids, place)[words] for place in left]
        surest = int(np.argmax([row.max() for row in rows]))
        place = left.pop(surest)
        ids[place] = expected[place] = words[rows[surest].argmax()]
        score *= rows[surest].max()
    (filling,) = guess(text)
    assert filling.tokens == [WORDS[expected[place]] for place in places]
    assert filling.score == pytest.approx(score, rel=1e-9)
    alone = guess(TEXTS[0])[0]
    best = alone.masks[0].candidates[0]
    assert (alone.text, alone.score, alone.tokens) == (best.text, best.score, [best.token])


def test_company_changes_nothing(place):
    guess = pipeline("fill-mask", place / "model")
    together = guess([*TEXTS, *TEXTS[::-1]])
    for text, a, b in zip(TEXTS, together, together[::-1], strict=False):
        assert a == b
        assert guess(text)[0].tokens == a.tokens
    assert guess([]) == []


def test_targets(guess):
    every = {c.token: c.score for c in guess(TEXTS[0], top_k=99)[0].masks[0].candidates}
    found = guess(TEXTS[0], targets=["Film", "dull", "##ing", "film"])[0].masks[0].candidates
    assert {c.token for c in found} == {"film", "dull", "##ing"}
    assert [c.score for c in found] == sorted((every[c.token] for c in found), reverse=True)
    assert len(guess(TEXTS[0], targets=["film", "dull"], top_k=1)[0].masks[0].candidates) == 1
    assert set(guess(TEXTS[2], targets=["film", "dull"])[0].tokens) <= {"film", "dull"}
    for target, message in (
        ("playing", r"'playing' is 2 tokens \(play, ##ing\); a mask is one"),
        ("the film", r"2 tokens \(the, film\)"),
        ("zebra", "'zebra' is not in the vocabulary as a word"),
        ("[SEP]", "not in the vocabulary as a word"),
        ("[unused0]", "not in the vocabulary as a word"),
        ("", "'' is not in the vocabulary"),
    ):
        with pytest.raises(InputError, match=message):
            guess(TEXTS[0], targets=["film", target])
    with pytest.raises(UsageError, match="at least one"):
        guess(TEXTS[0], targets=[])


def test_what_is_refused(guess, place, tmp_path):
    for texts, message in (
        (["a [MASK]", "the film"], r"text 2 of 2 has no \[MASK\]"),
        (
            "[MASK] " + "film " * 40 + "[MASK]",
            r"longer than the 24 tokens .* the \[MASK\] at character 207 is",
        ),
    ):
        with pytest.raises(InputError, match=message):
            guess(texts)
    assert len(guess("[MASK] " + "film " * 40)[0].masks) == 1, "what is cut off is no mask"
    with pytest.raises(UsageError, match="top_k must be an integer of at least 1"):
        guess(TEXTS[0], top_k=0)
    with pytest.raises(ConfigError, match="does not guess words"):
        pipeline("fill-mask", make_classifier(tmp_path))


def test_models_for_it(place, guess):
    assert isinstance(predictor_of(place / "model"), FillMask)
    both = BertForPreTraining(SIZE, backend="numpy")
    assert len(MaskedLMTask.bind(both, guess.tokenizer)(TEXTS)) == 4
    tokenizer = Tokenizer.from_pretrained(place / "vocabulary")
    tokenizer.special_tokens["mask_token"] = "film"  # a word that is in texts
    assert len(MaskedLMTask.bind(both, tokenizer)("a film")[0].masks) == 1
    tokenizer.special_tokens["mask_token"] = "playing"
    with pytest.raises(ConfigError, match="'playing' is not in its vocabulary"):
        MaskedLMTask.bind(both, tokenizer)


def test_the_command_line(place, tmp_path, capsys):
    model = str(place / "model")
    assert main(["predict", model, *TEXTS[:2], "--top-k", "2"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 4
    assert all(token in WORDS and 0 < float(score) < 1 for token, score, _ in rows)
    assert main(["predict", model, TEXTS[2], "--targets", "film", "Plot", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"] == TEXTS[2]
    assert [TEXTS[2][m["start"] : m["end"]] for m in found["masks"]] == ["[MASK]"] * 3
    assert {c["token"] for m in found["masks"] for c in m["candidates"]} == {"film", "plot"}
    assert "[MASK]" not in found["filled"]
    assert main(["predict", model, "a [MASK] [MASK]", "--top-k", "1"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert len(last.split("\t")[0].split()) == 2, "the last line fills in both"
    page = tmp_path / "page.html"
    assert main(["predict", model, *TEXTS, "--html", str(page), "--attention", "0", "1"]) == 0
    assert page.read_text().count("<mark") == sum(text.count("[MASK]") for text in TEXTS)
    capsys.readouterr()
    assert main(["predict", model, "the film"]) == 3
    assert "has no [MASK]" in capsys.readouterr().err
    assert main(["predict", model, "a [MASK]", "--targets", "zebra"]) == 3
    assert main(["predict", model, "a [MASK]", "--top-k", "0"]) == 2
    assert main(["predict", model, "a [MASK]", "--question", "who"]) == 2
