"""Writes files that ``torch.load`` reads (also with ``weights_only=True``), without PyTorch.

The zip format of ``torch.save`` since PyTorch 1.6: a pickle, ``data.pkl``, whose tensors refer to
members ``data/<key>`` of raw little-endian numbers, beginning at multiples of 64 bytes.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import numpy as np

_STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
_ALIGNMENT = 64
_HEADER = 30  # bytes of a zip member's header before its name
_TIME = (1980, 1, 1, 0, 0, 0)  # the file is a function of its content


def write_torch(path: Union[str, Path], value: Mapping[str, Any]) -> None:
    """Writes a dict of dicts, lists, numbers, strings, None and numpy arrays, as tensors.

    Args:
        path: the file; it is written beside and renamed, so that none is ever half-written.
        value: what ``torch.load`` shall return.

    Raises:
        TypeError: something else is in it.
    """
    path = Path(path)
    arrays: list[np.ndarray] = []
    program = b"\x80\x02" + _program(value, arrays) + pickle.STOP
    temporary = path.with_name(f".{path.name}.writing")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "data.pkl", program)
            _add(archive, "byteorder", b"little")
            for key, array in enumerate(arrays):
                numbers = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
                _add(archive, f"data/{key}", numbers.tobytes())
            _add(archive, "version", b"3\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, member: str, data: bytes) -> None:
    info = zipfile.ZipInfo(f"archive/{member}", _TIME)
    begin = archive.start_dir + _HEADER + len(info.filename)
    # PyTorch maps numbers into memory where they lie: an extra field fills up to the alignment.
    padding = -(begin + 4) % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    archive.writestr(info, data)


def _program(value: Any, arrays: list[np.ndarray]) -> bytes:
    """The instructions of a pickle that make `value`, appending its arrays."""
    if isinstance(value, Mapping):
        items = [_program(part, arrays) for pair in value.items() for part in pair]
        return pickle.EMPTY_DICT + pickle.MARK + b"".join(items) + pickle.SETITEMS
    if isinstance(value, (list, tuple)):
        items = [_program(part, arrays) for part in value]
        if isinstance(value, tuple):
            return pickle.MARK + b"".join(items) + pickle.TUPLE
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(items) + pickle.APPENDS
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + struct.pack("<I", len(text)) + text
    if value is None or isinstance(value, (bool, int, float)):
        return pickle.dumps(value, 2)[2:-1]  # without the header and the end
    if isinstance(value, np.ndarray) and value.dtype.name in _STORAGES:
        return _tensor(value, arrays)
    kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(f"`value` holds {kind}, which has no counterpart among PyTorch's types.")


def _tensor(array: np.ndarray, arrays: list[np.ndarray]) -> bytes:
    arrays.append(array)
    strides = tuple(int(np.prod(array.shape[i + 1 :], dtype=int)) for i in range(array.ndim))
    storage = (
        pickle.MARK
        + _program("storage", [])
        + _global("torch", _STORAGES[array.dtype.name])
        + b"".join(_program(part, []) for part in (str(len(arrays) - 1), "cpu", array.size))
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    rest = b"".join(_program(part, []) for part in (0, array.shape, strides, False))
    hooks = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    rebuild = _global("torch._utils", "_rebuild_tensor_v2")
    return rebuild + pickle.MARK + storage + rest + hooks + pickle.TUPLE + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
