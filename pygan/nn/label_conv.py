"""Convolution of a label map and, beside it, of dense channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import paddle
from paddle import nn

from pygan.ops import conv2d, label_conv2d

_IntPair = Union[int, Sequence[int]]


class LabelConv2D(nn.Layer):
    """``conv2d(concat(one_hot(labels), extra), weight) + bias`` without the one-hot planes.

    The weight is the dense convolution's, so that checkpoints of networks that make the planes load
    as they are: its first ``label_count`` input channels are the labels', the others ``extra``'s.

    Args:
        label_count: labels are from 0 to ``label_count`` - 1; -1 is none of them.
        extra_channels: of the dense input, as an edge map or an image; 0 for none.
        out_channels: channels of the output.
        kernel_size, stride, padding: an integer or [vertical, horizontal].
        padding_mode: 'zeros' (nothing beyond the border, not even a label) or 'reflect' (labels
            and extra channels go on as in a mirror, x2, x1, x0, x1, x2).
        bias: whether to add a trainable bias.

    Shapes: weight ``[out, label_count + extra, kh, kw]``, bias ``[out]``; labels ``[N, H, W]`` and
    extra ``[N, extra, H, W]`` or None ``-> [N, out, H', W']``, H' = (H + 2·padding - kh) // stride
    + 1, of the weight's dtype.

    The weight is drawn from a normal distribution of deviation 0.02, as in the networks of the
    Pix2Pix family.
    """

    def __init__(
        self,
        label_count: int,
        extra_channels: int,
        out_channels: int,
        kernel_size: _IntPair,
        stride: _IntPair = 1,
        padding: _IntPair = 0,
        padding_mode: str = "zeros",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if padding_mode not in ("zeros", "reflect"):
            raise ValueError(
                f"LabelConv2D: `padding_mode` is {padding_mode!r}; it must be 'zeros' or 'reflect'."
            )
        if label_count < 1 or extra_channels < 0:
            raise ValueError(
                f"LabelConv2D: `label_count` is {label_count} and `extra_channels` "
                f"{extra_channels}; there must be at least 1 label and 0 extra channels."
            )
        self.label_count = label_count
        self.extra_channels = extra_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)
        self.padding_mode = padding_mode
        self.weight = self.create_parameter(
            [out_channels, label_count + extra_channels, *self.kernel_size],
            default_initializer=nn.initializer.Normal(std=0.02),
        )
        self.bias = None
        if bias:
            self.bias = self.create_parameter(
                [out_channels], default_initializer=nn.initializer.Constant(0.0)
            )

    def forward(
        self, labels: paddle.Tensor, extra: Optional[paddle.Tensor] = None
    ) -> paddle.Tensor:
        """The convolution of ``labels`` and, where the layer has extra channels, ``extra``."""
        channels = 0 if extra is None else extra.shape[1]
        if channels != self.extra_channels:
            raise ValueError(
                f"LabelConv2D: `extra` has {channels} channels; this layer takes "
                f"{self.extra_channels}."
            )
        padding = self.padding
        if self.padding_mode == "reflect" and padding != [0, 0]:
            labels = reflected(labels, padding)
            extra = None if extra is None else reflected(extra, padding)
            padding = [0, 0]
        if extra is None:
            return label_conv2d(labels, self.weight, self.bias, stride=self.stride, padding=padding)
        # Both halves are slices: in a gradient, Paddle pads them again and adds.
        of_labels = self.weight[:, : self.label_count]
        of_extra = self.weight[:, self.label_count :]
        y = label_conv2d(labels, of_labels, self.bias, stride=self.stride, padding=padding)
        return y + conv2d(extra.astype(y.dtype), of_extra, stride=self.stride, padding=padding)

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        return (
            f"{self.label_count} labels + {self.extra_channels} -> {self.out_channels}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"padding_mode={self.padding_mode}"
        )


def reflected(x: paddle.Tensor, padding: Sequence[int]) -> paddle.Tensor:
    """The last two axes continued by reflection, by [vertical, horizontal] pixels on both sides.

    Of any dtype, and differentiable to any order: pixels are gathered by their index.
    """
    for axis, reach in zip((x.ndim - 2, x.ndim - 1), padding):
        size = x.shape[axis]
        if reach >= size:
            raise ValueError(
                f"reflected: `padding` is {reach} on an axis of {size} pixels; a reflection needs "
                f"more pixels than it adds. Use less padding, at most {size - 1}."
            )
        if reach:
            before, after = range(reach, 0, -1), range(size - 2, size - 2 - reach, -1)
            index = paddle.to_tensor(np.array([*before, *range(size), *after], "int32"))
            x = paddle.index_select(x, index, axis)
    return x


def _pair(value: _IntPair) -> list[int]:
    items = [value, value] if isinstance(value, int) else [int(i) for i in value]
    if len(items) != 2:
        raise ValueError(f"LabelConv2D: {value!r} must be an integer or [vertical, horizontal].")
    return items
