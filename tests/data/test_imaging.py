"""Decoding and colour conversion of single images."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded, random_pixels

from pygan.data.errors import DataError, ImageError
from pygan.data.imaging import (
    decode_exact,
    encode,
    open_image,
    parse_colour,
    probe,
    to_array,
    to_channels,
)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_encoding_is_lossless(channels: int, encoding: str) -> None:
    pixels = random_pixels(0, 7, 5, channels)
    data = encode(Image.fromarray(pixels), encoding)
    expected = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_exact(data, "x", (channels, 7, 5)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    pixels = random_pixels(1, 4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(pixels), exif=exif)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels[::-1].swapaxes(0, 1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: pixels[:, ::-1].swapaxes(0, 1),
    }[orientation]
    np.testing.assert_array_equal(np.asarray(open_image(data, "x")), upright)
    assert probe(data, "x") == (upright.shape[1], upright.shape[0], 3)


def test_sixteen_bit_grey_is_rounded() -> None:
    values = np.array([[0, 128, 129, 256], [257, 32768, 65406, 65535]], np.uint16)
    image = open_image(encoded(values), "x")
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), np.round(values / 257.0))
    assert probe(encoded(values), "x") == (4, 2, 1)


def test_palette_and_its_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    opaque = open_image(saved(image), "x")
    assert opaque.mode == "RGB"
    assert [opaque.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (0, 255, 0)]
    data = saved(image, transparency=1)
    assert probe(data, "x") == (2, 1, 4)
    flat = to_channels(open_image(data, "x"), 3, "blue")
    assert [flat.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "P"])
def test_every_mode_decodes_as_announced(mode: str) -> None:
    image = Image.fromarray(random_pixels(2, 8, 8)).convert(mode)
    data = saved(image, "JPEG" if mode in ("CMYK", "YCbCr") else "PNG")
    decoded = open_image(data, "x")
    assert decoded.mode == {1: "L", 3: "RGB", 4: "RGBA"}[probe(data, "x")[2]]
    for channels in (1, 3, 4):
        array = to_array(to_channels(decoded, channels))
        assert array.shape == (channels, 8, 8)
        assert array.flags.c_contiguous


def test_transparency_is_composited_over_the_background() -> None:
    pixels = np.array([[[200, 100, 0, 0], [200, 100, 0, 255], [200, 100, 0, 128]]], np.uint8)
    image = Image.fromarray(pixels)
    expected = np.array([[[255, 255, 255], [200, 100, 0], [227, 177, 127]]])
    assert np.abs(np.asarray(to_channels(image, 3, "white")).astype(int) - expected).max() <= 1
    assert to_channels(image, 1, "black").getpixel((0, 0)) == 0
    assert to_channels(image, 4).getpixel((0, 0)) == (200, 100, 0, 0)


def test_truncated_file_is_named() -> None:
    data = encoded(random_pixels(3, 32, 32))
    with pytest.raises(ImageError, match=r"^cat\.png: cannot be decoded"):
        open_image(data[: len(data) // 2], "cat.png")
    with pytest.raises(ImageError, match=r"^cat\.png: is not an image"):
        open_image(b"no image at all", "cat.png")
    with pytest.raises(ImageError, match=r"^cat\.png"):
        open_image(b"", "cat.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_absurd_sizes_are_refused_before_decoding() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for side in (100_000, 10_000):  # above and below the size at which Pillow itself refuses
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0"))
        with pytest.raises(ImageError, match="pixels; scale it down"):
            open_image(bomb, "bomb.png")


def test_float_and_32_bit_images_are_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        open_image(saved(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "x")
    with pytest.raises(ImageError, match="32-bit"):
        open_image(saved(Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), "TIFF"), "x")


def test_decode_exact_checks_the_size() -> None:
    with pytest.raises(ImageError, match=r"x: is 5x4, but the dataset's images are 4x4"):
        decode_exact(encoded(random_pixels(0, 4, 5)), "x", (3, 4, 4))


def test_illegal_options() -> None:
    assert parse_colour("#ff8000") == (255, 128, 0)
    with pytest.raises(DataError, match="'paper' is not a colour"):
        parse_colour("paper")
    with pytest.raises(DataError, match="channels must be 1, 3 or 4, not 2"):
        to_channels(Image.new("RGB", (1, 1)), 2)
    with pytest.raises(DataError, match="encoding must be one of png, webp, not 'jpeg'"):
        encode(Image.new("RGB", (1, 1)), "jpeg")
