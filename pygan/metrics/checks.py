"""What the metrics check of their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pygan.errors import InputError

ROWS = 1024
"""Samples converted to float64 at a time: 50,000 of them with 2048 features would be 800 MB."""


def feature_matrix(values: Any, name: str, least: int = 1) -> np.ndarray:
    """Features as a finite array [N, d] of float32 or float64, whichever it is.

    Args:
        values: anything that numpy makes an array of. Floats of 32 and 64 bits are not copied,
            other numbers become float64.
        name: of the argument, for messages.
        least: the smallest N that the metric is defined for.

    Raises:
        InputError: another number of axes, too few rows, or values that are not finite.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiub":
        raise InputError(
            f"{name}: features must be numbers [N, d], got {array.dtype} {list(array.shape)}"
        )
    if len(array) < least:
        raise InputError(f"{name}: at least {least} samples are needed, got {len(array)}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    for rows in ranges(len(array), ROWS):
        finite = np.isfinite(array[rows]).all(axis=1)
        if not finite.all():
            bad = rows.start + int(np.argmin(finite))
            raise InputError(f"{name}: the features of sample {bad} are not finite")
    return array


def same_dimension(real: np.ndarray, fake: np.ndarray) -> None:
    """Raises InputError unless both have features of the same kind."""
    if real.shape[-1] != fake.shape[-1]:
        raise InputError(
            f"real and fake must come from the same extractor; they have {real.shape[-1]} and "
            f"{fake.shape[-1]} features per image"
        )


def ranges(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover 0 to `count`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
