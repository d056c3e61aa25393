"""The ladder of image sizes that a convolutional generator or discriminator climbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

_MAX_BASE_AREA = 1024


def resolution_pyramid(resolution: Union[int, Sequence[int]]) -> list[tuple[int, int]]:
    """Sizes ``(height, width)`` from the base rectangle to ``resolution``, each twice the last.

    The base is found by halving both sides while both are even and the smaller one exceeds 4:

    >>> resolution_pyramid(32)
    [(4, 4), (8, 8), (16, 16), (32, 32)]
    >>> resolution_pyramid((32, 48))
    [(4, 6), (8, 12), (16, 24), (32, 48)]
    >>> resolution_pyramid((384, 512))[0]
    (3, 4)

    Args:
        resolution: side of a square image, or ``(height, width)``.

    Raises:
        ValueError: if the size cannot be halved even once, or the base is too large to be the
            input of a dense layer.
    """
    if isinstance(resolution, int):
        height, width = resolution, resolution
    else:
        if len(resolution) != 2:
            raise ValueError(
                f"`resolution` is {tuple(resolution)}; it must be one integer or (height, width)."
            )
        height, width = (int(side) for side in resolution)
    if height < 1 or width < 1:
        raise ValueError(f"`resolution` is {height} x {width}; both sides must be positive.")
    sizes = [(height, width)]
    while height % 2 == 0 and width % 2 == 0 and min(height, width) > 4:
        height, width = height // 2, width // 2
        sizes.append((height, width))
    if len(sizes) == 1 or height * width > _MAX_BASE_AREA:
        raise ValueError(
            f"`resolution` is {sizes[0][0]} x {sizes[0][1]} (height x width), which can only be "
            f"halved to {height} x {width}; it must be a small rectangle times a power of two, for "
            "example 256 x 256, 384 x 512 or 96 x 96."
        )
    return sizes[::-1]


def block_name(size: tuple[int, int]) -> str:
    """Name of the block for ``(height, width)``: ``'b8'``, or ``'b4x6'`` if not square."""
    height, width = size
    return f"b{height}" if height == width else f"b{height}x{width}"


def channels_at(size: tuple[int, int], channel_base: int, channel_max: int) -> int:
    """Feature maps at ``(height, width)``: ``min(channel_base / longer side, channel_max)``.

    With ``channel_base=32768`` this is the rule of StyleGAN2 config F (Karras et al. 2020,
    "Analyzing and improving the image quality of StyleGAN", appendix B); half of it is the rule of
    configs A to E.
    """
    channels = min(channel_base // max(size), channel_max)
    if channels < 1:
        raise ValueError(
            f"`channel_base` is {channel_base} and `channel_max` {channel_max}, which leave no "
            f"channels at {size[0]} x {size[1]}; `channel_base` must be at least the longer side."
        )
    return channels
