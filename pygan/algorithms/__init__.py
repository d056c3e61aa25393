"""Algorithms: losses, phases, optimisers and presets, one file each.

``ALGORITHMS`` maps the names of the command line to ``module:class``; a module is imported when its
algorithm is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pygan.errors import InputError

if TYPE_CHECKING:
    from pygan.training import Algorithm

ALGORITHMS = {
    "stylegan2": "pygan.algorithms.stylegan2:StyleGAN2",
    "stylegan2-ada": "pygan.algorithms.stylegan2_ada:StyleGAN2ADA",
    "pix2pix": "pygan.algorithms.pix2pix:Pix2Pix",
    "pix2pix-colorization": "pygan.algorithms.pix2pix_colorization:Pix2PixColorization",
    "pix2pixhd": "pygan.algorithms.pix2pixhd:Pix2PixHD",
    "spade": "pygan.algorithms.spade:SPADE",
}


def find_algorithm(name: str) -> type[Algorithm]:
    """The class of an algorithm.

    Raises:
        InputError: there is none of this name.
    """
    if name not in ALGORITHMS:
        raise InputError(f"unknown algorithm {name!r}; choose from: {', '.join(ALGORITHMS)}")
    module, attribute = ALGORITHMS[name].split(":")
    found: type[Algorithm] = getattr(importlib.import_module(module), attribute)
    return found
