"""Our safetensors reader against the package, against arithmetic, and against liars."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_safetensors import assemble, bfloat16_bits, entry, write_raw
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from minidistil.errors import WeightsError
from minidistil.weights.safetensors_file import SafetensorsFile, decode_bfloat16, write_safetensors

FLOATS = ["float64", "float32", "float16"]
DTYPES = [*FLOATS, "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]


def samples():
    rng = np.random.default_rng(0)
    tensors = {f"of.{name}": (rng.normal(size=(3, 5)) * 40).astype(name) for name in DTYPES}
    return tensors | {"scalar": np.array(2.5, np.float32), "empty": np.zeros((0, 4), np.float32)}


def test_reads_what_the_package_writes(tmp_path):
    tensors = samples()
    save_file(tensors, tmp_path / "f", {"format": "pt", "note": "hello"})
    file = SafetensorsFile(tmp_path / "f")
    assert set(file) == set(tensors)
    assert len(file) == len(tensors)
    assert file.metadata == {"format": "pt", "note": "hello"}
    for name, array in tensors.items():
        assert file[name].dtype == array.dtype
        assert file.tensors[name].shape == array.shape
        np.testing.assert_array_equal(file[name], array)
    assert file.tensors["of.float16"].dtype == "F16"


def test_the_package_reads_what_we_write(tmp_path):
    tensors = samples() | {"transposed": np.arange(12.0).reshape(3, 4).T, "strided": np.arange(10)[::2]}
    write_safetensors(tmp_path / "f", tensors)
    theirs, ours = load_file(tmp_path / "f"), SafetensorsFile(tmp_path / "f")
    assert set(theirs) == set(ours) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(theirs[name], array)
        np.testing.assert_array_equal(ours[name], array)
    with safe_open(tmp_path / "f", "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_whoever_may_read_other_files_may_read_weights(tmp_path):
    (tmp_path / "config.json").touch()
    write_safetensors(tmp_path / "model.safetensors", {"x": np.zeros(3)})
    modes = [(tmp_path / name).stat().st_mode for name in ("config.json", "model.safetensors")]
    assert modes[0] == modes[1]


def test_bfloat16_is_exact_for_every_bit_pattern():
    bits = np.arange(65536, dtype=np.uint16)
    sign, exponent, mantissa = (
        1.0 - 2 * (bits >> 15),
        (bits >> 7 & 255).astype(int),
        (bits & 127).astype(float),
    )
    normal = np.ldexp(1 + mantissa / 128, exponent - 127)
    value = np.where(exponent == 0, np.ldexp(mantissa / 128, -126), normal)
    value = np.where(exponent == 255, np.where(mantissa == 0, np.inf, np.nan), value)
    decoded = decode_bfloat16(bits)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, sign * value)
    np.testing.assert_array_equal(np.signbit(decoded[:1]), [False])
    np.testing.assert_array_equal(np.signbit(decoded[32768:32769]), [True])


@pytest.mark.parametrize("out", ["float32", "float64"])
def test_read_into_converts_every_floating_dtype(tmp_path, out):
    values = np.float32([[1, -2.5, 0.15625], [3e-5, 1024, -0.0]])
    values = decode_bfloat16(bfloat16_bits(values))  # representable in each dtype but float16
    tensors = {name: values.astype(name) for name in FLOATS}
    file = SafetensorsFile(write_raw(tmp_path / "f", tensors | {"bfloat16": bfloat16_bits(values)}))
    for name in file:
        target = np.full((2, 3), np.nan, out)
        file.tensors[name].read_into(target)
        np.testing.assert_array_equal(target, tensors.get(name, values).astype(out))
        np.testing.assert_array_equal(file[name].astype(out), target)


def test_arrays_are_read_only(tmp_path):
    write_safetensors(tmp_path / "f", {"a": np.zeros(3, np.float32)})
    array = SafetensorsFile(tmp_path / "f")["a"]
    assert type(array) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize(
    ("dtype", "size"), [("F8_E4M3", 4), ("F8_E5M2", 4), ("F4", 2), ("F6_E2M3", 3), ("C64", 32), ("I3", 7)]
)
def test_a_tensor_that_cannot_be_read_matters_only_to_who_asks_for_it(tmp_path, dtype, size):
    header = {"odd": entry(dtype, [4], 0, size), "a": entry("U8", [1], size, size + 1)}
    (tmp_path / "f").write_bytes(assemble(header, bytes(size) + b"\x07"))
    file = SafetensorsFile(tmp_path / "f")
    assert file["a"].tolist() == [7]
    assert "odd" in file
    assert file.tensors["odd"].shape == (4,)
    with pytest.raises(WeightsError, match=f"tensor 'odd' is '{dtype}'; these can be read: F64, F32"):
        file["odd"]


def test_a_name_that_comes_twice_among_very_many(tmp_path):
    """In one pass: comparing each name with each would take minutes."""
    names = [f"tensor.{i}" for i in range(100_000)] + ["tensor.7"]
    header = ",".join(f'"{name}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for name in names)
    (tmp_path / "f").write_bytes(assemble(f"{{{header}}}".encode()))
    with pytest.raises(WeightsError, match=r"holds 'tensor\.7' twice"):
        SafetensorsFile(tmp_path / "f")


def test_offsets_need_no_alignment_and_no_order(tmp_path):
    header = {"b": entry("F32", [2], 1, 9), "a": entry("U8", [1], 0, 1)}
    data = b"\x07" + np.float32([1.5, -2]).tobytes()
    (tmp_path / "f").write_bytes(assemble(json.dumps(header).encode() + b" ", data))
    file = SafetensorsFile(tmp_path / "f")
    np.testing.assert_array_equal(file["b"], [1.5, -2])
    np.testing.assert_array_equal(file["a"], [7])


A = entry("F32", [2], 0, 8)
LIES = {
    "nothing": (b"", "has 0 bytes"),
    "seven bytes": (b"\0" * 7, "has 7 bytes"),
    "header beyond the file": ((99).to_bytes(8, "little") + b"{}", "99 bytes, but only 2 follow"),
    "header beyond the limit": (b"\xff" * 16, "beyond the limit of 100000000"),
    "a pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M", "beyond the limit"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "run: git lfs pull"),
    "no JSON": (assemble(b"{oops"), "header: Expecting property name"),
    "no UTF-8": (assemble(b'{"\xff": 1}'), "header: 'utf-8' codec"),
    "deep nesting": (assemble(b'{"a":' + b"[" * 100_000), "header: maximum recursion"),
    "endless number": (assemble(b'{"a":' + b"1" * 10_000 + b"}"), "header: Exceeds the limit"),
    "a list": (assemble([1, 2]), r"begins with b'\[1, 2\]'"),
    "duplicate": (
        assemble(b'{"a":%s,"a":%s}' % ((json.dumps(A).encode(),) * 2), bytes(8)),
        "holds 'a' twice",
    ),
    "metadata": (assemble({"__metadata__": {"format": 1}}), "__metadata__"),
    "entry": (assemble({"a": 5}), "describes tensor 'a' by 5"),
    "entry without shape": (assemble({"a": {"dtype": "F32", "data_offsets": [0, 0]}}), "tensor 'a'"),
    "size of a dtype that cannot be read": (
        assemble({"a": entry("C64", [2], 0, 8)}, bytes(8)),
        r"'a' 8 bytes, but C64 \[2\] takes 16",
    ),
    "half a byte": (assemble({"a": entry("F4", [3], 0, 1)}, bytes(1)), r"F4 \[3\] takes 1.5"),
    "dtype no text": (assemble({"a": {**A, "dtype": ["F32"]}}, bytes(8)), r"stores tensor 'a' as \['F32'\]"),
    "negative shape": (assemble({"a": entry("F32", [-2], 0, 8)}, bytes(8)), r"tensor 'a' the shape \[-2\]"),
    "bool shape": (assemble({"a": entry("F32", [True, 2], 0, 8)}, bytes(8)), r"the shape \[True, 2\]"),
    "float shape": (assemble({"a": entry("F32", [2.0], 0, 8)}, bytes(8)), r"the shape \[2.0\]"),
    "NaN shape": (assemble({"a": entry("F32", [float("nan")], 0, 8)}, bytes(8)), r"the shape \[nan\]"),
    "33 dimensions": (assemble({"a": entry("F32", [1] * 33, 0, 4)}, bytes(4)), "the shape"),
    "vast shape": (assemble({"a": entry("F32", [0, 2**62], 0, 0)}), "no memory holds"),
    "offsets": (assemble({"a": entry("F32", [2], 8, 0)}, bytes(8)), r"data_offsets \[8, 0\]"),
    "negative offset": (assemble({"a": entry("F32", [2], -8, 0)}, bytes(8)), r"data_offsets \[-8, 0\]"),
    "float offset": (assemble({"a": entry("F32", [2], 0, 8.0)}, bytes(8)), r"data_offsets \[0, 8.0\]"),
    "three offsets": (assemble({"a": {**A, "data_offsets": [0, 4, 8]}}, bytes(8)), "data_offsets"),
    "size": (assemble({"a": entry("F32", [3], 0, 8)}, bytes(8)), r"'a' 8 bytes, but F32 \[3\] takes 12"),
    "beyond the end": (assemble({"a": A}, bytes(6)), "before the end of tensor 'a' at 8"),
    "overlap": (
        assemble({"a": A, "b": entry("F32", [2], 4, 12)}, bytes(12)),
        "tensor 'b' at byte 4 overlaps tensor 'a'",
    ),
    "hole": (assemble({"a": A, "b": entry("U8", [1], 9, 10)}, bytes(10)), "leaves 1 bytes after tensor 'a'"),
    "hole at the start": (assemble({"a": entry("F32", [2], 4, 12)}, bytes(12)), "4 bytes after the header"),
    "trailing bytes": (assemble({"a": A}, bytes(11)), "has 3 bytes after tensor 'a', its last"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_named(tmp_path, lie):
    content, message = LIES[lie]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))} is not a sound.*{message}"):
        SafetensorsFile(path)


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        SafetensorsFile(tmp_path / "missing")
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path))):
        SafetensorsFile(tmp_path)


def read_or_refuse(path, content):
    """The tensors, or None if refused. Any other error than WeightsError escapes, and so fails the test."""
    path.write_bytes(content)
    try:
        return dict(SafetensorsFile(path))
    except WeightsError:
        return None


def small_file(path):
    tensors = {"bert.a": np.float32([[1, 2], [3, 4]]), "b": np.int64([5]), "c": np.float16([0.5, 2])}
    save_file(tensors, path, {"format": "pt"})
    return path.read_bytes()


def test_every_byte_changed_is_read_as_the_package_reads_it_or_refused(tmp_path):
    sound, path, refused = small_file(tmp_path / "sound"), tmp_path / "f", 0
    for position in range(len(sound)):
        for change in (0x01, 0x10, 0xFF):
            content = bytearray(sound)
            content[position] ^= change
            tensors = read_or_refuse(path, content)
            if tensors is None:
                refused += 1
                continue
            theirs = load_file(path)  # what we accept, so does the package
            assert set(tensors) == set(theirs)
            for name, array in theirs.items():
                assert tensors[name].tobytes() == array.tobytes()
    assert refused > len(sound)


def test_every_truncation_and_extension_is_refused(tmp_path):
    sound, path = small_file(tmp_path / "sound"), tmp_path / "f"
    for length in range(len(sound)):
        assert read_or_refuse(path, sound[:length]) is None
    assert read_or_refuse(path, sound + b"\0") is None
    assert read_or_refuse(path, sound) is not None


numbers = st.one_of(st.integers(-2, 12), st.booleans(), st.floats(), st.integers(), st.none())
values = st.one_of(numbers, st.lists(numbers, max_size=3), st.text(max_size=3))
entries = st.fixed_dictionaries(
    {
        "dtype": st.one_of(st.sampled_from(["F32", "BF16", "U8", "BOOL"]), values),
        "shape": st.one_of(st.lists(st.integers(0, 3), max_size=3), values),
        "data_offsets": st.one_of(st.lists(st.integers(0, 12), min_size=2, max_size=2), values),
    }
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.dictionaries(st.text(max_size=3), st.one_of(entries, values), max_size=3),
    data=st.binary(max_size=16),
)
def test_any_header_is_read_or_refused(tmp_path, header, data):
    tensors = read_or_refuse(tmp_path / "f", assemble(header, data))
    if tensors is not None:
        assert sum(a.size for a in tensors.values()) <= len(data)


def test_writing_beyond_what_the_disk_takes_leaves_the_old_file(tmp_path):
    """A real failed write: the child may not write files of more than 4 kB."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.float32([1, 2])})
    code = (
        "import sys, resource, numpy\nfrom minidistil.errors import StorageError\n"
        "from minidistil.weights.safetensors_file import write_safetensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    write_safetensors(sys.argv[1], {'a': numpy.ones(5000)})\n"
        "except StorageError as error:\n    print(error); sys.exit(error.exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert f"cannot write {path}: the disk is full" in done.stdout
    np.testing.assert_array_equal(SafetensorsFile(path)["a"], [1, 2])
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_unwritable_dtype_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.float32([1])})
    with pytest.raises(SafetensorError):
        write_safetensors(path, {"a": np.array(["text"])})
    np.testing.assert_array_equal(SafetensorsFile(path)["a"], [1])
