"""pygan: fast, twice-differentiable operators and GANs for PaddlePaddle.

Attributes are imported when first used, so that ``import pygan.data`` in a loader's worker process
does not import Paddle.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "set_num_threads": "pygan.runtime",
    "tune_malloc": "pygan.runtime",
}
_SUBMODULES = ("algorithms", "apps", "data", "models", "nn", "ops", "runtime", "training")

__all__ = ["__version__", *_LAZY, *_SUBMODULES]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"pygan.{name}")
    raise AttributeError(f"module 'pygan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
