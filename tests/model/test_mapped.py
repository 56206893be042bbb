"""Matrices that are left in their file: the same numbers, an error if the file changes, and little memory."""

import os
import shutil

import numpy as np
import pytest

from minidistil import BertConfig
from minidistil.errors import UsageError, WeightsError
from minidistil.model import MODELS, load_model, load_to_answer
from minidistil.parameters import Parameters
from minidistil.weights.safetensors_file import SafetensorsFile, Tensor, write_safetensors

SIZES = {
    "vocab_size": 20,
    "max_position_embeddings": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
IDS = [[2, 5, 3, 7]]
WORDS = "bert.embeddings.word_embeddings.weight"
QUERY = "bert.encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def directory(tmp_path):
    MODELS["BertForSequenceClassification"](BertConfig(**SIZES), seed=1).save_pretrained(tmp_path)
    return tmp_path


def test_the_same_numbers_and_the_same_report(directory):
    loaded, mapped = load_model(directory), load_model(directory, mapped=True)
    assert mapped.load_report == loaded.load_report
    want = loaded(IDS).logits
    for _ in range(3):
        assert (mapped(IDS).logits == want).all()
    mapped.eval()
    for _ in range(3):  # as it lies, packed, from the packed form
        assert (mapped(IDS).logits == want).all()
    assert mapped.params.packed
    assert mapped.params.nbytes == loaded.params.flat.nbytes
    assert all((mapped.params[name] == values).all() for name, values in loaded.params.items())


def test_kernels_get_the_kind_of_array_they_are_compiled_for(directory):
    mapped = load_model(directory, mapped=True)
    assert mapped.params.array(WORDS).flags.writeable
    assert mapped.params.array(WORDS).flags.aligned


def test_nothing_changes_until_train(directory):
    before = (directory / "model.safetensors").read_bytes()
    mapped = load_model(directory, mapped=True)
    with pytest.raises(UsageError, match="call its train"):
        mapped.params[QUERY][0] = 1
    with pytest.raises(UsageError, match="train"):
        _ = mapped.params.flat
    mapped.train()
    assert (mapped.params.flat == load_model(directory).params.flat).all()
    mapped.params[WORDS][...] = 5
    assert (mapped.params[WORDS] == 5).all()
    assert (directory / "model.safetensors").read_bytes() == before


def test_a_fused_group_is_made_of_its_members(directory):
    loaded, mapped = load_model(directory), load_model(directory, mapped=True)
    name = "bert.encoder.layer.0.attention.qkv.weight"
    group = next(s.fused for s in loaded.params.specs if s.name == QUERY)
    assert group.startswith(name.removesuffix("attention.qkv.weight"))
    assert (mapped.params.array(group) == loaded.params.array(group)).all()


def test_other_dtypes_are_copied_and_a_missing_head_begins_afresh(directory):
    wide = load_model(directory, mapped=True, dtype="float64")
    assert (wide.params[WORDS] == load_model(directory).params[WORDS]).all()
    wide.params[WORDS][0] = 1  # the model's own
    path = directory / "model.safetensors"
    encoder = {k: np.array(v) for k, v in SafetensorsFile(path).items() if not k.startswith("classifier")}
    write_safetensors(path, encoder)
    want = load_model(directory, seed=3)
    got = load_model(directory, seed=3, mapped=True)
    assert got.params["classifier.weight"].any()
    assert (got.params["classifier.weight"] == want.params["classifier.weight"]).all()


def test_a_damaged_file_is_refused(directory):
    path = directory / "model.safetensors"
    tensors = {k: np.array(v) for k, v in SafetensorsFile(path).items()}
    tensors[WORDS][3, 4] = np.nan
    write_safetensors(path, tensors)
    with pytest.raises(WeightsError, match="NaN"):
        load_model(directory, mapped=True)


def test_matrices_are_read_once_a_call_until_all_are_packed(directory, monkeypatch):
    read = []
    into = Tensor.read_part
    monkeypatch.setattr(Tensor, "read_part", lambda *given: (read.append(given[0].name), into(*given)))
    model = load_model(directory, mapped=True)
    read.clear()
    model(IDS)
    matrices = [spec.name for spec in model.params.specs if spec.role == "weight"]
    assert sorted(read) == sorted([*matrices, *[WORDS] * len(IDS[0])])  # of the word table the rows it needs
    model.eval()
    for reads in (True, True, False):
        read.clear()
        model(IDS)
        assert bool(read) == reads


def cut(path):
    os.truncate(path, path.stat().st_size - 8)


def overwritten(path):
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.write(bytes(size))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # however coarse the file system's clock is


def replaced(path):
    other = path.with_name("other")
    shutil.copyfile(path, other)
    cut(other)
    other.replace(path)


@pytest.mark.parametrize("change", [cut, overwritten, replaced, os.unlink])
def test_a_file_that_changes_under_a_model(directory, change):
    """One that is in memory answers as before; one that is not says so, unless its file is there still."""
    path = directory / "model.safetensors"
    want = load_model(directory)(IDS).logits
    held, mapped = load_to_answer(directory), load_to_answer(directory, mapped=True)
    change(path)
    assert (held(IDS).logits == want).all()
    if change in (cut, overwritten):
        with pytest.raises(
            WeightsError, match=r"has changed since it was opened, before tensor '.*' was read"
        ):
            mapped(IDS)
        with pytest.raises(WeightsError, match="has changed"):
            mapped.train()
    else:
        assert (mapped(IDS).logits == want).all()
        assert (mapped.train()(IDS).logits == want).all()


@pytest.mark.parametrize("change", [cut, overwritten])
def test_a_file_that_changes_while_it_is_loaded(directory, change, monkeypatch):
    path, into, calls = directory / "model.safetensors", Tensor.read_into, []

    def read(self, out):
        calls.append(self.name)
        if len(calls) == 9:
            change(path)
        into(self, out)

    monkeypatch.setattr(Tensor, "read_into", read)
    with pytest.raises(WeightsError, match="has changed since it was opened"):
        load_model(directory)


def test_asking_whether_a_parameter_exists_makes_nothing():
    parameters = Parameters(MODELS["BertModel"].specs(BertConfig(**SIZES)), allocate=False)
    assert (
        "encoder.layer.0.output.dense.weight" in parameters
        or "bert.encoder.layer.0.output.dense.weight" in parameters
    )
    assert "nothing" not in parameters
    assert not parameters._views
