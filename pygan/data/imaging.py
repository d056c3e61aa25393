"""Decoding, encoding and colour conversion of single images.

Everything that enters a dataset passes through :func:`open_image`, so the rules are the same for
every source: EXIF orientation is applied, 16-bit grey is rounded to 8 bits, palettes are expanded,
CMYK and other colour spaces become RGB, transparency is kept until :func:`to_channels` decides.
"""

from __future__ import annotations

import io
from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageColor, ImageOps

from .errors import DataError, ImageError

MAX_PIXELS = 89_478_485
"""Largest accepted image: the size above which Pillow itself suspects a decompression bomb."""

ENCODINGS = ("png", "webp")
"""File formats an archive may hold; both lossless."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_EXIF_ORIENTATION = 0x0112
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


def open_image(data: bytes | IO[bytes], name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file completely and returns it upright, in mode L, RGB or RGBA.

    Args:
        data: the encoded bytes, or a binary file.
        name: used in error messages.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        ImageError: not an image, truncated, too large, or floating-point data.
    """
    image = open_header(data, name, max_pixels)
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's plugins raise almost anything on damaged input
        raise ImageError(name, f"cannot be decoded ({error})") from error
    return _plain_mode(image, name)


def probe(data: bytes | IO[bytes], name: str, max_pixels: int = MAX_PIXELS) -> tuple[int, int, int]:
    """Reads only the header: (width, height, channels) as :func:`open_image` would give them."""
    image = open_header(data, name, max_pixels)
    width, height = image.size
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data; decoding ignores it as well
        orientation = 1
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    if _has_alpha(image):
        return width, height, 4
    grey = image.mode in ("1", "L") or image.mode in _SIXTEEN_BIT
    return width, height, 1 if grey else 3


def to_channels(image: Image.Image, channels: int, background: str = "white") -> Image.Image:
    """Converts to 1 (grey, ITU-R 601-2 luma), 3 (RGB) or 4 (RGBA) channels.

    Transparent pixels are composited over `background` unless four channels are asked for.
    """
    if channels not in _MODES:
        raise DataError(f"channels must be 1, 3 or 4, not {channels!r}")
    if image.mode == "RGBA" and channels != 4:
        canvas = Image.new("RGBA", image.size, (*parse_colour(background), 255))
        canvas.alpha_composite(image)
        image = canvas.convert("RGB")
    return image if image.mode == _MODES[channels] else image.convert(_MODES[channels])


def to_array(image: Image.Image) -> np.ndarray:
    """uint8 array [C, H, W] of an L, RGB or RGBA image."""
    pixels = np.asarray(image, dtype=np.uint8)
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[np.newaxis])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_exact(data: bytes, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes an image that must have shape [C, H, W] = `shape`; uint8.

    Raises:
        ImageError: broken, or of another size.
    """
    image = open_image(data, name)
    channels, height, width = shape
    if image.size != (width, height):
        raise ImageError(
            name,
            f"is {image.width}x{image.height}, but the dataset's images are {width}x{height}",
        )
    return to_array(to_channels(image, channels))


def encode(image: Image.Image, encoding: str = "png") -> bytes:
    """Losslessly encodes an L, RGB or RGBA image as 'png' or 'webp'."""
    buffer = io.BytesIO()
    if encoding == "png":
        image.save(buffer, "PNG")
    elif encoding == "webp":
        # quality is effort here; more gains nothing. exact: keep the colour of fully transparent
        # pixels, which the pixel hash covers.
        image.save(buffer, "WEBP", lossless=True, quality=75, method=4, exact=True)
    else:
        raise DataError(f"encoding must be one of {', '.join(ENCODINGS)}, not {encoding!r}")
    return buffer.getvalue()


def parse_colour(colour: str) -> tuple[int, int, int]:
    """(r, g, b) of a colour name ('white') or a hexadecimal value ('#ff8000')."""
    try:
        return cast("tuple[int, int, int]", ImageColor.getrgb(colour)[:3])
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{colour!r} is not a colour; give a name such as white or a value such as #ff8000"
        ) from error


def open_header(data: bytes | IO[bytes], name: str, max_pixels: int) -> Image.Image:
    """An image of which nothing but the header was read. Raises ImageError."""
    stream: Any = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        image = Image.open(stream)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            name, f"is larger than {max_pixels:,} pixels; scale it down before use"
        ) from error
    except Exception as error:
        raise ImageError(name, "is not an image in a known format, or is damaged") from error
    if image.width * image.height > max_pixels:
        raise ImageError(
            name,
            f"is {image.width}x{image.height}, more than {max_pixels:,} pixels; "
            "scale it down before use",
        )
    return image


def _has_alpha(image: Image.Image) -> bool:
    if image.mode in _ALPHA_MODES:
        return True
    return "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")


def _plain_mode(image: Image.Image, name: str) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise ImageError(name, "holds 32-bit integers; convert it to 8 or 16 bits per channel")
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        raise ImageError(name, "holds floating-point numbers; convert it to 8 bits per channel")
    if image.mode in ("RGBa", "La"):
        return image.convert({"RGBa": "RGBA", "La": "LA"}[image.mode]).convert("RGBA")
    if _has_alpha(image):
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")
