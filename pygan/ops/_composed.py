"""The operators composed of Paddle's fastest ones: what a user of Paddle alone would write.

Paddle's convolutions (cuDNN's, on a GPU) lose terms of second order, so these functions may only
stand in for the native operators where nothing will be differentiated, and for comparison. The
specification, right to third order, is `impl='ref'`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import paddle
import paddle.nn.functional as F

from pygan.ops._convolution import Epilogue, Resampling


def correlate(
    x: paddle.Tensor,
    w: paddle.Tensor,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> paddle.Tensor:
    """`_conv_ref.correlate` with Paddle's conv2d; padding [left, right, top, bottom]."""
    left, right, top, bottom = padding
    if min(padding) < 0 or left != right or top != bottom:
        x = _pad(x, padding)
        left = top = 0
    return F.conv2d(x, w, None, list(stride), [top, left], list(dilation), groups)


def correlate_transposed(
    x: paddle.Tensor,
    w: paddle.Tensor,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    output_padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> paddle.Tensor:
    """`_conv_ref.correlate_transposed` with Paddle's conv2d_transpose."""
    left, right, top, bottom = padding
    full = F.conv2d_transpose(
        x, w, None, stride=list(stride), dilation=list(dilation), groups=groups
    )
    extra_y, extra_x = output_padding
    return _pad(full, [-left, extra_x - right, -top, extra_y - bottom])


def upfirdn2d(
    x: paddle.Tensor,
    f: paddle.Tensor,
    up: Sequence[int] = (1, 1),
    down: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    flip_filter: bool = False,
    gain: float = 1.0,
) -> paddle.Tensor:
    """`pygan.ops.upfirdn2d` as depthwise convolutions; factors are (x, y)."""
    channels = x.shape[1]
    taps = f.astype(x.dtype)
    if taps.ndim == 1:
        taps = taps.unsqueeze(1) * taps
    kh, kw = taps.shape
    # conv2d correlates, conv2d_transpose convolves.
    if (tuple(up) == (1, 1)) != bool(flip_filter):
        taps = paddle.flip(taps, [0, 1])
    if gain != 1:
        taps = taps * gain
    taps = taps.expand([channels, 1, kh, kw])
    if tuple(up) == (1, 1):
        return correlate(x, taps, (down[1], down[0]), padding, groups=channels)
    x0, x1, y0, y1 = padding
    y = F.conv2d_transpose(x, taps, None, stride=[up[1], up[0]], groups=channels)
    y = _pad(y, [x0 - (kw - 1), x1 + up[0] - kw, y0 - (kh - 1), y1 + up[1] - kh])
    return y if tuple(down) == (1, 1) else y[:, :, :: down[1], :: down[0]]


def resampled(
    x: paddle.Tensor,
    w: paddle.Tensor,
    *,
    groups: int,
    flip: bool,
    scale_in: Optional[paddle.Tensor],
    resampling: Resampling,
    epilogue: Epilogue,
) -> paddle.Tensor:
    """`_convolution.reference`, in the order that costs least."""
    if scale_in is not None:
        x = x * scale_in.reshape([*scale_in.shape, 1, 1])
    return epilogue.apply(_resample(x, w, groups, flip, resampling), "ref")


def _resample(
    x: paddle.Tensor, w: paddle.Tensor, groups: int, flip: bool, r: Resampling
) -> paddle.Tensor:
    kh, kw = w.shape[2:]
    if r.f is None or (r.up == 1 and r.down == 1):
        return correlate(
            x, paddle.flip(w, [2, 3]) if flip else w, (1, 1), r.padding, (1, 1), groups
        )
    ups, downs = (r.up, r.up), (r.down, r.down)
    if r.up == 1:
        if flip:
            w = paddle.flip(w, [2, 3])
        if kh == kw == 1:  # filter and drop samples first: the convolution sees fewer
            x = upfirdn2d(x, r.f, (1, 1), downs, r.padding, r.flip_filter)
            return correlate(x, w, groups=groups)
        x = upfirdn2d(x, r.f, (1, 1), (1, 1), r.padding, r.flip_filter)
        return correlate(x, w, downs, groups=groups)
    # Correlating the zero-inserted image is a transposed convolution, whose full output starts k-1
    # pixels earlier and ends k-up pixels later.
    w = w if flip else paddle.flip(w, [2, 3])
    ci, co = x.shape[1], w.shape[0]
    w = w.reshape([groups, co // groups, ci // groups, kh, kw]).transpose([0, 2, 1, 3, 4])
    u = F.conv2d_transpose(
        x, w.reshape([ci, co // groups, kh, kw]), None, stride=list(ups), groups=groups
    )
    x0, x1, y0, y1 = r.padding
    after = [x0 - (kw - 1), x1 - (kw - r.up), y0 - (kh - 1), y1 - (kh - r.up)]
    u = upfirdn2d(u, r.f, (1, 1), (1, 1), after, r.flip_filter, float(r.up**2))
    return u if r.down == 1 else upfirdn2d(u, r.f, (1, 1), downs, (0, 0, 0, 0), r.flip_filter)


def _pad(x: paddle.Tensor, padding: Sequence[int]) -> paddle.Tensor:
    """Zero padding [left, right, top, bottom]; negative numbers crop."""
    crop = [max(-p, 0) for p in padding]
    if any(crop):
        h, w = x.shape[2:]
        x = x[:, :, crop[2] : h - crop[3], crop[0] : w - crop[1]]
    grow = [max(p, 0) for p in padding]
    return F.pad(x, grow) if any(grow) else x
