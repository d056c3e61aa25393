"""Slices of a magnetic resonance image with the regions of an atlas: label maps of real pictures.

Debian's mricron-data has the brain of Colin Holmes (ch2, 27 scans averaged; Holmes et al. 1998) and
on it the 116 regions of Automated Anatomical Labeling (aal; Tzourio-Mazoyer et al. 2002). Class 0
is everything without a name, air and white matter alike. Neighbouring slices resemble each other: a
few held out at random say little of what a network has learnt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import DataError
from .nifti import Volume, read_nifti
from .pair_source import Pair, PairSource, SourcePair

INSTALLED = "/usr/share/mricron/templates"
PLANES = ("axial", "coronal", "sagittal")

_ACROSS = {"axial": 2, "coronal": 1, "sagittal": 0}
_LEAST_NAMED = 0.05


def mri(
    folder: str | os.PathLike[str] | None = None,
    *,
    image: str = "ch2.nii.gz",
    atlas: str = "aal.nii.gz",
    planes: Sequence[str] = PLANES,
) -> PairSource:
    """All slices of which the atlas names at least 5 %, upright, padded to one square size.

    Args:
        folder: with both volumes; None looks where Debian puts them.
        image: file of the magnitudes, NIfTI-1.
        atlas: file of the regions, on the same grid. Names are read of a ``.txt`` beside it.
        planes: directions of the slices.

    Raises:
        DataError: a file is missing or unsuitable, or the two do not fit together.
    """
    unknown = sorted(set(planes) - set(PLANES))
    if unknown or not planes:
        raise DataError(f"planes must be some of {', '.join(PLANES)}, not {list(planes)}")
    root = Path(INSTALLED if folder is None else folder)
    try:
        magnitudes, regions = (read_nifti(root / name) for name in (image, atlas))
    except FileNotFoundError as error:
        raise DataError(
            f"there is no {error.filename}; install the package (Debian: apt-get install "
            "mricron-data) or give the folder"
        ) from None
    labels = _check(magnitudes, regions, root / image, root / atlas)
    pixels = _grey(magnitudes.values)
    side = max(pixels.shape)
    found = [
        (plane, index)
        for plane in planes
        for index in range(pixels.shape[_ACROSS[plane]])
        if (np.take(labels, index, _ACROSS[plane]) > 0).mean() >= _LEAST_NAMED
    ]
    if not found:
        raise DataError(f"{root / atlas} names no region in any slice")
    count = int(labels.max()) + 1

    def cut(plane: str, index: int) -> Pair:
        picture = upright(np.take(pixels, index, _ACROSS[plane]), side)
        return Pair(
            Image.fromarray(picture), labels=upright(np.take(labels, index, _ACROSS[plane]), side)
        )

    def pairs() -> Iterator[SourcePair]:
        for plane, index in found:
            yield SourcePair(f"{root / atlas}, {plane} slice {index}", partial(cut, plane, index))

    return PairSource(
        f"slices of {image} with {atlas}",
        len(found),
        pairs,
        has_labels=True,
        label_count=count,
        label_names=_names(root / atlas, count),
        channels=1,
    )


def upright(plane: np.ndarray, side: int) -> np.ndarray:
    """A slice [across, up] as picture [side, side], what is up on top, zeros around it."""
    picture = np.zeros((side, side), dtype=plane.dtype)
    turned = plane.T[::-1]
    top, left = (side - turned.shape[0]) // 2, (side - turned.shape[1]) // 2
    picture[top : top + turned.shape[0], left : left + turned.shape[1]] = turned
    return picture


def _check(magnitudes: Volume, regions: Volume, image: Path, atlas: Path) -> np.ndarray:
    """The atlas as integers."""
    there, here = magnitudes.values.shape, regions.values.shape
    if there != here or not np.allclose(magnitudes.affine, regions.affine, atol=1e-3):
        raise DataError(
            f"{atlas} ({here[0]}x{here[1]}x{here[2]}) is not on the grid of {image} "
            f"({there[0]}x{there[1]}x{there[2]}); resample one of them"
        )
    labels = regions.values.astype(np.int64)
    if not np.array_equal(labels, regions.values) or labels.min() < 0 or labels.max() > 65535:
        raise DataError(f"{atlas} is no atlas: its values are not integers from 0 to 65535")
    return labels


def _grey(values: np.ndarray) -> np.ndarray:
    """uint8; other types are scaled so that one value in a thousand is white."""
    if values.dtype == np.uint8:
        return values
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    white = max(float(np.quantile(finite, 0.999)), 1e-9)
    return np.rint(np.clip(finite / white, 0, 1) * 255).astype(np.uint8)


def _names(atlas: Path, count: int) -> list[str] | None:
    """Names of the regions, from lines such as "1 Precentral_L 2001"."""
    text = atlas.with_name(atlas.name.replace(".gz", "").replace(".nii", ".nii.txt"))
    if not text.is_file():
        return None
    names = ["nothing"] + [f"region {number}" for number in range(1, count)]
    for line in text.read_text(encoding="utf-8", errors="replace").splitlines():
        number, _, rest = line.strip().partition(" ")
        if number.isdigit() and 0 < int(number) < count and rest:
            names[int(number)] = rest.split()[0]
    return names
