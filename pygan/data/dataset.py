"""Opening datasets and reading images from them by index."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import zipfile
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .archive import FORMAT, PAIRS_FORMAT, VERSION, dataset_images
from .errors import DataError
from .imaging import decode_exact, probe
from .labels import labels_of, read_labels
from .store import LABELS_FILE, FolderStore, Store, ZipStore

EMBEDDED = {"emoji": "assets/emoji64.zip"}
"""Datasets that come with the package, by name."""

CACHE_BYTES = 256 << 20
"""With cache='auto', datasets up to this size are kept in memory once decoded."""


class ImageDataset:
    """Images of one size, with optional integer labels. Made by open_dataset.

    With `mirror`, indices from N to 2N-1 are the first N images flipped horizontally, and the
    length is 2N.

    Attributes:
        image_shape: (C, H, W).
        labels: int64 [len], or None if unlabelled. Do not modify.
        num_classes: 0 if unlabelled.
        classes: class names, or None.
        info: how the images were made (see archive.py) and "path"; for people and logs.
    """

    def __init__(
        self,
        store: Store,
        names: list[str],
        image_shape: tuple[int, int, int],
        labels: list[int] | None,
        info: dict[str, Any],
        mirror: bool = False,
        cache: bool = False,
    ) -> None:
        self.image_shape = image_shape
        self.info = info
        self.mirror = mirror
        self.classes: list[str] | None = info.get("classes")
        self.num_classes = 0
        self.labels: np.ndarray | None = None
        if labels is not None:
            self.num_classes = len(self.classes) if self.classes else max(labels) + 1
            self.labels = np.asarray(labels * (2 if mirror else 1), dtype=np.int64)
        self._store = store
        self._names = names
        self._cache: np.ndarray | None = None
        if cache:
            # Untouched pages cost nothing: the array fills, and takes memory, as images are used.
            self._cache = np.empty((len(names), *image_shape), dtype=np.uint8)
            self._cached = np.zeros(len(names), dtype=bool)

    def __len__(self) -> int:
        return len(self._names) * (2 if self.mirror else 1)

    def __repr__(self) -> str:
        c, h, w = self.image_shape
        return f"<ImageDataset {self._store.path}: {len(self)} x [{c}, {h}, {w}]>"

    @property
    def cached(self) -> bool:
        """Whether decoded images stay in memory."""
        return self._cache is not None

    @property
    def originals(self) -> int:
        """Number of images, mirror images not counted."""
        return len(self._names)

    def take(self, positions: Sequence[int]) -> ImageDataset:
        """A dataset of some of the images (0 to originals - 1), in this order.

        Mirrors if this one does, and has the same classes, even those that no image is left of.
        """
        names = [self._names[position] for position in positions]
        labels = None
        if self.labels is not None:
            labels = [int(self.labels[position]) for position in positions]
        info = dict(self.info)
        part = ImageDataset(
            self._store, names, self.image_shape, labels, info, self.mirror, self.cached
        )
        part.num_classes = self.num_classes
        return part

    def name(self, index: int) -> str:
        """File name of an image, as messages show it."""
        return self._store.label(self._names[self._locate(index)[0]])

    def load(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Images [B, C, H, W] uint8 and labels [B] int64 (None if unlabelled), in this order.

        Raises:
            IndexError: an index outside [0, len).
            ImageError: an image is broken or has another size; the message names it.
        """
        images = np.empty((len(indices), *self.image_shape), dtype=np.uint8)
        for row, index in enumerate(indices):
            position, flip = self._locate(index)
            pixels = self._pixels(position)
            images[row] = pixels[:, :, ::-1] if flip else pixels
        return images, self.labels_at(indices)

    def labels_at(self, indices: Sequence[int]) -> np.ndarray | None:
        """Labels of these images, int64 [B], or None if unlabelled."""
        if self.labels is None:
            return None
        return self.labels[np.asarray(indices, dtype=np.int64)]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of file names, contents, labels, shape, build options and mirroring.

        A folder and a zip of the same files have the same fingerprint. Reads every file of a
        folder on first use; a zip's directory already holds the checksums.
        """
        digest = hashlib.sha256()
        build = {key: value for key, value in sorted(self.info.items()) if key not in ("path",)}
        head = [self.image_shape, self.num_classes, self.mirror, build]
        digest.update(json.dumps(head, default=str).encode())
        for index, name in enumerate(self._names):
            label = None if self.labels is None else int(self.labels[index])
            digest.update(json.dumps([name, *self._store.checksum(name), label]).encode())
        return digest.hexdigest()

    def worker_source(self) -> dict[str, Any]:
        """What a loader's worker process needs to decode this dataset's files, as JSON values."""
        return {**self._store.describe(), "shape": list(self.image_shape)}

    def worker_request(self, indices: Sequence[int]) -> list[Any]:
        """(file name, flip) of each image: a loader's request to its worker."""
        located = [self._locate(index) for index in indices]
        return [(self._names[position], flip) for position, flip in located]

    def answer_shape(self, count: int) -> tuple[int, ...]:
        """Shape of the uint8 values that a worker answers for so many images."""
        return count, *self.image_shape

    def assemble(
        self, answer: np.ndarray, indices: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The batch that a worker's answer is, as ``load`` gives it."""
        return answer, self.labels_at(indices)

    def _locate(self, index: int) -> tuple[int, bool]:
        if not 0 <= index < len(self):
            raise IndexError(f"image index {index} is outside the dataset's 0..{len(self) - 1}")
        flip, position = divmod(int(index), len(self._names))
        return position, bool(flip)

    def _pixels(self, position: int) -> np.ndarray:
        if self._cache is not None and self._cached[position]:
            return self._cache[position]
        name = self._names[position]
        pixels = decode_exact(self._store.read(name), self._store.label(name), self.image_shape)
        if self._cache is not None:
            self._cache[position] = pixels
            self._cached[position] = True
        return pixels


def open_dataset(
    path: str | os.PathLike[str], *, mirror: bool = False, cache: bool | str = "auto"
) -> ImageDataset:
    """Opens a dataset.

    Args:
        path: an archive made by build_dataset, a zip or a folder (recursive) of images of one size
            and kind, with labels in a dataset.json if there is one; or the name of an embedded
            dataset, 'emoji'. A file or folder called like that is opened as ./emoji.
        mirror: add every image flipped horizontally, which doubles the length.
        cache: keep decoded images in memory: True, False, or 'auto' (up to 256 MiB).

    Raises:
        FileNotFoundError: nothing of this name; the message lists what there is.
        DataError: no images, images of different sizes (the first mismatch is named), bad labels.
    """
    if cache not in (True, False, "auto"):
        raise DataError(f"cache must be True, False or 'auto', not {cache!r}")
    path = dataset_path(path)
    if not path.exists():
        raise FileNotFoundError(_not_found(path))
    store = _open_store(path)
    names = dataset_images(store)
    if not names:
        raise DataError(f"{path} contains no images")

    where = store.label(LABELS_FILE)
    info: dict[str, Any] = {}
    labels: list[int] | None = None
    if store.exists(LABELS_FILE):
        text = store.read(LABELS_FILE)
        table = read_labels(text, where)
        info = {key: value for key, value in json.loads(text).items() if key != "labels"}
        if table is not None:
            labels = labels_of(names, table, where)
    if info.get("format") == PAIRS_FORMAT:
        from .pair_dataset import PairedDataset, paired_layout

        _recorded_shape(info, names, path)
        info["path"] = str(path)
        return PairedDataset(store, names, paired_layout(info, where), info, mirror, cache)
    if info.get("format") == FORMAT:
        shape = _recorded_shape(info, names, path)
    else:
        shape = _common_shape(store, names)
    _check_classes(info, labels, where)
    info["path"] = str(path)
    size = len(names) * int(np.prod(shape))
    keep = size <= CACHE_BYTES if cache == "auto" else bool(cache)
    return ImageDataset(store, names, shape, labels, info, mirror, keep)


def dataset_path(name: str | os.PathLike[str]) -> Path:
    """The file of a dataset that comes with the package, or the path that the name is."""
    if str(name) in EMBEDDED:
        return Path(str(resources.files(__package__).joinpath(EMBEDDED[str(name)])))
    return Path(name)


def _open_store(path: Path) -> Store:
    if path.is_dir():
        return FolderStore(path)
    if zipfile.is_zipfile(path):
        return ZipStore(path)
    raise DataError(
        f"{path} is not a dataset (a folder or a zip of images); if images can be made from it, "
        f"build one: pygan data build {shlex.quote(str(path))} DATASET.zip"
    )


def _recorded_shape(info: dict[str, Any], names: list[str], path: Path) -> tuple[int, int, int]:
    if info.get("version") != VERSION:
        raise DataError(
            f"{path} has format version {info.get('version')!r}, this pygan reads {VERSION}; "
            "build it again or update pygan"
        )
    if info.get("count") != len(names):
        raise DataError(
            f"{path} records {info.get('count')} images but holds {len(names)}; build it again"
        )
    try:
        channels, height, width = (int(n) for n in info["image_shape"])
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path} records no valid image_shape; build it again") from None
    return channels, height, width


def _common_shape(store: Store, names: list[str]) -> tuple[int, int, int]:
    first: tuple[int, int, int] | None = None
    for name in names:
        with store.open(name) as file:
            found = probe(file, store.label(name))
        if first is None:
            first = found
        elif found != first:
            dest = f"{store.path.stem or 'dataset'}-{first[0]}x{first[1]}.zip"
            raise DataError(
                f"{store.label(name)} is {_describe(found)}, but the first image, {names[0]}, is "
                f"{_describe(first)}; bring all images to one size with: "
                f"pygan data build {shlex.quote(str(store.path))} {shlex.quote(dest)} "
                f"--size {first[0]}x{first[1]} --crop center"
            )
    assert first is not None
    return first[2], first[1], first[0]


def _describe(found: tuple[int, int, int]) -> str:
    kind = {1: "grey", 3: "RGB", 4: "RGBA"}[found[2]]
    return f"{found[0]}x{found[1]} {kind}"


def _check_classes(info: dict[str, Any], labels: list[int] | None, where: str) -> None:
    classes = info.get("classes")
    if labels is None:
        info["classes"] = None
        return
    if classes is None:
        return
    if not isinstance(classes, list) or max(labels) >= len(classes):
        raise DataError(f"{where} has label {max(labels)}, which its class names do not cover")


def _not_found(path: Path) -> str:
    message = (
        f"there is no dataset {path}: neither a file or folder of this name, nor an embedded "
        f"dataset ({', '.join(EMBEDDED)})"
    )
    folder = path.parent
    if not folder.is_dir():
        return f"{message}; the folder {folder} does not exist"
    entries = sorted(
        entry.name + ("/" if entry.is_dir() else "")
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and (entry.is_dir() or entry.suffix == ".zip")
    )
    shown = ", ".join(entries[:20]) + (", ..." if len(entries) > 20 else "")
    return f"{message}; {folder.resolve()} has {shown or 'no folders or zip files'}"
