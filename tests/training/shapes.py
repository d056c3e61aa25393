"""A small data set: coloured squares, one class per colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = [(230, 30, 30), (30, 200, 30), (40, 40, 230), (220, 220, 20)]


def write_shapes(folder: Path, count: int = 40, size: int = 16) -> Path:
    """Writes PNG files and their labels."""
    random = np.random.RandomState(0)
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    for i in range(count):
        pixels = np.empty((size, size, 3), dtype=np.uint8)
        pixels[:] = random.randint(0, 90, 3)
        x, y = random.randint(0, size // 2, 2)
        pixels[y : y + size // 2, x : x + size // 2] = COLOURS[i % 4]
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
        labels.append([f"{i:03d}.png", i % 4])
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder
