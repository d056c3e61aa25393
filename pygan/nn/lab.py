"""CIE L*a*b* of sRGB images, for colourisation."""

from __future__ import annotations

import numpy as np
import paddle

# Linear sRGB to XYZ (IEC 61966-2-1), over the white of D65, so that white is (1, 1, 1).
_RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_RGB_TO_XYZ = _RGB_TO_XYZ / _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_XYZ_TO_RGB = np.linalg.inv(_RGB_TO_XYZ)
_KNEE = 6 / 29  # of the cube root, below which it is a line


def rgb_to_lab(images: paddle.Tensor) -> paddle.Tensor:
    r"""L*, a* and b* of sRGB images.

    .. math::
        L = 116 f(Y) - 16, \quad a = 500 (f(X) - f(Y)), \quad b = 200 (f(Y) - f(Z))

    with f(t) the cube root of t, continued by its tangent below (6/29)^3, of X, Y, Z relative to
    the white of D65.

    Args:
        images: [N, 3, H, W] in [-1, 1]; floating-point.

    Returns:
        [N, 3, H, W]: L from 0 to 100, a and b within about 110 of 0.
    """
    rgb = paddle.clip((images + 1) / 2, 0, 1)
    linear = paddle.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = _mix(_RGB_TO_XYZ, linear)
    # Powers of what is above the knee only: the other branch of `where` must be finite, too.
    root = paddle.where(
        xyz > _KNEE**3,
        paddle.clip(xyz, min=_KNEE**3) ** (1 / 3),
        xyz / (3 * _KNEE**2) + 4 / 29,
    )
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    return paddle.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def lab_to_rgb(lab: paddle.Tensor) -> paddle.Tensor:
    """The inverse of :func:`rgb_to_lab`; colours that sRGB lacks are limited to its range.

    Args:
        lab: [N, 3, H, W].

    Returns:
        [N, 3, H, W] in [-1, 1].
    """
    y = (lab[:, 0] + 16) / 116
    root = paddle.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = paddle.where(root > _KNEE, root**3, 3 * _KNEE**2 * (root - 4 / 29))
    linear = paddle.clip(_mix(_XYZ_TO_RGB, xyz), 0, 1)
    rgb = paddle.where(
        linear > 0.0031308,
        1.055 * paddle.clip(linear, min=0.0031308) ** (1 / 2.4) - 0.055,
        12.92 * linear,
    )
    return rgb * 2 - 1


def _mix(matrix: np.ndarray, images: paddle.Tensor) -> paddle.Tensor:
    """A matrix times the channels of each pixel."""
    n, c, h, w = images.shape
    weights = paddle.to_tensor(matrix).astype(images.dtype)
    return paddle.matmul(weights, images.reshape([n, c, h * w])).reshape([n, c, h, w])
