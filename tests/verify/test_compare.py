"""compare: names what diverges first, and is silent where nothing does."""

import argparse
import json

import numpy as np
import pytest

from minidistil.cli import compare as verb
from minidistil.cli.compare_output import as_table
from minidistil.errors import InputError, UsageError
from minidistil.model import MODELS
from minidistil.verify.compare import capture, compare, order, questions
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "warm", "funny", "film", "bad", "so", "."]
TEXTS = ["a warm, funny film.", "so bad"]
SIZES = {
    "vocab_size": 60,
    "max_position_embeddings": 14,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "initializer_range": 0.3,
}
IDS = np.array([[2, 5, 6, 7, 3], [2, 9, 3, 0, 0]])
GIVEN = {"input_ids": IDS, "attention_mask": (IDS > 0).astype(int)}


def build(name, *, backend="numpy", dtype="float64", seed=1, **changes):
    config = MODELS[name].config_class(**SIZES).replace(**changes)
    return MODELS[name](config, backend=backend, dtype=dtype, seed=seed)


def compare_models(a, b, tolerance=1e-9, **options):
    ours = capture(a, GIVEN, **options)
    return compare(ours, capture(b, GIVEN | questions(ours)), tolerance=tolerance)


def directory(path, name="BertForSequenceClassification", **options):
    build(name, **options).save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return str(path)


def cli(*args):
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.run(parser.parse_args([str(arg) for arg in args]))


@pytest.mark.parametrize("name", MODELS)
def test_two_backends_agree_in_every_tensor(name):
    a, b = build(name), build(name, backend="numba")
    result = compare_models(a, b)
    assert result.passed
    assert result.first_divergence is None
    assert (result.only_in_a, result.only_in_b, result.other_loss) == ((), (), False)
    names = [t.name for t in result.tensors]
    assert names[:3] == ["hidden_states.0", "hidden_states.1", "hidden_states.2"]
    assert {n for n in names if n.startswith("grad.")} == {f"grad.{n}" for n in a.params}
    assert ("loss" in names) != name.endswith(("Model", "MultipleChoice"))  # texts are no choices
    assert 0 < max(t.relative for t in result.tensors) < 1e-12
    assert min(t.cosine for t in result.tensors if t.relative < 1e-13) == pytest.approx(1)


@pytest.mark.parametrize("name", [n for n in MODELS if not n.endswith(("Model", "MultipleChoice"))])
def test_gradients_are_those_of_the_models_own_loss(name):
    model = build(name)
    found = capture(model, GIVEN)
    targets = {k: v for k, v in questions(found).items() if k not in GIVEN}
    assert targets
    loss, grads = model.loss_and_grads(**GIVEN, **targets)
    assert found["loss"] == pytest.approx(loss, rel=1e-14)
    for key in grads:
        np.testing.assert_array_equal(found[f"grad.{key}"], grads[key])
    assert any(np.abs(g).max() > 1e-3 for g in grads.values())


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_other_kinds_of_labels(kind):
    labels = {0: "score"} if kind == "regression" else {0: "a", 1: "b"}
    model = build("BertForSequenceClassification", problem_type=kind, id2label=labels)
    found = capture(model, GIVEN)
    expected = found["logits"] > 0 if kind.startswith("multi") else [0, 0]
    np.testing.assert_array_equal(found["labels"], expected)
    assert found["loss"] > 1e-3
    assert np.abs(found["grad.classifier.weight"]).max() > 1e-3


@pytest.mark.parametrize(
    ("parameter", "first"),
    [
        ("bert.embeddings.word_embeddings.weight", "hidden_states.0"),
        ("bert.encoder.layer.0.attention.self.value.bias", "hidden_states.1"),
        ("bert.encoder.layer.1.output.dense.weight", "hidden_states.2"),
        ("classifier.bias", "logits"),
    ],
)
def test_the_first_divergence_is_where_it_began(parameter, first):
    a, b = build("BertForSequenceClassification"), build("BertForSequenceClassification")
    b.params[parameter][...] *= 1.001
    b.params[parameter][...] += 0.001
    result = compare_models(a, b)
    assert result.first_divergence == first
    assert not result.passed
    before = [t for t in result.tensors if order(t.name) < order(first)]
    assert all(t.relative == 0 for t in before)


def test_a_wrong_backward_is_found_where_it_is(monkeypatch):
    a, b = build("BertForSequenceClassification"), build("BertForSequenceClassification", backend="numba")
    real = b.backend.attention_backward
    monkeypatch.setattr(b.backend, "attention_backward", lambda *args: real(*args) * 1.0001)
    result = compare_models(a, b)
    assert result.first_divergence.startswith("grad.bert.encoder.layer.1.attention.self.")
    sides = [verb.Side("", "float64", name, model, None) for name, model in (("a", a), ("b", b))]
    table = as_table(result, sides, GIVEN)
    assert table.count("\ngrad.bert.encoder.layer.1.attention.self.") == 5  # all but the bias of the keys
    assert "\ngrad.bert.encoder.layer.0." not in table
    assert "FAILED  15 of 16, worst bert.encoder.layer.0." in table
    assert next(t for t in result.tensors if t.name == "logits").passed


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_never_pass(bad):
    ours = capture(build("BertModel"), GIVEN)
    theirs = ours | {"hidden_states.1": ours["hidden_states.1"].copy()}
    theirs["hidden_states.1"][0, 2, 3] = bad
    for pair in ((ours, theirs), (theirs, ours), (theirs, theirs)):
        assert compare(*pair, tolerance=1e9).first_divergence == "hidden_states.1"


def test_noise_on_padding_is_left_out_and_on_tokens_is_not():
    ours = capture(build("BertModel"), GIVEN)
    theirs = ours | {"hidden_states.1": ours["hidden_states.1"].copy()}
    theirs["hidden_states.1"][1, 3:] = 99
    assert compare(ours, theirs, tolerance=1e-9).passed
    theirs["hidden_states.1"][1, 2, 0] += 1e-3
    result = compare(ours, theirs, tolerance=1e-9)
    assert result.first_divergence == "hidden_states.1"
    assert next(t for t in result.tensors if not t.passed).max_abs == pytest.approx(1e-3)


def test_gradients_that_are_zero_but_for_rounding_pass():
    """The bias of the keys: the two backends round differently, and its relative error means nothing."""
    ours = capture(build("BertForSequenceClassification", dtype="float32"), GIVEN)
    name = "grad.bert.encoder.layer.0.attention.self.key.bias"
    largest = max(np.linalg.norm(v) for k, v in ours.items() if k.startswith("grad."))
    assert np.linalg.norm(ours[name]) < 1e-6 * largest
    theirs = ours | {name: -ours[name]}
    assert compare(ours, theirs, tolerance=1e-5).passed
    assert compare(ours, ours | {name: ours[name] + 1e-3 * largest}, tolerance=1e-5).first_divergence == name


def test_two_depths_are_compared_as_far_as_both_go():
    result = compare_models(build("BertModel"), build("BertModel", num_hidden_layers=1), tolerance=1e9)
    names = [t.name for t in result.tensors]
    assert "hidden_states.1" in names
    assert "hidden_states.2" in result.only_in_a
    assert result.only_in_b == ()


def test_two_widths_diverge_by_shape():
    result = compare_models(build("BertModel"), build("BertModel", hidden_size=16), tolerance=1e9)
    assert result.first_divergence == "hidden_states.0"
    assert result.tensors[0].shapes == ((2, 5, 24), (2, 5, 16))


def test_different_targets_leave_the_gradients_out():
    result = compare_models(build("BertForMaskedLM"), build("BertModel"), tolerance=1e9)
    assert result.other_loss
    assert result.passed
    assert [t.name for t in result.tensors if t.name.startswith(("grad.", "loss"))] == []


def test_different_labels_leave_the_gradients_out_too():
    model = build("BertForSequenceClassification")
    result = compare(capture(model, GIVEN, label=[0]), capture(model, GIVEN, label=[1, 0]), tolerance=0)
    assert result.other_loss
    assert result.passed
    assert [t.name for t in result.tensors][-1] == "logits"


def test_different_inputs_are_refused():
    model = build("BertModel")
    other = GIVEN | {"input_ids": np.where(IDS == 7, 8, IDS)}
    with pytest.raises(InputError, match="different input_ids"):
        compare(capture(model, GIVEN), capture(model, other), tolerance=1)


def test_nothing_in_common_is_refused():
    with pytest.raises(InputError, match=r"no tensor in common that can be compared.*\. A has hidden"):
        compare(capture(build("BertModel"), GIVEN), {"something": np.ones(3)}, tolerance=1)


def test_names_that_only_one_side_has_are_listed_with_the_nearest_of_the_other():
    known = [f"hidden_states.{i}" for i in range(8)] + ["logits"]
    theirs = {name: np.ones(3) for name in ("hiden_states.3", "attentions.0", "logit")}
    with pytest.raises(InputError) as error:
        compare({name: np.ones(3) for name in known}, theirs, tolerance=1)
    says = str(error.value)
    assert "A has hidden_states.0, " in says
    assert "hidden_states.5 and 3 more" in says
    assert "hiden_states.3 (did you mean hidden_states.3?)" in says
    assert "logit (did you mean logits?)" in says
    assert "attentions.0," in says or says.endswith("attentions.0")


# The verb


@pytest.mark.parametrize(
    "case",
    ["BertForPreTraining", "DistilBertForQuestionAnswering", "BertForSequenceClassification", "BertModel"],
)
def test_the_activations_of_another_implementation(golden, case, tmp_path, capsys):
    """A file as another implementation would write it, here transformers, by way of the golden files."""
    family = "distilbert" if case.startswith("Distil") else "bert"
    encoder, head = golden(f"family.{family}"), golden(case)
    model = build(case, id2label={i: str(i) for i in range(head.about["changes"].get("num_labels", 2))})
    parameters = encoder.group("parameters") | head.group("parameters")
    for name, value in model.params.items():
        value[...] = parameters.get(name, parameters.get(f"{family}.{name}"))
    model.save_pretrained(tmp_path / "model")
    reference = {**encoder.group("inputs"), **head.group("targets"), **head.group("outputs")}
    reference |= {k: v for k, v in encoder.tensors.items() if k.startswith("hidden_states.")}
    if case != "BertModel":  # whose golden gradients include those of hidden states
        reference |= {f"grad.{k}": v for k, v in head.group("gradients").items()}
        reference["loss"] = head.tensors["loss"]
    write_safetensors(tmp_path / "reference.safetensors", reference)
    for sides in (("model", "reference.safetensors"), ("reference.safetensors", "model")):
        assert cli(*(tmp_path / side for side in sides), "--dtype", "float64", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found["tolerance"] == 1e-9
        assert {t["name"] for t in found["tensors"]} >= {f"hidden_states.{i}" for i in range(3)}
        assert len(found["tensors"]) > (30 if case != "BertModel" else 4)
    wrong = next(k for k in reference if k.startswith(("grad.", "pooler_output")))
    reference[wrong] = reference[wrong] + 1e-3
    write_safetensors(tmp_path / "reference.safetensors", reference)
    assert cli(tmp_path / "model", tmp_path / "reference.safetensors") == 1
    assert f"the first divergence is {wrong}" in capsys.readouterr().out


def test_one_model_on_two_backends(tmp_path, capsys):
    path = directory(tmp_path / "m")
    assert cli(path, "--backend-b", "numpy", "--dtype-b", "float64", "--text", *TEXTS) == 0
    out = capsys.readouterr().out
    assert "BertForSequenceClassification, 2 layers, numba, float32" in out
    assert "BertForSequenceClassification, 2 layers, numpy, float64" in out
    assert "sequences: 2, tokens: 12" in out
    assert "hidden_states.0 (embeddings)" in out
    assert "gradients, layer 1" in out
    assert out.endswith("tensors agree within 1e-05\n")
    assert cli(path, "--backend-b", "numpy", "--dtype-b", "float64", "--text", *TEXTS, "--tolerance", 0) == 1


def test_two_checkpoints(tmp_path, capsys):
    a, b = directory(tmp_path / "a"), directory(tmp_path / "b", seed=2)
    assert cli(a, b, "--text", *TEXTS, "--label", 1, 0, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["first_divergence"]) == (False, "embeddings.sum")
    assert (found["a"]["source"], found["b"]["source"]) == (a, b)
    assert cli(a, b, "--text", *TEXTS) == 1
    assert "FAILED" in capsys.readouterr().out


def test_both_sides_are_asked_for_the_gradient_of_the_same_loss(tmp_path, capsys):
    """The targets are A's predictions, also for B, which predicts other words."""
    a, b = (directory(tmp_path / str(i), "BertForMaskedLM", seed=i) for i in (1, 2))
    assert cli(a, b, "--text", *TEXTS, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["other_loss"]
    loss = next(t for t in found["tensors"] if t["name"] == "loss")
    assert loss["relative"] > 0.1


def test_save_and_compare_with_what_was_saved(tmp_path, capsys):
    path, saved = directory(tmp_path / "m"), tmp_path / "reference.safetensors"
    assert cli(path, "--save", saved, "--text", *TEXTS, "--label", 1) == 0
    assert capsys.readouterr().out == ""
    file = SafetensorsFile(saved)
    np.testing.assert_array_equal(file["labels"], [1, 1])
    assert {"input_ids", "hidden_states.2", "logits", "loss", "grad.classifier.weight"} <= set(file)
    assert cli(path, saved, "--backend", "numpy") == 0
    assert cli(saved, saved) == 0
    assert "saved activations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{m}"], "nothing to compare with: give B"),
        (["{m}", "{m}"], "Give --text TEXT"),
        (["{m}", "{s}", "--text", "a"], "leave --text away"),
        (["{m}", "{m}", "--text", "a", "--tolerance", "-1"], "--tolerance must be a number >= 0"),
        (["{m}", "{m}", "--text", "a", "--tolerance", "nan"], "--tolerance must be a number >= 0"),
        (["{m}", "{m}", "--text", "a", "--label", "2"], "label 2 is none of the model's classes 0 to 1"),
        (["{m}", "{m}", "--text", "a", "--label", "1", "1"], "2 labels for 1 texts"),
        (["{q}", "{q}", "--text", "a", "--label", "1"], "not for BertForQuestionAnswering"),
        (["{s}", "{s}", "--label", "1"], "--label is for models"),
    ],
)
def test_mistakes_of_usage(args, message, tmp_path):
    places = {
        "{m}": directory(tmp_path / "m"),
        "{q}": directory(tmp_path / "q", "BertForQuestionAnswering"),
        "{s}": str(tmp_path / "s.safetensors"),
    }
    cli(places["{m}"], "--save", places["{s}"], "--text", "a")
    with pytest.raises(UsageError, match=message):
        cli(*(places.get(arg, arg) for arg in args))


def test_multiple_choice_as_others_give_it():
    """input_ids and mask [B, C, L], scores [B, C], states of B * C rows."""
    model = build("BertForMultipleChoice")
    ids = np.array([[[2, 5, 3], [2, 6, 0], [2, 7, 3]], [[2, 8, 3], [2, 9, 3], [2, 4, 0]]])
    given = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "labels": np.array([1, 2])}
    said = model(ids, given["attention_mask"])
    states = model.forward(model.pack(ids, given["attention_mask"]), hidden_states=True)[0]["hidden_states"]
    batch = model.pack(ids, given["attention_mask"])
    reference = {**given, "logits": said.logits, "hidden_states.0": batch.unpack(states[0])}
    found = compare(reference, capture(model, given), tolerance=1e-12)
    assert found.passed, found
    assert {t.name for t in found.tensors} == {"logits", "hidden_states.0"}
    ours = capture(model, {k: v for k, v in given.items() if k != "labels"})
    assert ours["logits"].shape == ours["cotangent.logits"].shape == (2, 3)
