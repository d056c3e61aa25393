"""Volumes in NIfTI-1 files (.nii, .nii.gz), as far as magnitudes and atlases need it.

The format: https://nifti.nimh.nih.gov/nifti-1 - a header of 348 bytes, then numbers with the first
index changing fastest. Complex, RGB and 128-bit numbers, and pairs of .hdr and .img, are not read.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import DataError

MAX_BYTES = 1 << 30
"""Largest accepted volume, uncompressed."""

_HEADER = 348
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


@dataclass(frozen=True)
class Volume:
    """A volume of three dimensions.

    Attributes:
        values: [X, Y, Z]; float64 if the file scales them, else of the file's type.
        affine: maps indices (x, y, z, 1) to millimetres (right, anterior, superior), [3, 4].
    """

    values: np.ndarray
    affine: np.ndarray


def read_nifti(path: Path) -> Volume:
    """Reads a volume.

    Raises:
        DataError: not such a file, truncated, too large, or of a kind that is not read.
        FileNotFoundError: nothing at `path`.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    order = next((o for o in "<>" if data[:4] == struct.pack(f"{o}i", _HEADER)), None)
    if order is None or len(data) < _HEADER or data[344:347] != b"n+1":
        raise DataError(f"{path} is not a NIfTI-1 file of one part (.nii or .nii.gz)")
    dimensions, *shape = struct.unpack_from(f"{order}8h", data, 40)
    kind, _ = struct.unpack_from(f"{order}2h", data, 70)
    start, slope, shift = struct.unpack_from(f"{order}3f", data, 108)
    if not 3 <= dimensions <= 7 or min(shape[:3]) < 1 or any(n > 1 for n in shape[3:dimensions]):
        raise DataError(f"{path} has shape {shape[: max(dimensions, 0)]}; three sides are needed")
    if kind not in _TYPES:
        raise DataError(f"{path} has numbers of type {kind}; legal are {sorted(_TYPES)}")
    count = shape[0] * shape[1] * shape[2]
    dtype = np.dtype(order + _TYPES[kind])
    if not _HEADER <= start <= len(data) or len(data) - int(start) < count * dtype.itemsize:
        raise DataError(f"{path} is truncated: it holds fewer than {count:,} numbers")
    values = np.frombuffer(data, dtype, count, int(start)).reshape(shape[:3], order="F")
    if slope not in (0.0, 1.0) or shift != 0.0:
        values = values.astype(np.float64) * (slope or 1.0) + (shift if slope else 0.0)
    return Volume(values.astype(values.dtype.newbyteorder("=")), _affine(data, order))


def _affine(data: bytes, order: str) -> np.ndarray:
    """The transform of the file: method 3 if it is given, else method 2, else voxel sizes."""
    sizes = struct.unpack_from(f"{order}8f", data, 76)
    quaternion_code, matrix_code = struct.unpack_from(f"{order}2h", data, 252)
    if matrix_code > 0:
        return np.array(struct.unpack_from(f"{order}12f", data, 280), dtype=np.float64).reshape(
            3, 4
        )
    if quaternion_code > 0:
        b, c, d, *origin = struct.unpack_from(f"{order}6f", data, 256)
        a = np.sqrt(max(1.0 - b * b - c * c - d * d, 0.0))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        handed = -1.0 if sizes[0] < 0 else 1.0
        scaled = rotation * np.array([sizes[1], sizes[2], handed * sizes[3]])
        return np.column_stack([scaled, origin])
    return np.column_stack([np.diag(sizes[1:4]), np.zeros(3)])
