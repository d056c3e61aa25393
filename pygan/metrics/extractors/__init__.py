"""Networks that metrics and perceptual losses look at images with.

``find_extractor`` and ``find_perceptual`` build them from weights that ``pygan weights`` installed;
``installed`` tells which there are. Nothing is downloaded here.
"""

from __future__ import annotations

from .registry import EXTRACTORS, PERCEPTUAL, find_extractor, find_perceptual, installed

__all__ = ["EXTRACTORS", "PERCEPTUAL", "find_extractor", "find_perceptual", "installed"]
