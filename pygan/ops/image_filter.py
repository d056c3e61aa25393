"""image_filter: every image of a batch through a filter of its own."""

from __future__ import annotations

import numpy as np
import paddle

from pygan.ops import _native
from pygan.ops._checks import check_constant, check_images, check_shape

_WHICH = 2  # of csrc/paddle/augment.cc


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def image_filter(
    images: paddle.Tensor, taps: paddle.Tensor, *, impl: str = "auto"
) -> paddle.Tensor:
    """Filter every image along both axes by taps of its own, keeping its size.

    .. math::
        y_{i, j} = \\sum_{a, b} taps_a \\cdot taps_b \\cdot x_{i + a - k / 2,\\; j + b - k / 2}

    for each channel, k / 2 being rounded down, with images continued beyond their borders by
    reflection (..., x2, x1, x0, x1, x2, ...), as often as it takes.

    The operator is linear in the images. The native one is exact to second order (a third is
    silently incomplete, because Paddle drops it), ``impl='ref'`` to any.

    Args:
        images: ``[N, C, H, W]``, float16, bfloat16, float32 or float64. The 16-bit types are
            computed in float32.
        taps: float64 ``[N, k]``, k odd; constants.
        impl: 'auto', 'native' or 'ref'.

    Returns:
        ``[N, C, H, W]`` of the images' dtype.

    Raises:
        TypeError: ``images`` is not a floating-point tensor, or ``taps`` not a float64 one.
        ValueError: a shape is not as above, ``taps`` requires a gradient, or holds numbers that are
            not finite (seen only on the CPU).

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020),
    appendix B, which amplifies frequency bands by such filters.
    """
    op = "image_filter"
    check_images(op, images, "[N, C, H, W]", name="images")
    check_constant(op, "taps", taps, 2, "[N, k]")
    check_shape(op, "taps", taps, [images.shape[0], taps.shape[1]], "a filter for each image")
    if taps.shape[1] % 2 != 1:
        raise ValueError(
            f"pygan.ops.{op}: `taps` has shape {list(taps.shape)}; the number of taps, its second "
            "axis, must be odd, so that one is in the middle. Append a zero."
        )
    use_native = _native.use_native(impl, op, images)
    if 0 in images.shape:  # Paddle 2 has no kernels for empty tensors
        return images.reshape(images.shape)
    if use_native:
        return _native.call("pg_augment", images, taps, None, _WHICH)
    return _image_filter_ref(images, taps)


def _image_filter_ref(images: paddle.Tensor, taps: paddle.Tensor) -> paddle.Tensor:
    """The operator as two matrix products, with a matrix for each sample and axis."""
    dtype = paddle.float64 if images.dtype == paddle.float64 else paddle.float32
    x = images if images.dtype == dtype else images.astype(dtype)
    rows = _axis_matrices(taps, x.shape[2]).astype(dtype).unsqueeze(1)
    columns = _axis_matrices(taps, x.shape[3]).astype(dtype).unsqueeze(1)
    y = paddle.matmul(paddle.matmul(rows, x), columns, transpose_y=True)
    return y if y.dtype == images.dtype else y.astype(images.dtype)


def _axis_matrices(taps: paddle.Tensor, size: int) -> paddle.Tensor:
    """[N, size, size]: pixel i of the result from pixel p of the image, along one axis.

    Pixel p continues the image at p and -p, and wherever a whole period is added to one of them.
    """
    k = taps.shape[1]
    period = max(1, 2 * (size - 1))
    p = np.arange(size)
    first = np.arange(size)[:, None] - k // 2  # where tap 0 lies
    times = (size + k) // period + 1
    matrix = paddle.zeros([1, size * size], "float64")
    for shift in range(-times, times + 1):
        for place in (p, -p):
            tap = place[None, :] + shift * period - first
            legal = (tap >= 0) & (tap < k)
            if place is not p:  # both ends of the period are their own mirror images
                legal &= (p > 0) & (2 * p != period)
            if legal.any():
                which = paddle.to_tensor(np.where(legal, tap, 0).reshape(-1))
                legal_too = paddle.to_tensor(legal.reshape(1, -1).astype(np.float64))
                matrix = matrix + paddle.gather(taps, which, axis=1) * legal_too
    return matrix.reshape([-1, size, size])
