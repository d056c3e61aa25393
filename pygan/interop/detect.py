"""Tells the formats of other projects apart and reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union

from pygan.errors import InputError
from pygan.interop import ada_pytorch, paddlegan, rosinality, tensorflow
from pygan.interop.foreign import Foreign
from pygan.interop.restricted_pickle import Allowed, RestrictedUnpickler, read_bytes, resolve
from pygan.interop.torch_file import is_torch, load_torch, torch_globals

#: The names that a file may mention, whichever format it turns out to have.
ALLOW: Allowed = {
    **rosinality.ALLOW,
    **ada_pytorch.ALLOW,
    **tensorflow.ALLOW,
    **paddlegan.ALLOW,
}
_Readers = tuple[tuple[Callable[[Any], bool], Callable[[Any, str], Foreign]], ...]
# PaddleGAN's names are rosinality's: the container tells them apart.
_OF_TORCH: _Readers = ((rosinality.is_rosinality, rosinality.from_rosinality),)
_OF_PICKLES: _Readers = (
    (ada_pytorch.is_ada_pytorch, ada_pytorch.from_ada_pytorch),
    (tensorflow.is_tensorflow, tensorflow.from_tensorflow),
    (paddlegan.is_paddlegan, paddlegan.from_paddlegan),
)


def load(path: Union[str, Path]) -> Foreign:
    """The networks in a file of another project, whichever format it has.

    Args:
        path: a ``.pt`` file of rosinality's stylegan2-pytorch, a ``.pkl`` of stylegan2-ada-pytorch
            or of StyleGAN2 in the stylegan3 repository, a ``.pkl`` of StyleGAN2 in TensorFlow, or a
            ``.pdparams`` of PaddleGAN. Its content decides, not its name.

    Raises:
        InputError: the file cannot be read, is in none of these formats, names what could run code,
            or its networks are not what pygan's can be.
    """
    name = str(path)
    data = read_bytes(Path(path))
    if is_torch(data):
        value, readers = load_torch(data, name, ALLOW), _OF_TORCH
    else:
        pickled = RestrictedUnpickler(io.BytesIO(data), name, torch_globals(ALLOW, name))
        value, readers = resolve(pickled.load(), name), _OF_PICKLES
    for recognises, read in readers:
        if recognises(value):
            return read(value, name)
    what = f"a {type(value).__name__}"
    if isinstance(value, dict):
        what = f"a dict of {', '.join(str(key)[:40] for key in list(value)[:8]) or 'nothing'}"
    raise InputError(f"{name}: no checkpoint of a known StyleGAN2; it is {what}")
