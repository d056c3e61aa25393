"""Convolutions composed of Paddle operators whose derivatives are right to third order.

Paddle's own ``conv2d`` loses a second-order term when only its weight lies on the path to the
target, and its ``conv2d_transpose`` has no second order at all; concatenation, slicing, reshaping,
broadcast multiplication and ``matmul`` are right, in any dtype. These functions are
the specification of the native convolution, not a fast path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
import paddle
import paddle.nn.functional as F


def _pad_or_crop(x: paddle.Tensor, padding: Sequence[int]) -> paddle.Tensor:
    """Zero padding [left, right, top, bottom]; negative numbers crop."""
    left, right, top, bottom = padding
    h, w = x.shape[2], x.shape[3]
    if min(padding) < 0:
        x = x[
            :,
            :,
            max(-top, 0) : h - max(-bottom, 0),
            max(-left, 0) : w - max(-right, 0),
        ]
    grow = [max(p, 0) for p in padding]
    if not any(grow):
        return x
    if not paddle.in_dynamic_mode():
        return F.pad(x, grow)  # which has no third order, nor has a static graph
    for axis, before, after in ((3, *grow[:2]), (2, *grow[2:])):
        parts = [_zeros(x, axis, before), x, _zeros(x, axis, after)]
        x = paddle.concat([p for p in parts if p is not None], axis=axis)
    return x


def _zeros(like: paddle.Tensor, axis: int, size: int) -> Optional[paddle.Tensor]:
    """Zeros to stand before or after ``like`` along one axis, or None for none."""
    if size == 0:
        return None
    shape = list(like.shape)
    shape[axis] = size
    zeros = paddle.zeros(shape, dtype=like.dtype)
    # The third order of Paddle's concat fails where a part of it is a constant.
    zeros.stop_gradient = like.stop_gradient
    return zeros


def _every(
    x: paddle.Tensor, y0: int, x0: int, size: Sequence[int], step: Sequence[int]
) -> paddle.Tensor:
    """x[:, :, y0::step_y, x0::step_x], `size` samples (strided slices have no second order)."""
    if tuple(step) == (1, 1):
        return x[:, :, y0 : y0 + size[0], x0 : x0 + size[1]]
    n, c = x.shape[:2]
    # A window of whole steps, padded where the last one would reach over the border.
    span = [size[0] * step[0], size[1] * step[1]]
    lack = [max(y0 + span[0] - x.shape[2], 0), max(x0 + span[1] - x.shape[3], 0)]
    x = _pad_or_crop(x, [0, lack[1], 0, lack[0]])
    x = x[:, :, y0 : y0 + span[0], x0 : x0 + span[1]]
    x = x.reshape([n, c, size[0], step[0], size[1], step[1]])
    return x[:, :, :, 0, :, 0]


def correlate(
    x: paddle.Tensor,
    w: paddle.Tensor,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> paddle.Tensor:
    """y[n,o] = Σ_{i,ky,kx} w[o,i,ky,kx] · x[n, i, y·stride + ky·dilation - pad, ...]."""
    n, ci = x.shape[:2]
    co, per_group, kh, kw = w.shape
    x = _pad_or_crop(x, padding)
    reach = [(kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1]
    size = [(x.shape[2] - reach[0]) // stride[0] + 1, (x.shape[3] - reach[1]) // stride[1] + 1]
    taps = [
        _every(x, ky * dilation[0], kx * dilation[1], size, stride).reshape(
            [n, groups, ci // groups, 1, size[0] * size[1]]
        )
        for ky in range(kh)
        for kx in range(kw)
    ]
    columns = taps[0] if len(taps) == 1 else paddle.concat(taps, axis=3)
    columns = columns.reshape([n, groups, per_group * kh * kw, size[0] * size[1]])
    matrix = w.reshape([1, groups, co // groups, per_group * kh * kw])
    # Paddle's matmul crashes at second order where its first operand is broadcast and only the
    # second one lies on the path to the target. A static graph may leave n open.
    samples = n if n >= 0 else paddle.shape(x)[0]
    matrix = matrix.expand([samples, groups, co // groups, per_group * kh * kw])
    return paddle.matmul(matrix, columns).reshape([n, co, size[0], size[1]])


def transpose_weight(w: paddle.Tensor, groups: int) -> paddle.Tensor:
    """[Ci, Co/g, kh, kw] of a transposed convolution as [Co, Ci/g, kh, kw] of its correlation."""
    ci, per_group, kh, kw = w.shape
    w = w.reshape([groups, ci // groups, per_group, kh, kw]).transpose([0, 2, 1, 3, 4])
    return paddle.flip(w.reshape([groups * per_group, ci // groups, kh, kw]), [2, 3])


def insert_zeros(x: paddle.Tensor, up: Sequence[int]) -> paddle.Tensor:
    """x[n, c, i, j] to position (i·up_y, j·up_x) of a grid that is zero elsewhere."""
    if tuple(up) == (1, 1):
        return x
    n, c, h, w = x.shape
    corner = np.zeros([1, 1, 1, up[0], 1, up[1]])
    corner.flat[0] = 1
    x = x.reshape([n, c, h, 1, w, 1]) * paddle.to_tensor(corner, dtype=x.dtype)
    return x.reshape([n, c, h * up[0], w * up[1]])


def correlate_transposed(
    x: paddle.Tensor,
    w: paddle.Tensor,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    output_padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> paddle.Tensor:
    """The adjoint of `correlate` in its input; w is [Ci, Co/groups, kh, kw]."""
    kh, kw = w.shape[2:]
    left, right, top, bottom = padding
    reach_y, reach_x = (kh - 1) * dilation[0], (kw - 1) * dilation[1]
    # insert_zeros leaves stride-1 zeros after the last sample: crop them in the same step.
    around = [
        reach_x - left,
        reach_x - right + output_padding[1] - (stride[1] - 1),
        reach_y - top,
        reach_y - bottom + output_padding[0] - (stride[0] - 1),
    ]
    return correlate(
        insert_zeros(x, stride), transpose_weight(w, groups), (1, 1), around, dilation, groups
    )
