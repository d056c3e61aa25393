"""Reads PyTorch's files of weights into numpy arrays, without PyTorch and without running anything.

Both formats of ``torch.save`` are read: the zip archive (PyTorch 1.6 and later) and the older
stream of pickles that starts with the number 0x1950a86a20f9469cfc6c. The object is a pickle, read
by :mod:`pygan.interop.restricted_pickle` with PyTorch's names for tensors, parameters, storages and
dtypes allowed beside the basic ones; any other name, and so any class of a model, is refused.

Format: torch/serialization.py and torch/_utils.py of PyTorch describe it.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from pygan.errors import InputError
from pygan.interop.restricted_pickle import (
    Allowed,
    Budget,
    Record,
    RestrictedUnpickler,
    read_bytes,
    resolve,
)

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ZIP = b"PK\x03\x04"
_STREAM = pickle.dumps(_MAGIC, 2)
# What zipfile raises for damaged archives beside BadZipFile; RuntimeError for encrypted members.
_DAMAGE = (NotImplementedError, RuntimeError, OSError, EOFError, ValueError, struct.error)
_MAX_REPEATED = 1 << 28  # elements of a tensor larger than its storage (stride 0)
_MAX_NESTED = 4  # files within files: storages pickled on their own

# PyTorch's dtypes as they lie in storages; bfloat16 and bool get their own types when read.
_DTYPES = {
    "float32": "f4",
    "float64": "f8",
    "float16": "f2",
    "bfloat16": "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "u1",
    "complex64": "c8",
    "complex128": "c16",
}
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}


def read_torch(path: Union[str, Path], allow: Optional[Allowed] = None) -> Any:
    """The object that ``torch.save`` wrote, with numpy arrays for tensors and parameters.

    A state dict becomes a dict of arrays, a checkpoint a nest of dicts and lists. Arrays keep shape
    and dtype, but bfloat16, which numpy lacks, is widened to float32, exactly. Tensors that shared
    memory do so as arrays, and arrays are read-only: copy what is to change.

    Args:
        path: a ``.pth`` or ``.pt`` file.
        allow: replacements for further globals that the file may name, called in their place;
            return a :class:`.restricted_pickle.Record` for objects whose state matters.

    Raises:
        InputError: if the file cannot be read, is damaged, is in another format (TorchScript, the
            tar files before PyTorch 0.2), or names a global that is not allowed.
    """
    return load_torch(read_bytes(Path(path)), str(path), allow)


def load_torch(data: bytes, name: str, allow: Optional[Allowed] = None) -> Any:
    """As :func:`read_torch`, from the file's content; `name` is for messages."""
    return resolve(_load(data, name, allow, 0), name)


def is_torch(data: bytes) -> bool:
    """Whether a file's content begins as one of ``torch.save`` does, in either format."""
    return data[:4] == _ZIP or data[: len(_STREAM)] == _STREAM


def torch_globals(
    allow: Optional[Allowed] = None,
    name: str = "pickle",
    depth: int = 0,
    budget: Optional[Budget] = None,
) -> Allowed:
    """The globals of tensors, for pickles that contain some without being files of ``torch.save``.

    Args:
        allow: what may be named beside, also within storages that are pickled on their own.
        name: the file in messages.
        depth: how many files this one is nested in.
        budget: that of the pickle, to share with those within it.
    """

    def load_from_bytes(data: bytes) -> Any:
        return _load(data, name, allow, depth + 1, budget)

    table: dict[tuple[str, str], Callable[..., Any]] = {
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
        ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
        ("torch.storage", "_load_from_bytes"): load_from_bytes,
        ("torch", "Size"): lambda items=(): tuple(items),
        ("torch", "Tensor"): Record.of("torch", "Tensor"),
        ("torch.nn.parameter", "Parameter"): Record.of("torch.nn.parameter", "Parameter"),
        ("torch", "device"): lambda *args: ":".join(map(str, args)),
    }
    for storage, dtype in _STORAGES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            table[module, storage] = _StorageType(dtype)
    for dtype in _DTYPES:
        table["torch", dtype] = _StorageType(dtype)
    return {**table, **(allow or {})}


class _StorageType:
    """A storage's class or a dtype: only named, in persistent ids and arguments, never called."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def __call__(self, *args: Any) -> Any:
        raise ValueError(f"a storage of {self.dtype} that is made rather than read")


class _Storage(Record):
    """A flat piece of memory, filled when its bytes are found."""

    def __init__(self, dtype: str, count: int, order: str = "<") -> None:
        super().__init__("torch.storage")
        self.dtype = dtype
        self.count = count
        self.order = order
        self.data: Optional[bytes] = None
        self._arrays: dict[str, np.ndarray] = {}

    @property
    def bytes_needed(self) -> int:
        return self.count * np.dtype(_DTYPES[self.dtype]).itemsize

    def array(self, dtype: str) -> np.ndarray:
        """The memory as numbers of `dtype`, read-only; made once, so that tensors share it."""
        if dtype not in self._arrays:
            if self.data is None:
                raise ValueError("a storage without data")
            stored = np.dtype(_DTYPES[dtype])
            data = self.data[: len(self.data) // stored.itemsize * stored.itemsize]
            flat = np.frombuffer(data, f"{self.order}{_DTYPES[dtype]}")
            if self.order == ">":
                flat = flat.astype(stored)
            if dtype == "bfloat16":
                flat = (flat.astype(np.uint32) << 16).view(np.float32)
            elif dtype == "bool":
                flat = flat != 0
            flat.flags.writeable = False
            self._arrays[dtype] = flat
        return self._arrays[dtype]

    def resolve(self) -> np.ndarray:
        return self.array(self.dtype)


class _Tensor(Record):
    """A strided view of a storage."""

    def __init__(
        self, storage: _Storage, offset: int, shape: Any, strides: Any, dtype: Optional[str] = None
    ) -> None:
        super().__init__("torch.Tensor")
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without a storage")
        self.storage = storage
        self.offset = offset
        self.shape = tuple(shape)
        self.strides = tuple(strides)
        self.dtype = dtype or storage.dtype

    def resolve(self) -> np.ndarray:
        flat = self.storage.array(self.dtype)
        whole = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or not all(
            isinstance(number, int) and 0 <= number < 1 << 62 for number in whole
        ):
            raise ValueError(f"a tensor of shape {self.shape} and strides {self.strides}")
        count = int(np.prod([int(n) for n in self.shape], dtype=object))
        if count == 0:
            return np.zeros(self.shape, flat.dtype)
        reach = sum((n - 1) * stride for n, stride in zip(self.shape, self.strides))
        if self.offset + reach >= flat.size:
            raise ValueError(f"a tensor of shape {self.shape} that exceeds its storage")
        if count > max(flat.size, _MAX_REPEATED):
            raise ValueError(f"a tensor of shape {self.shape} that repeats {flat.size} numbers")
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, strides, writeable=False
        )


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    # Then come requires_grad, hooks and metadata.
    return _Tensor(storage, offset, shape, strides)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides, _dtype_of(dtype))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _rebuild_from_type(rebuild: Any, kind: Any, args: Any, *_: Any) -> Any:
    # A tensor that has attributes of its own, which go.
    if getattr(rebuild, "call", None) not in (_rebuild_tensor, _rebuild_tensor_v3):
        raise ValueError("a tensor that is rebuilt in an unknown way")
    return rebuild.call(*args)


def _dtype_of(named: Any) -> str:
    kind = getattr(named, "call", None)
    if not isinstance(kind, _StorageType):
        raise ValueError("a storage of unknown type")
    return kind.dtype


def _storage_of(pid: Any, order: str) -> tuple[str, _Storage]:
    """Key and empty storage of ("storage", type, key, location, count, ...)."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise ValueError("a persistent id that is not a storage")
    count = pid[4]
    if not isinstance(count, int) or not 0 <= count < 1 << 62:
        raise ValueError(f"a storage of {count!r} numbers")
    return str(pid[2]), _Storage(_dtype_of(pid[1]), count, order)


def _load(
    data: bytes, name: str, allow: Optional[Allowed], depth: int, budget: Optional[Budget] = None
) -> Any:
    if depth > _MAX_NESTED:
        raise InputError(f"{name}: storages are nested more than {_MAX_NESTED} files deep")
    budget = budget or Budget(len(data))
    table = torch_globals(allow, name, depth, budget)
    if data[:4] == _ZIP:
        try:
            return _load_zip(data, name, table, budget)
        except InputError:
            raise
        except (zipfile.BadZipFile, zlib.error, *_DAMAGE) as error:
            raise InputError(f"{name}: a damaged archive ({error})") from None
    return _load_stream(data, name, table, budget)


def _load_zip(data: bytes, name: str, table: Allowed, budget: Budget) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [member for member in members if member.count("/") == 1]
        roots = [member[:-8] for member in pickles if member.endswith("/data.pkl")]
        if len(roots) != 1:
            raise InputError(f"{name}: an archive, but not one that torch.save wrote")
        root = roots[0]
        if f"{root}constants.pkl" in members:
            raise InputError(
                f"{name}: a TorchScript program, not a file of weights; give a state dict (.pth)"
            )
        # Stored members cannot be larger together than the file, however they lie in it.
        if sum(info.file_size for info in members.values()) > len(data):
            raise InputError(f"{name}: a compressed archive, which torch.save does not write")

        def member(key: str) -> bytes:
            if root + key not in members:
                raise InputError(f"{name}: incomplete, {key} is missing")
            return archive.read(root + key)

        order = "<"
        if f"{root}byteorder" in members and member("byteorder").strip() == b"big":
            order = ">"
        storages: dict[str, _Storage] = {}

        def persistent_load(pid: Any) -> _Storage:
            key, storage = _storage_of(pid, order)
            if key not in storages:
                storage.data = member(f"data/{key}")
                if len(storage.data) < storage.bytes_needed:
                    raise InputError(f"{name}: incomplete, data/{key} is too short")
                storages[key] = storage
            return storages[key]

        stream = io.BytesIO(member("data.pkl"))
        return RestrictedUnpickler(stream, name, table, persistent_load, budget).load()


def _load_stream(data: bytes, name: str, table: Allowed, budget: Budget) -> Any:
    stream = io.BytesIO(data)
    storages: dict[str, _Storage] = {}
    order = "<"

    def refuse(pid: Any) -> Any:
        raise ValueError("a persistent id before the object")

    def persistent_load(pid: Any) -> _Storage:
        key, storage = _storage_of(pid, order)
        storage = storages.setdefault(key, storage)
        if len(pid) > 5 and pid[5] is not None:
            raise InputError(f"{name}: storages are views of each other, as before PyTorch 0.4")
        return storage

    header = RestrictedUnpickler(stream, name, None, refuse, budget)
    if data[:1] != b"\x80" or header.load() != _MAGIC:
        raise InputError(f"{name}: not a file of weights that torch.save wrote")
    if RestrictedUnpickler(stream, name, None, refuse, budget).load() != _PROTOCOL:
        raise InputError(f"{name}: an unknown version of PyTorch's format")
    system = RestrictedUnpickler(stream, name, None, refuse, budget).load()
    if isinstance(system, dict) and system.get("little_endian") is False:
        order = ">"
    value = RestrictedUnpickler(stream, name, table, persistent_load, budget).load()
    keys = RestrictedUnpickler(stream, name, None, refuse, budget).load()
    if not isinstance(keys, list):
        raise InputError(f"{name}: the list of storages is damaged")
    for key in keys:
        size = stream.read(8)
        if key not in storages or len(size) < 8:
            raise InputError(f"{name}: incomplete, the storage {key!r} is missing")
        storage = storages[key]
        if struct.unpack(f"{order}q", size)[0] != storage.count:
            raise InputError(f"{name}: the size of the storage {key!r} is damaged")
        storage.data = stream.read(storage.bytes_needed)
        if len(storage.data) < storage.bytes_needed:
            raise InputError(f"{name}: incomplete, the storage {key!r} is too short")
    return value
