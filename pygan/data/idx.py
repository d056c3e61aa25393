"""The idx format of MNIST, Fashion-MNIST, KMNIST and EMNIST, plain or gzip-compressed.

A file is a big-endian header (0, 0, type 8 = uint8, number of dimensions, then each dimension as
uint32) and the values; see http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from .errors import DataError
from .source import Source, array_images

_PREFIX = {"train": "train", "test": "t10k"}
_MAX_BYTES = 1 << 32


def is_idx_images(path: Path) -> bool:
    """Whether the file name is that of an idx image file, e.g. train-images-idx3-ubyte.gz."""
    return path.is_file() and "images" in path.name and "idx3" in path.name


def is_idx_folder(path: Path) -> bool:
    """Whether the folder holds MNIST-style files."""
    return path.is_dir() and _find(path, "train") is not None


def idx_folder_source(path: Path, split: str) -> Source:
    """The 'train' or 'test' images of a folder of MNIST-style files."""
    file = _find(path, split)
    if file is None:
        raise DataError(f"{path} has no {_PREFIX[split]}-images-idx3-ubyte(.gz) for {split!r}")
    return idx_source(file)


def idx_source(path: Path) -> Source:
    """Images of an idx3 file, with the labels of the idx1 file beside it if there is one."""
    pixels = read_idx(path, 3)
    if pixels.size == 0:
        raise DataError(f"{path} contains no images")
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    candidates = [path.with_name(name), path.with_name(name.removesuffix(".gz") + ".gz")]
    candidates.append(path.with_name(name.removesuffix(".gz")))
    labels = None
    for candidate in candidates:
        if candidate.is_file():
            labels = read_idx(candidate, 1)
            if len(labels) != len(pixels):
                raise DataError(
                    f"{candidate} has {len(labels)} labels for the {len(pixels)} images of {path}"
                )
            break
    images = array_images(str(path), pixels, labels)
    return Source(f"idx {path.name}", 1, None, len(pixels), images)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """uint8 array of an idx file with the given number of dimensions.

    Raises:
        DataError: another format, or a length that contradicts the header.
    """
    try:
        with _open(path) as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) != 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"{path} is not an idx file of {dimensions}-dimensional uint8 data")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            expected = int(np.prod([int(n) for n in shape], dtype=object))
            if expected > _MAX_BYTES:
                raise DataError(f"{path} claims to hold {expected:,} bytes; refused")
            data = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if len(data) != expected:
        raise DataError(f"{path} is truncated or damaged: its header promises {expected:,} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _find(path: Path, split: str) -> Path | None:
    for pattern in ("images-idx3-ubyte", "images.idx3-ubyte"):
        for suffix in ("", ".gz"):
            file = path / f"{_PREFIX[split]}-{pattern}{suffix}"
            if file.is_file():
                return file
    return None


def _open(path: Path) -> IO[bytes]:
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if compressed else open(path, "rb")
