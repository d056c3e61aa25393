"""Parameters of augmentation as the operators take them: matrices, colour rows and filter taps.

Identities come out exact, to the bit, and so do flips, quarter turns and whole shifts: the
operators copy what is not changed.

Karras et al. 2020, "Training generative adversarial networks with limited data", appendix B.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pygan.nn.augment_sampling import AugmentParameters


def warp_matrices(parameters: AugmentParameters) -> np.ndarray:
    """[N, 6]: first two rows of the map from pixels of the result to pixels of the image.

    Pixels are counted from the centres, x to the right and y down. An image is flipped first and
    shifted by a fraction last; the map to the source is the product of the inverses in this order.
    """
    p = parameters
    matrix = _scaling(np.where(p.xflip, -1.0, 1.0), np.ones(len(p)))
    # Cosines and sines of multiples of 90 degrees, exact.
    quarter = p.rotate90 % 4
    cosine, sine = np.array([1.0, 0, -1, 0])[quarter], np.array([0.0, 1, 0, -1])[quarter]
    matrix = matrix @ _rotation(cosine, -sine)
    matrix = matrix @ _translation(-p.xint)
    matrix = matrix @ _scaling(1 / p.scale, 1 / p.scale)
    matrix = matrix @ _rotation(np.cos(p.rotate_pre), -np.sin(p.rotate_pre))
    matrix = matrix @ _scaling(1 / p.aniso, p.aniso)
    matrix = matrix @ _rotation(np.cos(p.rotate_post), -np.sin(p.rotate_post))
    matrix = matrix @ _translation(-p.xfrac)
    return matrix[:, :2].reshape(-1, 6)


def filter_taps(parameters: AugmentParameters) -> np.ndarray:
    """[N, 43]: taps of the filter with the gains of the octaves, along each axis."""
    taps = parameters.imgfilter @ octave_filters()
    unchanged = (parameters.imgfilter == 1).all(axis=1)
    taps[unchanged] = np.arange(taps.shape[1]) == taps.shape[1] // 2
    return taps


def color_rows(parameters: AugmentParameters, colors: int, gain: np.ndarray) -> np.ndarray:
    """[N, k * k + k + 5] for k colours: matrix, offset, deviation of the noise, cut-out.

    Args:
        parameters: of N images.
        colors: 1 or 3. A grey value goes through the transform of three colours as (v, v, v): only
            brightness, contrast and the mirrored luma change it.
        gain: [N], of a filter that comes before this operator instead of between colours and noise,
            for a constant image. Filtering commutes with the matrix, and multiplies the offset.
    """
    p, count = parameters, len(parameters)
    if colors == 1:
        factor = np.where(p.lumaflip, -1.0, 1.0) * p.contrast
        matrix, offset = factor[:, None], (factor * p.brightness)[:, None]
    else:
        matrix = _luma_flip(p.lumaflip) * p.contrast[:, None, None]
        matrix = _saturation(p.saturation) @ (_hue(p.hue) @ matrix)
        offset = matrix.sum(axis=2) * p.brightness[:, None]
        matrix = matrix.reshape(count, 9)
    offset = offset * gain[:, None]
    return np.concatenate([matrix, offset, p.noise[:, None], p.cutout], axis=1, dtype=np.float64)


def identity_row(colors: int) -> np.ndarray:
    """The row of ``color_rows`` that changes nothing."""
    return np.concatenate([np.eye(colors).reshape(-1), np.zeros(colors + 5)])


@lru_cache(maxsize=1)
def octave_filters() -> np.ndarray:
    """[4, 43]: zero-phase filters of the octaves that end at 1/8, 1/4, 1/2 and 1 of the band.

    They sum to the unit impulse, and all but the first have no gain for constants.

    With H the scaling filter of Daubechies' wavelet with two vanishing moments (I. Daubechies, "Ten
    lectures on wavelets", 1992, table 6.1), L(z) = H(z) H(1/z) / 2 and B(z) = L(-z) are the halves
    of the spectrum: L + B = 1. The octaves are L(z) L(z^2) L(z^4), L(z) L(z^2) B(z^4),
    L(z) B(z^2) and B(z).
    """
    root = np.sqrt(3.0)
    h = np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * np.sqrt(2.0))
    low = np.convolve(h, h[::-1]) / 2
    high = low * np.array([-1, 1, -1, 1, -1, 1, -1])  # (-1)^n about the centre
    octaves = [
        _product(low, _spread(low, 2), _spread(low, 4)),
        _product(low, _spread(low, 2), _spread(high, 4)),
        _product(low, _spread(high, 2)),
        high,
    ]
    longest = len(octaves[0])
    filters = np.stack([np.pad(taps, (longest - len(taps)) // 2) for taps in octaves])
    return (filters + filters[:, ::-1]) / 2  # symmetric to the last bit: CUDA has an eye for that


def _product(*factors: np.ndarray) -> np.ndarray:
    taps = factors[0]
    for factor in factors[1:]:
        taps = np.convolve(taps, factor)
    return taps


def _spread(taps: np.ndarray, step: int) -> np.ndarray:
    """Of z^step instead of z."""
    spread = np.zeros((len(taps) - 1) * step + 1)
    spread[::step] = taps
    return spread


def _affine(xx: np.ndarray, xy: np.ndarray, yx: np.ndarray, yy: np.ndarray) -> np.ndarray:
    matrix = np.zeros((len(xx), 3, 3))
    matrix[:, 0, 0], matrix[:, 0, 1] = xx, xy
    matrix[:, 1, 0], matrix[:, 1, 1] = yx, yy
    matrix[:, 2, 2] = 1
    return matrix


def _scaling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    nothing = np.zeros(len(x))
    return _affine(x, nothing, nothing, y)


def _rotation(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Clockwise, since y points down."""
    return _affine(cosine, -sine, sine, cosine)


def _translation(shift: np.ndarray) -> np.ndarray:
    matrix = _scaling(np.ones(len(shift)), np.ones(len(shift)))
    matrix[:, :2, 2] = shift
    return matrix


# Colours: v = (1, 1, 1) / sqrt(3) is the grey axis. v v^T, and the matrix of the cross product.
_ONTO_GREY = np.full((3, 3), 1 / 3)
_CROSS_GREY = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3.0)


def _luma_flip(flip: np.ndarray) -> np.ndarray:
    """I - 2 v v^T: mirrored at the plane of luma 0 (Householder)."""
    return np.eye(3) - (2.0 * flip)[:, None, None] * _ONTO_GREY


def _hue(angle: np.ndarray) -> np.ndarray:
    """Rotation about v (Rodrigues)."""
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cosine * np.eye(3) + sine * _CROSS_GREY + (1 - cosine) * _ONTO_GREY


def _saturation(factor: np.ndarray) -> np.ndarray:
    """Stretches the part that is perpendicular to v."""
    factor = factor[:, None, None]
    return factor * np.eye(3) + (1 - factor) * _ONTO_GREY
