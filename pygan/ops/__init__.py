"""Operators of the GAN family: fused, native on CPU, exact to second order.

`paddle.jit.to_static` and `paddle.jit.save` of Paddle 3 take every operator, native or not; of the
shapes, only the number of samples may be left open in `InputSpec`. With ``full_graph=True`` Paddle
cannot differentiate the compiled convolutions and bias_act, and says so with an error: train in
eager mode, or with ``impl='ref'``. Call `native_info()`, which registers the compiled operators,
before a saved program that contains them is loaded, and before a model is called for the first time
under ``to_static(full_graph=False)``, whose interpreter of Python stumbles over the loading.

Derivatives of third order are silently incomplete with the compiled operators, since Paddle knows
two orders of a registered operator and drops the rest. ``impl='ref'`` has them, save where Paddle's
own operators do not and raise an error: relu, elu, selu, softplus, and all with a clamp.
"""

from pygan.ops._filters import setup_filter
from pygan.ops._native import (
    allow_tf32,
    emulated,
    last_conv_path,
    native_info,
    no_weight_gradients,
    set_conv_path,
)
from pygan.ops._tuner import tuning_report
from pygan.ops.bias_act import bias_act
from pygan.ops.color_transform import color_transform
from pygan.ops.conv2d import conv2d, conv_transpose2d
from pygan.ops.conv2d_resample import conv2d_resample
from pygan.ops.image_filter import image_filter
from pygan.ops.instance_edges import instance_edges
from pygan.ops.instance_mean import instance_mean
from pygan.ops.label_conv2d import label_conv2d
from pygan.ops.modulated_conv2d import modulated_conv2d
from pygan.ops.norm_statistics import norm_statistics
from pygan.ops.spade_norm import spade_norm
from pygan.ops.upfirdn2d import downsample2d, filter2d, upfirdn2d, upsample2d
from pygan.ops.warp import warp

__all__ = [
    "allow_tf32",
    "bias_act",
    "color_transform",
    "conv2d",
    "conv2d_resample",
    "conv_transpose2d",
    "downsample2d",
    "emulated",
    "filter2d",
    "image_filter",
    "instance_edges",
    "instance_mean",
    "label_conv2d",
    "last_conv_path",
    "modulated_conv2d",
    "native_info",
    "no_weight_gradients",
    "norm_statistics",
    "set_conv_path",
    "setup_filter",
    "spade_norm",
    "tuning_report",
    "upfirdn2d",
    "upsample2d",
    "warp",
]
