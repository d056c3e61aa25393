"""How different two images look: the distances that projection makes small."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional

import numpy as np
import paddle
import paddle.nn.functional as F

from pygan.apps.video import to_rgb
from pygan.errors import InputError

PREFERENCE = (
    "lpips-vgg",  # that of the papers
    "stlpips-vgg",
    "vgg16-torchvision-unit",
    "vgg16-unit",
    "lpips-alex",
    "stlpips-alex",
)
"""The learnt distances, the best for projection first: VGG16 before AlexNet, trained heads before
none."""

PIXELS = "pixels"

_LARGEST = 256  # StyleGAN2, appendix D: larger images are downsampled to this
_SMALLEST = 32  # the learnt distances halve images four times


class Distance:
    """A distance of images of any size and 1 to 4 channels, in [-1, 1].

    Images with an alpha channel are compared on black and on white. Sides above 256 pixels are
    brought to at most that by averaging squares of pixels, and small images are enlarged to 32 by
    repeating pixels, before a learnt distance looks at them.

    Attributes:
        name: as for :func:`find_distance`.
    """

    def __init__(self, name: str, network: Any) -> None:
        self.name = name
        self._network = network

    def to(self, target: paddle.Tensor) -> Callable[[paddle.Tensor], paddle.Tensor]:
        """A function from images [N, C, H, W] to their mean distance from the target [1, C, H, W],
        a scalar that can be differentiated."""
        with paddle.no_grad():
            prepared = self._prepare(target)
            embed = getattr(self._network, "embed", None)
            wanted = embed(prepared) if embed else prepared

        def measure(images: paddle.Tensor) -> paddle.Tensor:
            views = self._prepare(images)
            count = views.shape[0] // wanted.shape[0]
            repeated = wanted.repeat_interleave(count, axis=0)
            if embed:
                return paddle.square(embed(views) - repeated).sum(axis=1).mean()
            return self._network.distance(views, repeated).mean()

        return measure

    @paddle.no_grad()
    def between(self, pixels: np.ndarray, target: np.ndarray) -> float:
        """The distance of two images [C, H, W] uint8."""
        one, other = (
            paddle.to_tensor(image[None].astype(np.float32) / 127.5 - 1)
            for image in (pixels, target)
        )
        return float(self.to(other)(one))

    def _prepare(self, images: paddle.Tensor) -> paddle.Tensor:
        """RGB views [views * N, 3, H, W]: one, or on black and on white."""
        channels = images.shape[1]
        views = images
        if channels in (2, 4):
            colour, alpha = images[:, : channels - 1], (images[:, channels - 1 :] + 1) / 2
            black, white = (colour + 1) * alpha - 1, (colour - 1) * alpha + 1
            views = paddle.concat([black, white])
        if views.shape[1] == 1:
            views = views.expand([-1, 3, -1, -1])
        if self.name == PIXELS:
            return views
        factor = math.ceil(max(views.shape[2:]) / _LARGEST)
        if factor > 1:
            views = F.avg_pool2d(views, factor)
        repeats = math.ceil(_SMALLEST / min(views.shape[2:]))
        if repeats > 1:
            views = views.repeat_interleave(repeats, axis=2).repeat_interleave(repeats, axis=3)
        return views


class PixelPyramid:
    """Mean squared difference of pixels, averaged over resolutions.

    The images are halved by averaging 2 x 2 pixels as long as the smaller side is even and above 4:
    coarse levels have a gradient where details do not overlap yet. It needs no weights, and sees
    neither texture nor shape: a learnt distance finds better codes for photographs.
    """

    def distance(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        """Distances [N] of images [N, C, H, W]."""
        difference = a - b  # averaging is linear
        levels = [paddle.square(difference).mean(axis=[1, 2, 3])]
        while min(difference.shape[2:]) > 4 and all(n % 2 == 0 for n in difference.shape[2:]):
            difference = F.avg_pool2d(difference, 2)
            levels.append(paddle.square(difference).mean(axis=[1, 2, 3]))
        return paddle.add_n(levels) / len(levels)


def find_distance(name: Optional[str] = None) -> Distance:
    """A distance for projection.

    Args:
        name: 'pixels', one of :data:`pygan.metrics.extractors.PERCEPTUAL`, or None for the first of
            :data:`PREFERENCE` whose weights are installed.

    Raises:
        InputError: there is none of this name, or its weights are not installed.
    """
    if name == PIXELS:
        return Distance(name, PixelPyramid())

    from pygan.metrics.extractors import PERCEPTUAL, find_perceptual, installed

    if name is None:
        have = installed()
        name = next((preferred for preferred in PREFERENCE if preferred in have), None)
        if name is None:
            raise InputError(
                "no perceptual distance is installed; run 'pygan weights get stlpips-vgg', or take "
                "--perceptual pixels, which needs nothing but finds worse codes"
            )
    elif name not in PERCEPTUAL:
        known = ", ".join([*PERCEPTUAL, PIXELS])
        raise InputError(f"--perceptual: {name!r} is unknown; choose from: {known}")
    return Distance(name, find_perceptual(name))


def psnr(pixels: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio of images [C, H, W] uint8 in dB; infinite for equal ones.

    ``10 log10(255^2 / mean (a - b)^2)``; images with an alpha channel are compared on white.
    """
    difference = to_rgb(pixels).astype(np.float64) - to_rgb(target)
    error = float(np.square(difference).mean())
    return 10 * math.log10(255**2 / error) if error > 0 else math.inf
