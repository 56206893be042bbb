"""Sentence encoders that sentence-transformers saved, and ours that it loads: the same vectors, both ways."""

import json
import logging

import numpy as np
import pytest
from tiny import make_encoder

sentence_transformers = pytest.importorskip("sentence_transformers")

import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer import modules as m  # noqa: E402
from torch import nn  # noqa: E402

from minidistil.embeddings.encoder import SentenceEncoder  # noqa: E402
from minidistil.embeddings.layers import ACTIVATIONS  # noqa: E402
from minidistil.embeddings.semantic_search import search  # noqa: E402
from minidistil.jobs.multilingual import PairsDistillation, PairsRecipe  # noqa: E402
from minidistil.jobs.sentences import SentencesRecipe, TextsDistillation  # noqa: E402
from minidistil.ops.pooling import KINDS  # noqa: E402
from minidistil.settings import load_recipe  # noqa: E402

TEXTS = [
    "the Warm film",
    "",
    "a dull plot with the tired cast",
    "Lovely " * 40,
    "is",
    "FUNNY [MASK] and bright",
]
PROMPTS = {"query": "the film is ", "passage": "a plot : "}
W = 24


def pooled(*modes, **options):
    return lambda: [m.Pooling(W, modes, **options)]


def after(*layers):
    """Layers, after the mean; several at random, but not at the identity."""
    return lambda: [m.Pooling(W, "mean"), *(layer() for layer in layers)]


def layer_norm(width):
    layer = m.LayerNorm(width)
    torch.nn.init.normal_(layer.norm.weight)
    torch.nn.init.normal_(layer.norm.bias)
    return layer


DENSE = lambda **o: m.Dense(W, 7, **o)
PROMPT = {"prompts": PROMPTS, "default_prompt_name": "query"}
CASES = {
    "cls": (pooled("cls"), {"similarity_fn_name": "manhattan"}),
    "every pooling": (pooled(*KINDS), {"similarity_fn_name": "dot"}),
    "several, in the order of the old form": (pooled("cls", "max", "weightedmean"), {}),
    "every pooling without the prompt": (pooled(*KINDS, include_prompt=False), PROMPT),
    "default prompt": (pooled("max"), {**PROMPT, "similarity_fn_name": "euclidean"}),
    "every activation": (
        after(
            *(
                lambda name=name: m.Dense(W, W, activation_function=getattr(nn, name)())
                for name in ACTIVATIONS
            )
        ),
        {},
    ),
    "residuals": (
        after(lambda: DENSE(bias=False, use_residual=True), lambda: m.Dense(7, 7, use_residual=True)),
        {},
    ),
    "Normalize first": (after(m.Normalize, DENSE), {}),
    "LayerNorm": (after(DENSE, lambda: layer_norm(7), lambda: m.Dropout(0.5), m.Normalize), {}),
    "fewer numbers": (after(m.Normalize), {"truncate_dim": 5}),
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def same(ours, theirs):
    np.testing.assert_allclose(ours.encode(TEXTS), theirs.encode(TEXTS), atol=1e-5)
    np.testing.assert_allclose(
        ours.encode(TEXTS, prompt="the plot "), theirs.encode(TEXTS, prompt="the plot "), atol=1e-5
    )
    for name in set(theirs.prompts) & set(ours.settings.prompts):
        expected = theirs.encode(TEXTS, prompt_name=name)
        np.testing.assert_allclose(ours.encode(TEXTS, prompt_name=name), expected, atol=1e-5)
    vectors = theirs.encode(TEXTS)
    scores = theirs.similarity(vectors[:2], vectors).numpy()
    found = search(vectors[:2], vectors, len(TEXTS), similarity=ours.settings.similarity)
    by_rows = np.take_along_axis(scores, found.indices, 1)
    np.testing.assert_allclose(found.scores, by_rows, atol=1e-4)
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("case", CASES)
def test_both_ways(case, encoder, tmp_path):
    steps, options = CASES[case]
    torch.manual_seed(1)
    first = m.Transformer(str(encoder))
    theirs = SentenceTransformer(modules=[first, *steps()], device="cpu", **options).eval()
    theirs.save(str(tmp_path / "theirs"))
    ours = SentenceEncoder.from_pretrained(tmp_path / "theirs")
    same(ours, theirs)
    ours.save(tmp_path / "ours")
    same(SentenceEncoder.from_pretrained(tmp_path / "ours"), theirs)
    again = SentenceTransformer(str(tmp_path / "ours"), device="cpu").eval()
    same(ours, again)
    assert again.similarity_fn_name == theirs.similarity_fn_name


@pytest.mark.parametrize("length", [None, 9])
@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("lower", [False, True])
def test_where_texts_are_cut_and_lowered(length, limit, lower, encoder, tmp_path):
    """The directory's length goes before the tokenizer's, that before the positions."""
    theirs = SentenceTransformer(modules=[m.Transformer(str(encoder)), m.Pooling(W, "mean")], device="cpu")
    theirs.save(str(tmp_path))
    for name, changes in (
        ("sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": lower}),
        ("tokenizer_config.json", {"model_max_length": limit, "do_lower_case": False}),
    ):
        values = json.loads((tmp_path / name).read_text()) | changes
        kept = {key: value for key, value in values.items() if value is not None}
        (tmp_path / name).write_text(json.dumps(kept))
    theirs = SentenceTransformer(str(tmp_path), device="cpu").eval()
    ours = SentenceEncoder.from_pretrained(tmp_path)
    assert ours.settings.max_length == theirs.max_seq_length
    same(ours, theirs)


TRANSLATIONS = "warm film\tmraw mlif\ndull plot\tllud tolp\n"


@pytest.mark.parametrize("kind", ["texts", "pairs"])
def test_a_student_of_theirs(kind, encoder, tmp_path):
    """Of an encoder that sentence-transformers saved: it loads the student, with all that the teacher has."""
    modules = [
        m.Transformer(str(encoder)),
        m.Pooling(W, ["cls", "mean"], include_prompt=False),
        m.Normalize(),
    ]
    theirs = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="dot", **PROMPT)
    theirs.max_seq_length = 11
    theirs.save(str(tmp_path / "teacher"))
    changes = ["train.max_steps=2", "student.layers=0,3"]
    file = tmp_path / "pairs.tsv"
    file.write_text("text\ttext_pair\n" + TRANSLATIONS)
    if kind == "texts":
        recipe = load_recipe(SentencesRecipe, changes=changes)
        TextsDistillation(str(tmp_path / "teacher"), [file], recipe, tmp_path / "out", quiet=True).run()
    else:
        recipe = load_recipe(PairsRecipe, changes=[*changes, "data.max_length=11"])
        PairsDistillation(str(tmp_path / "teacher"), [file], recipe, tmp_path / "out", quiet=True).run()
    ours = SentenceEncoder.from_pretrained(tmp_path / "out" / "model")
    again = SentenceTransformer(str(tmp_path / "out" / "model"), device="cpu").eval()
    same(ours, again)
    assert (again.max_seq_length, again.similarity_fn_name, again.default_prompt_name) == (11, "dot", "query")
    assert again.prompts["passage"] == PROMPTS["passage"]
    assert again[0].auto_model.config.num_hidden_layers == 2
    assert [type(module).__name__ for module in again] == ["Transformer", "Pooling", "Normalize"]
    assert not np.allclose(again.encode(TEXTS), theirs.encode(TEXTS), atol=1e-3)


@pytest.fixture(scope="module")
def pair(encoder, tmp_path_factory):
    """One encoder in both libraries, with prompts, and vectors of any length."""
    here = tmp_path_factory.mktemp("pair")
    first, pooling = m.Transformer(str(encoder)), m.Pooling(W, "mean")
    theirs = SentenceTransformer(modules=[first, pooling], device="cpu", prompts=PROMPTS).eval()
    theirs.save(str(here))
    return SentenceEncoder.from_pretrained(here), SentenceTransformer(str(here), device="cpu").eval()


ARGUMENTS = [
    {},
    {"batch_size": 2},
    {"show_progress_bar": False},
    {"normalize_embeddings": True},
    {"truncate_dim": 5},
    {"truncate_dim": 5, "normalize_embeddings": True},
    {"prompt_name": "query"},
    {"prompt": "the cast "},
    {"convert_to_numpy": False},
    {"device": "cpu"},
    {"output_value": "token_embeddings"},
    {"precision": "binary"},
    {"precision": "ubinary"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document"])
def test_arguments(arguments, method, pair):
    ours, theirs = (getattr(one, method) for one in pair)
    for texts in (TEXTS, TEXTS[0], tuple(TEXTS[:2])):
        found, expected = ours(texts, **arguments), theirs(texts, **arguments)
        assert isinstance(found, list) == isinstance(expected, list)
        rows = zip(found, expected, strict=True) if isinstance(found, list) else [(found, expected)]
        for a, b in rows:
            assert a.shape == tuple(b.shape)
            assert a.dtype == np.asarray(b).dtype
            if a.dtype == np.float32:
                np.testing.assert_allclose(a, b, atol=1e-5)
            else:  # the sign of a number that is nearly 0 may be either
                bits = [np.unpackbits(np.asarray(x).astype(np.int16).astype(np.uint8)) for x in (a, b)]
                assert (bits[0] != bits[1]).mean() < 0.02


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_bytes(precision, pair):
    ours, theirs = (one.encode(TEXTS, precision=precision) for one in pair)
    assert ours.dtype == theirs.dtype
    assert np.abs(ours.astype(int) - theirs).max() <= 1, "at the border of two steps"
    for one in pair:
        with pytest.raises(Exception, match="single"):
            one.encode(TEXTS[0], precision=precision)


def test_numbers_and_names(pair):
    ours, theirs = pair
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.max_seq_length == theirs.max_seq_length
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    for name, text in ours.prompts.items():
        assert theirs.prompts[name] == text
    vectors = theirs.encode(TEXTS)
    for name in ("cosine", "dot", "euclidean", "manhattan"):
        for one in pair:
            one.similarity_fn_name = name
        for a, b in ((vectors[:2], vectors), (vectors[0], vectors), (vectors[0], vectors[1])):
            found, expected = ours.similarity(a, b), theirs.similarity(a, b).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-4)
        pairwise = ours.similarity_pairwise(vectors, vectors[::-1])
        np.testing.assert_allclose(
            pairwise, theirs.similarity_pairwise(vectors, vectors[::-1].copy()), atol=1e-4
        )
    for one in pair:
        one.similarity_fn_name = "cosine"


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
