"""Augmentation of what the discriminator sees.

Karras et al. 2020, "Training generative adversarial networks with limited data" (ADA), appendix B:

1. geometry: mirror, quarter turns, whole shift; zoom, turn, stretch, turn, shift, as one affine map
   through twice the resolution (:func:`pygan.ops.warp`);
2. colour: brightness, contrast, mirrored luma, hue and saturation, as one affine map;
3. gains of four octaves of spatial frequency (:func:`pygan.ops.image_filter`);
4. noise; 5. a rectangle set to 0, both in one pass with 2 (:func:`pygan.ops.color_transform`).

``sample`` draws the parameters on the host, ``apply`` augments. Between them lie a few kilobytes,
copied to the device once; nothing is read back from it.
"""

from __future__ import annotations

import numpy as np
import paddle

from pygan.nn.augment_composition import color_rows, filter_taps, identity_row, warp_matrices
from pygan.nn.augment_sampling import AugmentParameters, SampleRandom, color_channels, sample
from pygan.nn.augment_settings import PRESETS, TRANSFORMS, AugmentSettings
from pygan.ops import color_transform, image_filter, warp

__all__ = [
    "PRESETS",
    "TRANSFORMS",
    "AugmentParameters",
    "AugmentSettings",
    "SampleRandom",
    "apply",
    "augment",
    "sample",
]

_UNMOVED = np.array([1.0, 0, 0, 0, 1, 0])


def apply(images: paddle.Tensor, parameters: AugmentParameters) -> paddle.Tensor:
    """Augments images.

    Affine in the images; differentiable twice. An image that no transform applies to keeps its
    bits, and one that is only mirrored, turned by quarters and shifted by whole pixels is an exact
    copy (if its height and width differ by an odd number, quarter turns are resampled). Where the
    affine map looks beyond the borders, the image is continued by reflection. Operators that no
    image needs are left out.

    Args:
        images: [N, C, H, W] in [-1, 1]. The first three channels are colours, or the first one if
            there are fewer; colour, noise and cut-out leave the others alone.
        parameters: of N images of this size.

    Raises:
        ValueError: the parameters are not for so many images, or noise of another size.
    """
    if images.ndim != 4 or images.shape[0] != len(parameters):
        raise ValueError(
            f"pygan.nn.augment.apply: `images` has shape {list(images.shape)}; the parameters are "
            f"for [{len(parameters)}, C, H, W]."
        )
    matrices = warp_matrices(parameters)
    if (matrices != _UNMOVED).any():
        images = warp(images, _on_device(matrices))
    gain = np.ones(len(parameters))
    if (parameters.imgfilter != 1).any():
        taps = filter_taps(parameters)
        gain = taps.sum(axis=1) ** 2
        images = image_filter(images, _on_device(taps))
    colors = color_channels(images.shape[1])
    rows = color_rows(parameters, colors, gain)
    if (rows != identity_row(colors)).any():
        images = color_transform(images, _on_device(rows), _noise(images, parameters, colors))
    return images


def augment(
    images: paddle.Tensor, settings: AugmentSettings, p: float, random: SampleRandom
) -> paddle.Tensor:
    """``apply`` with parameters from ``sample``."""
    if p == 0:
        return images
    return apply(images, sample(settings, p, images.shape[1:], random))


def _noise(
    images: paddle.Tensor, parameters: AugmentParameters, colors: int
) -> paddle.Tensor | None:
    values = parameters.noise_values
    if values is None:
        return None
    if list(values.shape[1:]) != [colors, *images.shape[2:]]:
        raise ValueError(
            f"pygan.nn.augment.apply: `parameters.noise_values` has shape {list(values.shape)}; "
            f"images of shape {list(images.shape)} need "
            f"{[len(parameters), colors, *images.shape[2:]]}."
        )
    return paddle.to_tensor(values).astype(images.dtype)


def _on_device(array: np.ndarray) -> paddle.Tensor:
    return paddle.to_tensor(array, dtype="float64")
