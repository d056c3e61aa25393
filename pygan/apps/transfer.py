"""Weights that training starts from: pygan's own, or those of another project."""

from __future__ import annotations

import sys
from pathlib import Path

from pygan.errors import InputError
from pygan.training.transfer import Source, read_source


def open_source(path: str) -> Source:
    """Weights to start from.

    Args:
        path: a run, a checkpoint, a ``.safetensors`` file of one, or a file that
            :mod:`pygan.interop` reads.

    Raises:
        InputError: it is none of these, or damaged.
    """
    location = Path(path)
    if not location.exists():
        raise InputError(f"--resume: {path} does not exist")
    if location.is_dir() or location.suffix == ".safetensors":
        return read_source(location)

    from pygan.interop import load

    foreign = load(location)
    for note in foreign.notes:
        print(f"{path}: {note}", file=sys.stderr)
    return Source(path, foreign.networks, foreign.config, foreign.classes)
