"""color_transform: colours, noise and a cut-out of every image of a batch, in one pass."""

from __future__ import annotations

from typing import Optional

import paddle

from pygan.ops import _native
from pygan.ops._checks import check_constant, check_images, check_one_of, check_shape, same_dtype

# Numbers in a row, by the number of colours.
_WIDTHS = {1 * 1 + 1 + 5: 1, 3 * 3 + 3 + 5: 3}
_WHICH = 1  # of csrc/paddle/augment.cc


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def color_transform(
    images: paddle.Tensor,
    rows: paddle.Tensor,
    noise: Optional[paddle.Tensor] = None,
    *,
    impl: str = "auto",
) -> paddle.Tensor:
    """Transform the colours of every image, add noise and cut a rectangle out, in one pass.

    .. math::
        y_c = keep \\cdot (\\sum_d matrix_{c, d} \\cdot x_d + offset_c + \\sigma \\cdot noise_c)

    for the first ``colors`` channels, which are 1 or 3; further channels, as alpha, stay as they
    are. keep is 0 in the sample's cut-out and 1 elsewhere.

    The operator is affine in the images. The native one is exact to second order (a third is
    silently incomplete, because Paddle drops it), ``impl='ref'`` to any.

    Args:
        images: ``[N, C, H, W]``, C at least ``colors``; float16, bfloat16, float32 or float64. The
            16-bit types are computed in float32.
        rows: float64 ``[N, 7]`` for one colour or ``[N, 17]`` for three; constants. A row holds
            the matrix ``[colors, colors]``, the offset ``[colors]``, sigma, and the cut-out's
            columns ``[x0, x1)`` and rows ``[y0, y1)`` as x0, x1, y0, y1, whole numbers.
        noise: ``[N, colors, H, W]``, cast to the images' dtype, or None; a constant.
        impl: 'auto', 'native' or 'ref'.

    Returns:
        ``[N, C, H, W]`` of the images' dtype.

    Raises:
        TypeError: ``images`` is not a floating-point tensor, ``rows`` not a float64 one, or
            ``noise`` no tensor.
        ValueError: a shape is not as above, ``rows`` or ``noise`` requires a gradient, or ``rows``
            holds numbers that are not finite (seen only on the CPU).

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020),
    appendix B.
    """
    op = "color_transform"
    check_images(op, images, "[N, C, H, W]", name="images")
    check_constant(op, "rows", rows, 2, "[N, 7] or [N, 17]")
    colors = _WIDTHS.get(rows.shape[1])
    if colors is None:
        raise ValueError(
            f"pygan.ops.{op}: `rows` has shape {list(rows.shape)}; its second axis must hold 7 "
            "numbers (one colour) or 17 (three)."
        )
    check_shape(op, "rows", rows, [images.shape[0], rows.shape[1]], "a row for each image")
    if images.shape[1] < colors:
        raise ValueError(
            f"pygan.ops.{op}: `images` has shape {list(images.shape)}; rows of 17 numbers need at "
            "least 3 channels. Give rows of 7 numbers for one colour."
        )
    if noise is not None:
        shape = [images.shape[0], colors, *images.shape[2:]]
        check_one_of(op, "noise", noise, [shape], "a number for each pixel and colour")
        if not noise.stop_gradient:
            raise ValueError(
                f"pygan.ops.{op}: `noise` requires a gradient (stop_gradient is False), but it is "
                "a constant of this operator; pass noise.detach()."
            )
        noise = same_dtype(noise, images)
    use_native = _native.use_native(impl, op, images)
    if 0 in images.shape:  # Paddle 2 has no kernels for empty tensors
        return images.reshape(images.shape)
    if use_native:
        return _native.call("pg_augment", images, rows, noise, _WHICH)
    return _color_transform_ref(images, rows, noise, colors)


def _color_transform_ref(
    images: paddle.Tensor, rows: paddle.Tensor, noise: Optional[paddle.Tensor], colors: int
) -> paddle.Tensor:
    """The operator as a composition of Paddle operators."""
    dtype = paddle.float64 if images.dtype == paddle.float64 else paddle.float32
    x = images if images.dtype == dtype else images.astype(dtype)
    n, channels, height, width = x.shape
    numbers = rows.astype(dtype)
    square = colors * colors
    matrix = numbers[:, :square].reshape([n, colors, colors])
    offset = numbers[:, square : square + colors].reshape([n, colors, 1, 1])
    y = paddle.matmul(matrix, x[:, :colors].reshape([n, colors, height * width]))
    y = y.reshape([n, colors, height, width]) + offset
    if noise is not None:
        y = y + numbers[:, square + colors].reshape([n, 1, 1, 1]) * noise.astype(dtype)
    x0, x1, y0, y1 = (rows[:, square + colors + 1 + i].reshape([n, 1, 1, 1]) for i in range(4))
    column = paddle.arange(width).astype("float64").reshape([1, 1, 1, width])
    row = paddle.arange(height).astype("float64").reshape([1, 1, height, 1])
    inside_x = paddle.logical_and(column >= x0, column < x1).astype(dtype)
    inside_y = paddle.logical_and(row >= y0, row < y1).astype(dtype)
    y = y * (1 - inside_x * inside_y)
    if channels > colors:
        y = paddle.concat([y, x[:, colors:]], 1)
    return y if y.dtype == images.dtype else y.astype(images.dtype)
