"""Perceptual path length: how much images change along short steps between latent codes.

Karras et al. 2019, "A style-based generator architecture for generative adversarial networks",
section 4.1: ``E[d(G(lerp(w1, w2; t)), G(lerp(w1, w2; t + e))) / e^2]`` with ``e = 10^-4`` and a
perceptual distance d; in Z, codes are interpolated on the sphere. The lengths below the 1st and
above the 99th percentile are left out of the mean (StyleGAN2, Karras et al. 2020, and its code).

Protocols differ. The usual one of StyleGAN2 (``ppl2_wend``) is W, ``sampling='end'`` (t = 0), the
whole image. Earlier ones measured the middle of a face. ``crop='tf'`` crops, then shrinks the crop
to 256 pixels, as the TensorFlow code does; ``crop='torch'`` takes the factor of the whole image, as
the PyTorch code does, so that at 1024 pixels the network sees 128. The values are not comparable.

Images are never rounded to 8 bits: with ``e = 10^-4`` most differences would vanish.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import paddle
import paddle.nn.functional as F

from pygan.errors import InputError
from pygan.metrics.extraction import Progress
from pygan.training.algorithm import DataSpec
from pygan.training.rng import StepRandom

SPACES = ("w", "z")
SAMPLINGS = ("end", "full")
CROPS = ("none", "tf", "torch")
SEEN = 256  # pixels that the distance is to see of an image
_PERCENTILES = (1, 99)

Distance = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


class PathLength(NamedTuple):
    """Mean of the lengths kept, and all of them [samples]."""

    mean: float
    lengths: np.ndarray


def perceptual_path_length(
    generator: Any,
    distance: Distance,
    *,
    space: str = "w",
    sampling: str = "end",
    crop: str = "none",
    epsilon: float = 1e-4,
    samples: int = 50000,
    batch: int = 8,
    seed: int = 0,
    data: Optional[DataSpec] = None,
    progress: Optional[Progress] = None,
) -> PathLength:
    """Perceptual path length of a generator with an intermediate latent space.

    Both ends of a step have the same noise and label; other steps have others. The result does not
    depend on the batch, but for the rounding of the networks.

    Args:
        generator: has ``z_dim``, ``mapping(z, labels)`` and ``synthesis(ws, noise)`` with
            ``noise_shapes``, as :class:`pygan.models.stylegan2.Generator`; its images are in
            [-1, 1]. Its weights should be of full precision.
        distance: of images [N, 3, H, W] and others, in [-1, 1], to [N].
        space: 'w', interpolated linearly, or 'z', on the sphere.
        sampling: 'end' for t = 0, 'full' for t from all of [0, 1).
        crop: 'none', 'tf' or 'torch': see the module.
        epsilon: length of a step in t.
        samples: steps.
        batch: steps at a time; the generator draws two images of each.
        seed: of codes, labels and noise.
        data: what the generator was trained on, where it needs labels.
        progress: is told how far it is.

    Raises:
        InputError: an argument is out of range, or the images are too small to crop.
    """
    for name, value, legal in (
        ("space", space, SPACES),
        ("sampling", sampling, SAMPLINGS),
        ("crop", crop, CROPS),
    ):
        if value not in legal:
            raise InputError(f"{name}: must be one of {', '.join(legal)}, got {value!r}")
    if samples < 1 or batch < 1 or not 0 < epsilon < 1:
        raise InputError(
            "a path length needs samples >= 1, batch >= 1 and 0 < epsilon < 1, got "
            f"{samples}, {batch} and {epsilon}"
        )
    parts = []
    for start in range(0, samples, batch):
        random = StepRandom(seed, "ppl", 0, range(start, min(start + batch, samples)))
        with paddle.no_grad():
            ends = _ends(generator, random, space, sampling, epsilon, data)
            images = _draw(generator, ends, random)
            first, second = paddle.split(prepare(images, crop), 2)
            found = distance(first, second).astype("float64").numpy().reshape(-1)
        parts.append(found / epsilon**2)
        if progress is not None:
            progress("path lengths", start + len(found), samples)
    lengths = np.concatenate(parts)
    if not np.isfinite(lengths).all():
        raise InputError("the path lengths are not finite: the generator draws NaN or infinity")
    return PathLength(trimmed_mean(lengths), lengths)


def trimmed_mean(lengths: np.ndarray) -> float:
    """Mean of what lies between the 1st and the 99th percentile, both inclusive.

    The percentiles are samples themselves: the one below the lower and the one above the upper.
    """
    low = np.percentile(lengths, _PERCENTILES[0], method="lower")
    high = np.percentile(lengths, _PERCENTILES[1], method="higher")
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Spherical interpolation of [N, d] at t [N, 1] along great circles, of unit length."""
    a, b = _unit(a), _unit(b)
    cosine = np.clip((a * b).sum(axis=1, keepdims=True), -1, 1)
    angle = t * np.arccos(cosine)
    return _unit(a * np.cos(angle) + _unit(b - cosine * a) * np.sin(angle))


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.square(x).sum(axis=1, keepdims=True))
    return x / np.maximum(length, np.finfo(np.float64).tiny)


def _ends(
    generator: Any,
    random: StepRandom,
    space: str,
    sampling: str,
    epsilon: float,
    data: Optional[DataSpec],
) -> paddle.Tensor:
    """Codes [2 N, num_ws, w_dim]: the starts of the steps, then their ends."""
    dtype = next(iter(generator.parameters())).dtype
    z = random.normal("z", [2, generator.z_dim]).astype(np.float64)
    t = random.uniform("t", [1]) if sampling == "full" else np.zeros([len(random), 1])
    labels = None if data is None else data.random_labels(random)
    both = None if labels is None else paddle.concat([labels, labels])
    if space == "z":
        steps = [slerp(z[:, 0], z[:, 1], t), slerp(z[:, 0], z[:, 1], t + epsilon)]
        return generator.mapping(paddle.to_tensor(np.concatenate(steps)).astype(dtype), both)
    codes = np.concatenate([z[:, 0], z[:, 1]])
    ws = generator.mapping(paddle.to_tensor(codes).astype(dtype), both).astype("float64")
    first, second = paddle.split(ws, 2)
    at = paddle.to_tensor(t).unsqueeze(-1)
    step = second - first
    return paddle.concat([first + step * at, first + step * (at + epsilon)]).astype(dtype)


def _draw(generator: Any, ws: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
    """Images [2 N, C, H, W]; both ends of a step have the same noise."""
    synthesis = generator.synthesis
    maps = random.normals("noise", [(1, h, w) for h, w in synthesis.noise_shapes])
    noise = [paddle.to_tensor(np.concatenate([part, part])).astype(ws.dtype) for part in maps]
    return synthesis(ws, noise=noise)


def prepare(images: paddle.Tensor, crop: str) -> paddle.Tensor:
    """RGB or grey images of about 256 pixels for the distance.

    Rows from 3/8 to 7/8 and columns from 2/8 to 6/8 are cropped; then squares of so many pixels
    are averaged that the shorter side is 256 to 511. RGBA is put on white.
    """
    if images.shape[1] == 4:
        alpha = (images[:, 3:] + 1) / 2
        images = images[:, :3] * alpha + (1 - alpha)
    if images.shape[1] not in (1, 3):
        raise InputError(f"a path length needs 1, 3 or 4 channels, got {images.shape[1]}")
    whole = min(images.shape[2:])
    if crop != "none":
        rows, columns = (size // 8 for size in images.shape[2:])
        if min(rows, columns) < 1:
            raise InputError(f"images of {list(images.shape[2:])} pixels are too small to crop")
        images = images[:, :, 3 * rows : 7 * rows, 2 * columns : 6 * columns]
    factor = (whole if crop == "torch" else min(images.shape[2:])) // SEEN
    return F.avg_pool2d(images, factor) if factor > 1 else images
