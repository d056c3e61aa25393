"""Statistics of real images on disk, named by what they were computed from.

The key is a hash of the images' files, of the extractor's weights and of how it looked at the
images, never a path: a folder whose files change has another key. A file that cannot be read counts
as missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Optional

import numpy as np

from pygan.files import replacing
from pygan.metrics.statistics import FeatureStatistics

_VERSION = 1  # of the features and the file


def default_folder() -> Path:
    """``statistics/`` in the folder that PYGAN_CACHE names, or in ~/.cache/pygan."""
    folder = os.environ.get("PYGAN_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "pygan") / "statistics"


def statistics_key(images: str, extractor: str, sha256: str, output: str, resize: str) -> str:
    """The name of statistics.

    Args:
        images: ``RealImages.key``.
        extractor: its name.
        sha256: of its weights.
        output: of the extractor.
        resize: how images reach its size.
    """
    parts = [_VERSION, images, extractor, sha256, output, resize]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class StatisticsCache:
    """Statistics in memory and, given a folder, on disk.

    Args:
        folder: made when there is something to write; None for memory alone.
    """

    def __init__(self, folder: Optional[Path]) -> None:
        self._folder = folder
        self._memory: dict[str, FeatureStatistics] = {}

    def load(self, key: str, features: bool) -> Optional[FeatureStatistics]:
        """What was stored under the key; None if it is missing or lacks the features.

        Args:
            key: see :func:`statistics_key`.
            features: whether moments alone are not enough.
        """
        found = self._memory.get(key)
        if found is None and self._folder is not None:
            found = _read(self._folder / f"{key}.npz")
            if found is not None:
                self._memory[key] = found
        if found is not None and features and found.features is None:
            return None
        return found

    def store(self, key: str, statistics: FeatureStatistics) -> None:
        """Keeps statistics. A disk that is full or read-only only costs time the next time."""
        self._memory[key] = statistics
        if self._folder is None:
            return
        arrays = {"count": np.array(statistics.count), "mean": statistics.mean}
        for name in ("scatter", "features"):
            array = getattr(statistics, name)
            if array is not None:
                arrays[name] = array
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / f"{key}.npz") as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError:
            return


def _read(path: Path) -> Optional[FeatureStatistics]:
    """Statistics from a file; None if it is missing or damaged (zips carry checksums)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        statistics = FeatureStatistics(
            int(arrays["count"]), arrays["mean"], arrays.get("scatter"), arrays.get("features")
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return statistics if _sound(statistics) else None


def _sound(statistics: FeatureStatistics) -> bool:
    """Whether the arrays fit together."""
    shapes = {"scatter": 2 * [statistics.mean.size], "features": [statistics.count, 0]}
    shapes["features"][1] = statistics.mean.size
    held = [name for name in shapes if getattr(statistics, name) is not None]
    return bool(held) and all(
        list(getattr(statistics, name).shape) == shapes[name] for name in held
    )
