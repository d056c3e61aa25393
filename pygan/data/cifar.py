"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), python version, as downloaded (tar.gz of pickles).

Unpickling can run arbitrary code, so these pickles are read by an unpickler to which numpy's
array and dtype are inert records and everything else is forbidden.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .errors import DataError
from .source import Source, array_images

_MAX_MEMBER = 1 << 28


class _Array:
    """What numpy's array reconstruction leaves: the state tuple, not yet an array."""

    def __init__(self, *args: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def to_numpy(self) -> np.ndarray:
        try:
            _, shape, dtype, fortran, data = self.state
            if not isinstance(dtype, _Dtype) or dtype.name not in ("u1", "|u1"):
                raise ValueError("not uint8")
            array = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
        except (TypeError, ValueError) as error:
            raise pickle.UnpicklingError(f"unsupported array ({error})") from None
        return np.ascontiguousarray(array)


class _Dtype:
    def __init__(self, name: object, *args: object) -> None:
        self.name = name.decode() if isinstance(name, bytes) else name

    def __setstate__(self, state: object) -> None:
        pass


class _ArrayUnpickler(pickle.Unpickler):
    """Reads containers, numbers, strings and uint8 arrays; refuses every other object."""

    _ALLOWED: ClassVar[dict[tuple[str, str], type]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"forbidden object {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("forbidden persistent object")


def restricted_load(data: bytes, name: str) -> Any:
    """Unpickles data that may contain nothing but plain values and uint8 arrays.

    Raises:
        DataError: any other content, or a damaged pickle. Nothing of it has been executed.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a hostile pickle can make the opcodes fail in any way
        raise DataError(f"{name} is not a CIFAR batch and was not loaded ({error})") from error


def cifar_source(path: Path, split: str = "train") -> Source:
    """Images [N, 32, 32, 3] and (fine) labels of a CIFAR python archive.

    Raises:
        DataError: not a CIFAR archive, damaged, or with forbidden content.
    """
    members = _read_members(path)
    if "data_batch_1" in members or "test_batch" in members:
        batches = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
        meta, label_key, class_key, title = "batches.meta", b"labels", b"label_names", "CIFAR-10"
    elif "train" in members or "test" in members:
        batches = [split]
        meta, label_key, class_key, title = "meta", b"fine_labels", b"fine_label_names", "CIFAR-100"
    else:
        raise DataError(f"{path} is not a CIFAR-10 or CIFAR-100 python archive")
    present = [name for name in batches if name in members]
    if not present:
        raise DataError(f"{path} has no {split!r} images")

    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for name in present:
        where = f"{path}:{name}"
        batch = restricted_load(members[name], where)
        try:
            data = batch[b"data"].to_numpy().reshape(-1, 3, 32, 32)
            numbers = [int(value) for value in batch[label_key]]
        except (KeyError, TypeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
            raise DataError(f"{where} is not a CIFAR batch ({error})") from error
        if len(numbers) != len(data) or min(numbers, default=0) < 0:
            raise DataError(f"{where} has {len(numbers)} labels for {len(data)} images")
        pixels.append(np.ascontiguousarray(data.transpose(0, 2, 3, 1)))
        labels.extend(numbers)

    classes: list[str] | None = None
    if meta in members:
        table = restricted_load(members[meta], f"{path}:{meta}")
        names = table.get(class_key) if isinstance(table, dict) else None
        if isinstance(names, list):
            classes = [n.decode() if isinstance(n, bytes) else str(n) for n in names]
    images = array_images(str(path), np.concatenate(pixels), np.asarray(labels, np.int64))
    return Source(f"{title} {split}", 3, classes, len(labels), images)


def _read_members(path: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for info in tar:  # in order: a compressed tar cannot be sought cheaply
                if not info.isreg():
                    continue
                if info.size > _MAX_MEMBER:
                    raise DataError(f"{path}:{info.name} is too large for a CIFAR archive")
                file = tar.extractfile(info)
                if file is not None:
                    members[info.name.rsplit("/", 1)[-1]] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    return members
