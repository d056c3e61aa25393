"""Label maps as networks take them: at other resolutions, and without one-hot planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import paddle
import paddle.nn.functional as F

from pygan.nn.label_conv import LabelConv2D
from pygan.nn.plain_conv import PlainConv2D, reflect
from pygan.ops import conv2d, label_conv2d

FirstConv = Union[LabelConv2D, PlainConv2D]


def resize_nearest(x: paddle.Tensor, size: Sequence[int]) -> paddle.Tensor:
    """``y[..., i, j] = x[..., floor(i H / h), floor(j W / w)]``: the nearest pixel of maps.

    Args:
        x: [..., H, W] of any type.
        size: (h, w).
    """
    for axis, target in zip((x.ndim - 2, x.ndim - 1), size):
        source = x.shape[axis]
        if source != target:
            index = np.arange(target) * source // target
            x = paddle.index_select(x, paddle.to_tensor(index.astype(np.int32)), axis=axis)
    return x


class MapPyramid:
    """Labels and maps beside them at every resolution that is asked for, each made once.

    Args:
        labels: int [N, H, W].
        extra: [N, E, H, W] such as an edge map, or None.

    Attributes:
        size: (H, W).
    """

    def __init__(self, labels: paddle.Tensor, extra: Optional[paddle.Tensor]) -> None:
        self.size: tuple[int, int] = (labels.shape[1], labels.shape[2])
        self._levels = {self.size: (labels, extra)}

    def at(self, size: Sequence[int]) -> tuple[paddle.Tensor, Optional[paddle.Tensor]]:
        """(labels [N, h, w], extra [N, E, h, w] or None), by the nearest pixel."""
        height, width = size
        if (height, width) not in self._levels:
            labels, extra = self._levels[self.size]
            self._levels[height, width] = (
                resize_nearest(labels, size),
                None if extra is None else resize_nearest(extra, size),
            )
        return self._levels[height, width]


def halve(x: paddle.Tensor) -> paddle.Tensor:
    """The mean over 3 x 3 pixels around every second one; pixels beyond the border do not count.

    [N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)].
    """
    return F.avg_pool2d(x, 3, stride=2, padding=1, exclusive=True)


@paddle.no_grad()
def halved_one_hot(labels: paddle.Tensor, label_count: int, dtype: paddle.dtype) -> paddle.Tensor:
    """``halve(one_hot(labels))``, [N, L, ceil(H / 2), ceil(W / 2)], without the planes."""
    unit = paddle.eye(label_count, dtype=dtype).reshape([label_count, label_count, 1, 1])
    sums = label_conv2d(labels, paddle.tile(unit, [1, 1, 3, 3]), stride=2, padding=1)
    return sums / _pixels_in_reach(labels.shape[1:], dtype)


def halved(
    labels: Optional[paddle.Tensor], extra: Optional[paddle.Tensor], label_count: int
) -> paddle.Tensor:
    """Labels and maps beside them at half the size, as one dense tensor of their channels."""
    parts = []
    dtype = paddle.float32 if extra is None else extra.dtype
    if labels is not None:
        parts.append(halved_one_hot(labels, label_count, dtype))
    if extra is not None:
        parts.append(halve(extra))
    return parts[0] if len(parts) == 1 else _join(parts)


def first_conv(
    label_count: int,
    extra_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
) -> FirstConv:
    """The first convolution of a network: of labels and extra maps, or of maps alone.

    Both kinds have the same parameters, those of the dense convolution.
    """
    if label_count > 0:
        return LabelConv2D(
            label_count, extra_channels, out_channels, kernel_size, stride, padding, padding_mode
        )
    return PlainConv2D(
        extra_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=padding,
        padding_mode=padding_mode,
    )


def apply_first(
    layer: FirstConv, labels: Optional[paddle.Tensor], extra: Optional[paddle.Tensor]
) -> paddle.Tensor:
    """Applies a :func:`first_conv` to labels and extra maps.

    Without labels, ``extra`` has the channels of both: what is known of a smaller picture is no
    longer one label for each pixel.
    """
    if labels is not None:
        return layer(labels, extra)
    assert extra is not None
    if isinstance(layer, PlainConv2D):
        return layer(extra)
    padding = layer.padding
    if layer.padding_mode == "reflect" and padding[0]:
        extra, padding = reflect(extra, padding[0]), [0, 0]
    return conv2d(extra, layer.weight, layer.bias, layer.stride, padding)


def _join(parts: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """Channels one after another; Paddle differentiates this twice only where all parts live."""
    live = any(not part.stop_gradient for part in parts)
    if live and any(part.stop_gradient for part in parts):
        parts = [part.detach() if part.stop_gradient else part for part in parts]
        for part in parts:
            part.stop_gradient = False
    return paddle.concat(list(parts), axis=1)


def _pixels_in_reach(size: Sequence[int], dtype: paddle.dtype) -> paddle.Tensor:
    """[1, 1, h, w]: pixels of the image under a 3 x 3 window around every second one."""
    axes = []
    for extent in size:
        centre = np.arange(0, extent, 2)
        axes.append(np.minimum(centre + 1, extent - 1) - np.maximum(centre - 1, 0) + 1)
    counts = axes[0][:, None] * axes[1][None, :]
    return paddle.to_tensor(counts[None, None]).astype(dtype)
