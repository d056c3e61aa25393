"""Augmentation in numpy and scipy, one image at a time, written from the formulas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pygan.nn.augment import AugmentParameters

# The symlet with six vanishing moments, Daubechies' table 8.3.
SYM6 = np.array(
    [
        0.015404109327027373,
        0.0034907120842174702,
        -0.11799011114819057,
        -0.048311742585633,
        0.4910559419267466,
        0.787641141030194,
        0.3379294217276218,
        -0.07263752278646252,
        -0.021060292512300564,
        0.04472490177066578,
        0.0017677118642428036,
        -0.007800708325034148,
    ]
)
TAPS = SYM6 / SYM6.sum()
DB2 = np.array([-0.12940952255126037, 0.2241438680420134, 0.8365163037378079, 0.48296291314453416])


def reflect(index: np.ndarray, size: int) -> np.ndarray:
    """Where numpy's 'reflect' padding takes its values from, at any distance."""
    line = np.arange(size)
    if size == 1:
        return np.zeros_like(index)
    reach = int(np.abs(index).max()) + size
    return np.pad(line, reach, mode="reflect")[index + reach]


def forward_matrix(p: AugmentParameters, n: int) -> np.ndarray:
    """What happens to the point (x, y, 1) of image n, transform after transform."""

    def scale(x: float, y: float) -> np.ndarray:
        return np.diag([x, y, 1.0])

    def shift(x: float, y: float) -> np.ndarray:
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])

    def clockwise(angle: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])

    total = np.eye(3)
    for transform in (
        scale(-1 if p.xflip[n] else 1, 1),
        clockwise(np.pi / 2 * p.rotate90[n]),
        shift(*p.xint[n]),
        scale(p.scale[n], p.scale[n]),
        clockwise(p.rotate_pre[n]),
        scale(p.aniso[n], 1 / p.aniso[n]),
        clockwise(p.rotate_post[n]),
        shift(*p.xfrac[n]),
    ):
        total = transform @ total
    return total


def blit(image: np.ndarray, p: AugmentParameters, n: int) -> np.ndarray:
    """Mirrored, turned and shifted as pixels, if that is all that moves image n."""
    _, height, width = image.shape
    size = height + width + 2 * int(np.abs(p.xint[n]).max())
    sides = [size - (size - length) % 2 - length for length in (height, width)]
    index = [
        reflect(np.arange(-side // 2, length + side // 2), length)
        for side, length in zip(sides, (height, width))
    ]
    large = image[:, index[0]][:, :, index[1]]
    if p.xflip[n]:
        large = large[:, :, ::-1]
    large = np.rot90(large, -p.rotate90[n], axes=(1, 2))
    right, down = p.xint[n].astype(int)
    y, x = ((a - b) // 2 for a, b in zip(large.shape[1:], (height, width)))
    return large[:, y - down : y - down + height, x - right : x - right + width]


def moves_pixels_to_pixels(p: AugmentParameters, n: int, height: int, width: int) -> bool:
    still = (p.scale, p.aniso, 1 + p.rotate_pre, 1 + p.rotate_post)
    turned = p.rotate90[n] % 2 and (height - width) % 2
    return all(values[n] == 1 for values in still) and not p.xfrac[n].any() and not turned


def warp(image: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """An image [C, H, W] moved by a map of its pixels, counted from the centre."""
    _, height, width = image.shape
    inverse = np.linalg.inv(forward)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    q_x, q_y = (np.arange(-5, 2 * size + 5) for size in (width, height))
    grid = np.stack(np.meshgrid(q_x / 2, q_y / 2), axis=0) - centre[:, None, None]
    source = np.einsum("ij,jyx->iyx", inverse[:2, :2], grid) + inverse[:2, 2, None, None]
    source = 2 * (source + centre[:, None, None])
    result = np.empty_like(image)
    first = np.floor(source).min(axis=(1, 2)).astype(int) - 1
    last = np.ceil(source).max(axis=(1, 2)).astype(int) + 1
    up = [_upsampling(first[a], last[a], size) for a, size in ((0, width), (1, height))]
    down = [_downsampling(size) for size in (width, height)]
    local = [source[1] - first[1], source[0] - first[0]]
    for c, plane in enumerate(image):
        fine = up[1] @ plane @ up[0].T
        moved = ndimage.map_coordinates(fine, local, order=1, mode="nearest")
        result[c] = down[1] @ moved @ down[0].T
    return result


def _upsampling(first: int, last: int, size: int) -> np.ndarray:
    """u[o] = 2 * sum over i of f[o + 5 - 2 i] * x[i], for o from first to last."""
    matrix = np.zeros((last - first + 1, size))
    for row, o in enumerate(range(first, last + 1)):
        for tap in range(12):
            if (o + 5 - tap) % 2 == 0:
                matrix[row, reflect(np.array([(o + 5 - tap) // 2]), size)[0]] += 2 * TAPS[tap]
    return matrix


def _downsampling(size: int) -> np.ndarray:
    """y[i] = sum over t of f[t] * z[2 i + t - 5], z from -5 on."""
    matrix = np.zeros((size, 2 * size + 10))
    for i in range(size):
        matrix[i, 2 * i : 2 * i + 12] = TAPS
    return matrix


def octaves() -> np.ndarray:
    """The filter bank, by the two-channel bank applied again and again to its low half."""
    low = np.convolve(DB2, DB2[::-1]) / 2
    alternating = DB2 * (-1.0) ** np.arange(4)
    high = np.convolve(alternating, alternating[::-1]) / 2
    bank = [np.array([1.0]), *[np.zeros(1)] * 3]
    for level in range(1, 4):
        bank = [np.convolve(np.kron(f, [1, 0])[:-1], low) for f in bank]
        middle = len(bank[0]) // 2
        bank[level][middle - 3 : middle + 4] += high
    return np.stack(bank)


def filtered(image: np.ndarray, gains: np.ndarray) -> np.ndarray:
    taps = gains @ octaves()
    padded = image
    for axis in (1, 2):
        index = reflect(np.arange(-21, image.shape[axis] + 21), image.shape[axis])
        padded = np.take(padded, index, axis=axis)
        padded = np.apply_along_axis(np.correlate, axis, padded, taps, mode="valid")
    return padded


def colored(image: np.ndarray, p: AugmentParameters, n: int) -> np.ndarray:
    """Colour by colour transform, on pixels [3, ...]."""
    axis = np.ones(3) / np.sqrt(3)
    pixels = image.reshape(3, -1) + p.brightness[n]
    pixels = pixels * p.contrast[n]
    if p.lumaflip[n]:
        pixels = pixels - 2 * np.outer(axis, axis @ pixels)
    # Rodrigues' formula.
    turned = np.cross(axis, pixels, axis=0) if pixels.size else pixels
    along = np.outer(axis, axis @ pixels)
    pixels = along + np.cos(p.hue[n]) * (pixels - along) + np.sin(p.hue[n]) * turned
    along = np.outer(axis, axis @ pixels)
    pixels = along + p.saturation[n] * (pixels - along)
    return pixels.reshape(image.shape)


def augmented(images: np.ndarray, p: AugmentParameters) -> np.ndarray:
    """All transforms in the paper's order, on [N, C, H, W]."""
    result = np.array(images, dtype=np.float64)
    colors = 3 if images.shape[1] >= 3 else 1
    for n, image in enumerate(result):
        if moves_pixels_to_pixels(p, n, *images.shape[2:]):
            image[:] = blit(image, p, n)
        else:
            image[:] = warp(image, forward_matrix(p, n))
        if colors == 3:
            image[:3] = colored(image[:3], p, n)
        else:  # a grey pixel as a colour, and back
            image[:1] = colored(np.repeat(image[:1], 3, axis=0), p, n).mean(axis=0)
        image[:] = filtered(image, p.imgfilter[n])
        if p.noise_values is not None:
            image[:colors] += p.noise[n] * p.noise_values[n]
        x0, x1, y0, y1 = p.cutout[n]
        image[:colors, y0:y1, x0:x1] = 0
    return result
