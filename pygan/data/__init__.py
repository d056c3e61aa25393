"""Datasets: building them from what one has, opening them, loading batches.

    from pygan.data import Loader, build_dataset, open_dataset

    build_dataset("photos/", "photos256.zip", size=(256, 256), crop="center")
    dataset = open_dataset("photos256.zip", mirror=True)
    with Loader(dataset, batches_of_indices, workers=2) as loader:
        for images, labels in loader:  # uint8 [B, C, H, W], int64 [B] or None
            ...

Pairs of an image and what it is made from have builders of their own, and more to load:

    from pygan.data import build_pairs, open_pairs

    build_pairs(open_pairs("facades/"), "facades.zip", size=286)
    pairs = open_dataset("facades.zip").framed(crop=(256, 256)).pairs

Needs numpy and Pillow, never paddle: loader workers start in a fraction of a second.
"""

from __future__ import annotations

from .build import BuildOptions, build_dataset
from .building import BuildReport
from .dataset import ImageDataset, open_dataset
from .errors import DataError, ImageError, WorkerError
from .loader import Loader
from .pair_build import PairOptions, build_pairs
from .pair_dataset import PairedDataset
from .pair_files import open_pairs
from .pairs import PairBatch, Placed

__all__ = [
    "BuildOptions",
    "BuildReport",
    "DataError",
    "ImageDataset",
    "ImageError",
    "Loader",
    "PairBatch",
    "PairOptions",
    "PairedDataset",
    "Placed",
    "WorkerError",
    "build_dataset",
    "build_pairs",
    "open_dataset",
    "open_pairs",
]
