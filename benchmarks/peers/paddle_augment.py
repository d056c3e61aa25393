"""Warp and colours of a batch, composed of Paddle's stock operators; first order only."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from benchmarks.peers.augment_numbers import CENTRE, TAPS, Plan


def warp(x: Tensor, plan: Plan) -> Tensor:
    """`pygan.ops.warp` as padding, two pairs of depthwise convolutions and grid_sample."""
    samples, channels, height, width = x.shape
    taps = paddle.to_tensor(TAPS.astype(np.float32))
    rows = taps.reshape([1, 1, -1, 1]).expand([channels, 1, -1, 1])
    columns = taps.reshape([1, 1, 1, -1]).expand([channels, 1, 1, -1])
    u = F.pad(x, plan.padding, mode="reflect")
    u = F.conv2d_transpose(u, 2 * columns, stride=[1, 2], padding=[0, CENTRE], groups=channels)
    u = F.conv2d_transpose(u, 2 * rows, stride=[2, 1], padding=[CENTRE, 0], groups=channels)
    theta = paddle.to_tensor(plan.theta.astype(np.float32))
    size = [samples, channels, 2 * (height + CENTRE), 2 * (width + CENTRE)]
    grid = F.affine_grid(theta, size, align_corners=False)
    z = F.grid_sample(u, grid, align_corners=False)
    z = F.conv2d(z, columns, stride=[1, 2], groups=channels)
    return F.conv2d(z, rows, stride=[2, 1], groups=channels)


def color(x: Tensor, rows: np.ndarray) -> Tensor:
    """The affine part of `pygan.ops.color_transform`, for three colours."""
    numbers = paddle.to_tensor(rows.astype(np.float32))
    matrix, offset = numbers[:, :9].reshape([-1, 3, 3]), numbers[:, 9:12].unsqueeze(2)
    return (paddle.matmul(matrix, x.flatten(2)) + offset).reshape(x.shape)
