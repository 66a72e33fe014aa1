"""Image files to squares of colours: what is converted, and what is refused.

A file may be of any format and mode that Pillow reads. The first picture of several counts; it is turned as its
orientation mark says; transparent parts become white; another mode than RGB is converted; it is brought to a square of
the size asked for, its sides squeezed apart from each other, so that nothing is cut off. What was done beside that last
step is said. Refused: what is no image, one that is cut short, one with more pixels than Pillow thinks safe.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from rnn_core.errors import DataError

LARGEST_SIDE = 16_384
ALLOWED = "a whole image file (PNG, JPEG or another that Pillow reads)"
RED_GREEN_BLUE = "RGB"
ORIENTATION, UPRIGHT = 0x0112, 1
"""The number of that mark in EXIF, and its value where nothing is to be done."""
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of 16 bits of grey."""


@dataclass(frozen=True)
class Picture:
    colours_YXC: NDArray[np.uint8]
    changes: tuple[str, ...]
    """What was done to the file's pixels, in words: `mode L converted to RGB`."""


def read(content: bytes, where: str, *, side: int) -> Picture:
    """A file's content as a square.

    Args:
        where: for messages.
        side: pixels.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) > LARGEST_SIDE:
                raise DataError(where, f"{image.size[0]} x {image.size[1]} pixels", f"sides up to {LARGEST_SIDE}")
            several = getattr(image, "n_frames", 1)
            image.load()
            turned = ImageOps.exif_transpose(image)
            changes = [f"the first of {several} pictures"] if several > 1 else []
            if image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:
                changes.append("turned as its orientation says")
            plain = _plain(turned)
    except UnidentifiedImageError as error:
        # Pillow's own words name the object by its address: the quarantine is to be the same each time.
        raise DataError(where, "no image that can be read (of no known format)", ALLOWED) from error
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(where, f"no image that can be read ({reason})", ALLOWED) from error
    if turned.mode != RED_GREEN_BLUE:
        changes.append(f"mode {turned.mode} converted to {RED_GREEN_BLUE}")
    square = plain if plain.size == (side, side) else plain.resize((side, side), Image.Resampling.BOX)
    return Picture(np.asarray(square, np.uint8), tuple(changes))


def png(colours_YXC: NDArray[np.uint8]) -> bytes:
    """An image file of these colours."""
    out = io.BytesIO()
    Image.fromarray(colours_YXC, RED_GREEN_BLUE).save(out, "PNG")
    return out.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    """In red, green and blue."""
    if image.mode in DEEP:
        # Pillow's own conversion cuts off what is above 255.
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        ground = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(ground, seen).convert("RGB")
    return image.convert("RGB")
