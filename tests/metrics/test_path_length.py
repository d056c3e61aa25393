"""Path lengths of generators whose lengths are known, and what the distance gets to see."""

from __future__ import annotations

from typing import Optional

import numpy as np
import paddle
import pytest
from paddle import nn

from pygan.errors import InputError
from pygan.metrics.path_length import (
    perceptual_path_length,
    prepare,
    slerp,
    trimmed_mean,
)
from pygan.models.stylegan2 import Generator
from pygan.training.algorithm import DataSpec


class Linear(nn.Layer):
    """w = z A, images = w B plus a fixed multiple of the noise; codes of two styles."""

    z_dim = 5

    def __init__(self, identity: bool = False) -> None:
        super().__init__()
        random = np.random.RandomState(0)
        self.a = self.create_parameter([5, 5], dtype="float64")
        self.a.set_value(np.eye(5) if identity else random.randn(5, 5))
        self.b = paddle.to_tensor(np.eye(5) if identity else random.randn(5, 4 * 5))
        self.labels: list[np.ndarray] = []
        self.synthesis = Synthesis(self.b)

    def mapping(self, z: paddle.Tensor, c: Optional[paddle.Tensor]) -> paddle.Tensor:
        if c is not None:
            self.labels.append(c.numpy())
        w = z @ self.a
        return paddle.stack([w, w], axis=1)


class Synthesis:
    noise_shapes = ((2, 3), (1, 1))

    def __init__(self, b: paddle.Tensor) -> None:
        self.b = b
        self.noise: list[np.ndarray] = []

    def __call__(self, ws: paddle.Tensor, noise: list[paddle.Tensor]) -> paddle.Tensor:
        self.noise.append(noise[0].numpy())
        images = (ws[:, 0] + ws[:, 1]) @ self.b / 2
        return images.reshape([ws.shape[0], 1, -1, 5]) + noise[1]


def square(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    return paddle.square(a - b).sum(axis=[1, 2, 3])


def codes(samples: int, seed: int = 0) -> np.ndarray:
    """The pairs of z that the measurement draws, [samples, 2, 5]."""
    from pygan.training.rng import StepRandom

    return StepRandom(seed, "ppl", 0, range(samples)).normal("z", [2, 5]).astype(np.float64)


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_in_w_of_a_linear_generator(sampling: str) -> None:
    """The length of a step is |(w2 - w1) B|^2, wherever it is."""
    generator = Linear()
    found = perceptual_path_length(generator, square, sampling=sampling, samples=50, batch=7)
    z = codes(50)
    step = (z[:, 1] - z[:, 0]) @ generator.a.numpy() @ generator.b.numpy()
    np.testing.assert_allclose(found.lengths, np.square(step).sum(axis=1), rtol=1e-7)
    assert found.mean == trimmed_mean(found.lengths)


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_in_z_of_the_identity(sampling: str) -> None:
    """A step along a great circle is as long as the angle between the codes."""
    found = perceptual_path_length(
        Linear(identity=True), square, space="z", sampling=sampling, samples=50, batch=8
    )
    z = codes(50)
    unit = z / np.linalg.norm(z, axis=2, keepdims=True)
    angle = np.arccos((unit[:, 0] * unit[:, 1]).sum(axis=1))
    np.testing.assert_allclose(found.lengths, np.square(angle), rtol=1e-6)


def test_full_sampling_leaves_the_end() -> None:
    """A quadratic generator: the length depends on where the step is."""

    class Quadratic(Linear):
        def mapping(self, z: paddle.Tensor, c: Optional[paddle.Tensor]) -> paddle.Tensor:
            w = z[:, :1] * paddle.ones([1, 5], dtype="float64")
            return paddle.stack([w, w], axis=1)

    generator = Quadratic(identity=True)
    generator.synthesis = lambda ws, noise: paddle.square(ws[:, 0]).reshape([-1, 1, 1, 5])
    generator.synthesis.noise_shapes = ()
    z = codes(40)[:, :, 0]
    step = z[:, 1] - z[:, 0]
    end = perceptual_path_length(generator, square, samples=40)
    np.testing.assert_allclose(end.lengths, 5 * (2 * z[:, 0] * step) ** 2, rtol=0.05, atol=1e-3)
    full = perceptual_path_length(generator, square, sampling="full", samples=40)
    expected = 5 * (2 * (z[:, 0] + step / 2) * step) ** 2  # at t = 1/2; t differs by sample
    assert np.corrcoef(full.lengths, end.lengths)[0, 1] < 0.99
    assert 0.3 < full.lengths.mean() / expected.mean() < 3


def test_both_ends_share_their_noise_and_label() -> None:
    generator, data = Linear(), DataSpec((1, 4, 5), (3, 1, 6))
    perceptual_path_length(generator, square, samples=9, batch=4, data=data)
    first, second = np.split(generator.synthesis.noise[0], 2)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (4, 1, 2, 3)
    assert np.abs(first[0] - first[1]).max() > 0.1
    assert np.abs(generator.synthesis.noise[1][0] - first[0]).max() > 0.1
    for labels in generator.labels:
        first, second = np.split(labels, 2)
        np.testing.assert_array_equal(first, second)
    assert len(set(np.concatenate(generator.labels).tolist())) > 1


def test_batches_do_not_matter_seeds_do() -> None:
    def lengths(batch: int, seed: int = 0) -> np.ndarray:
        return perceptual_path_length(
            Linear(), square, sampling="full", samples=10, batch=batch, seed=seed
        ).lengths

    np.testing.assert_allclose(lengths(1), lengths(10), rtol=1e-9)
    np.testing.assert_allclose(lengths(3), lengths(10), rtol=1e-9)
    assert np.abs(lengths(10, seed=1) - lengths(10)).max() > 0.1


def test_of_stylegan2() -> None:
    """float32: the step is some hundred units of rounding, so the lengths keep two digits."""
    paddle.seed(0)
    generator = Generator(resolution=(8, 16), z_dim=8, w_dim=8, c_dim=2, channel_max=8)
    arguments = {"samples": 12, "batch": 4, "data": DataSpec((3, 8, 16), (5, 5))}
    found = perceptual_path_length(generator, square, **arguments)
    assert np.isfinite(found.lengths).all()
    assert found.lengths.min() > 0
    rough = perceptual_path_length(generator, square, epsilon=1e-2, **arguments)
    np.testing.assert_allclose(found.lengths, rough.lengths, rtol=0.2)


def test_outer_percentiles_are_left_out() -> None:
    values = np.random.RandomState(0).permutation(1000).astype(float)
    # numpy's 1 % of 1000 samples lies at 9.99, its 99 % at 989.01.
    assert trimmed_mean(values) == np.arange(9, 991).mean()
    assert trimmed_mean(np.array([3.0])) == 3


def test_slerp_at_its_ends() -> None:
    a, b = np.random.RandomState(0).randn(2, 6, 4)
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    np.testing.assert_allclose(slerp(a, b, np.zeros([6, 1])), unit_a)
    np.testing.assert_allclose(slerp(a, b, np.ones([6, 1])), unit_b)
    middle = unit_a + unit_b
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    np.testing.assert_allclose(slerp(a, b, np.full([6, 1], 0.5)), middle)


@pytest.mark.parametrize(
    ("crop", "size", "factor"),
    [("none", 1024, 4), ("tf", 1024, 2), ("torch", 1024, 4), ("none", 300, 1), ("tf", 16, 1)],
)
def test_what_the_distance_sees(crop: str, size: int, factor: int) -> None:
    x = np.random.RandomState(0).rand(1, 1, size, size).astype(np.float32)
    expected = x[0, 0]
    if crop != "none":
        eighth = size // 8
        expected = expected[3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]
    side = len(expected) // factor
    expected = expected.reshape(side, factor, side, factor).mean(axis=(1, 3))
    found = prepare(paddle.to_tensor(x), crop).numpy()[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_transparent_images_are_put_on_white() -> None:
    x = np.random.RandomState(0).uniform(-1, 1, (2, 4, 3, 5))
    alpha = (x[:, 3:] + 1) / 2
    expected = ((x[:, :3] + 1) / 2 * alpha + (1 - alpha)) * 2 - 1
    np.testing.assert_allclose(prepare(paddle.to_tensor(x), "none").numpy(), expected)


def test_bad_input() -> None:
    generator = Linear()
    for option in ("space", "sampling", "crop"):
        with pytest.raises(InputError, match=f"{option}: must be one of .*, got 'x'"):
            perceptual_path_length(generator, square, **{option: "x"})
    with pytest.raises(InputError, match="samples >= 1"):
        perceptual_path_length(generator, square, samples=0)
    with pytest.raises(InputError, match="too small to crop"):
        perceptual_path_length(generator, square, crop="tf", samples=1)
    with pytest.raises(InputError, match="not finite"):
        perceptual_path_length(generator, lambda a, b: square(a, b) * float("nan"), samples=2)
    with pytest.raises(InputError, match="1, 3 or 4 channels, got 2"):
        prepare(paddle.zeros([1, 2, 4, 4]), "none")
