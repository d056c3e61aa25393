"""Files of torch.save, written by hand."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np


class Named:
    """Pickles as a global that Python need not have."""

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """Pickles as the call of a global."""

    def __init__(self, name: str, *args: Any, state: Any = None) -> None:
        self.reduced = (Named(name), args) if state is None else (Named(name), args, state)

    def __reduce__(self) -> Any:
        return self.reduced


class Made:
    """Pickles as an object of a class, made without arguments and given a state."""

    def __init__(self, name: str, state: Any) -> None:
        self.name = name
        self.state = state


class Stored:
    """Pickles as the persistent id of a storage."""

    def __init__(self, kind: str, key: str, count: int, *more: Any) -> None:
        self.pid = ("storage", Named(f"torch.{kind}"), key, "cuda:0", count, *more)


class Writer(pickle._Pickler):
    """Python's pickler, with names and persistent ids of our choosing."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Stored) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Named):
            module, _, name = obj.name.rpartition(".")
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        elif isinstance(obj, Made):
            self.save(Named(obj.name))
            self.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
            self.save(obj.state)
            self.write(pickle.BUILD)
        else:
            super().save(obj, save_persistent_id)

    def save_reduce(self, func: Any, args: Any, state: Any = None, *rest: Any, **more: Any) -> None:
        if isinstance(func, Named):  # the pickler insists on something callable
            self.save(func)
            self.save(args)
            self.write(pickle.REDUCE)
            if state is not None:
                self.save(state)
                self.write(pickle.BUILD)
        else:
            super().save_reduce(func, args, state, *rest, **more)


def dumps(value: Any) -> bytes:
    file = io.BytesIO()
    Writer(file, 2).dump(value)
    return file.getvalue()


def tensor(storage: Stored, offset: int, shape: tuple, strides: tuple) -> Call:
    args = (storage, offset, shape, strides, False, OrderedDict())
    return Call("torch._utils._rebuild_tensor_v2", *args)


def zip_file(value: Any, storages: dict[str, bytes], **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", dumps(value))
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"archive/{name.replace('_pkl', '.pkl')}", data)
    return file.getvalue()


def stream_file(value: Any, storages: dict[str, tuple[int, bytes]], little: bool = True) -> bytes:
    system = {"protocol_version": 1001, "little_endian": little}
    parts = [dumps(part) for part in (0x1950A86A20F9469CFC6C, 1001, system, value, list(storages))]
    for count, data in storages.values():
        parts += [struct.pack("<q" if little else ">q", count), data]
    return b"".join(parts)


def save_torch(value: Any) -> bytes:
    """A zip file of torch.save with numpy arrays as tensors."""
    storages: dict[str, bytes] = {}

    def convert(part: Any) -> Any:
        if isinstance(part, dict):
            return OrderedDict((key, convert(item)) for key, item in part.items())
        if not isinstance(part, np.ndarray):
            return part
        key = str(len(storages))
        storages[key] = part.astype(np.float32).tobytes()
        strides = tuple(int(np.prod(part.shape[i + 1 :])) for i in range(part.ndim))
        return tensor(Stored("FloatStorage", key, part.size), 0, part.shape, strides)

    return zip_file(convert(value), storages)
