"""Reads the weights in an ONNX file: the initialisers of its graph, and nothing else.

ONNX files are protocol buffers (onnx/onnx.proto); of the messages' fields only those on the way to
the initialisers are looked at: ModelProto.graph 7, GraphProto.initializer 5, and of TensorProto
dims 1, data_type 2, float_data 4, name 8, raw_data 9. External data is not supported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Union

import numpy as np

from pygan.errors import InputError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT32 = 1  # TensorProto.DataType


def read_onnx(path: Union[str, Path]) -> dict[str, np.ndarray]:
    """The float32 initialisers by name.

    Raises:
        InputError: if the file cannot be read or is no ONNX file.
    """
    arrays = {}
    try:
        for number, graph in _fields(memoryview(Path(path).read_bytes())):
            if number == 7 and isinstance(graph, memoryview):
                for inner, tensor in _fields(graph):
                    if inner == 5 and isinstance(tensor, memoryview):
                        arrays.update(_tensor(tensor))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"{path}: not a readable ONNX file ({error})") from None
    if not arrays:
        raise InputError(f"{path}: not an ONNX file with weights")
    return arrays


def _tensor(message: memoryview) -> dict[str, np.ndarray]:
    dims: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(message):
        if number == 1:
            dims += [value] if isinstance(value, int) else _varints(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number in (4, 9) and isinstance(value, memoryview):
            raw = value  # packed floats are laid out as raw ones
    if kind != _FLOAT32:
        return {}
    if len(raw) != 4 * math.prod(dims):
        raise ValueError(f"{name!r}: {len(raw)} bytes for the shape {dims}")
    return {name: np.frombuffer(raw, "<f4").reshape(dims)}


def _fields(message: memoryview) -> Iterator[tuple[int, Union[int, memoryview]]]:
    """Number and value of each field: an int for varints, a view for the rest."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == _BYTES:
            size, place = _varint(message, place)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + size > len(message):
            raise ValueError("it ends too early")
        yield number, message[place : place + size]
        place += size


def _varints(message: memoryview) -> list[int]:
    values, place = [], 0
    while place < len(message):
        value, place = _varint(message, place)
        values.append(value)
    return values


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
