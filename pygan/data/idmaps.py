"""Maps of integers as image files: classes of pixels (label maps) and their objects (instances).

An id is a name, not a brightness: it is never interpolated, rounded, expanded through a palette or
read from a lossy file.
"""

from __future__ import annotations

import colorsys
import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .errors import ImageError
from .imaging import MAX_PIXELS, open_header

_INTEGERS = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")
_LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000")


def read_ids(data: bytes, name: str, colours: bool = False) -> np.ndarray:
    """The ids of an image file, int64 [H, W].

    Grey images of up to 16 bits hold ids as they are; of images with a palette, the ids are the
    indices. Orientation in EXIF is applied, as for images.

    Args:
        data: the encoded bytes.
        name: used in error messages.
        colours: also take RGB, as the id R + 256 G + 65536 B (COCO's panoptic maps).

    Raises:
        ImageError: not an image, lossy, or not of one channel of integers.
    """
    image = open_header(data, name, MAX_PIXELS)
    if image.format in _LOSSY:
        raise ImageError(name, f"is {image.format}, which may change ids; use PNG")
    step = _grey_step(data)
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's plugins raise almost anything on damaged input
        raise ImageError(name, f"cannot be decoded ({error})") from error
    if image.mode in ("RGB", "RGBA") and colours:
        rgb = np.asarray(image.convert("RGB")).astype(np.int64)
        return rgb[:, :, 0] + 256 * rgb[:, :, 1] + 65536 * rgb[:, :, 2]
    if image.mode not in _INTEGERS:
        raise ImageError(
            name,
            f"has mode {image.mode}, but ids need one channel: grey of 8 or 16 bits, or a palette",
        )
    return np.asarray(image).astype(np.int64) // step


def ids_image(ids: np.ndarray) -> Image.Image:
    """Ids [H, W] as a Pillow image that nearest-neighbour transforms keep exact."""
    return Image.fromarray(ids.astype(np.int32))


def encode_ids(ids: np.ndarray) -> bytes:
    """A grey PNG of ids from 0 to 65535, of 8 bits if they suffice."""
    buffer = io.BytesIO()
    dtype = np.uint8 if ids.size == 0 or int(ids.max()) < 256 else np.uint16
    Image.fromarray(np.ascontiguousarray(ids.astype(dtype))).save(buffer, "PNG")
    return buffer.getvalue()


def check_ids(ids: np.ndarray, name: str, count: int, dont_care: int | None = None) -> None:
    """Raises ImageError at the first id outside [0, count), in reading order.

    Args:
        ids: [H, W].
        name: of the file.
        count: number of classes.
        dont_care: one more id that is legal, such as 255.
    """
    wrong = (ids < 0) | (ids >= count)
    if dont_care is not None:
        wrong &= ids != dont_care
    if not wrong.any():
        return
    y, x = np.unravel_index(int(np.argmax(wrong)), ids.shape)
    others = f" or {dont_care} (don't care)" if dont_care is not None else ""
    raise ImageError(
        name,
        f"has label {int(ids[y, x])} at pixel x={int(x)}, y={int(y)}; legal are 0 to {count - 1}"
        f"{others}",
    )


def compact_instances(ids: np.ndarray) -> np.ndarray:
    """Instance ids that 16 bits hold: as they are if they do, else numbered from 0 in order.

    Only equality within one image means anything, so nothing is lost.
    """
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) > 65535):
        _, numbers = np.unique(ids, return_inverse=True)
        ids = numbers.reshape(ids.shape)
    return ids.astype(np.uint16)


def label_colours(count: int) -> np.ndarray:
    """Colours to show classes in, uint8 [count, 3]: neighbouring ids look different."""
    hues = [(i * 0.61803399) % 1.0 for i in range(count)]
    colours = [
        colorsys.hsv_to_rgb(hue, 0.45 + 0.2 * (i % 3), 0.95 - 0.2 * (i % 4))
        for i, hue in enumerate(hues)
    ]
    return np.rint(np.array(colours).reshape(count, 3) * 255).astype(np.uint8)


def _grey_step(data: Any) -> int:
    """What Pillow multiplies the values of a grey PNG of 2 or 4 bits by, to fill 8 bits."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 26 or data[25] != 0:
        return 1
    return {2: 85, 4: 17}.get(data[24], 1)
