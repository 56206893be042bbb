"""ALBERT: layers that share their parameters, and tables of a width of their own."""

import json

import numpy as np
import pytest

from minidistil import AlbertConfig, BertConfig
from minidistil.batch import Batch
from minidistil.distill import init_student, prune_width, unexplained
from minidistil.distill.explain import gradient_norms
from minidistil.errors import ConfigError, WeightsError
from minidistil.model import AlbertForMaskedLM, AlbertModel, BertModel
from minidistil.verify.operations import our_name, written_taps

SHAPE = {
    "vocab_size": 30,
    "embedding_size": 6,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 20,
    "max_position_embeddings": 12,
}
GROUPS = "encoder.albert_layer_groups"


def model_of(cls=AlbertModel, scale=0.3, **changes):
    """A float64 model whose every parameter is random, layernorms' gains near 1."""
    model = cls(AlbertConfig(**{**SHAPE, **changes}), dtype="float64", backend="numpy")
    rng = np.random.default_rng(2)
    for spec in model.params.specs:
        value = scale * rng.standard_normal(spec.shape)
        model.params[spec.name][...] = value + (spec.role == "norm" and spec.name.endswith("weight"))
    return model


def batch_of(sequences=20):
    rng = np.random.default_rng(3)
    return Batch.from_sequences([rng.integers(0, 30, rng.integers(3, 12)) for _ in range(sequences)])


def states_of(model, batch):
    return model.forward(batch, hidden_states=True, keep_cache=False)[0]["hidden_states"]


def gradients(model, batch):
    outputs, cache = model.forward(batch)
    rng, grads = np.random.default_rng(4), model.params.like()
    model.backward({k: rng.standard_normal(v.shape) for k, v in outputs.items()}, cache, grads)
    return grads


# The groups


def test_neighbouring_layers_run_a_group():
    assert AlbertConfig(num_hidden_layers=12, num_hidden_groups=1).groups == [0] * 12
    assert AlbertConfig(num_hidden_layers=5, num_hidden_groups=2).groups == [0, 0, 0, 1, 1]
    assert AlbertConfig(num_hidden_layers=3, num_hidden_groups=3).groups == [0, 1, 2]
    # 9 / (18 / 14) is 7, and a little less in floats, with which transformers counts.
    assert AlbertConfig(num_hidden_layers=18, num_hidden_groups=14).groups[9] == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_groups": 5}, "num_hidden_groups is 5, more than num_hidden_layers, 4"),
        ({"num_hidden_groups": 0}, "num_hidden_groups must be an integer from 1"),
        ({"inner_group_num": 9999}, "num_hidden_layers 4 times inner_group_num 9999 is more than 10000"),
        ({"embedding_size": 0}, "embedding_size must be an integer from 1"),
        ({"classifier_dropout_prob": 1.0}, "classifier_dropout_prob must be a number in"),
    ],
)
def test_configs_that_make_no_sense(changes, message):
    with pytest.raises(ConfigError, match=message):
        AlbertConfig(**{**SHAPE, **changes})


def test_inner_layers_run_one_after_the_other():
    model = model_of(num_hidden_groups=2, inner_group_num=2)
    names = [layer.attention.query.name.removeprefix(f"{GROUPS}.")[:17] for layer in model.encoder.layers]
    assert names == [f"{g}.albert_layers.{j}" for g in (0, 0, 1, 1) for j in (0, 1)]
    assert len(states_of(model, batch_of(2))) == model.config.depth + 1 == 9


def test_shared_parameters_are_one_part_and_counted_once():
    model = model_of(num_hidden_groups=2)
    parts = {part: len(specs) for part, specs in model.parts().items()}
    assert parts == {"embeddings": 7, "layer 0": 16, "layer 1": 0, "layer 2": 16, "layer 3": 0, "head": 2}
    assert "4 of width 16, 4 heads, feed-forward 20, gelu_new, which share the parameters of 2" in repr(model)
    assert f"tables of width {SHAPE['embedding_size']}" in repr(model)
    norms = gradient_norms(model, gradients(model, batch_of()))
    assert list(norms) == ["embeddings", "1-2", "3-4", "head"]
    assert all(norm > 0 for norm in norms.values())


@pytest.mark.parametrize(("group", "lowest"), [(0, 1), (1, 3)])
def test_the_way_back_goes_down_to_the_first_use(group, lowest):
    """A parameter that learns alone has all of its gradient, from each of its uses."""
    model, batch = model_of(num_hidden_groups=2), batch_of()
    expected, learns = gradients(model, batch), f"{GROUPS}.{group}.albert_layers.0.ffn.weight"
    model.freeze("*")
    model.frozen.remove(learns)
    assert model._lowest_learning() == lowest
    found = gradients(model, batch)
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name] if name == learns else 0)


def test_a_shared_layer_is_packed_once():
    model, packed = model_of(AlbertForMaskedLM), []

    def pack(weight):
        packed.append(weight.shape)
        return model.backend.pack_weight(weight)

    model.params.pack(pack)
    for _ in range(3):
        model.forward(batch_of(2), keep_cache=False)
    inside = [(48, 16), (16, 16), (20, 16), (16, 20)]
    assert packed[:4] == inside, "in the first pass already"
    assert sorted(packed) == sorted([*inside, (16, 6), (6, 16), (30, 6)])


def test_the_name_of_a_shared_module_stands_for_none_of_its_outputs():
    modules = written_taps(model_of().taps())
    query = f"albert.{GROUPS}.0.albert_layers.0.attention.query"
    assert our_name(query, modules, "albert") == query
    project = "albert.encoder.embedding_hidden_mapping_in"
    assert our_name(project, modules, "albert") == "embeddings.projected"
    alone = written_taps(model_of(num_hidden_groups=4).taps())
    assert our_name(query, alone, "albert") == "layer.0.attention.q"


# Files


def saved(model, path, **config):
    model.save_pretrained(path)
    there = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**there, **config}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_hidden_groups": 1},
            r"has 2 groups of encoder layers \(0 to 1\), the config asks for 1. Correct num_hidden_groups",
        ),
        ({"num_hidden_groups": 4}, "has 2 groups of encoder layers .*, the config asks for 4"),
        ({"inner_group_num": 2}, r"lacks 32 tensors of the encoder: encoder.albert_layer_groups.0"),
        ({"embedding_size": 8}, r"calls for \[8\]: check embedding_size, hidden_size and intermediate_size"),
    ],
)
def test_a_config_that_contradicts_the_file(tmp_path, changes, message):
    path = saved(model_of(num_hidden_groups=2), tmp_path, **changes)
    with pytest.raises(WeightsError, match=message):
        AlbertModel.from_pretrained(path)


def test_fewer_uses_of_a_file_are_another_model_and_no_error(tmp_path):
    model = model_of()
    path = saved(model, tmp_path, num_hidden_layers=2)
    shorter, batch = AlbertModel.from_pretrained(path, dtype="float64", strict=True), batch_of(3)
    np.testing.assert_allclose(states_of(shorter, batch)[2], states_of(model, batch)[2], rtol=1e-5, atol=1e-6)


def test_a_bert_is_no_albert(tmp_path):
    shape = {key: value for key, value in SHAPE.items() if key != "embedding_size"}
    BertModel(BertConfig(**shape), backend="numpy").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "albert"}))
    message = "holds a BERT encoder, but the model is an ALBERT: load it as a BERT"
    with pytest.raises(WeightsError, match=message):
        AlbertModel.from_pretrained(tmp_path)


# Students


@pytest.mark.parametrize(
    ("groups", "layers", "shared"),
    [
        (1, "alternate", 1),
        (1, "0,0,0,0,0,0", 1),
        (2, "first:2", 1),
        (2, "0,2", 2),
        (2, "0,1,3", 2),
        (4, "1,3", 2),
    ],
)
def test_students_share_as_their_teacher_does(groups, layers, shared):
    teacher, batch = model_of(num_hidden_groups=groups), batch_of(4)
    student = init_student(teacher, layers)
    assert student.config.num_hidden_groups == shared
    if layers.startswith("first"):
        np.testing.assert_array_equal(states_of(student, batch)[2], states_of(teacher, batch)[2])
    places = range(4)[::2] if layers == "alternate" else [0, 1]
    places = [int(i) for i in layers.split(",")] if "," in layers else places
    for ours, place in zip(student.encoder.layers, places, strict=True):
        theirs = teacher.encoder.layers[place]
        for a, b in zip(ours.specs(), theirs.specs(), strict=True):
            np.testing.assert_array_equal(student.params[a.name], teacher.params[b.name])


@pytest.mark.parametrize("layers", ["0,2,3", "2,0,3", "0,0,0,2"])
def test_layers_that_no_albert_has(layers):
    with pytest.raises(ConfigError, match=r"run the groups \[.*\] of this ALBERT, and one of . layers .* \["):
        init_student(model_of(num_hidden_groups=2), layers)


def test_layers_of_a_group_go_together():
    teacher = model_of(inner_group_num=2, num_hidden_groups=2)
    student = init_student(teacher, "last:2", intermediate=7, head_importance=np.ones((8, 4)))
    assert (student.config.depth, student.config.num_hidden_groups) == (4, 1)


def test_a_family_whose_tables_are_as_wide_as_its_layers_is_refused():
    with pytest.raises(
        ConfigError, match=r"a BertModel cannot be made from an AlbertModel: .* another width"
    ):
        init_student(model_of(), "all", BertModel)


@pytest.mark.parametrize("tied", [True, False])
def test_a_narrow_student_of_a_confined_stream_loses_nothing(tied):
    """All the stream says is in 6 dimensions, half of the heads and of the neurons are in use."""
    teacher = model_of(AlbertForMaskedLM, num_hidden_groups=2, tie_word_embeddings=tied)
    rng, H = np.random.default_rng(5), 16
    span = np.linalg.qr(np.concatenate([np.ones((H, 1)), rng.standard_normal((H, 5))], axis=1))[0]
    for spec in teacher.params.specs:
        value, (module, _, kind) = teacher.params[spec.name], spec.name.rpartition(".")
        if module.endswith(("mapping_in", "attention.dense", "ffn_output")) or (
            GROUPS in module and module.lower().endswith("norm") and kind == "bias"
        ):
            value[...] = span @ (span.T @ value)
        elif GROUPS in module and module.lower().endswith("norm"):
            value[...] = value.mean()
        if module.endswith("attention.value") and kind == "weight":
            value[8:] = 0
        if module.endswith("ffn_output") and kind == "weight":
            value[:, rng.permutation(20)[:10]] = 0
    batch = batch_of(40)
    states = states_of(teacher, batch)
    student = prune_width(teacher, 8, intermediate=10, hidden_states=np.concatenate(states))
    for ours, theirs in zip(states_of(student, batch), states, strict=True):
        assert unexplained(ours, theirs) < 1e-20
    ours, theirs = (model.forward(batch, keep_cache=False)[0]["logits"] for model in (student, teacher))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_full_width_is_the_teacher_to_the_bit():
    teacher = model_of(AlbertForMaskedLM)
    np.testing.assert_array_equal(prune_width(teacher, 16, 4, 20).params.flat, teacher.params.flat)


def test_scores_of_shared_heads_are_added_up():
    importance = np.array([[3, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 2], [0, 1, 0, 2.0]])
    teacher = model_of()
    student = prune_width(teacher, heads=2, head_importance=importance)
    value, D = f"{GROUPS}.0.albert_layers.0.attention.value.bias", 4
    kept = teacher.params[value].reshape(4, D)[[1, 3]].ravel()
    np.testing.assert_array_equal(student.params[value], kept)
