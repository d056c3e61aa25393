"""Image grids as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pygan.files import replacing


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] to uint8: ``round(x * 127.5 + 127.5)``, limited to 0 ... 255."""
    return np.clip(np.rint(images * 127.5 + 127.5), 0, 255).astype(np.uint8)


def tile(pixels: np.ndarray, columns: int) -> np.ndarray:
    """Images [N, C, H, W] row by row as one image [rows * H, columns * W, C]; gaps are black."""
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    canvas = np.zeros((rows * columns, channels, height, width), dtype=pixels.dtype)
    canvas[:count] = pixels
    canvas = canvas.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return canvas.reshape(rows * height, columns * width, channels)


def condition_pictures(batch: Any, label_count: int) -> np.ndarray:
    """Pictures uint8 [N, C, H, W] of what images are made from: source images, or coloured labels.

    Args:
        batch: a PairBatch.
        label_count: classes of its label maps.
    """
    if batch.sources is not None:
        return np.asarray(batch.sources)
    from pygan.data.idmaps import label_colours

    return label_colours(label_count)[batch.labelmaps].transpose(0, 3, 1, 2)


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Writes an image [H, W, C] of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels."""
    from PIL import Image

    image = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
