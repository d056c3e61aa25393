"""Tells the formats of other projects apart and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from pygan.errors import InputError
from pygan.interop.foreign import Foreign
from pygan.interop.rosinality import ALLOW, from_rosinality, is_rosinality
from pygan.interop.torch_file import read_torch


def load(path: Union[str, Path]) -> Foreign:
    """The networks in a file of another project, whichever format it has.

    Args:
        path: a ``.pt`` file of rosinality's stylegan2-pytorch.

    Raises:
        InputError: the file cannot be read, is in none of these formats, names what could run code,
            or its networks are not what pygan's can be.
    """
    value = read_torch(path, ALLOW)
    if is_rosinality(value):
        return from_rosinality(value, str(path))
    keys = ", ".join(list(map(str, value))[:8]) if isinstance(value, dict) else type(value).__name__
    raise InputError(f"{path}: a file of PyTorch, but not a StyleGAN2 that is known (has: {keys})")
