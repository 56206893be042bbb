"""Files of vectors."""

import numpy as np
import pytest
from embeddings_toy import ToyEncoder, random_vectors

from minidistil.embeddings import read_vectors, reuse_vectors, write_vectors
from minidistil.errors import DataError, InputError, StorageError, UsageError, WeightsError
from minidistil.weights.safetensors_file import write_safetensors


@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
def test_vectors_in_a_file(tmp_path, ending, monkeypatch):
    path, x = tmp_path / f"v{ending}", random_vectors(3)
    write_vectors(path, x)
    np.testing.assert_array_equal(read_vectors(path), x)
    assert [p.name for p in tmp_path.iterdir()] == [f"v{ending}"]
    before = path.read_bytes()

    def stop(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minidistil.files._sync", stop)
    with pytest.raises(StorageError, match="untouched"):
        write_vectors(path, x[:1])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [f"v{ending}"]


def test_other_files(tmp_path):
    with pytest.raises(UsageError, match=r"\.npy or \.safetensors"):
        write_vectors(tmp_path / "v.txt", random_vectors(1))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nothing")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing at all")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "nan.npy", np.full((2, 2), np.nan))
    np.save(tmp_path / "flat.npy", np.ones(3))
    write_safetensors(tmp_path / "other.safetensors", {"x": np.ones(3)})
    for name, kind in [
        ("bad.npy", DataError), ("missing.npy", DataError), ("objects.npy", DataError),
        ("nan.npy", InputError), ("flat.npy", InputError), ("bad.safetensors", WeightsError),
        ("other.safetensors", DataError),
    ]:  # fmt: skip
        with pytest.raises(kind, match=name.replace(".", r"\.")):
            read_vectors(tmp_path / name)


def test_vectors_must_fit():
    texts = ["1 0", "0 1", "3 1", "1 3", "-1 0", "2 0"]
    made = ToyEncoder().encode(texts)
    assert reuse_vectors(ToyEncoder(), texts, made.tolist()).shape == (6, 2)
    for some, vectors, message in (
        (texts[:5], made, "6 vectors of 2 numbers; 5 of 2 are expected"),
        (texts, np.ones((6, 3)), "6 vectors of 3 numbers; 6 of 2 are expected"),
        (texts, np.full((6, 2), np.nan), "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            reuse_vectors(ToyEncoder(), some, vectors)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_vectors_of_other_texts(similarity):
    encoder, texts = ToyEncoder(similarity), [f"{i} {i * i - 3}" for i in range(1, 40)]
    made = encoder.encode(texts)
    np.testing.assert_array_equal(
        reuse_vectors(encoder, texts, made.astype(np.float16)), made.astype(np.float16)
    )
    for other, row in ((made[::-1], 0), (np.roll(made, 1, 0), 0), (made * [[1, 1.1]], 0), (-made, 0)):
        with pytest.raises(InputError, match=f"row {row} is not the vector that this encoder makes of"):
            reuse_vectors(encoder, texts, other)
    if similarity == "cosine":
        assert len(reuse_vectors(encoder, texts, made * 3)) == len(texts)
    else:
        with pytest.raises(InputError, match="row 0"):
            reuse_vectors(encoder, texts, made * 3)
