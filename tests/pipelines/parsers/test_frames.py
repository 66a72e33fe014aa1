"""Files that hold frames: read as they were written, and refused where they are broken, with place and reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipelines.parsers.frames import sheet, skeleton
from pipelines.parsers.paths import path
from rnn_core.errors import DataError


def text(frames: np.ndarray) -> bytes:
    return b"".join(b"%.6f %.6f %.6f 1.0\r\n" % tuple(point) for point in frames.reshape(-1, 3))


def png(pixels: np.ndarray, mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "PNG")
    return out.getvalue()


@given(arrays.arrays(float, (3, 2, 3), elements=st.floats(-4, 4)))
def test_a_skeleton_as_written(points: np.ndarray) -> None:
    found = skeleton(text(points), 2, "f")
    written = np.round(points, 6)
    np.testing.assert_allclose(found.points_TKC, written, rtol=0, atol=1.1e-6)
    assert found.seen_TK.tolist() == written.any(axis=2).tolist()


def test_missing_points_whatever_their_confidence() -> None:
    found = skeleton(b"1 2 3 0.0\n0 0 0 1\nnan nan nan 1\n4 5 6 0.5\n", 2, "f")
    assert found.seen_TK.tolist() == [[True, False], [False, True]]
    assert found.points_TKC[:, :, 0].tolist() == [[1, 0], [0, 4]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 2 3 1\n1 2 3\n", "f:2: 3 numbers; 4 are wanted"),
        (b"1 2 3 1\n\n1 2 x 1\n", "f:3: could not convert"),
        (b"1 2 3 1\n" * 3, "f: 3 lines with points; 2 lines a frame, at least one frame"),
        (b"\n \n", "f: 0 lines with points"),
        (b"\xff\xfe1 2 3 1\n", "f:1: could not convert"),
    ],
)
def test_skeletons_that_are_none(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        skeleton(content, 2, "f")


def test_a_path() -> None:
    label, points = path(b"2,0,0,0.5,-1.5e-1\r", "f:1")
    assert (label, points.tolist()) == ("2", [[[0, 0]], [[0.5, -0.15]]])


@pytest.mark.parametrize("line", [b"2", b"2,1", b"2,1,2,3", b",1,2", b"2,1,nan", b"2,1,inf", b"2,1,", b"2,a,b", b""])
def test_paths_that_are_none(line: bytes) -> None:
    with pytest.raises(DataError, match="f:7: "):
        path(line, "f:7")


def test_a_sheet_of_each_mode_becomes_grey() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 4), np.uint8)
    for mode in ("L", "RGB", "RGBA", "LA"):
        np.testing.assert_array_equal(sheet(png(pixels, mode), 4, "f"), pixels.reshape(3, 16))
    assert sheet(png(pixels, "1"), 4, "f").max() <= 255
    sixteen = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint16) * 257).save(sixteen, "PNG")
    np.testing.assert_array_equal(sheet(sixteen.getvalue(), 4, "f"), pixels.reshape(3, 16))


def test_frames_of_another_size_are_scaled_each_by_itself() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 4, 4), np.uint8)
    large = pixels.repeat(3, axis=1).repeat(3, axis=2).reshape(36, 12)
    np.testing.assert_array_equal(sheet(png(large), 4, "f"), pixels.reshape(3, 16))


def huge(width: int, height: int) -> bytes:
    """A PNG of few bytes that says it is large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    whole = [struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (huge(4, 8), "no image that decodes"),
        (b"no image", "no image that decodes"),
        (png(np.zeros((12, 4), np.uint8))[:-30], "no image that decodes"),
        (png(np.zeros((10, 4), np.uint8)), "an image of 4 x 10 pixels"),
        (huge(4096, 8192), "an image of 4096 x 8192 pixels"),
        (huge(10_000, 10_000), "no image that decodes"),
        (huge(20_000, 20_000), "no image that decodes"),
    ],
)
def test_sheets_that_are_none(content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=f"f.png: {found}.*frames one below the other"):
        sheet(content, 4, "f.png")
