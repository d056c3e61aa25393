"""Recognising sources: folders, zip archives, and the formats that have their own readers."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from . import cifar, emoji, idx
from .archive import dataset_images
from .errors import DataError
from .imaging import open_image
from .labels import labels_of, read_labels
from .source import Source, SourceImage
from .store import LABELS_FILE, FolderStore, Store, ZipStore

LABEL_RULES = ("auto", "folders", "none")
SPLITS = ("train", "test")


def open_source(path: str | os.PathLike[str], labels: str = "auto", split: str = "train") -> Source:
    """Recognises a source by its content and file name.

    Args:
        path: a folder of images (recursive), a zip of images, an MNIST-style idx file or a folder
            of them, CIFAR-10/100's python tar.gz, or Noto's colour emoji font.
        labels: 'auto' takes the labels that the source carries (dataset.json, idx, CIFAR, emoji
            groups), 'folders' makes the top-level sub-folders classes, 'none' drops labels.
        split: 'train' or 'test' of MNIST-style folders and CIFAR archives.

    Raises:
        DataError: unknown kind of source, or labels that do not fit it.
        FileNotFoundError: nothing at `path`.
    """
    path = Path(path)
    if labels not in LABEL_RULES:
        raise DataError(f"labels must be one of {', '.join(LABEL_RULES)}, not {labels!r}")
    if split not in SPLITS:
        raise DataError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    source = _special_source(path, split)
    if source is None:
        if split != "train":
            raise DataError(f"{path} has no {split!r} split; only MNIST and CIFAR sources do")
        if path.is_dir():
            return _file_source(FolderStore(path), f"folder {path.name}", labels)
        if zipfile.is_zipfile(path):
            return _file_source(ZipStore(path), f"zip {path.name}", labels)
        raise DataError(
            f"{path} is not a source of images: expected a folder, a zip, an idx file (MNIST), "
            "a CIFAR python tar.gz or the Noto colour emoji font (.ttf)"
        )
    if labels == "folders":
        raise DataError(f"labels='folders' needs a folder or a zip of images; {path} is neither")
    return _without_labels(source) if labels == "none" else source


def _special_source(path: Path, split: str) -> Source | None:
    if idx.is_idx_folder(path):
        return idx.idx_folder_source(path, split)
    if path.is_dir():
        return None
    if idx.is_idx_images(path):
        return idx.idx_source(path)
    if path.suffix.lower() in (".ttf", ".otf"):
        return emoji.emoji_source(path)
    if not zipfile.is_zipfile(path) and tarfile.is_tarfile(path):
        return cifar.cifar_source(path, split)
    return None


def _file_source(store: Store, description: str, labels: str) -> Source:
    names = dataset_images(store)
    if not names:
        raise DataError(f"{store.path} contains no images")
    values: list[int] | None = None
    classes: list[str] | None = None
    where = store.label(LABELS_FILE)
    text = store.read(LABELS_FILE) if labels == "auto" and store.exists(LABELS_FILE) else None
    if labels == "folders":
        tops = [PurePosixPath(name).parts[0] if "/" in name else None for name in names]
        if None in tops:
            raise DataError(
                f"{store.label(names[tops.index(None)])} lies in no sub-folder; "
                "labels='folders' needs every image in one"
            )
        classes = sorted({top for top in tops if top is not None})
        number = {name: index for index, name in enumerate(classes)}
        values = [number[top] for top in tops if top is not None]
    elif text is not None:
        table = read_labels(text, where)
        if table is not None:
            values = labels_of(names, table, where)
            classes = json.loads(text).get("classes")

    def images() -> Iterator[SourceImage]:
        for index, name in enumerate(names):
            label = None if values is None else values[index]
            yield SourceImage(store.label(name), partial(_open, store, name), label)

    return Source(description, 3, classes, len(names), images)


def _open(store: Store, name: str) -> Image.Image:
    return open_image(store.read(name), store.label(name))


def _without_labels(source: Source) -> Source:
    def images() -> Iterator[SourceImage]:
        for image in source.images():
            yield replace(image, label=None)

    return replace(source, classes=None, images=images)
