"""Opening model directories: single files, shards, and everything that is neither."""

from __future__ import annotations

import json

import numpy as np
import pytest
from raw_safetensors import bfloat16_bits, write_raw

from minidistil.errors import WeightsError
from minidistil.weights.checkpoint import open_checkpoint

INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path):
    """Two shards and their index."""
    write_raw(tmp_path / "model-00001-of-00002.safetensors", {"a": np.float32([1, 2])})
    write_raw(tmp_path / "model-00002-of-00002.safetensors", {"b": bfloat16_bits([3]), "c": np.float64([4])})
    set_index(tmp_path, {"a": 1, "b": 2, "c": 2})
    return tmp_path


def set_index(directory, weight_map):
    names = {t: f"model-0000{n}-of-00002.safetensors" if n in (1, 2) else n for t, n in weight_map.items()}
    (directory / INDEX).write_text(json.dumps({"metadata": {"total_size": 18}, "weight_map": names}))


def test_single_file(tmp_path):
    write_raw(tmp_path / "model.safetensors", {"a": np.float32([1, 2])})
    checkpoint = open_checkpoint(str(tmp_path))
    assert list(checkpoint) == ["a"]
    assert checkpoint.path == tmp_path / "model.safetensors"
    np.testing.assert_array_equal(checkpoint["a"], [1, 2])


def test_shards_are_one_mapping(sharded):
    checkpoint = open_checkpoint(sharded)
    assert {name: array.tolist() for name, array in checkpoint.items()} == {"a": [1, 2], "b": [3], "c": [4]}
    assert len(checkpoint) == 3
    assert [checkpoint.tensors[name].dtype for name in "abc"] == ["F32", "BF16", "F64"]
    assert checkpoint.tensors["a"].shape == (2,)
    out = np.zeros(1, np.float32)
    checkpoint.tensors["b"].read_into(out)
    assert out == [3]


def test_the_single_file_comes_first(sharded):
    write_raw(sharded / "model.safetensors", {"a": np.float32([9])})
    assert open_checkpoint(sharded)["a"].tolist() == [9]


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": 1, "b": 2, "c": 2, "d": 2}, "says 'model-00002-of-00002.safetensors' holds tensor 'd'"),
        ({"a": 2, "b": 2, "c": 2}, "holds tensor 'a', but it does not"),
        (
            {"a": 1, "b": 2},
            "model-00002-of-00002.safetensors holds tensor 'c', which .* does not place there",
        ),
        ({"a": 1, "b": "model-00003.safetensors"}, "'model-00003.safetensors', which is missing"),
        (
            {"a": "../model.safetensors"},
            r"names the shard '../model.safetensors'; a .safetensors file beside it",
        ),
        ({"a": "/etc/model.safetensors"}, "names the shard '/etc/model.safetensors'"),
        ({"a": "..\\model.safetensors"}, r"a .safetensors file beside it"),
        ({"a": "model\0.safetensors"}, r"a .safetensors file beside it"),
        ({"a": "pytorch_model.bin"}, "names the shard 'pytorch_model.bin'"),
        ({"a": 5}, '"weight_map"'),
    ],
)
def test_index_that_lies(sharded, weight_map, message):
    set_index(sharded, weight_map)
    with pytest.raises(WeightsError, match=message):
        open_checkpoint(sharded)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"weight_map": []}', "[" * 100_000, "\udcff"])
def test_index_that_is_none(sharded, content):
    (sharded / INDEX).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError, match=INDEX):
        open_checkpoint(sharded)


def test_damaged_shard_is_named(sharded):
    shard = sharded / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"model-00002-of-00002.safetensors is not a sound"):
        open_checkpoint(sharded)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "weights.pth", "model.ckpt"])
def test_pickle_is_refused_and_never_opened(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    (tmp_path / name).chmod(0)
    with pytest.raises(WeightsError) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert f"only {name}" in message
    assert "can run any code" in message
    convert = f"AutoModel.from_pretrained({str(tmp_path)!r}).save_pretrained({str(tmp_path)!r}"
    assert f"{convert}, safe_serialization=True)" in message


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack"])
def test_other_frameworks_are_named(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=f"another framework's {name}"):
        open_checkpoint(tmp_path)


def test_no_weights_no_directory(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no weights; model.safetensors or .* was expected"):
        open_checkpoint(tmp_path)
    with pytest.raises(WeightsError, match="nowhere does not exist"):
        open_checkpoint(tmp_path / "nowhere")
    (tmp_path / "f").touch()
    with pytest.raises(WeightsError, match="f is a file; give the directory"):
        open_checkpoint(tmp_path / "f")
