"""Operators of the GAN family: fused, native on CPU, exact to second order."""

from pygan.ops.bias_act import bias_act
from pygan.ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "bias_act",
    "downsample2d",
    "filter2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
