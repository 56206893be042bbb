"""Pictures and packed numbers of pages."""

import base64
import struct
import zlib

import numpy as np
import pytest

from minidistil.report.maps import BLUE, ORANGE, STEPS, HeatMap, csp_hash, packed, png


def decode(uri):
    """Colours of a picture with one byte a pixel, by hand: red, green, blue, and how dense [R, C, 4]."""
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", content, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + size + 12
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any(), "no filter"
    colours = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    alpha = np.frombuffer(chunks[b"tRNS"], np.uint8)[:, None]
    return np.hstack([colours, alpha])[rows[:, 1:]]


def test_a_picture():
    shares = np.array([[0, 0.25, 1], [0.5, 2, np.nan]])
    found = decode(png(shares))
    assert (found[..., :3] == BLUE).all()
    np.testing.assert_allclose(found[..., 3] / 255, [[0, 0.25, 1], [0.5, 1, 0]], atol=0.7 / STEPS)
    found = decode(png([[-1.0, -0.5, 0.5]]))
    assert found[0, :, :3].tolist() == [list(ORANGE), list(ORANGE), list(BLUE)]
    assert found[0, 0, 3] == 255


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_packed_without_loss(dtype):
    values = np.array([[0.1, -1e-30, np.inf], [np.nan, 3e7, 0]], dtype)
    found = packed(values.T)
    back = np.frombuffer(base64.b64decode(found[dtype]), "<" + np.dtype(dtype).str[1:]).reshape(
        found["shape"]
    )
    np.testing.assert_array_equal(back, values.T)
    assert set(found) == {"shape", dtype}


def test_a_heat_map():
    values = np.array([[1.0, -4.0], [0.25, 2.0]], np.float32)
    heat = HeatMap("t", ["a", "b"], ["c", "d"], values)
    assert heat.largest == [4.0]
    assert HeatMap("t", "ab", "cd", values, scale="row").largest == [4.0, 2.0]
    assert HeatMap("t", "ab", "cd", values, scale="column").largest == [1.0, 4.0]
    assert HeatMap("t", "ab", "cd", values, full=1.0).largest == [1.0]
    assert HeatMap("t", "ab", "cd", 0 * values).largest == [1.0], "nothing to divide by"
    np.testing.assert_allclose(decode(heat.picture)[..., 3] / 255, np.abs(values) / 4, atol=0.7 / STEPS)
    rows = HeatMap("t", "ab", "cd", values, scale="row", root=True)
    wanted = np.sqrt(np.abs(values) / [[4], [2]])
    np.testing.assert_allclose(decode(rows.picture)[..., 3] / 255, wanted, atol=0.7 / STEPS)
    assert heat.cells == [["1", "-4"], ["0.25", "2"]]
    assert heat.legend == [(0.0, "0"), (0.25, "1"), (0.5, "2"), (0.75, "3"), (1.0, "4")]
    assert rows.legend == []
    several = HeatMap("t", "ab", "cd", np.stack([values, 2 * values]), names="xy", first=1)
    assert several.largest == [8.0]
    assert several.cells == [["2", "-8"], ["0.5", "4"]]
    assert several.data["values"]["shape"] == [2, 2, 2]


def test_the_source_of_a_script():
    """By hand: openssl dgst -sha256 -binary | openssl base64."""
    assert csp_hash("alert('Hello, world.');") == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
