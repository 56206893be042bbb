"""Loading into parameters: what is filled, what is reported, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from raw_safetensors import bfloat16_bits, write_raw

from minidistil import BertConfig, BertModel, DistilBertConfig, DistilBertModel
from minidistil.errors import WeightsError
from minidistil.model.families import names_of
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.weights.checkpoint import open_checkpoint
from minidistil.weights.load import check_depth, load_into

BERT, DISTILBERT = names_of(BertModel, BertConfig()), names_of(DistilBertModel, DistilBertConfig())
WORD = "bert.embeddings.word_embeddings.weight"
TIED = {"cls.predictions.decoder.weight": WORD, "cls.predictions.decoder.bias": "cls.predictions.bias"}
MLM = {
    "cls.predictions.transform.dense.weight": (4, 4),
    "cls.predictions.transform.LayerNorm.weight": (4,),
    "cls.predictions.bias": (7,),
}
POOLER = {"bert.pooler.dense.weight": (4, 4), "bert.pooler.dense.bias": (4,)}
CLASSIFIER = {"classifier.weight": (2, 4), "classifier.bias": (2,)}


def encoder(layers=2):
    shapes = {
        WORD: (7, 4),
        "bert.embeddings.position_embeddings.weight": (5, 4),
        "bert.embeddings.LayerNorm.weight": (4,),
        "bert.embeddings.LayerNorm.bias": (4,),
    }
    for i in range(layers):
        shapes[f"bert.encoder.layer.{i}.attention.self.query.weight"] = (4, 4)
        shapes[f"bert.encoder.layer.{i}.output.LayerNorm.weight"] = (4,)
    return shapes


def parameters_of(shapes, dtype="float32"):
    keys = {WORD: "vocab_size", "bert.embeddings.position_embeddings.weight": "max_position_embeddings"}
    specs = [ParameterSpec(name, shape, "weight", key=keys.get(name)) for name, shape in shapes.items()]
    parameters = Parameters(specs, dtype)
    for view in parameters.values():
        view[...] = -7  # what a parameter that is not loaded keeps
    return parameters


def tensors_of(shapes, dtype=np.float32):
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def load(tmp_path, parameters, tensors, *, names=BERT, tied=TIED, **options):
    write_raw(tmp_path / "model.safetensors", tensors)
    return load_into(parameters, open_checkpoint(tmp_path), names=names, tied=tied, **options)


def bare(tensors):
    return {name.removeprefix("bert."): array for name, array in tensors.items()}


def absences(items):
    return {item.name: item.expected for item in items}


def test_everything_fits(tmp_path):
    shapes = encoder() | MLM
    parameters, tensors = parameters_of(shapes), tensors_of(shapes)
    report = load(tmp_path, parameters, tensors, strict=True)
    for name, array in tensors.items():
        np.testing.assert_array_equal(parameters[name], array)
    assert report.loaded == tuple(shapes)
    assert report.ok
    assert report.complete
    assert report.converted == ()
    assert str(report) == f"{tmp_path / 'model.safetensors'}: {len(shapes)} tensors loaded"


def test_the_flat_array_is_a_copy_and_its_padding_stays_zero(tmp_path):
    parameters = parameters_of(encoder())
    load(tmp_path, parameters, tensors_of(encoder()))
    assert parameters.flat.flags.writeable
    used = sum(np.count_nonzero(view) for view in parameters.values())
    assert np.count_nonzero(parameters.flat) == used
    before = (tmp_path / "model.safetensors").read_bytes()
    parameters.flat[...] += 1
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("file_is_bare", [True, False])
@pytest.mark.parametrize("model_is_bare", [True, False])
def test_base_prefix_on_either_side(tmp_path, file_is_bare, model_is_bare):
    shapes, tensors = encoder() | POOLER, tensors_of(encoder() | POOLER)
    parameters = parameters_of(bare(shapes) if model_is_bare else shapes)
    report = load(tmp_path, parameters, bare(tensors) if file_is_bare else tensors, tied={}, strict=True)
    for name, array in (bare(tensors) if model_is_bare else tensors).items():
        np.testing.assert_array_equal(parameters[name], array)
    assert report.converted == ()


def test_legacy_names_and_buffers(tmp_path):
    tensors = tensors_of(encoder() | MLM)
    legacy = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors.items()
    }
    legacy["bert.embeddings.position_ids"] = np.arange(5)[None]
    parameters = parameters_of(encoder() | MLM)
    report = load(tmp_path, parameters, legacy, strict=True)
    for name, array in tensors.items():
        np.testing.assert_array_equal(parameters[name], array)
    assert {c.stored_name for c in report.converted} == {n for n in legacy if n.endswith(("gamma", "beta"))}
    assert "renamed: 5 tensors with old names, such as bert.embeddings.LayerNorm.gamma -> " in str(report)


@pytest.mark.parametrize("ours", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["F64", "F32", "F16", "BF16"])
def test_dtypes_convert(tmp_path, stored, ours):
    values = tensors_of(encoder())
    if stored == "BF16":
        tensors = {name: bfloat16_bits(array) for name, array in values.items()}
        expected = {name: (b.astype(np.uint32) << 16).view(np.float32) for name, b in tensors.items()}
    else:
        dtype = {"F64": np.float64, "F32": np.float32, "F16": np.float16}[stored]
        expected = tensors = {name: array.astype(dtype) for name, array in values.items()}
    parameters = parameters_of(encoder(), ours)
    report = load(tmp_path, parameters, tensors)
    for name, array in expected.items():
        np.testing.assert_array_equal(parameters[name], array.astype(ours))
    same = stored == "F" + ours[-2:]
    assert len(report.converted) == (0 if same else len(tensors))
    assert (f"converted: {len(tensors)} tensors from {stored} to {ours}" in str(report)) is not same


def test_new_head_on_a_pretrained_encoder(tmp_path):
    parameters = parameters_of(encoder() | POOLER | CLASSIFIER)
    report = load(
        tmp_path, parameters, tensors_of(encoder() | MLM | {"cls.seq_relationship.bias": (2,)}), tied={}
    )
    assert absences(report.missing) == dict.fromkeys(POOLER | CLASSIFIER, True)
    assert absences(report.unexpected) == dict.fromkeys([*MLM, "cls.seq_relationship.bias"], True)
    assert report.ok
    assert not report.complete
    assert (parameters["classifier.weight"] == -7).all()
    text = str(report)
    assert "  newly initialised: classifier.weight, classifier.bias (the file has no classifier)" in text
    assert "  not used: cls.seq_relationship.bias (this model has no cls.seq_relationship)" in text
    assert "!" not in text


def test_half_a_head_and_a_stranger_are_not_expected(tmp_path):
    parameters = parameters_of(encoder() | CLASSIFIER)
    strangers = {"mystery.scale": (1,), "classifier.scale": (1,)}
    report = load(tmp_path, parameters, tensors_of(encoder() | {"classifier.weight": (2, 4)} | strangers))
    assert absences(report.missing) == {"classifier.bias": False}
    assert absences(report.unexpected) == dict.fromkeys(strangers, False)
    assert not report.ok
    assert "with problems" in str(report)
    assert "! newly initialised: classifier.bias (not in the file)" in str(report)
    assert "! not used: mystery.scale, classifier.scale (unknown to this model)" in str(report)


def test_strict_takes_nothing_less_than_an_exact_match(tmp_path):
    with pytest.raises(
        WeightsError, match=r"strict loading asks for an exact match, but\n.*\n  not used: bert.pooler"
    ):
        load(tmp_path, parameters_of(encoder()), tensors_of(encoder() | POOLER), strict=True)
    with pytest.raises(WeightsError, match=r"strict loading .*\n.*\n  newly initialised: bert.pooler"):
        load(tmp_path, parameters_of(encoder() | POOLER), tensors_of(encoder()), strict=True)


def test_tied_copy_that_agrees_is_ignored(tmp_path):
    tensors = tensors_of(encoder() | MLM)
    tensors["cls.predictions.decoder.weight"] = tensors[WORD].astype(np.float64)
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
    report = load(tmp_path, parameters_of(encoder() | MLM), tensors, strict=True)
    assert report.overridden == ()


def test_tied_copy_is_compared_after_conversion(tmp_path):
    tensors = tensors_of(encoder() | MLM, np.float64)
    tensors["cls.predictions.decoder.weight"] = tensors[WORD]
    assert load(tmp_path, parameters_of(encoder() | MLM), tensors).overridden == ()


def test_tied_copy_that_differs_is_reported(tmp_path):
    tensors = tensors_of(encoder() | MLM)
    tensors["cls.predictions.decoder.weight"] = tensors[WORD] + np.float32(1e-3)
    parameters = parameters_of(encoder() | MLM)
    report = load(tmp_path, parameters, tensors)
    np.testing.assert_array_equal(parameters[WORD], tensors[WORD])
    assert report.overridden == ("cls.predictions.decoder.weight",)
    assert not report.ok
    assert "! not used: cls.predictions.decoder.weight (differs from the parameter it is tied to)" in str(
        report
    )
    with pytest.raises(WeightsError, match="strict"):
        load(tmp_path, parameters, tensors, strict=True)


def test_tied_copy_stands_in_for_a_parameter_that_is_not_stored(tmp_path):
    tensors = tensors_of(encoder() | MLM)
    renamed = {source: alias for alias, source in TIED.items()}
    parameters = parameters_of(encoder() | MLM)
    report = load(tmp_path, parameters, {renamed.get(n, n): a for n, a in tensors.items()}, strict=True)
    for name, array in tensors.items():
        np.testing.assert_array_equal(parameters[name], array)
    assert {c.stored_name for c in report.converted} == set(TIED)


def test_untied_decoder_is_a_parameter(tmp_path):
    shapes = encoder() | MLM | {"cls.predictions.decoder.weight": (7, 4)}
    parameters, tensors = parameters_of(shapes), tensors_of(shapes)
    load(tmp_path, parameters, tensors, strict=True)
    np.testing.assert_array_equal(
        parameters["cls.predictions.decoder.weight"], tensors["cls.predictions.decoder.weight"]
    )


@pytest.mark.parametrize(("in_file", "in_config"), [(1, 2), (3, 2), (2, 0)])
def test_another_number_of_layers(tmp_path, in_file, in_config):
    message = (
        f"contradicts the config: the file has {in_file} encoder layers .*, the config asks for {in_config}"
    )
    write_raw(tmp_path / "model.safetensors", tensors_of(encoder(in_file)))
    with pytest.raises(WeightsError, match=message):
        check_depth(open_checkpoint(tmp_path), in_config, BERT, tmp_path)


def test_hole_in_the_encoder(tmp_path):
    tensors = tensors_of(encoder())
    del tensors["bert.encoder.layer.1.output.LayerNorm.weight"], tensors[WORD]
    parameters = parameters_of(encoder())
    message = (
        "lacks 2 tensors of the encoder: bert.embeddings.word_embeddings.weight, bert.encoder.layer.1.output"
    )
    with pytest.raises(WeightsError, match=message):
        load(tmp_path, parameters, tensors, tied={})
    assert (parameters[WORD] == -7).all()


def test_encoder_tensor_without_a_place(tmp_path):
    tensors = tensors_of(encoder() | {"bert.embeddings.token_type_embeddings.weight": (2, 4)})
    with pytest.raises(
        WeightsError, match=r"holds 1 that the model has no place for: bert.embeddings.token_type"
    ):
        load(tmp_path, parameters_of(encoder()), tensors)


def test_other_families_are_named(tmp_path):
    distil = {"distilbert.embeddings.LayerNorm.weight": (4,), "distilbert.transformer.layer.0.x.weight": (4,)}
    message = "holds a BERT encoder, but the model is a DistilBERT: .*init_student"
    write_raw(tmp_path / "model.safetensors", tensors_of(encoder()))
    with pytest.raises(WeightsError, match=message):
        check_depth(open_checkpoint(tmp_path), 1, DISTILBERT, tmp_path)
    write_raw(tmp_path / "model.safetensors", tensors_of(distil))
    with pytest.raises(WeightsError, match="holds a DistilBERT encoder, but the model is a BERT"):
        check_depth(open_checkpoint(tmp_path), 2, BERT, tmp_path)
    strange = {f"roberta.{name}": array for name, array in bare(tensors_of(encoder())).items()}
    message = "lacks 8 tensors of the encoder: .* and holds 8 .*: roberta.embeddings"
    with pytest.raises(WeightsError, match=message):
        load(tmp_path, parameters_of(encoder()), strange)
    with pytest.raises(WeightsError, match="lacks 8 tensors of the encoder"):
        load(tmp_path, parameters_of(encoder()), {})


@pytest.mark.parametrize(
    ("name", "shape", "hint"),
    [
        (
            WORD,
            (9, 4),
            r"\[9, 4\], but the config calls for \[7, 4\]: the config's vocab_size is 7 and ought to be 9",
        ),
        (WORD, (7, 8), "check hidden_size"),
        (
            "bert.embeddings.position_embeddings.weight",
            (6, 4),
            "max_position_embeddings is 5 and ought to be 6",
        ),
        ("bert.embeddings.LayerNorm.weight", (1, 4), "check hidden_size"),
        (
            "classifier.weight",
            (3, 4),
            r"\(3 labels in the file, 2 in the config's id2label\). .*ignore_mismatched",
        ),
        ("classifier.bias", (), "1 labels in the file"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, name, shape, hint):
    tensors = tensors_of(encoder() | CLASSIFIER) | tensors_of({name: shape})
    parameters = parameters_of(encoder() | CLASSIFIER)
    with pytest.raises(WeightsError, match=f"tensor '{name}' has shape .*{hint}"):
        load(tmp_path, parameters, tensors)
    assert (parameters[WORD] == -7).all()  # nothing was copied


def test_a_classifier_for_other_labels_may_start_anew(tmp_path):
    parameters = parameters_of(encoder() | CLASSIFIER)
    tensors = tensors_of(encoder() | {"classifier.weight": (3, 4), "classifier.bias": (3,)})
    report = load(tmp_path, parameters, tensors, ignore_mismatched=True)
    assert absences(report.missing) == dict.fromkeys(CLASSIFIER, True)
    assert report.missing[0].reason == "its shape in the file is [3, 4], here [2, 4]"
    assert report.ok
    assert (parameters["classifier.bias"] == -7).all()
    with pytest.raises(WeightsError, match="vocab_size"):
        load(tmp_path, parameters, tensors | tensors_of({WORD: (9, 4)}), ignore_mismatched=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused(tmp_path, bad):
    tensors = tensors_of(encoder())
    tensors[WORD][3, 1] = bad
    with pytest.raises(
        WeightsError, match=rf"'{WORD}' \(F32\) holds 1 values that are NaN or Inf .*\[3, 1\]"
    ):
        load(tmp_path, parameters_of(encoder()), tensors)


def test_overflow_on_the_way_to_float32_is_refused(tmp_path):
    tensors = tensors_of(encoder(), np.float64)
    tensors[WORD][0, 2] = 1e300
    with pytest.raises(
        WeightsError, match=r"\(F64\) holds 1 values that are NaN or Inf in float32, .*\[0, 2\]"
    ):
        load(tmp_path, parameters_of(encoder()), tensors)
    load(tmp_path, parameters_of(encoder(), "float64"), tensors)


def test_integers_are_refused(tmp_path):
    tensors = tensors_of(encoder()) | {WORD: np.zeros((7, 4), np.int64)}
    with pytest.raises(WeightsError, match=f"tensor '{WORD}' is I64; .*quantised"):
        load(tmp_path, parameters_of(encoder()), tensors)


def test_two_claims_to_one_parameter(tmp_path):
    tensors = tensors_of(encoder())
    tensors["bert.embeddings.LayerNorm.gamma"] = tensors["bert.embeddings.LayerNorm.weight"]
    with pytest.raises(WeightsError, match=r"both claim to be bert.embeddings.LayerNorm.weight"):
        load(tmp_path, parameters_of(encoder()), tensors)


def test_report_is_json(tmp_path):
    parameters = parameters_of(encoder() | CLASSIFIER)
    tensors = {name: bfloat16_bits(array) for name, array in tensors_of(encoder() | POOLER).items()}
    report = load(tmp_path, parameters, tensors, source="teacher")
    values = json.loads(json.dumps(report.to_dict()))
    assert values["source"] == "teacher"
    assert (values["ok"], values["complete"]) == (True, False)
    assert values["loaded"] == list(encoder())
    reason = "the file has no classifier"
    assert values["missing"][0] == {"name": "classifier.weight", "expected": True, "reason": reason}
    assert values["unexpected"][0]["name"] == "bert.pooler.dense.weight"
    dtypes = {"dtype": "float32", "stored_dtype": "BF16"}
    assert values["converted"][0] == {"name": WORD, "stored_name": WORD, **dtypes}
