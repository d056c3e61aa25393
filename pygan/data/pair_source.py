"""What a source of pairs is, whatever it is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Pair:
    """An image and what it is made from, all of one size.

    Attributes:
        image: of mode L, RGB or RGBA.
        source: an image to translate, or None.
        labels: classes of pixels, integers [H, W], or None. Not yet validated.
        instances: objects of pixels, integers [H, W], or None.
    """

    image: Image.Image
    source: Image.Image | None = None
    labels: np.ndarray | None = None
    instances: np.ndarray | None = None


@dataclass(frozen=True)
class SourcePair:
    """One pair of a source.

    Attributes:
        name: how messages call it.
        open: reads it; raises ImageError.
        label_file: how messages call its label map.
        stem: file name (without extension) to keep in the archive; None numbers the images.
    """

    name: str
    open: Callable[[], Pair]
    label_file: str = ""
    stem: str | None = None


@dataclass(frozen=True)
class PairSource:
    """A sequence of pairs with a description.

    Attributes:
        description: what they are, recorded in the dataset.
        count: number of pairs.
        pairs: the pairs in a fixed order. Every call starts from the first one.
        has_labels: whether there are label maps; otherwise there are source images.
        has_instances: whether there are instance maps.
        label_count: classes, if the source knows; don't care is not one of them.
        label_names: their names, or None.
        channels: what images naturally have.
        source_channels: what source images naturally have.
    """

    description: str
    count: int
    pairs: Callable[[], Iterator[SourcePair]]
    has_labels: bool = False
    has_instances: bool = False
    label_count: int | None = None
    label_names: list[str] | None = None
    channels: int = 3
    source_channels: int = 3
