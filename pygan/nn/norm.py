"""Normalisations without parameters."""

from __future__ import annotations

import paddle


def normalize_2nd_moment(x: paddle.Tensor, axis: int = 1, eps: float = 1e-8) -> paddle.Tensor:
    """Scales ``x`` to a mean square of one: ``x * rsqrt(mean(x^2, axis) + eps)``.

    Known as pixel norm when ``axis`` is the channel axis (Karras et al. 2018, "Progressive growing
    of GANs", section 4.2). The StyleGAN family applies it to the latent code and to the embedded
    label in front of the mapping network.

    Args:
        x: tensor of any shape.
        axis: the axis whose second moment becomes one.
        eps: added to the mean square; a zero vector stays zero.
    """
    return x * paddle.rsqrt(paddle.mean(paddle.square(x), axis=axis, keepdim=True) + eps)
