"""References: the same bytes from the same seed, whole, described, and computed by the model in them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minidistil import ops
from minidistil.errors import ConfigError, StorageError, UsageError, WeightsError
from minidistil.model import load_model, model_classes
from minidistil.model.families import FAMILIES
from minidistil.verify.capture import capture, questions
from minidistil.verify.compare import compare
from minidistil.verify.conformance import is_reference, open_reference
from minidistil.verify.operations import order, tap_of
from minidistil.verify.reference import (
    heads_of,
    reference_inputs,
    reference_model,
    single_precision,
    write_reference,
)
from minidistil.verify.reference_index import GRADIENTS, INDEX, INPUTS, MODEL, PACKED, VALUES
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

EVERY = [(family, head) for family in FAMILIES for head in heads_of(family)]
every_head = pytest.mark.parametrize(("family", "head"), EVERY, ids=lambda word: word)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """`references(family, head)`: a reference that is made once."""
    made = {}

    def reference(family="bert", head="masked-lm"):
        if (family, head) not in made:
            made[family, head] = tmp_path_factory.mktemp("references") / f"{family}-{head}"
            write_reference(made[family, head], family, head)
        return made[family, head]

    return reference


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def tensors_of(directory):
    return {
        name: array
        for file in (VALUES, GRADIENTS)
        for name, array in SafetensorsFile(directory / file).items()
    }


def test_every_class_has_a_reference():
    heads = [FAMILIES[family] + heads_of(family)[head] for family, head in EVERY]
    assert sorted(heads) == sorted(model_classes())
    assert heads_of("bert") == {
        "bare": "Model",
        "masked-lm": "ForMaskedLM",
        "sequence-classification": "ForSequenceClassification",
        "multiple-choice": "ForMultipleChoice",
        "token-classification": "ForTokenClassification",
        "question-answering": "ForQuestionAnswering",
        "next-sentence-prediction": "ForNextSentencePrediction",
        "pre-training": "ForPreTraining",
    }


def test_another_process_writes_the_same_bytes(tmp_path):
    """Sets of names have another order in each process."""
    code = "from minidistil.cli.main import main; main({})".format
    for name in "ab":
        arguments = ["reference", "--family", "bert", "--out", str(tmp_path / name)]
        world = {**os.environ, "PYTHONHASHSEED": str(ord(name))}
        subprocess.run([sys.executable, "-c", code(arguments)], check=True, env=world, stdout=subprocess.PIPE)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_reference(tmp_path / name, "bert", "pre-training", seed=seed)
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert a == b
    assert set(a) == {"README.md", "config.json", INDEX, MODEL, INPUTS, VALUES, GRADIENTS}
    assert all(a[name] != c[name] for name in (INDEX, MODEL, INPUTS, VALUES, GRADIENTS))


@every_head
def test_the_index_describes_every_tensor(references, family, head):
    path = references(family, head)
    index = json.loads((path / INDEX).read_text())
    entries = {entry["name"]: entry for entry in index["tensors"]}
    assert len(entries) == len(index["tensors"])
    assert [entry["step"] for entry in index["tensors"]] == list(range(len(entries)))
    files = {name: SafetensorsFile(path / name) for name in (MODEL, INPUTS, VALUES, GRADIENTS)}
    assert {name for file in files.values() for name in file} == set(entries)
    sizes = index["sizes"]
    for name, entry in entries.items():
        array = files[entry["file"]][name]
        assert entry["shape"] == list(array.shape)
        assert entry["dtype"] == array.dtype.name
        assert [sizes.get(letter, letter) for letter in entry["letters"]] == list(array.shape)
        assert entry["what"]
        if array.dtype.kind == "f":
            assert np.isfinite(array).all()
            assert np.abs(array).max() > 0, name
    model = load_model(path, backend="numpy", dtype="float64")
    assert type(model).__name__ == index["architecture"]
    assert set(files[MODEL]) == set(model.params)
    assert {f"grad.{name}" for name in (*model.params, *model.taps())} == set(files[GRADIENTS])
    assert set(files[VALUES]) >= {"hidden_states.0", "last_hidden_state", *model.taps()}
    compared = [entry for entry in index["tensors"] if "tolerance" in entry]
    steps = [order(entry["name"]) for entry in compared]
    assert steps == sorted(steps), "in the order of computation"
    seen = set()
    for entry in compared:
        assert set(entry["from"]) <= seen, entry["name"]
        seen.add(entry["name"])
        if (tap := tap_of(entry["name"])) and not tap.gradient:
            assert set(entry["parameters"]) <= set(files[MODEL])
            assert not entry["module"] or entry["parameters"], entry["name"]
    used = {name for entry in compared for name in entry.get("parameters", ())}
    assert used == set(files[MODEL]) - {n for n in files[MODEL] if _of_no_tap(n, model)}


def _of_no_tap(parameter, model):
    """True for parameters of modules that no tap is written by."""
    return (
        parameter.rpartition(".")[0] not in {*model.taps().values()}
        and not any(parameter == table.name for table in model.encoder.embeddings.tables)
        and parameter not in model.copies(model.config).values()
    )


@every_head
def test_the_model_in_it_computes_its_numbers(references, family, head):
    """The directory holds all that is needed: the model that is read from it, on the inputs that are."""
    reference = open_reference(references(family, head))
    for dtype in ("float64", "float32"):
        model = load_model(references(family, head), backend="numpy", dtype=dtype)
        result = compare(
            reference.saved,
            capture(model, questions(reference.saved), taps=True),
            tolerance=0,
            tolerances=reference.tolerances({}, dtype),
            modules=reference.modules,
        )
        assert result.passed, result.first
        assert not result.only_in_a + result.only_in_b
        assert not result.other_loss
        assert [t.name for t in result.tensors] == reference.names


@every_head
def test_inputs_are_awkward(references, family, head):
    path = references(family, head)
    index, inputs = json.loads((path / INDEX).read_text()), dict(SafetensorsFile(path / INPUTS))
    model = load_model(path, backend="numpy", dtype="float64")
    mask = inputs["attention_mask"].reshape(-1, index["sizes"]["L"])
    lengths = mask.sum(1)
    assert {1, 2, index["sizes"]["L"]} <= set(lengths.tolist())
    assert (lengths % 2).sum() >= 3
    assert len(inputs[PACKED + "input_ids"]) == index["sizes"]["T"] == lengths.sum()
    ids = inputs["input_ids"].reshape(mask.shape)
    assert (ids[mask == 1] == inputs[PACKED + "input_ids"]).all()
    assert (inputs[PACKED + "cu_seqlens"] == np.cumsum([0, *lengths])).all()
    assert model.config.vocab_size - 1 in ids
    for table in model.encoder.embeddings.tables:
        rows = inputs[PACKED + table.ids]
        assert rows.max() == table.rows - 1 or table.ids == "task_type_ids", "the last row is used"
    sizes = [index["sizes"][letter] for letter in "BTHAIV"]
    assert len(set(sizes)) == len(sizes)
    assert index["sizes"]["I"] != 4 * index["sizes"]["H"]


def test_parameters_are_float32_numbers_far_from_fresh_ones():
    model = reference_model("bert", "masked-lm")
    for name, value in model.params.items():
        np.testing.assert_array_equal(value, np.float32(value))
        fresh = 1 if "LayerNorm.weight" in name else 0
        assert np.abs(value - fresh).mean() > 0.1, name
    single = single_precision(model)
    assert single.params.dtype == np.float32
    assert all((single.params[name] == value).all() for name, value in model.params.items())
    rates = {key: value for key, value in model.config.to_dict().items() if "dropout" in key}
    assert len(rates) == 3
    assert set(rates.values()) == {0}


def test_fields_of_the_config_may_be_set(tmp_path):
    index = write_reference(
        tmp_path / "r", "distilbert", "bare", changes={"dim": 12, "n_heads": 3, "max_position_embeddings": 4}
    )
    assert (index["sizes"]["H"], index["sizes"]["A"], index["sizes"]["L"]) == (12, 3, 4)
    by_name = {entry["name"]: entry for entry in index["tensors"]}
    assert by_name["layer.0.attention.q"]["letters"] == ["B", "L", "H"]
    with pytest.raises(UsageError, match=r"no field 'hiden_act' \(did you mean hidden_act\?\)"):
        write_reference(tmp_path / "s", "bert", changes={"hiden_act": "relu"})
    assert not (tmp_path / "s").exists()
    index = write_reference(tmp_path / "u", "bert", "token-classification", changes={"num_labels": 4})
    assert index["sizes"]["C"] == 4
    # Two letters of one size: the number is said in place of a wrong letter.
    index = write_reference(tmp_path / "t", "bert", "bare", changes={"intermediate_size": 15})
    by_name = {entry["name"]: entry for entry in index["tensors"]}
    assert by_name["layer.0.feed_forward.up"]["letters"] == ["B", "L", 15]


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_other_losses_of_sequences(tmp_path, problem):
    write_reference(tmp_path / "r", "bert", "sequence-classification", changes={"problem_type": problem})
    labels = SafetensorsFile(tmp_path / "r" / INPUTS)["labels"]
    assert labels.dtype == np.float64
    assert labels.shape == (6, 3)
    assert open_reference(tmp_path / "r").saved["loss"] > 0


def test_unknown_names(tmp_path):
    with pytest.raises(UsageError, match=r"no family 'brt' \(did you mean bert\?\)"):
        write_reference(tmp_path / "r", "brt")
    with pytest.raises(UsageError, match=r"bert has no head 'masked_lm' \(did you mean masked-lm\?\)"):
        write_reference(tmp_path / "r", "bert", "masked_lm")
    with pytest.raises(UsageError, match="the seed must be an integer of at least 0"):
        write_reference(tmp_path / "r", "bert", seed=-1)
    assert not (tmp_path / "r").exists()


def test_what_is_replaced_and_what_is_not(tmp_path):
    write_reference(tmp_path / "r", "bert")
    before = content(tmp_path / "r")
    (tmp_path / "r" / "mine.safetensors").write_bytes(b"x")
    write_reference(tmp_path / "r", "distilbert", "bare")
    after = content(tmp_path / "r")
    assert after.pop("mine.safetensors") == b"x"
    assert all(after[name] != before[name] for name in before)
    other = tmp_path / "other"
    other.mkdir()
    write_reference(other, "bert")  # of an empty one
    other = tmp_path / "model"
    reference_model("bert", "bare").save_pretrained(other)
    there = content(other)
    with pytest.raises(StorageError, match="model is not empty, and holds no reference: choose another"):
        write_reference(other, "bert")
    assert content(other) == there


def test_it_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    from minidistil.verify import reference

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference, "write_json", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_reference(tmp_path / "r", "bert")
    assert list(tmp_path.iterdir()) == []


def test_damaged_references(tmp_path):
    path = tmp_path / "r"
    write_reference(path, "bert")
    good = json.loads((path / INDEX).read_text())
    assert is_reference(path)
    for spoiled, message in (
        ({**good, "version": 7}, "has version 7, and 1 is read"),
        ({**good, "tensors": [{}]}, "is damaged"),
        ({name: value for name, value in good.items() if name != "base"}, "is damaged: KeyError"),
        ({**good, "format": "?"}, "is not the index of a reference"),
    ):
        (path / INDEX).write_text(json.dumps(spoiled))
        with pytest.raises(ConfigError, match=message):
            open_reference(path)
    assert not is_reference(path)
    (path / INDEX).write_text("{")
    assert is_reference(path)
    with pytest.raises(ConfigError, match="is not JSON"):
        open_reference(path)
    (path / INDEX).write_text(json.dumps(good))
    values = dict(SafetensorsFile(path / VALUES))
    del values["loss"]
    write_safetensors(path / VALUES, values)
    with pytest.raises(WeightsError, match="lacks loss, which"):
        open_reference(path)
    (path / VALUES).unlink()
    with pytest.raises(WeightsError, match="cannot read"):
        open_reference(path)


def test_a_wrong_constant_is_beyond_the_tolerance_of_float32(references):
    """Settings are so far from their defaults that a constant in their place shows in float32."""
    reference = open_reference(references())
    for change, first in (
        ({"layer_norm_eps": 1e-12}, "embeddings.norm"),
        ({"hidden_act": "gelu_new"}, "layer.0.feed_forward.activated"),
    ):
        model = load_model(references(), backend="numpy", dtype="float32")
        model.config = model.config.replace(**change)
        result = compare(
            reference.saved,
            capture(model, questions(reference.saved), taps=True),
            tolerance=0,
            tolerances=reference.tolerances({}, "float32"),
        )
        assert result.first_divergence == first


def test_tolerances_follow_the_precision(references):
    reference = open_reference(references())
    name = "layer.1.attention.q"
    exact, single = (reference.tolerances({}, kind)[name] for kind in ("float64", "float32"))
    assert 1e-15 < exact < 1e-12
    assert 1e-6 < single < 1e-4
    assert single / exact == pytest.approx(2.0**29, rel=0.2)
    stored = reference.tolerances({name: "bfloat16", "logits": "float16"}, "float64")
    assert (stored[name], stored["logits"], stored["loss"]) == (
        8e-3,
        2e-3,
        reference.tolerances({}, "float64")["loss"],
    )


def test_inputs_have_no_padding_id():
    model = reference_model("bert", "bare", changes={"pad_token_id": 4})
    given = reference_inputs(model)
    assert ((given["input_ids"] == 4) == (given["attention_mask"] == 0)).all()
    assert model.backend is ops
