"""The on-disk dataset: an uncompressed zip of lossless images with a dataset.json.

Any zip tool and any GAN project that follows the convention of StyleGAN2-ADA can read it. Storing
without compression makes every image one seek and one read away, in any order. dataset.json holds

    format, version        "pygan-images", 1
    labels                 [[file name, class], ...] or null
    classes                class names or null
    image_shape            [C, H, W]
    count                  number of images
    size, channels, crop, filter, background, encoding      how the images were made
    source                 what they were made from
    pixels_sha256          hash of shape, pixels and labels in order; independent of the encoding

An archive of pairs has format "pygan-pairs". Its images are image/00000/img00000000.png; what they
are made from has the same names in the folders label/ and instance/ (grey PNG of 8 or 16 bits) and
source/. dataset.json also holds

    label_count            classes of the label maps, 0 without; "don't care" counts as one
    dont_care              its id, the last one, or null
    label_names            names of the classes, or null
    instances              whether there are instance maps
    source_channels        channels of the source images, 0 without
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .store import LABELS_FILE, Store

FORMAT = "pygan-images"
PAIRS_FORMAT = "pygan-pairs"
VERSION = 1

_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # constant, so that equal data makes equal files


class PixelHash:
    """Running hash of a dataset's shape, pixels and labels."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    @staticmethod
    def digest(pixels: bytes) -> bytes:
        """Hash of one image's uint8 values, laid out [C, H, W]."""
        return hashlib.sha256(pixels).digest()

    def add(self, digest: bytes, label: int | None) -> None:
        """Appends an image."""
        self._hash.update(digest)
        self._hash.update(f"{'' if label is None else label};".encode())

    def hexdigest(self, shape: tuple[int, int, int]) -> str:
        """The hash of all images added so far."""
        final = self._hash.copy()
        final.update(f"shape {shape[0]},{shape[1]},{shape[2]}".encode())
        return final.hexdigest()


class ArchiveWriter:
    """Adds images to an archive and finishes it with dataset.json. Close it before the file."""

    def __init__(self, file: IO[bytes], encoding: str, format: str = FORMAT) -> None:
        self._format = format
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._encoding = encoding
        self._labels: list[tuple[str, int]] = []
        self.count = 0

    def add(self, data: bytes, label: int | None, stem: str | None) -> None:
        """Appends an encoded image as 00000/img00000000[_stem].<encoding>, numbered in order."""
        # Numbers keep the sorted order of names, which readers use, equal to the order of writing.
        suffix = "" if stem is None else f"_{stem}"
        name = f"{self.count // 1000:05d}/img{self.count:08d}{suffix}.{self._encoding}"
        self._write(name, data, zipfile.ZIP_STORED)
        if label is not None:
            self._labels.append((name, label))
        self.count += 1

    def add_pair(self, files: dict[str, tuple[str, bytes]], stem: str | None) -> None:
        """Appends a sample as <kind>/00000/img00000000[_stem].<suffix> for each kind.

        Args:
            files: (suffix, content) by kind.
            stem: kept in the names.
        """
        suffix = "" if stem is None else f"_{stem}"
        name = f"{self.count // 1000:05d}/img{self.count:08d}{suffix}"
        for kind, (extension, data) in files.items():
            self._write(f"{kind}/{name}.{extension}", data, zipfile.ZIP_STORED)
        self.count += 1

    def finish(self, info: dict[str, Any]) -> None:
        """Writes dataset.json, after the last image."""
        table = {
            "format": self._format,
            "version": VERSION,
            **info,
            "count": self.count,
            "labels": self._labels or None,
        }
        text = json.dumps(table, ensure_ascii=False).encode()
        self._write(LABELS_FILE, text, zipfile.ZIP_DEFLATED)

    def close(self) -> None:
        """Writes the archive's directory; the file itself stays open."""
        self._zip.close()

    def _write(self, name: str, data: bytes, method: int) -> None:
        member = zipfile.ZipInfo(name, _TIMESTAMP)
        member.compress_type = method
        member.create_system = 3  # Unix, whatever the machine
        member.external_attr = 0o644 << 16
        self._zip.writestr(member, data)


def dataset_images(store: Store) -> list[str]:
    """Names of the images of a folder or archive: of pairs, without what they are made from."""
    names = store.image_names()
    if not store.exists(LABELS_FILE):
        return names
    try:
        paired = json.loads(store.read(LABELS_FILE)).get("format") == PAIRS_FORMAT
    except (ValueError, AttributeError):  # read_labels says what is wrong with it
        return names
    return [name for name in names if name.startswith("image/")] if paired else names


@contextlib.contextmanager
def atomic_file(dest: Path, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that appears at `dest` complete or not at all.

    The content goes to a hidden temporary file beside `dest`, reaches the disk (fsync) and is
    renamed when the block ends; an exception removes it.

    Raises:
        FileExistsError: `dest` exists and `overwrite` is False.
    """
    _refuse_existing(dest, overwrite)
    dest.parent.mkdir(parents=True, exist_ok=True)
    temporary = dest.with_name(f".{dest.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse_existing(dest, overwrite)
        os.replace(temporary, dest)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if os.name == "posix":  # the rename itself must survive a power cut
        descriptor = os.open(dest.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse_existing(dest: Path, overwrite: bool) -> None:
    if dest.is_dir():
        raise FileExistsError(f"{dest} is a folder; give the name of a .zip file")
    if dest.exists() and not overwrite:
        raise FileExistsError(f"{dest} exists; choose another name or ask to overwrite it")
