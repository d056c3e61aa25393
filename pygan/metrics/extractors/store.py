"""Weights on this computer: looked up, read, converted and kept.

A converted file is safetensors, with the name of the weights, the SHA-256 of their arrays and that
of the file they were converted from in its metadata. It lies in the cache: the folder that
PYGAN_CACHE names, or ~/.cache/pygan, then ``weights/NAME.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from pygan.errors import InputError
from pygan.files import replacing

from . import convert
from .catalogue import CATALOGUE, Weights

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Loaded:
    """Weights in memory.

    Attributes:
        arrays: float32, by the names of the network's parameters.
        sha256: of the arrays, whatever file they came from.
        source: that file's path, for messages.
    """

    arrays: Arrays
    sha256: str
    source: str


def known(name: str) -> Weights:
    """The weights called `name`.

    Raises:
        InputError: there are none.
    """
    if name not in CATALOGUE:
        raise InputError(f"no weights are called {name!r}; choose from: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def cache_folder() -> Path:
    """Where converted weights are kept; it need not exist."""
    folder = os.environ.get("PYGAN_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "pygan") / "weights"


def find(name: str) -> Optional[Path]:
    """The file with the weights: the one its environment variable names, else the cache's.

    Raises:
        InputError: the name is unknown, or the variable names no file.
    """
    weights = known(name)
    chosen = os.environ.get(weights.variable)
    if chosen:
        if not Path(chosen).is_file():
            raise InputError(f"{weights.variable} names {chosen!r}, which is not a file")
        return Path(chosen)
    cached = cache_folder() / f"{name}.safetensors"
    return cached if cached.is_file() else None


def load(name: str) -> Loaded:
    """The weights, from a converted file or, where the variable names one, a published file.

    Raises:
        InputError: they are not installed, damaged, or those of another network.
    """
    path = find(name)
    if path is None:
        raise InputError(f"the weights {name!r} are not installed: {known(name).remedy()}")
    if path.suffix == ".safetensors":
        return read_converted(path, name)
    arrays = convert.read(known(name).converter, [path])
    return Loaded(arrays, hash_arrays(arrays), str(path))


def read_converted(path: Path, name: str) -> Loaded:
    """A file that :func:`write` wrote, verified.

    Raises:
        InputError: it is damaged, of other weights or not such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            manifest = json.loads((file.metadata() or {})["pygan"])
            arrays = {key: file.get_tensor(key) for key in list(file.keys())}
            found, sha256 = manifest["weights"], manifest["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not weights that pygan converted ({error})") from None
    if found != name:
        raise InputError(f"{path}: holds the weights {found!r}, not {name!r}")
    if hash_arrays(arrays) != sha256:
        raise InputError(f"{path}: is damaged; delete it, then {known(name).remedy()}")
    return Loaded(arrays, sha256, str(path))


def write(name: str, arrays: Mapping[str, np.ndarray], sources: Sequence[Path]) -> Path:
    """Keeps converted weights in the cache; returns the file. A crash leaves none or a whole one.

    Raises:
        InputError: the cache cannot be written.
    """
    from safetensors.numpy import save

    manifest = {
        "weights": name,
        "sha256": hash_arrays(arrays),
        "sources": {source.name: hash_file(source) for source in sources},
    }
    contiguous = {key: np.ascontiguousarray(array, np.float32) for key, array in arrays.items()}
    data = save(contiguous, metadata={"pygan": json.dumps(manifest, sort_keys=True)})
    target = cache_folder() / f"{name}.safetensors"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
    return target


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, shapes and little-endian float32 values, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], "<f4")
        digest.update(json.dumps([name, list(array.shape)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()
