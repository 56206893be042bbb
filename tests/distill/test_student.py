"""Students from teachers: which weights are taken, which are new, what is refused."""

import numpy as np
import pytest

from minidistil import BertConfig, DistilBertConfig
from minidistil.batch import Batch
from minidistil.distill import alternate_layers, choose_layers, init_student
from minidistil.errors import ConfigError
from minidistil.model import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    DistilBertModel,
    model_class,
)

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 12,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 16,
    "id2label": {0: "no", 1: "yes", 2: "perhaps"},
}


def teacher_of(cls, **changes):
    """A teacher in which every parameter differs from every other and from a fresh one."""
    model = cls(BertConfig(**{**SHAPE, **changes}), backend="numpy", seed=1)
    rng = np.random.default_rng(2)
    for value in model.params.values():
        value[...] = rng.standard_normal(value.shape)
    return model


def same(student, teacher, pairs):
    for own, given in pairs:
        np.testing.assert_array_equal(student.params[own], teacher.params[given])


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(12, [0, 2, 4, 7, 9, 11]), (6, [0, 2, 4]), (3, [0, 2]), (1, [0]), (24, list(range(0, 24, 2)))],
)
def test_alternate_layers(depth, layers):
    assert alternate_layers(depth) == layers


@pytest.mark.parametrize(
    ("choice", "depth", "layers"),
    [
        ("all", 4, [0, 1, 2, 3]),
        ("alternate", 12, [0, 2, 4, 7, 9, 11]),
        (" alternate ", 6, [0, 2, 4]),
        ("first:2", 6, [0, 1]),
        ("last:2", 6, [4, 5]),
        ("first:6", 6, [0, 1, 2, 3, 4, 5]),
        ("even:1", 6, [0]),
        ("even:2", 6, [0, 5]),
        ("even:3", 6, [0, 3, 5]),  # 2.5 goes up
        ("even:6", 12, [0, 2, 4, 7, 9, 11]),  # 2.2, 4.4, 6.6, 8.8: the published choice
        ("even:4", 12, [0, 4, 7, 11]),
        ("even:12", 12, list(range(12))),
        ("random:8", 6, [None] * 8),
        ("0, 2,2", 6, [0, 2, 2]),
        ("3", 6, [3]),
        ((5, 0), 6, [5, 0]),
        (range(3), 6, [0, 1, 2]),
        (np.array([1, 3]), 6, [1, 3]),
    ],
)
def test_choices_of_layers(choice, depth, layers):
    chosen = choose_layers(choice, depth)
    assert chosen == layers
    assert all(type(i) in (int, type(None)) for i in chosen)


@pytest.mark.parametrize("depth", range(1, 25))
def test_evenly_spread_layers_have_nearly_equal_distances(depth):
    for count in range(2, depth + 1):
        layers = choose_layers(f"even:{count}", depth)
        assert (layers[0], layers[-1], len(layers)) == (0, depth - 1, count)
        distances = np.diff(layers)
        assert distances.min() >= 1
        assert distances.max() - distances.min() <= 1


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("every other", "'every other' is no choice of layers; possible: all, alternate, first:K"),
        ("first", "possible: all, alternate"),
        ("middle:2", "possible: all, alternate"),
        ("", "possible: all, alternate"),
        ("0,two", "possible: all, alternate"),
        ("first:0", "'first:0': first:K takes a K of 1 to 4"),
        ("last:5", "last:K takes a K of 1 to 4"),
        ("even:-1", "even:K takes a K of 1 to 4"),
        ("even:", "even:K takes a K of 1 to 4"),
        ("random:0", "random:K takes a K of 1 or more"),
        ("random:two", "random:K takes a K of 1 or more"),
        ("0,4", r"'0,4' of a teacher with layers 0 to 3: \[4\]"),
        ([0, -1], r"layers 0 to 3: \[-1\]"),
        ([], "none chosen"),
        ([0, 1.5], "neither numbers"),
        (["0"], "neither numbers"),
        (2, "neither numbers"),
    ],
)
def test_choices_that_make_no_sense(choice, message):
    with pytest.raises(ConfigError, match=message):
        choose_layers(choice, 4)


@pytest.mark.parametrize("student_class", [BertForMaskedLM, DistilBertForMaskedLM])
def test_named_layers_are_those_layers(student_class):
    teacher = teacher_of(BertForMaskedLM)
    named, numbered = (init_student(teacher, choice, student_class) for choice in ("last:2", [2, 3]))
    assert named.config == numbered.config
    np.testing.assert_array_equal(named.params.flat, numbered.params.flat)
    default, alternate = init_student(teacher), init_student(teacher, "alternate")
    np.testing.assert_array_equal(default.params.flat, alternate.params.flat)


@pytest.mark.parametrize("student_class", [BertForMaskedLM, DistilBertForMaskedLM])
def test_random_layers_take_nothing_from_the_teacher(student_class):
    teacher = teacher_of(BertForMaskedLM)
    student = init_student(teacher, "random:3", student_class, seed=7)
    assert student.config.num_hidden_layers == 3
    fresh = student_class(student.config, seed=7)
    np.testing.assert_array_equal(student.params.flat, fresh.params.flat)
    again, other = (init_student(teacher, "random:3", student_class, seed=seed) for seed in (7, 8))
    np.testing.assert_array_equal(student.params.flat, again.params.flat)
    assert not np.array_equal(student.params.flat, other.params.flat)


def test_a_teacher_that_is_packed_for_prediction():
    """`eval` gives matrices in the order of the kernels; the student wants those of the model."""
    teacher = BertForMaskedLM(BertConfig(**SHAPE))  # the numba backend: the textbook packs nothing
    before = init_student(teacher, [0, 3])
    batch = Batch.from_sequences([[1, 2, 3]])
    teacher.eval()
    for _ in range(3):
        teacher.forward(batch)
    after = init_student(teacher, [0, 3])
    np.testing.assert_array_equal(after.params.flat, before.params.flat)
    after.params.flat[:] = 0  # of its own, and writeable


@pytest.mark.parametrize("cls", [BertForMaskedLM, BertForSequenceClassification, BertModel])
@pytest.mark.parametrize("layers", [[0, 2], [3], [2, 0, 0]])
def test_fewer_layers_of_the_same_kind(cls, layers):
    teacher = teacher_of(cls)
    student = init_student(teacher, layers)
    assert type(student) is cls
    assert student.config == teacher.config.replace(num_hidden_layers=len(layers))
    for name in student.params:
        given = name
        for i, layer in enumerate(layers):
            if name.startswith((f"encoder.layer.{i}.", f"bert.encoder.layer.{i}.")):
                given = name.replace(f"layer.{i}.", f"layer.{layer}.")
        np.testing.assert_array_equal(student.params[name], teacher.params[given])


def test_all_layers_give_the_teacher_itself():
    teacher = teacher_of(BertForSequenceClassification)
    student = init_student(teacher, range(4))
    batch = Batch.from_sequences([[1, 2, 3], [4, 5]])
    ours, theirs = (m.forward(batch)[0]["logits"] for m in (student, teacher))
    np.testing.assert_array_equal(ours, theirs)


def test_the_student_does_not_share_memory_with_its_teacher():
    teacher = teacher_of(BertForMaskedLM)
    student = init_student(teacher, [1])
    before = teacher.params.flat.copy()
    student.params.flat[:] = 0
    np.testing.assert_array_equal(teacher.params.flat, before)


DISTILBERT_NAMES = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}


def test_distilbert_from_bert_as_published():
    """extract_distilbert.py with --vocab_transform: embeddings, layers, and the whole masked-LM head."""
    teacher = teacher_of(BertForMaskedLM)
    student = init_student(teacher, [0, 3], DistilBertForMaskedLM)
    assert isinstance(student.config, DistilBertConfig)
    assert student.config.num_hidden_layers == 2
    pairs = [
        (f"distilbert.embeddings.{part}", f"bert.embeddings.{part}")
        for part in (
            "word_embeddings.weight",
            "position_embeddings.weight",
            "LayerNorm.weight",
            "LayerNorm.bias",
        )
    ]
    for i, layer in enumerate([0, 3]):
        for own, given in DISTILBERT_NAMES.items():
            pairs += [
                (
                    f"distilbert.transformer.layer.{i}.{own}.{kind}",
                    f"bert.encoder.layer.{layer}.{given}.{kind}",
                )
                for kind in ("weight", "bias")
            ]
    pairs += [
        ("vocab_transform.weight", "cls.predictions.transform.dense.weight"),
        ("vocab_transform.bias", "cls.predictions.transform.dense.bias"),
        ("vocab_layer_norm.weight", "cls.predictions.transform.LayerNorm.weight"),
        ("vocab_layer_norm.bias", "cls.predictions.transform.LayerNorm.bias"),
        ("vocab_projector.bias", "cls.predictions.bias"),
    ]
    same(student, teacher, pairs)
    assert {own for own, _ in pairs} == set(student.params), "every parameter of the student is accounted for"


def test_a_distilbert_computes_what_its_bert_does_without_token_types():
    """All layers, and a teacher whose token-type row 0 is zero: then nothing is lost on the way."""
    teacher = teacher_of(BertForMaskedLM)
    teacher.params["bert.embeddings.token_type_embeddings.weight"][...] = 0
    student = init_student(teacher, range(4), DistilBertForMaskedLM)
    batch = Batch.from_sequences([[1, 2, 3, 4], [5, 6]])
    ours, theirs = (m.forward(batch)[0]["logits"] for m in (student, teacher))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("bert", "distilbert", "head"),
    [
        (BertForTokenClassification, DistilBertForTokenClassification, "classifier"),
        (BertForQuestionAnswering, DistilBertForQuestionAnswering, "qa_outputs"),
    ],
)
def test_heads_that_mean_the_same_are_copied(bert, distilbert, head):
    teacher = teacher_of(bert)
    student = init_student(teacher, [0], distilbert)
    same(student, teacher, [(f"{head}.{kind}", f"{head}.{kind}") for kind in ("weight", "bias")])


def test_a_head_that_means_something_else_is_new():
    """BERT classifies a tanh of its first token, DistilBERT a ReLU: those weights do not carry over."""
    teacher = teacher_of(BertForSequenceClassification)
    student = init_student(teacher, [0], DistilBertForSequenceClassification, seed=5)
    fresh = DistilBertForSequenceClassification(student.config, seed=5)
    for name in ("pre_classifier.weight", "classifier.weight", "classifier.bias"):
        np.testing.assert_array_equal(student.params[name], fresh.params[name])


def test_a_bare_teacher_gives_its_pooler_to_a_classifier():
    teacher = teacher_of(BertModel)
    student = init_student(teacher, [1], BertForSequenceClassification)
    same(student, teacher, [("bert.pooler.dense.weight", "pooler.dense.weight")])


def test_dtype_backend_and_labels_follow_the_teacher():
    teacher = BertForTokenClassification(BertConfig(**SHAPE), dtype="float64", backend="numpy")
    student = init_student(teacher, [0], DistilBertForTokenClassification)
    assert student.params.dtype == np.float64
    assert student.backend is teacher.backend
    assert student.config.id2label == teacher.config.id2label


@pytest.mark.parametrize("layers", [[], [4], [-1], [0, 7]])
def test_layers_the_teacher_does_not_have(layers):
    with pytest.raises(ConfigError, match="layers 0 to 3"):
        init_student(teacher_of(BertForMaskedLM), layers)


@pytest.mark.parametrize("family", ["Ernie", "Roberta", "XLMRoberta"])
def test_a_student_of_another_family_with_all_layers_computes_the_same(family):
    """Positions begin in another row of a RoBERTa's table, and are those of the teacher."""
    teacher = teacher_of(BertModel)
    student = init_student(teacher, "all", model_class(f"{family}Model"))
    assert student.config.max_sequence_length == SHAPE["max_position_embeddings"]
    ids = np.array([[3, 7, 4, 9], [5, 2, 0, 0]])
    expected = teacher(ids, ids > 0).last_hidden_state
    np.testing.assert_array_equal(student(ids, ids > 0).last_hidden_state, expected)
    back = init_student(student, "all", BertModel)
    assert back.params.keys() == teacher.params.keys()
    for name, value in teacher.params.items():
        np.testing.assert_array_equal(back.params[name], value)


def test_families_that_do_not_fit():
    teacher = DistilBertModel(DistilBertConfig(**{**SHAPE, "num_hidden_layers": 2}), backend="numpy")
    with pytest.raises(ConfigError, match="cannot be made"):
        init_student(teacher, [0], BertModel)
    with pytest.raises(ConfigError, match="eps"):
        init_student(teacher_of(BertModel, layer_norm_eps=1e-5), [0], DistilBertModel)
