"""Which image is augmented how: the random numbers of adaptive discriminator augmentation.

Karras et al. 2020, "Training generative adversarial networks with limited data", appendix B. All of
it is computed on the host, from random numbers that belong to the sample: how an image is augmented
depends neither on the other images of its batch nor on the device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Protocol, Union

import numpy as np

from pygan.nn.augment_settings import AugmentSettings

_UNIFORMS = 32
_NORMALS = 12


class SampleRandom(Protocol):
    """Random numbers that belong to samples, such as :class:`pygan.training.StepRandom`."""

    def __len__(self) -> int:
        """Number of samples, N."""

    def uniform(self, purpose: str, shape: list[int]) -> np.ndarray:
        """Numbers from [0, 1), [N, *shape]."""

    def normal(self, purpose: str, shape: list[int]) -> np.ndarray:
        """Standard normal numbers [N, *shape]."""


@dataclass(frozen=True)
class AugmentParameters:
    """What is done to each of N images, in this order. Where a transform does not apply: nothing.

    Attributes:
        xflip: whether it is mirrored, bool [N].
        rotate90: quarter turns, clockwise, int64 [N].
        xint: shift to the right and down, in whole pixels, [N, 2].
        scale: zoom factor [N].
        rotate_pre: turn in radians, clockwise, [N].
        aniso: stretch along x, and its inverse along y, [N].
        rotate_post: turn in radians, clockwise, [N].
        xfrac: shift to the right and down, in pixels, [N, 2].
        brightness: addend [N].
        contrast: factor [N].
        lumaflip: whether the luma is mirrored, bool [N].
        hue: turn of the colours in radians [N].
        saturation: factor [N].
        imgfilter: gains of the octaves, the lowest first, [N, 4].
        noise: deviation of the noise [N].
        cutout: columns [x0, x1) and rows [y0, y1) that are set to 0, int64 [N, 4].
        noise_values: standard normal noise, float32 [N, colours, H, W]; None without noise.

    Numbers are float64 where nothing else is said.
    """

    xflip: np.ndarray
    rotate90: np.ndarray
    xint: np.ndarray
    scale: np.ndarray
    rotate_pre: np.ndarray
    aniso: np.ndarray
    rotate_post: np.ndarray
    xfrac: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    lumaflip: np.ndarray
    hue: np.ndarray
    saturation: np.ndarray
    imgfilter: np.ndarray
    noise: np.ndarray
    cutout: np.ndarray
    noise_values: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.xflip)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, for ``numpy.savez`` and the like; without those that are None."""
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: array for name, array in named.items() if array is not None}


def color_channels(channels: int) -> int:
    """How many of an image's channels are colours; what follows them is alpha and the like."""
    return 3 if channels >= 3 else 1


def sample(
    settings: AugmentSettings,
    p: float,
    image_shape: Sequence[int],
    random: SampleRandom,
) -> AugmentParameters:
    """Draws how each image is augmented.

    The same random numbers belong to a transform whatever the settings are.

    Args:
        settings: strengths and ranges.
        p: probability of each transform of strength 1, from 0 to 1.
        image_shape: (C, H, W).
        random: random numbers of the samples; the purposes ``augment`` and ``augment_noise``.

    Raises:
        ValueError: p is out of range.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"pygan.nn.augment.sample: `p` is {p}; it must be from 0 to 1.")
    channels, height, width = image_shape
    size = np.array([width, height], dtype=np.float64)
    draw = _Draws(random, p)
    s = settings

    # One line per transform. The order decides which random numbers are whose.
    xflip = draw.gated(s.xflip, np.floor(draw.uniform() * 2), 0) == 1
    rotate90 = draw.gated(s.rotate90, np.floor(draw.uniform() * 4), 0).astype(np.int64)
    xint = draw.gated(s.xint, np.rint(draw.symmetric(2) * s.xint_max * size), 0)
    scale = draw.gated(s.scale, np.exp2(draw.normal() * s.scale_std), 1)
    # Two turns of this probability leave an image upright as often as one of strength * p.
    turn = 1 - math.sqrt(max(1 - s.rotate * p, 0.0))
    rotate_pre = draw.gated_with(turn, draw.symmetric() * np.pi * s.rotate_max, 0)
    aniso = draw.gated(s.aniso, np.exp2(draw.normal() * s.aniso_std), 1)
    rotate_post = draw.gated_with(turn, draw.symmetric() * np.pi * s.rotate_max, 0)
    xfrac = draw.gated(s.xfrac, draw.normal(2) * s.xfrac_std * size, 0)
    brightness = draw.gated(s.brightness, draw.normal() * s.brightness_std, 0)
    contrast = draw.gated(s.contrast, np.exp2(draw.normal() * s.contrast_std), 1)
    lumaflip = draw.gated(s.lumaflip, np.floor(draw.uniform() * 2), 0) == 1
    hue = draw.gated(s.hue, draw.symmetric() * np.pi * s.hue_max, 0)
    saturation = draw.gated(s.saturation, np.exp2(draw.normal() * s.saturation_std), 1)
    bands = [
        draw.gated(s.imgfilter * band, np.exp2(draw.normal() * s.imgfilter_std), 1)
        for band in s.imgfilter_bands
    ]
    noise = draw.gated(s.noise, np.abs(draw.normal()) * s.noise_std, 0)
    cutout = draw.gated(s.cutout, _rectangles(draw.uniform(2), s.cutout_size, size), 0)

    values = None
    if noise.any():
        shape = [color_channels(channels), height, width]
        values = random.normal("augment_noise", shape).astype(np.float32, copy=False)
    return AugmentParameters(
        xflip=xflip,
        rotate90=rotate90,
        xint=xint,
        scale=scale,
        rotate_pre=rotate_pre,
        aniso=aniso,
        rotate_post=rotate_post,
        xfrac=xfrac,
        brightness=brightness,
        contrast=contrast,
        lumaflip=lumaflip,
        hue=hue,
        saturation=saturation,
        imgfilter=_band_gains(np.stack(bands, axis=1)),
        noise=noise,
        cutout=cutout.astype(np.int64),
        noise_values=values,
    )


class _Draws:
    """Hands out the random numbers of a batch, one column after the other."""

    def __init__(self, random: SampleRandom, p: float) -> None:
        self._p = p
        self._uniforms = random.uniform("augment", [_UNIFORMS])
        self._normals = random.normal("augment", [_NORMALS]).astype(np.float64)
        self._used = [0, 0]

    def uniform(self, count: int = 1) -> np.ndarray:
        """From [0, 1): [N], or [N, count] of several."""
        return self._take(self._uniforms, 0, count)

    def symmetric(self, count: int = 1) -> np.ndarray:
        """From [-1, 1), likewise."""
        return self.uniform(count) * 2 - 1

    def normal(self, count: int = 1) -> np.ndarray:
        """Standard normal, likewise."""
        return self._take(self._normals, 1, count)

    def gated(self, strength: float, values: np.ndarray, identity: float) -> np.ndarray:
        """The values with probability strength * p, else the identity; for each sample."""
        return self.gated_with(strength * self._p, values, identity)

    def gated_with(self, probability: float, values: np.ndarray, identity: float) -> np.ndarray:
        chosen = self.uniform() < probability
        return np.where(chosen if values.ndim == 1 else chosen[:, None], values, identity)

    def _take(self, table: np.ndarray, kind: int, count: int) -> np.ndarray:
        start = self._used[kind]
        self._used[kind] = start + count
        if start + count > table.shape[1]:
            raise AssertionError("more random numbers than there are columns")
        return table[:, start] if count == 1 else table[:, start : start + count]


# Of natural images, in the octaves: a spectrum of 1 / frequency (appendix B, figure 14).
_EXPECTED_POWER = np.array([10.0, 1.0, 1.0, 1.0]) / 13


def _band_gains(factors: np.ndarray) -> np.ndarray:
    """Gains of the octaves [N, 4] that keep the expected power of an image.

    Each factor in turn is put into a vector of ones, which is divided by the root of
    sum(power * vector^2); the gains are the product of these vectors.
    """
    gains = np.ones_like(factors)
    for band in range(4):
        vector = np.ones_like(factors)
        vector[:, band] = factors[:, band]
        vector /= np.sqrt((_EXPECTED_POWER * vector**2).sum(axis=1, keepdims=True))
        # Without a factor the root is 1, save for rounding.
        gains *= np.where(factors[:, band, None] == 1, 1.0, vector)
    return gains


def _rectangles(
    centres: np.ndarray, size: float, image: Union[np.ndarray, Sequence[float]]
) -> np.ndarray:
    """x0, x1, y0, y1 of the pixels whose centres are nearer than size / 2 to [N, 2] centres.

    Sizes and positions are relative to the image's.
    """
    low = np.floor((centres - size / 2) * image - 0.5) + 1
    high = np.ceil((centres + size / 2) * image - 0.5)
    edges = np.stack([low, np.maximum(low, high)], axis=2)  # [N, axis, side]
    limits = np.asarray(image, dtype=np.float64)[:, None]
    return np.clip(edges, 0, limits).reshape(-1, 4)
