"""Images with what is left of them: their edges, or their brightness. No labels are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from .dataset import dataset_path
from .errors import DataError
from .imaging import to_channels
from .pair_source import Pair, PairSource, SourcePair
from .source import SourceImage
from .sources import open_source
from .transforms import check_options, parse_size, transform

KINDS = ("canny", "grey")


@dataclass(frozen=True)
class EdgeOptions:
    """How edges are found.

    Attributes:
        sigma: standard deviation of the Gaussian that goes before, in pixels.
        low, high: thresholds of the gradient's length, with images from 0 to 1: lines begin where
            it exceeds `high` and go on where it exceeds `low`.
    """

    sigma: float = 1.0
    low: float = 0.1
    high: float = 0.25

    def check(self) -> None:
        """Raises DataError naming the first illegal value."""
        if not 0 <= self.sigma <= 20:
            raise DataError(f"sigma must be from 0 to 20, not {self.sigma}")
        if not 0 < self.low <= self.high:
            raise DataError(f"thresholds must be 0 < low <= high, not {self.low} and {self.high}")


def derived(
    source: str | os.PathLike[str],
    kind: str = "canny",
    size: tuple[int, int] | str | int | None = None,
    crop: str | None = None,
    options: EdgeOptions | None = None,
) -> PairSource:
    """Pairs of all images of a source with their edges (black on white) or their grey image.

    Edges are found at the final size, so images are brought to it here rather than by the build.

    Args:
        source: 'emoji', or what open_source takes: a folder, a zip ...
        kind: 'canny' or 'grey'.
        size: (width, height), 'WxH' or one number; None keeps the size.
        crop: see transforms.transform; None is 'center' with a size and 'none' without.
        options: of the edges.

    Raises:
        DataError, FileNotFoundError: about the source or the options.
    """
    if kind not in KINDS:
        raise DataError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    options = options or EdgeOptions()
    options.check()
    target = None if size is None else parse_size(size)
    mode = crop or ("none" if target is None else "center")
    check_options(target, mode, "lanczos")
    opened = open_source(dataset_path(source), labels="none")

    def make(item: SourceImage) -> Pair:
        image = to_channels(item.open(), 3)
        image, _ = transform(image, item.name, target, mode)
        if kind == "grey":
            return Pair(image, source=image.convert("L"))
        found = canny(np.asarray(image.convert("L")) / 255.0, options)
        return Pair(image, source=Image.fromarray(np.where(found, 0, 255).astype(np.uint8)))

    def pairs() -> Iterator[SourcePair]:
        for item in opened.images():
            yield SourcePair(item.name, partial(make, item), stem=item.stem)

    return PairSource(
        f"{'edges' if kind == 'canny' else 'grey images'} of {opened.description}",
        opened.count,
        pairs,
        source_channels=1,
    )


def canny(grey: np.ndarray, options: EdgeOptions | None = None) -> np.ndarray:
    """Edges of a grey image [H, W] from 0 to 1; bool [H, W].

    A Gaussian, Sobel's derivatives (scaled so that a step from 0 to 1 has slope 1), maxima along
    the gradient by interpolation between pixels, and hysteresis with 8 neighbours (Canny 1986, "A
    computational approach to edge detection").
    """
    options = options or EdgeOptions()
    smooth = _gaussian(grey.astype(np.float64), options.sigma)
    padded = np.pad(smooth, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    columns = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    dx, dy = rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]
    length = np.hypot(dx, dy)
    ridge = _maxima(length, dx, dy)
    return _connected(ridge & (length > options.low), ridge & (length > options.high))


def _gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    if sigma == 0:
        return image
    radius = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        widths = [(radius, radius) if axis == a else (0, 0) for a in (0, 1)]
        padded = np.pad(image, widths, mode="edge")
        count = image.shape[axis]
        image = sum(
            weight * padded.take(range(shift, shift + count), axis)
            for shift, weight in enumerate(weights)
        )
    return image


def _maxima(length: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Pixels that are no smaller than what lies on either side, one pixel along the gradient."""
    height, width = length.shape
    padded = np.pad(length, 1)
    largest = np.maximum(np.maximum(np.abs(dx), np.abs(dy)), 1e-12)
    right, down = dx / largest, dy / largest  # one of them is 1 or -1
    y, x = np.mgrid[1 : height + 1, 1 : width + 1]
    sides = []
    for sign in (1, -1):
        at_x, at_y = x + sign * right, y + sign * down
        x0, y0 = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
        fx, fy = at_x - x0, at_y - y0
        x1, y1 = np.minimum(x0 + 1, width + 1), np.minimum(y0 + 1, height + 1)
        upper = padded[y0, x0] * (1 - fx) + padded[y0, x1] * fx
        lower = padded[y1, x0] * (1 - fx) + padded[y1, x1] * fx
        sides.append(upper * (1 - fy) + lower * fy)
    return (length > sides[0]) & (length >= sides[1])


def _connected(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """The weak pixels that a path of weak pixels joins to a strong one."""
    allowed = np.pad(weak, 1)
    kept = np.pad(strong, 1)
    flat_allowed, flat_kept, width = allowed.ravel(), kept.ravel(), kept.shape[1]
    around = np.array([d * width + r for d in (-1, 0, 1) for r in (-1, 0, 1) if d or r])
    front = np.flatnonzero(flat_kept)
    while front.size:
        near = np.unique(front[:, None] + around)
        front = near[flat_allowed[near] & ~flat_kept[near]]
        flat_kept[front] = True
    return kept[1:-1, 1:-1]
