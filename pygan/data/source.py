"""What a source of images is, whatever it is read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class SourceImage:
    """One image of a source.

    Attributes:
        name: how messages call it.
        open: decodes it to mode L, RGB or RGBA; raises ImageError.
        label: class index, or None.
        stem: file name (without extension) to keep in the archive; None numbers the images.
    """

    name: str
    open: Callable[[], Image.Image]
    label: int | None = None
    stem: str | None = None


@dataclass(frozen=True)
class Source:
    """A sequence of images with a description.

    Attributes:
        description: what the images are, recorded in the dataset.
        channels: the channels they naturally have (1 or 3), used when none are asked for.
        classes: class names, or None if the labels are anonymous or absent.
        count: number of images.
        images: the images in a fixed order. Every call starts from the first one.
    """

    description: str
    channels: int
    classes: list[str] | None
    count: int
    images: Callable[[], Iterator[SourceImage]]


def array_images(
    name: str, pixels: np.ndarray, labels: np.ndarray | None
) -> Callable[[], Iterator[SourceImage]]:
    """Images of a uint8 array [N, H, W] or [N, H, W, 3] as a source's `images`."""

    def images() -> Iterator[SourceImage]:
        for index, array in enumerate(pixels):
            label = None if labels is None else int(labels[index])
            yield SourceImage(f"{name}[{index}]", partial(Image.fromarray, array), label)

    return images
