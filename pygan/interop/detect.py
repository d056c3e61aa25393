"""Tells the formats of other projects apart and reads them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Union

import numpy as np

from pygan.errors import InputError
from pygan.interop import ada_pytorch, paddlegan, pix2pix, rosinality, tensorflow
from pygan.interop.foreign import Foreign
from pygan.interop.restricted_pickle import (
    FLAWS,
    Allowed,
    Budget,
    Record,
    RestrictedUnpickler,
    brief,
    read_bytes,
    resolve,
)
from pygan.interop.torch_file import is_torch, load_torch, torch_globals

#: The names that a file may mention, whichever format it turns out to have.
ALLOW: Allowed = {
    **rosinality.ALLOW,
    **ada_pytorch.ALLOW,
    **tensorflow.ALLOW,
    **paddlegan.ALLOW,
}
_MAX_REPEATED = 8  # bytes of arrays for each byte of the file
_Readers = tuple[tuple[Callable[[Any], bool], Callable[[Any, str], Foreign]], ...]
# PaddleGAN's names are rosinality's: the container tells them apart.
_OF_TORCH: _Readers = (
    (rosinality.is_rosinality, rosinality.from_rosinality),
    (pix2pix.is_pix2pix, pix2pix.from_pix2pix),
)
_OF_PICKLES: _Readers = (
    (ada_pytorch.is_ada_pytorch, ada_pytorch.from_ada_pytorch),
    (tensorflow.is_tensorflow, tensorflow.from_tensorflow),
    (paddlegan.is_paddlegan, paddlegan.from_paddlegan),
)


def load(path: Union[str, Path]) -> Foreign:
    """The networks in a file of another project, whichever format it has.

    Args:
        path: a ``.pt`` file of rosinality's stylegan2-pytorch, a ``.pkl`` of stylegan2-ada-pytorch
            or of StyleGAN2 in the stylegan3 repository, a ``.pkl`` of StyleGAN2 in TensorFlow, a
            ``.pdparams`` of PaddleGAN, or a ``.pth`` of pytorch-CycleGAN-and-pix2pix. Its content
            decides, not its name.

    Raises:
        InputError: the file cannot be read, is in none of these formats, names what could run code,
            or its networks are not what pygan's can be.
    """
    name = str(path)
    data = read_bytes(Path(path))
    if is_torch(data):
        value, readers = load_torch(data, name, ALLOW), _OF_TORCH
    else:
        budget = Budget(len(data))
        table = torch_globals(ALLOW, name, budget=budget)
        pickled = RestrictedUnpickler(io.BytesIO(data), name, table, budget=budget)
        value, readers = resolve(pickled.load(), name), _OF_PICKLES
    # Arrays may share memory, but not more than some networks with the same weights do.
    if _bytes(value, {}) > _MAX_REPEATED * len(data):
        raise InputError(f"{name}: its arrays are far larger than the file")
    for recognises, read in readers:
        if recognises(value):
            try:
                return read(value, name)
            except InputError:
                raise
            except FLAWS as error:  # of content that is neither weights nor foreseen
                raise InputError(f"{name}: a damaged checkpoint ({brief(error)})") from None
    what = f"a {type(value).__name__}"
    if isinstance(value, dict):
        what = f"a dict of {', '.join(str(key)[:40] for key in list(value)[:8]) or 'nothing'}"
    raise InputError(f"{name}: no checkpoint that pygan knows; it is {what}")


def _bytes(value: Any, known: dict[int, int]) -> int:
    """Bytes of all arrays in a nest of containers, each counted as often as it occurs."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if not isinstance(value, (dict, list, tuple, Record)):
        return 0
    if id(value) not in known:
        parts: Iterable[Any] = ()
        if isinstance(value, Record):
            parts = (value.args, value.state)
        else:
            parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = sum(_bytes(part, known) for part in parts)
    return known[id(value)]
