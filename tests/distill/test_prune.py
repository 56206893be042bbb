"""Narrower students: what is kept, what is exact, and how near the rest comes."""

import numpy as np
import pytest

from minidistil import BertConfig, threads
from minidistil.batch import Batch
from minidistil.distill import head_scores, init_student, prune_width, unexplained
from minidistil.distill.prune import pruned_config
from minidistil.distill.residual_stream import ResidualStream
from minidistil.errors import ConfigError, InputError
from minidistil.model import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertForMaskedLM,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertModel,
)

H, A, D, I, L = 24, 6, 4, 40, 3  # noqa: E741  # width 24 = 6 heads of 4
SHAPE = {
    "vocab_size": 60,
    "hidden_size": H,
    "num_hidden_layers": L,
    "num_attention_heads": A,
    "intermediate_size": I,
    "max_position_embeddings": 16,
    "id2label": {0: "no", 1: "yes", 2: "perhaps"},
}
BERTS = [
    BertModel,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertForQuestionAnswering,
    BertForPreTraining,
]
NAMES = ("hidden_size", "num_attention_heads", "intermediate_size")


def teacher_of(cls=BertModel, scale=0.3, seed=2, dtype="float64", **changes):
    """A teacher whose every parameter is random, layernorms' gains near 1."""
    model = cls(cls.config_class(**{**SHAPE, **changes}), dtype=dtype, backend="numpy")
    rng = np.random.default_rng(seed)
    for spec in model.params.specs:
        value = scale * rng.standard_normal(spec.shape)
        model.params[spec.name][...] = value + (spec.role == "norm" and spec.name.endswith("weight"))
    return model


def batch_of(sequences=40, seed=3):
    rng = np.random.default_rng(seed)
    return Batch.from_sequences([rng.integers(0, 60, rng.integers(3, 16)) for _ in range(sequences)])


def hidden(model, batch):
    return model.forward(batch, hidden_states=True)[0]["hidden_states"]


def layer(i, part, kind="weight"):
    return f"encoder.layer.{i}.{part}.{kind}"


def confine(model, rank, seed=4):
    """Make a bare BERT's stream live in `rank` dimensions, among them 1, and give its norms equal gains."""
    rng = np.random.default_rng(seed)
    span = np.linalg.qr(np.concatenate([np.ones((H, 1)), rng.standard_normal((H, rank - 1))], axis=1))[0]
    inside = span @ span.T
    for spec in model.params.specs:
        value = model.params[spec.name]
        if spec.role == "embedding":
            value[...] = value @ inside
        elif spec.name.endswith(("output.dense.weight", "output.dense.bias", "LayerNorm.bias")):
            value[...] = inside @ value
        elif spec.name.endswith("LayerNorm.weight"):
            value[...] = value.mean()
    return model


# The shape


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        ({}, (24, 6, 40)),
        ({"width": 12}, (12, 3, 40)),
        ({"heads": 5}, (20, 5, 40)),
        ({"width": 8, "heads": 2, "intermediate": 10}, (8, 2, 10)),
        ({"intermediate": 1}, (24, 6, 1)),
    ],
)
def test_width_and_heads_give_each_other(asked, shape):
    config = pruned_config(BertConfig(**SHAPE), **asked)
    assert tuple(getattr(config, name) for name in NAMES) == shape
    assert config.replace(**dict(zip(NAMES, (H, A, I), strict=True))) == BertConfig(**SHAPE)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"width": 28}, "width 28: the teacher's is 24"),
        ({"width": 0}, "width 0"),
        ({"heads": 7}, "heads 7: the teacher's is 6"),
        ({"heads": 0}, "heads 0"),
        ({"width": 3}, "width 3 is not that of a whole number of heads"),
        ({"width": 10}, "a whole number of heads, which keep the teacher's size of 4: .* 4, 8, ... 24"),
        ({"width": 12, "heads": 4}, "width 12 is not that of 4 heads"),
        ({"intermediate": 41}, "intermediate 41: the teacher's is 40"),
        ({"intermediate": 0}, "intermediate 0"),
    ],
)
@pytest.mark.parametrize("layers", ["first:1", "random:1"])
def test_shapes_that_do_not_fit(asked, message, layers):
    with pytest.raises(ConfigError, match=message):
        init_student(teacher_of(), layers, **asked)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"hidden_states": np.zeros((5, 23))}, r"hidden_states has shape \[5, 23\], not \[any, 24\]"),
        ({"hidden_states": np.zeros(24)}, r"hidden_states has shape \[24\]"),
        ({"hidden_states": np.zeros((0, 24))}, r"hidden_states has shape \[0, 24\]"),
        ({"hidden_states": np.full((5, 24), np.nan)}, "hidden_states has values that are not finite"),
        ({"head_importance": np.zeros((2, 6))}, r"head_importance has shape \[2, 6\], not \[3, 6\]"),
        ({"head_importance": np.full((3, 6), np.inf)}, "head_importance has values that are not finite"),
    ],
)
def test_arrays_that_do_not_fit(arrays, message):
    with pytest.raises(InputError, match=message):
        init_student(teacher_of(), "first:2", width=12, **arrays)


# What is exact


@pytest.mark.parametrize("cls", BERTS)
def test_full_width_is_the_teacher_to_the_bit(cls):
    teacher = teacher_of(cls, dtype="float32")
    copy = prune_width(teacher, H, A, I)
    np.testing.assert_array_equal(copy.params.flat, teacher.params.flat)
    assert copy.config == teacher.config


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("width", [8, 12])
def test_a_stream_that_lives_in_a_subspace_stays_what_it_was(width, given):
    """All the stream says is in 8 dimensions. Only 2 or 3 of the heads are in use, and half the neurons."""
    teacher = confine(teacher_of(), 8)
    used = np.array([4, 1, 2])[: width // D]
    rng = np.random.default_rng(5)
    for i in range(L):
        unused = np.setdiff1d(np.arange(A), used)
        columns = (unused[:, None] * D + np.arange(D)).ravel()
        teacher.params[layer(i, "attention.self.value")][columns] = 0  # its bias is not
        idle = rng.permutation(I)[: I // 2]
        teacher.params[layer(i, "output.dense")][:, idle] = 0
    batch = batch_of()
    theirs = hidden(teacher, batch)
    states = np.concatenate(theirs) if given else None
    student = prune_width(teacher, width, intermediate=I // 2, hidden_states=states)
    back = (
        ResidualStream.of(theirs[0], width).projection
        if not given
        else ResidualStream.of(states, width).projection
    )
    for ours, true in zip(hidden(student, batch), theirs, strict=True):
        assert unexplained(ours, true) < 1e-20
        if given:  # then P is the student's own, and not only its span
            np.testing.assert_allclose(ours @ back.T, true, atol=1e-9)


@pytest.mark.parametrize("cls", [BertForTokenClassification, BertForQuestionAnswering])
def test_a_head_on_every_token_reads_the_projected_stream(cls):
    teacher = teacher_of(cls)
    states = np.concatenate(hidden(teacher, batch_of()))
    student = prune_width(teacher, 12, hidden_states=states)
    P = ResidualStream.of(states, 12).projection
    name = "classifier" if cls is BertForTokenClassification else "qa_outputs"
    np.testing.assert_allclose(student.params[f"{name}.weight"], teacher.params[f"{name}.weight"] @ P)
    np.testing.assert_array_equal(student.params[f"{name}.bias"], teacher.params[f"{name}.bias"])


def test_a_classifier_keeps_the_pooled_values_it_uses():
    """In a confined stream, with a classifier that reads 12 pooled values, nothing is lost."""
    bare = confine(teacher_of(), 8)
    teacher = teacher_of(BertForSequenceClassification)
    for name in bare.params:
        teacher.params[f"bert.{name}"][...] = bare.params[name]
    unused = np.random.default_rng(6).permutation(H)[:12]
    teacher.params["classifier.weight"][:, unused] = 0
    for i in range(L):
        teacher.params["bert." + layer(i, "attention.self.value")][12:] = 0
    student = prune_width(teacher, 12)
    batch = batch_of()
    ours, theirs = (m.forward(batch)[0]["logits"] for m in (student, teacher))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("tied", [True, False])
def test_the_masked_lm_head_ends_in_the_projected_stream(tied):
    teacher = teacher_of(BertForMaskedLM, tie_word_embeddings=tied)
    states = np.concatenate(hidden(teacher, batch_of()))
    student = prune_width(teacher, 12, hidden_states=states)
    stream = ResidualStream.of(states, 12)
    P, ours, theirs = stream.projection, student.params, teacher.params
    dense = "cls.predictions.transform.dense"
    np.testing.assert_allclose(ours[f"{dense}.weight"], P.T @ theirs[f"{dense}.weight"] @ P, atol=1e-12)
    np.testing.assert_allclose(ours[f"{dense}.bias"], P.T @ theirs[f"{dense}.bias"], atol=1e-12)
    norm = "cls.predictions.transform.LayerNorm"
    gain, bias = stream.norm(theirs[f"{norm}.weight"], theirs[f"{norm}.bias"])
    np.testing.assert_allclose(ours[f"{norm}.weight"], gain)
    np.testing.assert_allclose(ours[f"{norm}.bias"], bias)
    decoder = "bert.embeddings.word_embeddings.weight" if tied else "cls.predictions.decoder.weight"
    np.testing.assert_allclose(ours[decoder], theirs[decoder] @ P, atol=1e-12)
    bias = "cls.predictions.bias" if tied else "cls.predictions.decoder.bias"
    np.testing.assert_array_equal(ours[bias], theirs[bias])


# The projection


@pytest.mark.parametrize("width", [1, 4, 12, 23])
def test_a_projection_is_orthonormal_and_keeps_ones(width):
    sample = np.random.default_rng(7).standard_normal((100, H)) + 3
    P = ResidualStream.of(sample, width).projection
    np.testing.assert_allclose(P.T @ P, np.eye(width), atol=1e-12)
    np.testing.assert_allclose(P.T @ np.ones(H), np.full(width, np.sqrt(H / width)), atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_sample_of_lower_rank_than_the_projection(rank):
    """Then many directions have eigenvalue 0, and 1 must not come twice."""
    rng = np.random.default_rng(8)
    stream = ResidualStream.of(rng.standard_normal((50, rank)) @ rng.standard_normal((rank, H)), 12)
    np.testing.assert_allclose(stream.projection.T @ stream.projection, np.eye(12), atol=1e-12)
    assert stream.share == pytest.approx(1)


def test_a_layernorm_keeps_its_scale_on_the_part_that_is_kept():
    """LN(P^T x) with the narrow gain has in the mean the size of P^T LN(x), whatever P has lost."""
    rng = np.random.default_rng(9)
    x = rng.standard_normal((4000, H)) * np.linspace(0.2, 2, H)
    stream = ResidualStream.of(x, 8)
    assert 0.3 < stream.share < 0.9

    def normed(rows):
        return (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)

    gain, bias = stream.norm(np.full(H, 1.7), np.zeros(H))
    ours, theirs = normed(stream.read(x)) * gain + bias, stream.read(1.7 * normed(x))
    assert np.square(ours).mean() == pytest.approx(np.square(theirs).mean(), rel=0.05)
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    np.testing.assert_allclose(cosine, 1)


def test_the_sign_of_a_direction_does_not_depend_on_who_computes_it():
    """Its largest component is positive. Two columns are the sum and the difference of ones and direction."""
    for seed in range(8):
        direction = np.random.default_rng(seed).standard_normal(H)
        direction -= direction.mean()
        direction /= np.linalg.norm(direction) * np.sign(direction[abs(direction).argmax()])
        ones = np.full(H, H**-0.5)
        P = ResidualStream.of(np.array([[1.0], [-2.0]]) * direction, 2).projection
        expected = np.stack([ones + direction, ones - direction], axis=1) / np.sqrt(2)
        np.testing.assert_allclose(P, expected, atol=1e-12)


@pytest.mark.parametrize("words", [60, 10])
@pytest.mark.parametrize("cls", [BertModel, DistilBertModel])
def test_without_a_sample_the_embeddings_are_one(cls, words):
    """As a forward pass computes them: every word, positions in turn, and no position left out."""
    model = teacher_of(cls, vocab_size=words)
    ids = np.arange(max(words, 16)) % words
    batch = Batch.from_sequences([ids[i : i + 16] for i in range(0, len(ids), 16)])
    sample = hidden(model, batch)[0]
    given, default = prune_width(model, 12, hidden_states=sample), prune_width(model, 12)
    for name in given.params:
        np.testing.assert_allclose(default.params[name], given.params[name], atol=1e-9)


# What is kept


def test_heads_of_highest_importance_are_kept_in_their_order():
    teacher = teacher_of()
    importance = np.array([[0, 9, 1, 0, 8, 0], [5, 5, 5, 5, 5, 5], [0, 1, 2, 3, 4, 5]], float)
    layers = [2, 0, 1]
    student = init_student(teacher, layers, heads=2, head_importance=importance)
    for i, (of, heads) in enumerate(zip(layers, [(4, 5), (1, 4), (0, 1)], strict=True)):
        for part in ("query", "key", "value"):  # their biases, which no projection touches
            given = teacher.params[layer(of, f"attention.self.{part}", "bias")].reshape(A, D)
            own = student.params[layer(i, f"attention.self.{part}", "bias")].reshape(2, D)
            np.testing.assert_array_equal(own, given[list(heads)])


def test_head_scores_are_the_deviations_they_are_said_to_be():
    """Measured on pairs of rows, for one head."""
    teacher = teacher_of()
    rng = np.random.default_rng(10)
    sample = rng.standard_normal((30, H)) @ rng.standard_normal((H, H)) + 1
    x = sample - sample.mean(0)
    i, a = 1, 3
    rows = slice(a * D, a * D + D)
    q, k, v = (teacher.params[layer(i, f"attention.self.{part}")][rows] for part in ("query", "key", "value"))
    o = teacher.params[layer(i, "attention.output.dense")][:, rows]
    looks, passes = (x @ q.T) @ (x @ k.T).T, x @ v.T @ o.T  # [30, 30], [30, H]
    expected = np.sqrt(np.square(looks).mean() * np.square(passes).sum(1).mean())
    assert head_scores(teacher, sample)[i, a] == pytest.approx(expected)


@pytest.mark.parametrize("part", ["attention.self.query", "attention.self.key", "attention.self.value"])
def test_a_head_that_looks_everywhere_alike_or_says_nothing_scores_zero(part):
    teacher = teacher_of()
    teacher.params[layer(1, part)][2 * D : 3 * D] = 0
    scores = head_scores(teacher)
    assert np.argwhere(scores == 0).tolist() == [[1, 2]]


def test_neurons_are_kept_by_what_they_take_and_give():
    teacher = teacher_of()
    up, down = (teacher.params[layer(0, part)] for part in ("intermediate.dense", "output.dense"))
    for neuron, taken, given in ((5, 1e6, 1e-3), (7, 1e-3, 1e6), (9, 1e3, 1e-6), (11, 1e-6, 1e3)):
        up[neuron] *= taken
        down[:, neuron] *= given  # 5 and 7 are large as products, 9 and 11 small
    biases = teacher.params[layer(0, "intermediate.dense", "bias")]
    for count, kept in ((2, [5, 7]), (I - 2, np.delete(np.arange(I), [9, 11]))):
        student = prune_width(teacher, intermediate=count)
        np.testing.assert_array_equal(student.params[layer(0, "intermediate.dense", "bias")], biases[kept])


def test_a_neuron_that_reads_what_never_varies_goes_first():
    teacher = teacher_of()
    sample = np.random.default_rng(14).standard_normal((50, H))
    sample[:, 5] = 7
    up = teacher.params[layer(0, "intermediate.dense")]
    up[3] = 0
    up[3, 5] = 1e3
    student = prune_width(teacher, intermediate=I - 1, hidden_states=sample)
    np.testing.assert_array_equal(student.params[layer(0, "intermediate.dense")], np.delete(up, 3, axis=0))


# The student


@pytest.mark.parametrize("cls", BERTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_dtype_backend_and_shape(cls, dtype, backend):
    teacher = cls(BertConfig(**SHAPE), dtype=dtype, backend=backend)
    student = init_student(teacher, "even:2", width=12, intermediate=20)
    assert type(student) is cls
    assert student.params.dtype == np.dtype(dtype)
    assert student.backend is teacher.backend
    assert [getattr(student.config, name) for name in NAMES] == [12, 3, 20]
    assert student.config.num_hidden_layers == 2
    assert student.config.id2label == teacher.config.id2label


def test_a_narrow_student_of_some_layers_is_that_shallow_student_made_narrow():
    teacher = teacher_of(BertForMaskedLM)
    states = np.concatenate(hidden(teacher, batch_of()))
    student = init_student(teacher, "last:2", width=12, intermediate=20, hidden_states=states)
    shallow = prune_width(init_student(teacher, "last:2"), 12, intermediate=20, hidden_states=states)
    np.testing.assert_array_equal(student.params.flat, shallow.params.flat)


@pytest.mark.parametrize(
    ("bert", "distilbert"),
    [
        (BertModel, DistilBertModel),
        (BertForMaskedLM, DistilBertForMaskedLM),
        (BertForQuestionAnswering, DistilBertForQuestionAnswering),
    ],
)
def test_a_narrow_distilbert_from_bert(bert, distilbert):
    """With states given P is the same for both; and without token types both families compute the same."""
    teacher = teacher_of(bert)
    teacher.params[teacher.encoder.embeddings.types[0].name][...] = 0
    states = np.concatenate(hidden(teacher, batch_of()))
    shape = {"width": 12, "intermediate": 20, "hidden_states": states}
    student = init_student(teacher, "even:2", distilbert, **shape)
    same_family = init_student(teacher, "even:2", **shape)
    batch = batch_of(5)
    ours, theirs = (m.forward(batch, hidden_states=True)[0] for m in (student, same_family))
    assert {"hidden_states", "logits"} & ours.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-9)


def test_a_head_that_is_new_stays_new():
    """DistilBERT's classifier has no counterpart: it is that of a fresh narrow model, not a projected one."""
    teacher = teacher_of(BertForSequenceClassification)
    student = init_student(teacher, "first:1", DistilBertForSequenceClassification, width=12, seed=5)
    fresh = DistilBertForSequenceClassification(student.config, dtype="float64", seed=5)
    new = [name for name in student.params if np.array_equal(student.params[name], fresh.params[name])]
    assert new == ["pre_classifier.weight", "pre_classifier.bias", "classifier.weight", "classifier.bias"]
    other = init_student(teacher, "first:1", DistilBertForSequenceClassification, width=12, seed=6)
    assert [n for n in student.params if not np.array_equal(student.params[n], other.params[n])] == [
        "pre_classifier.weight",
        "classifier.weight",
    ]


def test_random_and_narrow():
    teacher = teacher_of(BertForMaskedLM)
    student = init_student(teacher, "random:2", width=12, intermediate=20, seed=5)
    fresh = BertForMaskedLM(student.config, dtype="float64", seed=5)
    assert [getattr(student.config, name) for name in NAMES] == [12, 3, 20]
    np.testing.assert_array_equal(student.params.flat, fresh.params.flat)


def test_the_teacher_stays_what_it_is():
    teacher = teacher_of()
    before = teacher.params.flat.copy()
    init_student(teacher, "first:1", width=12).params.flat[:] = 0
    np.testing.assert_array_equal(teacher.params.flat, before)


def test_the_same_from_run_to_run_and_for_any_number_of_threads():
    teacher = teacher_of(BertForMaskedLM, dtype="float32")
    first = prune_width(teacher, 12, intermediate=20)
    threads_before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        second = prune_width(teacher, 12, intermediate=20)
    finally:
        threads.set_num_threads(threads_before)
    np.testing.assert_array_equal(first.params.flat, second.params.flat)


@pytest.mark.parametrize("cls", [BertForMaskedLM, BertForSequenceClassification, DistilBertForMaskedLM])
def test_saved_and_loaded(cls, tmp_path):
    teacher = teacher_of(BertForMaskedLM if cls is DistilBertForMaskedLM else cls, scale=0.1, dtype="float32")
    student = init_student(teacher, "even:2", cls, width=12, intermediate=20)
    student.save_pretrained(tmp_path / "student")
    loaded = cls.from_pretrained(tmp_path / "student", strict=True)
    said = student.config.replace(architectures=(cls.__name__,), extra={"dtype": "float32"})
    assert loaded.config == said
    np.testing.assert_array_equal(loaded.params.flat, student.params.flat)


# How near


def test_unexplained_is_what_a_linear_map_leaves():
    rng = np.random.default_rng(11)
    ours = rng.standard_normal((500, 6))
    noise = rng.standard_normal((500, 9))
    assert unexplained(ours, ours @ rng.standard_normal((6, 9)) + 5) < 1e-25
    assert 0.9 < unexplained(ours, noise) <= 1
    half = np.concatenate([ours, noise[:, :6]], axis=1)  # one part of two is known
    assert unexplained(ours, half) == pytest.approx(0.5, abs=0.05)


def left(student, teacher):
    batch = batch_of(100)
    pairs = zip(hidden(student, batch), hidden(teacher, batch), strict=True)
    return np.array([unexplained(ours, theirs) for ours, theirs in pairs])


def lifelike(same_directions):
    """A teacher like real ones: directions of unequal size, which layers and words may share, or not."""
    teacher = teacher_of(scale=0.15)
    axes = np.linalg.qr(np.random.default_rng(12).standard_normal((H, H)))[0]
    sizes = np.exp(-np.arange(H) / 5)
    for spec in teacher.params.specs:
        value = teacher.params[spec.name]
        if spec.role == "embedding":
            value[...] = value @ (axes * sizes).T * 6
        elif spec.name.endswith("output.dense.weight"):
            value[...] = axes * (sizes * 6 if same_directions else sizes[::-1] * 18) @ value
    return teacher


def test_a_narrow_start_is_nearer_to_the_teacher_than_a_random_one():
    teacher = lifelike(same_directions=True)
    shape = {"width": 12, "intermediate": 20}
    random = left(init_student(teacher, f"random:{L}", **shape), teacher)
    assert (left(init_student(teacher, range(L), **shape), teacher) < 0.7 * random).all()


def test_hidden_states_see_what_layers_write():
    """Where words have nothing, embeddings alone would keep nothing."""
    teacher = lifelike(same_directions=False)
    states = np.concatenate(hidden(teacher, batch_of(100, seed=13)))
    by_words = left(prune_width(teacher, 12), teacher)
    by_states = left(prune_width(teacher, 12, hidden_states=states), teacher)
    assert (by_states[1:] < 0.8 * by_words[1:]).all()
    assert by_states[0] > by_words[0], "what the embeddings gain by having it all to themselves"
