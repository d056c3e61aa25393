"""upfirdn2d: pad, upsample, filter and downsample images in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import paddle

from pygan.ops import _composed, _conv_ref, _native, _tuner
from pygan.ops._checks import check_extent, check_images, check_number, pair, sides
from pygan.ops._filters import Filter, check_filter, to_numpy, to_tensor

Factor = Union[int, Sequence[int]]


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def upfirdn2d(
    x: paddle.Tensor,
    f: Filter,
    up: Factor = 1,
    down: Factor = 1,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    *,
    impl: str = "auto",
) -> paddle.Tensor:
    """Pad, upsample, filter and downsample every channel of a batch of images.

    For each image plane of ``x``:

    1. Upsample by inserting ``up - 1`` zeros after each pixel, along both axes.
    2. Pad with zeros, ``padding`` pixels per side; negative padding crops.
    3. Convolve with ``f``, keeping only the positions where the filter lies inside the image.
    4. Keep every ``down``-th pixel, starting with the first, and multiply by ``gain``.

    The width of the result is ``(W * up_x + pad_x0 + pad_x1 - kw) // down_x + 1``, its height
    likewise. The operator is linear in ``x``; its gradient is upfirdn2d with ``up`` and ``down``
    exchanged and the filter reversed. The native operator is exact to second order
    (a third is silently incomplete, because Paddle drops it), ``impl='ref'`` to third.

    Args:
        x: images ``[N, C, H, W]``, float16, bfloat16, float32 or float64. The 16-bit types are
            filtered in float32.
        f: FIR filter from `setup_filter`, a constant: 1-D ``[k]``, applied along both axes, or 2-D
            ``[kh, kw]``; None is the identity. Only with float64 images is it read in float64.
        up: upsampling factor, an integer or ``[x, y]``.
        down: downsampling factor, an integer or ``[x, y]``.
        padding: zeros around the *upsampled* image: an integer, ``[x, y]`` or ``[x0, x1, y0, y1]``
            (left, right, top, bottom). Negative values crop.
        flip_filter: False convolves, True correlates.
        gain: factor of the result.
        impl: 'auto', 'native' or 'ref'.

    Returns:
        ``[N, C, out_h, out_w]`` of ``x``'s dtype.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``f`` not a filter.
        ValueError: a shape, factor or padding is not as above, the filter is larger than the
            upsampled and padded image, or ``f`` requires a gradient.

    Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), appendix
    B, for its use in GANs; polyphase filtering as in Crochiere and Rabiner, "Multirate Digital
    Signal Processing" (1983), chapter 3.
    """
    op = "upfirdn2d"
    check_images(op, x, "[N, C, H, W]")
    if 0 in x.shape[2:]:
        raise ValueError(
            f"pygan.ops.{op}: `x` has shape {list(x.shape)}; its H and W must be at least 1."
        )
    f = check_filter(op, f)
    up_x, up_y = pair(op, "up", up, 1, "[x, y]")
    down_x, down_y = pair(op, "down", down, 1, "[x, y]")
    pads = sides(op, padding)
    check_number(op, "gain", gain)
    taps_h, taps_w = f.shape[0], f.shape[-1]
    out_h = _output_size(op, "height", x.shape[2], up_y, down_y, pads[2:], taps_h)
    out_w = _output_size(op, "width", x.shape[3], up_x, down_x, pads[:2], taps_w)
    if 0 in x.shape:  # Paddle 2 has no kernels for empty tensors
        return x.reshape([x.shape[0], x.shape[1], out_h, out_w])
    flip_filter, gain = bool(flip_filter), float(gain)
    if _tuner.tuner is not None and impl == "auto":
        impl = _tuner.tuner.choose(
            op,
            (x,),
            (up_x, up_y, down_x, down_y, *pads, *f.shape),
            _again,
            (f, (up_x, up_y), (down_x, down_y), pads, flip_filter, gain),
        )
    if not _native.use_native(impl, op, x):
        if impl == _native.COMPOSED:
            return _composed.upfirdn2d(
                x, to_tensor(f), (up_x, up_y), (down_x, down_y), pads, flip_filter, gain
            )
        if not isinstance(f, (paddle.Tensor, np.ndarray)):
            return _upfirdn2d_traced(x, f, (up_x, up_y), (down_x, down_y), pads, flip_filter, gain)
        return _upfirdn2d_ref(
            x, f, (up_x, up_y), (down_x, down_y), pads, (out_h, out_w), flip_filter, gain
        )
    geometry = [up_x, up_y, down_x, down_y, *pads, x.shape[2], x.shape[3]]
    bits = _native.double_bits(gain)
    return _native.call("pg_upfirdn2d", x, to_tensor(f), geometry, flip_filter, bits)


def _again(impl: str, x: paddle.Tensor, *settings: Any) -> paddle.Tensor:
    """The call that the tuner times."""
    return upfirdn2d(x, *settings, impl=impl)


@paddle.jit.not_to_static
def filter2d(
    x: paddle.Tensor,
    f: Filter,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    *,
    impl: str = "auto",
) -> paddle.Tensor:
    """Filter images and keep their size: `upfirdn2d` with padding ``[k // 2, (k - 1) // 2]``.

    Args:
        x: images ``[N, C, H, W]``.
        f: FIR filter, see `upfirdn2d`.
        padding: added to the padding that keeps the size: an integer, ``[x, y]`` or
            ``[x0, x1, y0, y1]``.
        flip_filter, gain, impl: see `upfirdn2d`.

    Returns:
        ``[N, C, H, W]`` for ``padding=0``.
    """
    op = "filter2d"
    f = check_filter(op, f)
    x0, x1, y0, y1 = sides(op, padding)
    taps_h, taps_w = f.shape[0], f.shape[-1]
    pads = [x0 + taps_w // 2, x1 + (taps_w - 1) // 2, y0 + taps_h // 2, y1 + (taps_h - 1) // 2]
    return upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, gain=gain, impl=impl)


@paddle.jit.not_to_static
def upsample2d(
    x: paddle.Tensor,
    f: Filter,
    up: Factor = 2,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    *,
    impl: str = "auto",
) -> paddle.Tensor:
    """Upsample images by exactly ``up`` with the interpolation filter ``f``.

    `upfirdn2d` with padding ``[(k + up - 1) // 2, (k - up) // 2]``, which centres the filter, and
    ``gain * up_x * up_y``, which makes up for the inserted zeros.

    Args:
        x: images ``[N, C, H, W]``.
        f: FIR filter, see `upfirdn2d`.
        up: upsampling factor, an integer or ``[x, y]``.
        padding: added to the centring padding: an integer, ``[x, y]`` or ``[x0, x1, y0, y1]``.
        flip_filter, gain, impl: see `upfirdn2d`.

    Returns:
        ``[N, C, H * up_y, W * up_x]`` for ``padding=0``.
    """
    op = "upsample2d"
    f = check_filter(op, f)
    up_x, up_y = pair(op, "up", up, 1, "[x, y]")
    x0, x1, y0, y1 = sides(op, padding)
    taps_h, taps_w = f.shape[0], f.shape[-1]
    pads = [
        x0 + (taps_w + up_x - 1) // 2,
        x1 + (taps_w - up_x) // 2,
        y0 + (taps_h + up_y - 1) // 2,
        y1 + (taps_h - up_y) // 2,
    ]
    check_number(op, "gain", gain)
    gain = gain * up_x * up_y
    factors = [up_x, up_y]
    return upfirdn2d(x, f, up=factors, padding=pads, flip_filter=flip_filter, gain=gain, impl=impl)


@paddle.jit.not_to_static
def downsample2d(
    x: paddle.Tensor,
    f: Filter,
    down: Factor = 2,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
    *,
    impl: str = "auto",
) -> paddle.Tensor:
    """Downsample images by ``down`` behind the low-pass filter ``f``.

    `upfirdn2d` with padding ``[(k - down + 1) // 2, (k - down) // 2]``, which centres the filter.

    Args:
        x: images ``[N, C, H, W]``.
        f: FIR filter, see `upfirdn2d`.
        down: downsampling factor, an integer or ``[x, y]``.
        padding: added to the centring padding: an integer, ``[x, y]`` or ``[x0, x1, y0, y1]``.
        flip_filter, gain, impl: see `upfirdn2d`.

    Returns:
        ``[N, C, H // down_y, W // down_x]`` for ``padding=0``.
    """
    op = "downsample2d"
    f = check_filter(op, f)
    down_x, down_y = pair(op, "down", down, 1, "[x, y]")
    x0, x1, y0, y1 = sides(op, padding)
    taps_h, taps_w = f.shape[0], f.shape[-1]
    pads = [
        x0 + (taps_w - down_x + 1) // 2,
        x1 + (taps_w - down_x) // 2,
        y0 + (taps_h - down_y + 1) // 2,
        y1 + (taps_h - down_y) // 2,
    ]
    factors = [down_x, down_y]
    return upfirdn2d(
        x, f, down=factors, padding=pads, flip_filter=flip_filter, gain=gain, impl=impl
    )


def _upfirdn2d_ref(
    x: paddle.Tensor,
    f: Union[paddle.Tensor, np.ndarray],
    up: tuple[int, int],
    down: tuple[int, int],
    padding: list[int],
    out_size: tuple[int, int],
    flip_filter: bool,
    gain: float,
) -> paddle.Tensor:
    """The operator as matrix products, ``y = sum_r A_r x B_r^T``.

    Each term is one separable part of the filter, and A_r, B_r are the constant matrices that do
    all four steps along the height and the width. Paddle differentiates matmul correctly three
    times, whereas its conv2d goes silently wrong at the third order. A product reads whole rows,
    so one infinity or NaN in ``x`` spreads along its row and column, unlike in the native operator.
    """
    dtype = paddle.float64 if x.dtype == paddle.float64 else paddle.float32
    z = x if x.dtype == dtype else x.astype(dtype)
    height, width = x.shape[2], x.shape[3]
    parts = []
    for taps_y, taps_x in _separable_parts(to_numpy(f)):
        if not flip_filter:
            taps_y, taps_x = taps_y[::-1], taps_x[::-1]
        a = _axis_matrix(height, out_size[0], taps_y, up[1], down[1], padding[2])
        b = _axis_matrix(width, out_size[1], taps_x, up[0], down[0], padding[0])
        rows = paddle.matmul(z, paddle.to_tensor(gain * b, dtype=dtype), transpose_y=True)
        parts.append(paddle.matmul(paddle.to_tensor(a, dtype=dtype), rows))
    y = sum(parts[1:], parts[0])
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def _upfirdn2d_traced(
    x: paddle.Tensor,
    f: paddle.Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: list[int],
    flip_filter: bool,
    gain: float,
) -> paddle.Tensor:
    """The operator, step by step, in a static graph, where the taps have no values yet."""
    dtype = paddle.float64 if x.dtype == paddle.float64 else paddle.float32
    channels = x.shape[1]
    taps = to_tensor(f).astype(dtype) * gain ** (f.ndim / 2)
    if f.ndim == 1:
        taps = taps.reshape([-1, 1]) * taps.reshape([1, -1])
    if not flip_filter:
        taps = paddle.flip(taps, [0, 1])
    z = _conv_ref.insert_zeros(x.astype(dtype), (up[1], up[0]))
    taps = taps.reshape([1, 1, *taps.shape]).expand([channels, 1, *taps.shape])
    y = _conv_ref.correlate(z, taps, (down[1], down[0]), padding, groups=channels)
    return y.astype(x.dtype)


def _separable_parts(f: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs (taps_y, taps_x), in float64, whose outer products sum to the 2-D filter."""
    f = f.astype(np.float64)
    if f.ndim == 1:
        return [(f, f)]
    u, s, vt = np.linalg.svd(f)
    rank = max(1, int(np.sum(s > s[0] * 1e-16 * max(f.shape))))
    return [(u[:, r] * s[r], vt[r]) for r in range(rank)]


def _axis_matrix(
    size: int, out_size: int, taps: np.ndarray, up: int, down: int, pad0: int
) -> np.ndarray:
    """Matrix ``[out_size, size]`` that inserts zeros, pads, correlates and strides one axis."""
    matrix = np.zeros((out_size, size))
    out = np.arange(out_size)
    for t, tap in enumerate(taps):
        position = out * down + t - pad0  # in the upsampled image
        source = position // up
        hit = (position % up == 0) & (source >= 0) & (source < size)
        matrix[out[hit], source[hit]] = tap
    return matrix


def _output_size(
    op: str, axis: str, size: int, up: int, down: int, pads: list[int], taps: int
) -> int:
    padded = size * up + pads[0] + pads[1]
    if padded < taps:
        raise ValueError(
            f"pygan.ops.{op}: the {axis} is {size} * {up} (up) + {pads[0]} + {pads[1]} (padding) "
            f"= {padded}, less than the filter's {taps} taps; use more padding or a larger image."
        )
    check_extent(op, f"the upsampled and padded {axis}", padded)
    return (padded - taps) // down + 1
