"""Small images for the tests of pygan.data."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def random_pixels(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """uint8 [H, W, C], or [H, W] for one channel."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def encoded(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """File content of an image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()
