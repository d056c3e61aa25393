"""warp: an affine map of every image of a batch, free of aliasing."""

from __future__ import annotations

import numpy as np
import paddle

from pygan.ops import _native
from pygan.ops._checks import check_constant, check_images, check_shape

# Of csrc/augment/warp.h: the symlet of 12 taps, scaled to sum 1.
TAPS = (
    0.01089235016328, 0.00246830618592, -0.08343160770584, -0.03416156079324,
    0.34722898647835, 0.55694639196396, 0.23895218566605, -0.05136248493090001,
    -0.01489187564922, 0.03162528132994, 0.00124996104639, -0.00551593375469,
)  # fmt: skip
_CENTRE = 5
# Farther away, in pixels, positions are not counted (is_bounded of csrc/augment/source_map.h).
_FARTHEST = 2.0**30
_WHICH = 0  # of csrc/paddle/augment.cc


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def warp(images: paddle.Tensor, matrices: paddle.Tensor, *, impl: str = "auto") -> paddle.Tensor:
    """Map every image by an affine matrix of its own, without aliasing and at the same size.

    The matrix ``[[a, b, c], [d, e, f]]`` of a sample takes a pixel (x, y) of the result, counted
    from the centre of the image, to the point ``(a x + b y + c, d x + e y + f)`` of the input that
    it shows, counted likewise. Beyond its borders the image goes on by reflection (..., x2, x1, x0,
    x1, x2, ...). The image is upsampled to twice its resolution by the filter f, sampled there
    bilinearly, and downsampled by the reversed f:

    .. math::
        u_o = 2 \\sum_i f_{o + 5 - 2 i} x_i, \\qquad
        z_q = u(2 M(q / 2)), \\qquad
        y_i = \\sum_t f_t z_{2 i + t - 5}

    along each axis, with the symlet of 12 taps as f. A matrix that takes pixels to pixels (flips,
    turns by 90 degrees, shifts by whole pixels) moves them as they are, to the bit. For whole
    shifts that is the limit of its neighbourhood; at flips and turns, whose filtered images are
    slightly blurred because f is not symmetric, the operator jumps as a function of the matrix.

    It is linear in the images. The native operator is exact to second order (a third is silently
    incomplete, because Paddle drops it), ``impl='ref'`` to any; with Paddle 2, whose gathers cannot
    be differentiated twice, to first.

    Args:
        images: ``[N, C, H, W]``, float16, bfloat16, float32 or float64. The 16-bit types are
            computed in float32.
        matrices: float64 ``[N, 6]``, the rows ``a, b, c, d, e, f``; constants.
        impl: 'auto', 'native' or 'ref'.

    Returns:
        ``[N, C, H, W]`` of the images' dtype. A sample whose matrix is not finite, or leads farther
        than 2**30 pixels away, is NaN.

    Raises:
        TypeError: ``images`` is not a floating-point tensor, or ``matrices`` not a float64 one.
        ValueError: a shape is not as above, ``matrices`` requires a gradient, or holds numbers that
            are not finite (seen only on the CPU).

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020),
    appendix B; Daubechies, "Ten Lectures on Wavelets" (1992), table 8.3, for the filter.
    """
    op = "warp"
    check_images(op, images, "[N, C, H, W]", name="images")
    check_constant(op, "matrices", matrices, 2, "[N, 6]")
    check_shape(op, "matrices", matrices, [images.shape[0], 6], "a matrix for each image")
    use_native = _native.use_native(impl, op, images)
    if 0 in images.shape:  # Paddle 2 has no kernels for empty tensors
        return images.reshape(images.shape)
    if use_native:
        return _native.call("pg_augment", images, matrices, None, _WHICH)
    return _warp_ref(images, matrices)


def _warp_ref(images: paddle.Tensor, matrices: paddle.Tensor) -> paddle.Tensor:
    """The operator as a composition of Paddle operators, for any matrices in one graph.

    Continued by reflection an image is periodic, and so is u, of which one period is made by matrix
    products. Positions are taken modulo that, so that any fits.
    """
    dtype = paddle.float64 if images.dtype == paddle.float64 else paddle.float32
    x = images if images.dtype == dtype else images.astype(dtype)
    height, width = x.shape[2:]
    xx, xy, x0, yx, yy, y0 = matrices.unbind(1)
    cx, cy = 0.5 * (width - 1), 0.5 * (height - 1)
    x0 = x0 + cx - xx * cx - xy * cy
    y0 = y0 + cy - yx * cx - yy * cy
    far_x = xx.abs() * (width + 5) + xy.abs() * (height + 5) + x0.abs()
    far_y = yx.abs() * (width + 5) + yy.abs() * (height + 5) + y0.abs()
    bounded = paddle.logical_and(far_x < _FARTHEST, far_y < _FARTHEST)
    xx, xy, x0, yx, yy, y0 = (
        paddle.where(bounded, number, paddle.zeros_like(number)).reshape([-1, 1, 1])
        for number in (xx, xy, x0, yx, yy, y0)
    )

    def axis(begin: int, end: int, step: float) -> paddle.Tensor:
        return paddle.arange(begin, end).astype("float64") * step

    qx, qy = axis(-5, 2 * width + 5, 0.5).unsqueeze(0), axis(-5, 2 * height + 5, 0.5).unsqueeze(1)
    u = paddle.matmul(
        paddle.matmul(_constant(_up_matrix(height), dtype), x),
        _constant(_up_matrix(width), dtype),
        transpose_y=True,
    )
    column, fx = _split(2 * (xx * qx + xy * qy + x0))
    row, fy = _split(2 * (yx * qx + yy * qy + y0))
    fx, fy = fx.astype(dtype).unsqueeze(1), fy.astype(dtype).unsqueeze(1)
    top, bottom = (
        _pick(u, row + dy, column) * (1 - fx) + _pick(u, row + dy, column + 1) * fx for dy in (0, 1)
    )
    z = top * (1 - fy) + bottom * fy
    y = paddle.matmul(
        paddle.matmul(_constant(_down_matrix(height), dtype), z),
        _constant(_down_matrix(width), dtype),
        transpose_y=True,
    )

    jx, jy = axis(0, width, 1.0).unsqueeze(0), axis(0, height, 1.0).unsqueeze(1)
    column = _reflected((xx * jx + xy * jy + x0).floor().astype("int64"), width)
    row = _reflected((yx * jx + yy * jy + y0).floor().astype("int64"), height)
    exact = _is_exact(xx, xy, x0, yx, yy, y0).reshape([-1, 1, 1, 1]).expand(y.shape)
    y = paddle.where(exact, _pick(x, row, column), y)
    one = bounded.astype(dtype).reshape([-1, 1, 1, 1])
    y = y * (one / one)  # NaN where it is 0: Paddle 3 cannot save a program that spells NaN out
    return y if y.dtype == images.dtype else y.astype(images.dtype)


def _constant(matrix: np.ndarray, dtype: paddle.dtype) -> paddle.Tensor:
    return paddle.to_tensor(matrix).astype(dtype)


def _up_matrix(size: int) -> np.ndarray:
    """[period, size]: one period of u, from o = 0 on, of the image along one axis."""
    half = max(1, 2 * (size - 1))
    matrix = np.zeros((2 * half, size))
    for o in range(2 * half):
        for t, tap in enumerate(TAPS):
            if (o + _CENTRE - t) % 2 == 0:
                i = (o + _CENTRE - t) // 2 % half
                matrix[o, min(i, half - i) if size > 1 else 0] += 2 * tap
    return matrix


def _down_matrix(size: int) -> np.ndarray:
    """[size, 2 * size + 10]: from z, whose first index is -5, to y."""
    matrix = np.zeros((size, 2 * size + 10))
    for i in range(size):
        matrix[i, 2 * i : 2 * i + len(TAPS)] = TAPS
    return matrix


def _split(position: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The whole part of a position, and the fraction."""
    whole = position.floor()
    return whole.astype("int64"), position - whole


def _pick(image: paddle.Tensor, row: paddle.Tensor, column: paddle.Tensor) -> paddle.Tensor:
    """Pixels of ``[N, C, h, w]`` at row and column ``[N, a, b]``, modulo h and w."""
    n, channels, h, w = image.shape
    a, b = row.shape[1:]
    index = (row % h * w + column % w).reshape([n, 1, a * b])
    flat = image.reshape([n, channels, h * w])
    return paddle.take_along_axis(flat, index.expand([n, channels, a * b]), 2).reshape(
        [n, channels, a, b]
    )


def _reflected(index: paddle.Tensor, size: int) -> paddle.Tensor:
    """The pixel that continues an image at an index by reflection."""
    period = max(1, 2 * (size - 1))
    index = index % period
    return paddle.minimum(index, period - index) if size > 1 else index


def _is_exact(*numbers: paddle.Tensor) -> paddle.Tensor:
    """Whether a map takes pixels to pixels (is_exact of csrc/augment/source_map.h)."""
    xx, xy, x0, yx, yy, y0 = numbers

    def unit(number: paddle.Tensor) -> paddle.Tensor:
        return number.abs() == 1

    every = paddle.logical_and
    upright = every(every(unit(xx), xy == 0), every(yx == 0, unit(yy)))
    turned = every(every(xx == 0, unit(xy)), every(unit(yx), yy == 0))
    return every(paddle.logical_or(upright, turned), every(x0.floor() == x0, y0.floor() == y0))
