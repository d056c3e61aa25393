"""Warp and colours of a batch in plain PyTorch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers.augment_numbers import CENTRE, TAPS, Plan


def warp(x: Tensor, plan: Plan) -> Tensor:
    """`pygan.ops.warp` as padding, two pairs of depthwise convolutions and grid_sample."""
    samples, channels, height, width = x.shape
    taps = torch.from_numpy(TAPS.astype(np.float32))
    rows = taps.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = taps.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1)
    u = F.pad(x, plan.padding, mode="reflect")
    u = F.conv_transpose2d(u, 2 * columns, stride=(1, 2), padding=(0, CENTRE), groups=channels)
    u = F.conv_transpose2d(u, 2 * rows, stride=(2, 1), padding=(CENTRE, 0), groups=channels)
    theta = torch.from_numpy(plan.theta.astype(np.float32))
    size = [samples, channels, 2 * (height + CENTRE), 2 * (width + CENTRE)]
    grid = F.affine_grid(theta, size, align_corners=False)
    z = F.grid_sample(u, grid, align_corners=False)
    z = F.conv2d(z, columns, stride=(1, 2), groups=channels)
    return F.conv2d(z, rows, stride=(2, 1), groups=channels)


def color(x: Tensor, rows: np.ndarray) -> Tensor:
    """The affine part of `pygan.ops.color_transform`, for three colours."""
    numbers = torch.from_numpy(rows.astype(np.float32))
    matrix, offset = numbers[:, :9].reshape(-1, 3, 3), numbers[:, 9:12, None]
    return torch.baddbmm(offset, matrix, x.flatten(2)).reshape(x.shape)
