"""Crop modes and resampling."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tiny_images import random_pixels

from pygan.data.errors import DataError, ImageError
from pygan.data.transforms import CROPS, FILTERS, parse_size, transform


def run(pixels: np.ndarray, size: object, crop: str, **options: str) -> np.ndarray:
    image, _ = transform(Image.fromarray(pixels), "x", size, crop, **options)
    return np.asarray(image)


def test_parse_size() -> None:
    assert parse_size("64") == parse_size(64) == parse_size("64x64") == (64, 64)
    assert parse_size("512x384") == parse_size((512, 384)) == (512, 384)
    for wrong in ("", "x", "64x", "0x4", "1x2x3", (4,) * 3, -1, "big", 20000):
        with pytest.raises(DataError, match="size must be N or WIDTHxHEIGHT"):
            parse_size(wrong)


def test_center_takes_the_middle() -> None:
    pixels = random_pixels(0, 6, 10)
    np.testing.assert_array_equal(run(pixels, None, "center"), pixels[:, 2:8])
    np.testing.assert_array_equal(run(pixels, (6, 6), "center"), pixels[:, 2:8])
    np.testing.assert_array_equal(run(pixels, (10, 2), "center"), pixels[2:4])
    tall = random_pixels(0, 10, 6)
    np.testing.assert_array_equal(run(tall, (6, 6), "center"), tall[2:8])


def test_center_wide_adds_bars() -> None:
    pixels = random_pixels(0, 10, 8)
    out = run(pixels, (8, 6), "center-wide", background="black")
    assert out.shape == (8, 8, 3)
    np.testing.assert_array_equal(out[1:7], pixels[2:8])
    assert not out[[0, 7]].any()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_fit_and_pad_keep_the_whole_image(channels: int) -> None:
    pixels = random_pixels(0, 4, 8, channels)
    for crop in ("fit", "pad"):
        out = run(pixels, (8, 8), crop, background="white")
        np.testing.assert_array_equal(out[2:6], pixels)
        bars = out[[0, 1, 6, 7]]
        assert (bars[..., 3] == 0).all() if channels == 4 else (bars == 255).all()
    assert run(pixels, (4, 4), "fit").shape[:2] == (4, 4)
    with pytest.raises(ImageError, match="8x4, larger than 4x4; crop='pad' never scales"):
        run(pixels, (4, 4), "pad")


def test_none_refuses_to_distort() -> None:
    with pytest.raises(ImageError, match="is 10x6 and does not have the aspect ratio of 4x4"):
        run(random_pixels(0, 6, 10), (4, 4), "none")
    assert run(random_pixels(0, 767, 1023, 1), (512, 384), "none").shape == (384, 512)
    assert run(random_pixels(0, 6, 10), (4, 4), "stretch").shape == (4, 4, 3)
    pixels = random_pixels(0, 6, 10)
    np.testing.assert_array_equal(run(pixels, None, "none"), pixels)


def test_filters_are_anti_aliased_and_differ() -> None:
    checker = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    outputs = {}
    for name in FILTERS:
        out = run(checker, (4, 4), "none", filter=name)
        if name != "nearest":
            assert np.abs(out.astype(int) - 127).max() <= 12, name
        outputs[name] = run(random_pixels(5, 16, 16), (5, 5), "none", filter=name).tobytes()
    assert len(set(outputs.values())) == len(FILTERS)
    box = run(checker, (8, 8), "none", filter="box")
    assert set(np.unique(box)) <= {127, 128}


def test_hidden_colours_do_not_bleed() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :2] = (255, 0, 0, 255)
    pixels[:, 2:] = (0, 255, 0, 0)  # green, but invisible
    out = run(pixels, (2, 2), "none", filter="bilinear")
    assert (out[..., 3] > 0).all()
    assert (out[..., 0] == 255).all()
    assert (out[..., 1] == 0).all()


def test_enlarging_is_reported() -> None:
    image = Image.new("RGB", (8, 8))
    assert transform(image, "x", (16, 16))[1]
    assert not transform(image, "x", (8, 8))[1]
    assert transform(Image.new("RGB", (40, 8)), "x", (16, 16), "center")[1]


def test_illegal_options() -> None:
    with pytest.raises(DataError, match=r"crop must be one of none, center, .* not 'middle'"):
        run(random_pixels(0, 4, 4), (4, 4), "middle")
    with pytest.raises(DataError, match=r"filter must be one of .* not 'area'"):
        run(random_pixels(0, 4, 4), (4, 4), "none", filter="area")
    for crop in set(CROPS) - {"none", "center"}:
        with pytest.raises(DataError, match="needs a size"):
            run(random_pixels(0, 4, 4), None, crop)
    with pytest.raises(DataError, match="width of at least the height"):
        run(random_pixels(0, 4, 4), (2, 4), "center-wide")
