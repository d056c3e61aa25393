"""Minibatch standard deviation."""

from __future__ import annotations

from typing import Optional

import paddle


def minibatch_stddev(
    x: paddle.Tensor, group_size: Optional[int] = 4, num_channels: int = 1, eps: float = 1e-8
) -> paddle.Tensor:
    """Appends channels that tell the discriminator how much the samples of a group differ.

    The batch is divided into groups of ``G = min(group_size, N)`` samples. For each group, and for
    each of ``num_channels`` equal slices of the channels, the standard deviation over the group
    ``sqrt(var + eps)`` is taken at each position and averaged over the slice and the positions; the
    result is one number, appended as a constant map (Karras et al. 2018, "Progressive growing of
    GANs", section 3).

    Sample ``n`` belongs to group ``n mod (N / G)``: members of a group are *not* neighbours. A
    batch that is dealt to several processes one sample at a time keeps its groups.

    Args:
        x: features ``[N, C, H, W]``.
        group_size: samples per group; ``None`` makes the whole batch one group.
        num_channels: statistics (channels to append) per group; must divide ``C``.
        eps: added to the variance.

    Returns:
        ``[N, C + num_channels, H, W]``.

    Raises:
        ValueError: if the groups do not divide the batch or ``num_channels`` does not divide ``C``.
    """
    n, c, h, w = x.shape
    g = n if group_size is None else min(group_size, n)
    if g < 1 or n % g:
        raise ValueError(
            f"minibatch_stddev: `group_size` is {group_size}, which does not divide the batch of "
            f"{n}; use a batch that is a multiple of it (or smaller than it)."
        )
    f = num_channels
    if f < 1 or c % f:
        raise ValueError(
            f"minibatch_stddev: `num_channels` is {f}; it must be positive and divide the {c} "
            "channels of the input."
        )
    y = x.reshape([g, n // g, f, c // f, h, w])
    y = y - y.mean(axis=0, keepdim=True)
    y = paddle.sqrt(paddle.square(y).mean(axis=0) + eps)  # [N/G, F, C/F, H, W]
    y = y.mean(axis=[2, 3, 4]).reshape([n // g, f, 1, 1])
    return paddle.concat([x, y.tile([g, 1, h, w])], axis=1)
