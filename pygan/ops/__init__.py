"""Operators of the GAN family: fused, native on CPU, exact to second order."""

from pygan.ops._filters import setup_filter
from pygan.ops._native import (
    last_conv_path,
    native_info,
    no_weight_gradients,
    set_conv_path,
)
from pygan.ops.bias_act import bias_act
from pygan.ops.conv2d import conv2d, conv_transpose2d
from pygan.ops.conv2d_resample import conv2d_resample
from pygan.ops.modulated_conv2d import modulated_conv2d
from pygan.ops.upfirdn2d import downsample2d, filter2d, upfirdn2d, upsample2d

__all__ = [
    "bias_act",
    "conv2d",
    "conv2d_resample",
    "conv_transpose2d",
    "downsample2d",
    "filter2d",
    "last_conv_path",
    "modulated_conv2d",
    "native_info",
    "no_weight_gradients",
    "set_conv_path",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
]
