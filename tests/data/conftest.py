"""Folders of small images for the tests of pygan.data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_images import encoded, random_pixels


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """make_folder({"a/b.png": pixels or bytes, ...}, name="images") -> the folder."""

    def make(files: dict[str, np.ndarray | bytes], name: str = "images") -> Path:
        folder = tmp_path / name
        for file, content in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else encoded(content))
        return folder

    return make


@pytest.fixture
def photos(make_folder: Callable[..., Path]) -> Path:
    """Twelve 8x6 (width x height) RGB images in three sub-folders."""
    return make_folder(
        {f"{'abc'[i % 3]}/{i:02d}.png": random_pixels(i, 6, 8) for i in range(12)}, "photos"
    )
