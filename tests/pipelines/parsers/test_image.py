"""Image files: modes and sizes that are converted, with what was said of it, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.parsers import image, vectors
from rnn_core.errors import DataError

RNG = np.random.default_rng(0)
COLOURS_YXC = RNG.integers(0, 256, (6, 6, 3), np.uint8)


def content(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def read(data: bytes, side: int = 6) -> image.Picture:
    return image.read(data, "a.png", side=side)


def test_colours_come_back_as_they_were_written() -> None:
    found = read(image.png(COLOURS_YXC))
    assert (found.colours_YXC == COLOURS_YXC).all()
    assert found.changes == ()
    assert read(content(Image.fromarray(COLOURS_YXC), "BMP")).colours_YXC.tolist() == COLOURS_YXC.tolist()


def test_any_shape_becomes_a_square_with_nothing_cut_off() -> None:
    """Squeezed by a whole factor in each direction, a pixel is the mean of those it stands for."""
    wide_YXC = RNG.integers(0, 256, (4, 12, 3), np.uint8)
    found = read(image.png(wide_YXC), side=2)
    mean = wide_YXC.reshape(2, 2, 2, 6, 3).astype(float).mean((1, 3))
    assert np.abs(found.colours_YXC - mean).max() <= 1
    assert found.changes == ()


@pytest.mark.parametrize(
    ("mode", "value", "colour"),
    [
        ("L", 200, (200, 200, 200)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 200 * 256 + 17, (200, 200, 200)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),  # nothing is seen of it
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (90, 255), (90, 90, 90)),
    ],
)
def test_another_mode_is_converted_and_said(mode, value, colour) -> None:
    found = read(content(Image.new(mode, (6, 6), value)))
    assert (found.colours_YXC == colour).all()
    assert found.changes == (f"mode {mode} converted to RGB",)


def test_a_palette_and_print_colours_are_converted() -> None:
    palette = Image.fromarray(COLOURS_YXC // 128 * 255).convert("P")
    assert read(content(palette)).changes == ("mode P converted to RGB",)
    found = read(content(Image.new("CMYK", (6, 6), (0, 255, 255, 0)), "JPEG"))
    assert found.changes == ("mode CMYK converted to RGB",)
    assert found.colours_YXC[0, 0, 0] > 200 > 100 > found.colours_YXC[0, 0, 1]


def test_the_orientation_is_followed_and_of_several_pictures_the_first_is_read() -> None:
    turned = Image.new("RGB", (6, 6), "black")
    turned.paste("white", (0, 0, 6, 3))
    mark = Image.Exif()
    mark[0x0112] = 3  # upside down
    found = read(content(turned, exif=mark))
    assert found.changes == ("turned as its orientation says",)
    assert (found.colours_YXC[0] == 0).all()
    assert (found.colours_YXC[-1] == 255).all()
    first, second = (Image.new("RGB", (6, 6), colour) for colour in ("red", "blue"))
    found = read(content(first, "TIFF", save_all=True, append_images=[second]))
    assert found.changes == ("the first of 2 pictures",)
    assert (found.colours_YXC == (255, 0, 0)).all()


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", image.png(COLOURS_YXC)[:-30], content(Image.fromarray(COLOURS_YXC), "JPEG")[:200]],
    ids=["empty", "text", "cut PNG", "cut JPEG"],
)
def test_what_does_not_decode_is_refused(data) -> None:
    with pytest.raises(DataError, match="a.png: no image that can be read .*; a whole image file") as refused:
        read(data)
    assert " at 0x" not in str(refused.value), "an address, another one each time"


def test_a_side_that_is_too_long_is_refused() -> None:
    with pytest.raises(DataError, match="20000 x 1 pixels; sides up to 16384"):
        read(content(Image.new("L", (20_000, 1))))


def test_vectors_are_floats_and_nothing_else() -> None:
    numbers = np.array([1.5, -2, 3, 4], "<f4")
    assert vectors.read(numbers.tobytes(), "a.f32", 2).tolist() == [1.5, -2, 3, 4]
    for data in (numbers.tobytes()[:-4], b""):
        with pytest.raises(DataError, match=f"a.f32: {len(data)} bytes; vectors of 2 numbers of 4 bytes each"):
            vectors.read(data, "a.f32", 2)
    with pytest.raises(DataError, match="a.f32: a number that is not finite"):
        vectors.read(np.array([np.nan, 1], "<f4").tobytes(), "a.f32", 2)
