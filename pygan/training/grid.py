"""Image grids as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pygan.files import replacing
from pygan.training.condition import Condition


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] to uint8: ``round(x * 127.5 + 127.5)``, limited to 0 ... 255."""
    return np.clip(np.rint(images * 127.5 + 127.5), 0, 255).astype(np.uint8)


def to_colours(images: np.ndarray) -> np.ndarray:
    """Images [N, C, H, W] uint8 as RGB [N, 3, H, W]: grey three times, alpha and more left out."""
    return images[:, [0, 0, 0]] if images.shape[1] < 3 else images[:, :3]


def condition_pictures(condition: Condition, label_count: int) -> np.ndarray:
    """What images are made from, as RGB [N, 3, H, W] uint8: source images, or coloured labels."""
    if condition.sources is not None:
        return to_colours(to_pixels(condition.sources.numpy()))
    from pygan.data.idmaps import label_colours

    assert condition.labelmaps is not None
    return label_colours(label_count)[condition.labelmaps.numpy()].transpose(0, 3, 1, 2)


def compare(conditions: np.ndarray, made: np.ndarray, real: np.ndarray, columns: int) -> np.ndarray:
    """A picture [H, W, 3] of condition, made and real image side by side, triple by triple.

    Args:
        conditions, made, real: uint8 [N, C, H, W].
        columns: triples in a row.
    """
    triples = np.stack([to_colours(part) for part in (conditions, made, real)], axis=1)
    return tile(triples.reshape(-1, *triples.shape[2:]), 3 * columns)


def tile(pixels: np.ndarray, columns: int) -> np.ndarray:
    """Images [N, C, H, W] row by row as one image [rows * H, columns * W, C]; gaps are black."""
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    canvas = np.zeros((rows * columns, channels, height, width), dtype=pixels.dtype)
    canvas[:count] = pixels
    canvas = canvas.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return canvas.reshape(rows * height, columns * width, channels)


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Writes an image [H, W, C] of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels."""
    from PIL import Image

    image = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    with replacing(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
