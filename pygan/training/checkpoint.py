"""Checkpoints on disk.

A checkpoint is a folder ``iter-<iteration>`` of safetensors files and a ``manifest.json``: format
version, counters, configuration and the SHA-256 of every file. Nothing is pickled. It is written
under another name, flushed to the disk and renamed, so a folder of that name is complete, and the
checksums tell if it was damaged afterwards. Its bytes are a function of the training state alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from pygan.errors import InputError, TrainingError

FORMAT = 1
_PREFIX = "iter-"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        path: its folder.
        manifest: what ``save`` was given.
    """

    path: Path
    manifest: dict[str, Any]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of one file."""
        from safetensors.numpy import load_file

        return load_file(str(self.path / f"{name}.safetensors"))


def read_weights(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and manifest of one file of a checkpoint; the manifest tells its name as ``file``.

    Raises:
        InputError: it is not such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            manifest = json.loads((file.metadata() or {})["pygan"])
            return {name: file.get_tensor(name) for name in list(file.keys())}, manifest
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not weights that pygan saved ({error})") from None


def save(
    root: Path,
    iteration: int,
    files: Mapping[str, Mapping[str, np.ndarray]],
    manifest: Mapping[str, Any],
    keep: int,
) -> Path:
    """Writes a checkpoint atomically and removes all but the newest ``keep``.

    Args:
        root: folder of all checkpoints.
        iteration: steps done.
        files: name -> arrays, one safetensors file each.
        manifest: values for ``manifest.json``; must be a function of the training state.
        keep: checkpoints to keep.

    Raises:
        TrainingError: an array holds a value that is not finite; nothing is written.
    """
    from safetensors.numpy import save_file

    for file, arrays in files.items():
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise TrainingError(f"{name} of {file} holds values that are not finite")
    root.mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    target = root / f"{_PREFIX}{iteration:08d}"
    if target.exists():
        try:
            return load(target).path
        except InputError:
            shutil.rmtree(target)
    temporary = root / f".{target.name}.writing"
    temporary.mkdir()
    digests = {}
    for file, arrays in files.items():
        path = temporary / f"{file}.safetensors"
        # A file of weights is useful on its own: it carries what rebuilding the network takes. One
        # metadata key only, because safetensors writes several in random order.
        metadata = {"pygan": json.dumps({"file": file, **manifest}, sort_keys=True)}
        contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        save_file(contiguous, str(path), metadata=metadata)
        digests[path.name] = _digest(path)
        _flush(path)
    text = _seal({"format": FORMAT, **manifest, "files": digests})
    (temporary / "manifest.json").write_text(text)
    for name in digests:  # safetensors makes files that only their owner may read
        shutil.copymode(temporary / "manifest.json", temporary / name)
    _flush(temporary / "manifest.json")
    _flush(temporary)
    os.replace(temporary, target)
    _flush(root)
    for old in _folders(root)[:-keep]:
        shutil.rmtree(old)
    return target


def load(path: Path) -> Checkpoint:
    """Opens a checkpoint and checks every byte.

    Raises:
        InputError: it is incomplete or damaged.
    """
    try:
        manifest = _unseal((path / "manifest.json").read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: the manifest is missing or damaged ({error})") from None
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"{path}: format {manifest.get('format')} is not the format of this version, {FORMAT}"
        )
    for name, digest in manifest["files"].items():
        if not (path / name).is_file():
            raise InputError(f"{path}: {name} is missing")
        if _digest(path / name) != digest:
            raise InputError(f"{path}: {name} is damaged (its SHA-256 is not that of the manifest)")
    return Checkpoint(path, manifest)


def newest(root: Path, warn: Callable[[str], None]) -> Optional[Checkpoint]:
    """The newest checkpoint that is intact, or None if there is none at all.

    Args:
        root: folder of all checkpoints.
        warn: told of every damaged checkpoint that is passed over.

    Raises:
        InputError: there are checkpoints, but all are damaged.
    """
    folders = _folders(root)
    for path in reversed(folders):
        try:
            return load(path)
        except InputError as error:
            warn(f"{error}; trying the one before")
    if folders:
        raise InputError(f"{root}: none of the {len(folders)} checkpoints is intact")
    return None


def find(folder: Path, warn: Callable[[str], None]) -> Checkpoint:
    """The checkpoint in a folder: this folder, or the newest intact one of a run.

    Raises:
        InputError: there is none.
    """
    if (folder / "manifest.json").is_file():
        return load(folder)
    found = newest(folder / "checkpoints", warn)
    if found is None:
        raise InputError(f"{folder} is neither a run with a checkpoint nor a checkpoint")
    return found


def remove_leftovers(root: Path) -> None:
    """Removes what a killed process left half-written."""
    for path in root.glob(f".{_PREFIX}*.writing"):
        shutil.rmtree(path)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob(f"{_PREFIX}*") if path.is_dir())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Has the system write a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(manifest: Mapping[str, Any]) -> str:
    """JSON with a checksum of itself."""
    body = json.dumps(manifest, indent=1, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return json.dumps({"manifest": manifest, "sha256": digest}, indent=1, sort_keys=True) + "\n"


def _unseal(text: str) -> dict[str, Any]:
    sealed = json.loads(text)
    body = json.dumps(sealed["manifest"], indent=1, sort_keys=True)
    if hashlib.sha256(body.encode()).hexdigest() != sealed["sha256"]:
        raise ValueError("its checksum does not match")
    return dict(sealed["manifest"])
