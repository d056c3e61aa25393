"""Checkpoints of PaddleGAN's StyleGAN2 (``.pdparams``).

Its networks are ported from rosinality's with the same names, but matrices are [in, out], as Paddle
has them. A file is a pickle: of the state dicts ``gen``, ``gen_ema`` and ``disc`` if training saved
it, of a generator alone if it was published. Where a dict holds dicts, Paddle saves each tensor as
a tuple of its name in the process and its array.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pygan.interop.foreign import Foreign
from pygan.interop.restricted_pickle import Allowed
from pygan.interop.rosinality import from_rosinality

KIND = "PaddleGAN"
ALLOW: Allowed = {(module, "tuple"): tuple for module in ("builtins", "__builtin__")}
_NETWORKS = {"gen": "g", "disc": "d", "gen_ema": "g_ema"}
_MATRIX = re.compile(r"(style\.\d+|.*\.modulation|final_linear\.\d+)\.weight")


def is_paddlegan(value: Any) -> bool:
    """Whether the object of a pickle is such a checkpoint."""
    if not isinstance(value, dict):
        return False
    parts = [value, *(value[name] for name in ("gen", "gen_ema") if name in value)]
    return any(isinstance(part, dict) and "input.input" in part for part in parts)


def from_paddlegan(value: Mapping[str, Any], name: str) -> Foreign:
    """The networks of a checkpoint.

    Args:
        value: the dict of the file.
        name: the file in messages.

    Raises:
        InputError: the networks are not what pygan's StyleGAN2 can be.
    """
    if "input.input" in value:
        return from_rosinality({"g_ema": _plain(value)}, name, KIND)
    parts = {there: value[own] for own, there in _NETWORKS.items() if own in value}
    networks = {key: _plain(part) for key, part in parts.items() if isinstance(part, dict)}
    return from_rosinality(networks, name, KIND)


def _plain(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict as rosinality has it."""
    result = {}
    for key, item in arrays.items():
        if key == "StructuredToParameterName@@":  # names of tensors in the process that saved it
            continue
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], np.ndarray):
            item = item[1]
        if isinstance(item, np.ndarray) and item.ndim == 2 and _MATRIX.fullmatch(str(key)):
            item = item.T
        result[key] = item
    return result
