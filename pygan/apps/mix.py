"""Style mixing: images that take some layers' styles from one code and the rest from another.

Karras et al. 2019, "A style-based generator architecture for generative adversarial networks",
section 3.1 and figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from pygan.apps.codes import draw, find_codes, style_generator
from pygan.apps.sample import TrainedModel, parse_numbers
from pygan.errors import InputError
from pygan.training.grid import tile

STYLES = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, None)}
"""Layers [from, to) of the paper's figure 3: those at 4² and 8², at 16² and 32², and above."""

_GAP = 0.125  # between the codes' own images and the mixtures, in image sides


def parse_styles(text: str, count: int) -> list[int]:
    """Layers out of ``count`` from 'coarse', 'middle', 'fine', or numbers such as ``0-6``.

    Raises:
        InputError: it is none of these, or the model has no such layers.
    """
    if text in STYLES:
        first, last = STYLES[text]
        layers = list(range(count))[first:last]
    else:
        layers = parse_numbers(text, "--styles", f"or {', '.join(STYLES)}")
    if not layers or max(layers) >= count:
        raise InputError(f"--styles: this model has layers 0-{count - 1}, got {text!r}")
    return layers


def mix(rows: np.ndarray, columns: np.ndarray, layers: Sequence[int]) -> np.ndarray:
    """Codes [R, C, num_ws, w_dim]: those of row r, with the given layers from column c.

    Args:
        rows: codes [R, num_ws, w_dim].
        columns: codes [C, num_ws, w_dim].
        layers: which layers come from the columns.
    """
    mixed = np.repeat(rows[:, None], len(columns), axis=1)
    mixed[:, :, list(layers)] = columns[None][:, :, list(layers)]
    return mixed


def mixing_picture(
    model: TrainedModel,
    rows: str,
    columns: str,
    styles: str = "coarse",
    *,
    label: Optional[int] = None,
    truncation: float = 1.0,
    noise: str = "const",
    batch: int = 8,
) -> np.ndarray:
    """A picture [H, W, C] of all mixtures, with the images of the codes above and to the left.

    Args:
        model: whose codes they are.
        rows: seeds and files, see :func:`pygan.apps.codes.find_codes`.
        columns: the same.
        styles: layers taken from the columns, see :func:`parse_styles`.
        label: class of the seeds.
        truncation: psi of the truncation trick.
        noise: 'const' or 'none'.
        batch: images per forward pass.
    """
    layers = parse_styles(styles, style_generator(model).num_ws)
    row_ws = find_codes(model, rows, "--rows", label=label, truncation=truncation)
    column_ws = find_codes(model, columns, "--cols", label=label, truncation=truncation)
    mixed = mix(row_ws, column_ws, layers)
    every = np.concatenate([row_ws, column_ws, mixed.reshape(-1, *mixed.shape[2:])])
    images = draw(model, every, noise=noise, batch=batch)
    sides, tops, cells = np.split(images, np.cumsum([len(row_ws), len(column_ws)]))
    return _frame(sides, tops, cells)


def _frame(sides: np.ndarray, tops: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The cells as a table with a head and a first column, on white."""
    _, channels, height, width = cells.shape
    left, top = (length + max(1, round(length * _GAP)) for length in (width, height))
    shape = (top + len(sides) * height, left + len(tops) * width, channels)
    canvas = np.full(shape, 255, dtype=np.uint8)
    canvas[top:, left:] = tile(cells, len(tops))
    canvas[:height, left:] = tile(tops, len(tops))
    canvas[top:, :width] = tile(sides, 1)
    return canvas
