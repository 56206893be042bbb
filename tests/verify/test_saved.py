"""Tensors of other implementations: several formats, names and precisions, and nothing unpickled."""

import pickle

import numpy as np
import pytest

from minidistil.errors import InputError, MinidistilError, UsageError, WeightsError
from minidistil.verify.saved import HALF, is_saved, read_saved
from minidistil.weights.safetensors_file import write_safetensors

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7


def as_bfloat16(x):
    """The upper half of each float32, as NumPy writes a bfloat16 array of the ml_dtypes package."""
    return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view("V2")


def save(path, x=X):
    np.save(path, x, allow_pickle=False)
    return str(path)


@pytest.mark.parametrize("form", ["npz", "compressed npz", "safetensors", "folder", "one by one", "mixed"])
def test_every_form_gives_the_same_tensors(form, tmp_path):
    tensors = {"layer.0.attention.q": X, "logits": np.asfortranarray(X[0])}
    if form.endswith("npz"):
        (np.savez if form == "npz" else np.savez_compressed)(tmp_path / "x.npz", **tensors)
        sources = [tmp_path / "x.npz"]
    elif form == "safetensors":
        write_safetensors(tmp_path / "x.safetensors", tensors)
        sources = [tmp_path / "x.safetensors"]
    elif form == "folder":
        for name, value in tensors.items():
            save(tmp_path / f"{name}.npy", value)
        sources = [tmp_path]
    elif form == "one by one":
        sources = [f"layer.0.attention.q={save(tmp_path / 'q.npy')}", save(tmp_path / "logits.npy", X[0])]
    else:
        np.savez(tmp_path / "x.npz", logits=tensors["logits"])
        sources = [tmp_path / "x.npz", f"layer.0.attention.q={save(tmp_path / 'q.npy')}"]
    assert all(is_saved(str(source)) for source in sources)
    found = read_saved([str(source) for source in sources])
    assert set(found) == set(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name], value)
    assert found.stored == dict.fromkeys(tensors, "float32")
    assert found.tolerances() == {}


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "int64"])
def test_precisions(kind, tmp_path):
    value = as_bfloat16(X) if kind == "bfloat16" else X.astype(kind)
    found = read_saved([save(tmp_path / "q.npy", value)])
    assert found.stored == ({} if kind == "int64" else {"q": kind})
    assert found.tolerances() == ({"q": HALF[kind]} if kind in HALF else {})
    if kind != "int64":
        error = np.linalg.norm(found["q"] - X) / np.linalg.norm(X)
        assert error <= HALF.get(kind, 0) / 2
        assert (error > 0) == (kind in HALF)


def test_bfloat16_in_safetensors(tmp_path):
    import json

    data = as_bfloat16(X).tobytes()
    header = json.dumps({"q": {"dtype": "BF16", "shape": [2, 3, 4], "data_offsets": [0, len(data)]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    found = read_saved([str(tmp_path / "x.safetensors")])
    assert found.stored == {"q": "bfloat16"}
    np.testing.assert_allclose(found["q"], X, rtol=2**-7)


def test_a_model_is_no_saved_tensor(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save(tmp_path / "x.npy")
    assert not is_saved(str(tmp_path))
    assert not is_saved("bert-base-uncased")
    assert not is_saved(str(tmp_path / "missing"))


@pytest.mark.parametrize("where", ["npy", "npz", "folder"])
def test_nothing_is_unpickled(where, tmp_path):
    """Reading this pickle would leave a file behind."""

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    trap = np.array([Trap()], dtype=object)
    path = tmp_path / f"x.{where}" if where != "folder" else tmp_path / "folder" / "x.npy"
    path.parent.mkdir(exist_ok=True)
    (np.savez if where == "npz" else np.save)(path, trap)
    source = str(path.parent if where == "folder" else path)
    with pytest.raises(WeightsError, match="holds Python objects, and reading those can run foreign code"):
        read_saved([source])
    plain = tmp_path / "plain.npy"
    plain.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError, match=r"Python objects|not a sound NumPy file"):
        read_saved([str(plain)])
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore:Reading")  # of headers that look like those of Python 2
def test_every_damage_is_an_error_that_names_the_file(tmp_path):
    """Each byte of the header changed, and the file cut anywhere."""
    rng = np.random.default_rng(0)
    messages = []
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        (np.save if path.suffix == ".npy" else np.savez_compressed)(path, X)
        whole = path.read_bytes()
        for place in range(0, min(len(whole), 400), 3):
            for content in (whole[:place], whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :]):
                path.write_bytes(content)
                try:
                    assert all(value.dtype.kind in "fiub" for value in read_saved([str(path)]).values())
                except MinidistilError as error:
                    messages.append(str(error))
    assert len(messages) > 150
    assert all("x.np" in message for message in messages)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array(["a", "b"]), "tensor 'x' holds <U1; numbers are expected"),
        (np.array([1j]), "tensor 'x' holds complex128; numbers are expected"),
        (np.zeros(2, [("a", "f4")]), "numbers are expected"),
    ],
)
def test_other_things_than_numbers(value, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        read_saved([save(tmp_path / "x.npy", value)])


def test_mistakes(tmp_path):
    one, two = save(tmp_path / "q.npy"), save(tmp_path / "r.npy")
    with pytest.raises(WeightsError, match=r"cannot read .*missing.npy: No such file"):
        read_saved([str(tmp_path / "missing.npy")])
    with pytest.raises(WeightsError, match=r"cannot read .*gone.npy: No such file"):
        read_saved([f"q={tmp_path / 'gone.npy'}"])
    with pytest.raises(InputError, match="tensor 'q' is given twice, the second time by q="):
        read_saved([one, f"q={two}"])
    with pytest.raises(UsageError, match="some-model is no saved tensor"):
        read_saved([one, "some-model"])
    zipped = tmp_path / "z.npy"
    with zipped.open("wb") as stream:
        np.savez(stream, a=X)
    with pytest.raises(WeightsError, match=r"holds several arrays; call such a file \.npz"):
        read_saved([str(zipped)])


def test_two_names_of_one_tensor_are_refused(tmp_path):
    sources = [
        f"{name}={save(tmp_path / 'q.npy')}" for name in ("attentions.0", "layer.0.attention.probabilities")
    ]
    with pytest.raises(
        InputError, match=r"'attentions\.0' and 'layer\.0\.attention\.probabilities' are both layer\.0"
    ):
        read_saved(sources).named({}, "")


def test_a_file_whose_name_has_an_equals_sign(tmp_path):
    assert set(read_saved([save(tmp_path / "a=b.npy")])) == {"a=b"}
