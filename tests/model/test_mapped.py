"""Parameters that are left in their file: the same numbers, and nothing can change them."""

import mmap

import numpy as np
import pytest

from minidistil.config import BertConfig
from minidistil.errors import UsageError, WeightsError
from minidistil.model import MODELS, load_model
from minidistil.model.arena import Arena
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

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
    with pytest.raises(ValueError, match="read-only"):
        mapped.params[WORDS][0] = 1
    with pytest.raises(UsageError, match="train"):
        _ = mapped.params.flat
    mapped.train()
    assert (mapped.params.flat == load_model(directory).params.flat).all()
    mapped.params[WORDS][...] = 5
    assert (mapped.params[WORDS] == 5).all()
    assert (directory / "model.safetensors").read_bytes() == before
    mapped.params.release()  # of what is the model's own, nothing
    assert (mapped.params[WORDS] == 5).all()


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


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system cannot")
def test_memory_is_given_up_after_each_layer_until_all_is_packed(directory, monkeypatch):
    mapped, calls = load_model(directory, mapped=True), []
    monkeypatch.setattr(mapped.params, "_release", lambda: calls.append(1))
    mapped(IDS)
    assert len(calls) == SIZES["num_hidden_layers"] + 1  # and after the heads
    mapped.eval()
    for packs in (True, True, False):
        calls.clear()
        mapped(IDS)
        assert bool(calls) == packs


def test_asking_whether_a_parameter_exists_makes_nothing():
    arena = Arena(MODELS["BertModel"].specs(BertConfig(**SIZES)), allocate=False)
    assert (
        "encoder.layer.0.output.dense.weight" in arena or "bert.encoder.layer.0.output.dense.weight" in arena
    )
    assert "nothing" not in arena
    assert not arena._views
