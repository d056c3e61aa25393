"""Augmenting images, against numpy and scipy, in values and in derivatives."""

from __future__ import annotations

import dataclasses
from typing import Any

import augment_oracle as oracle
import numpy as np
import paddle
import pytest
from gradcheck import check_gradients

from pygan.nn import augment as augmentation
from pygan.nn.augment import (
    TRANSFORMS,
    AugmentParameters,
    AugmentSettings,
    apply,
    augment,
    sample,
)
from pygan.nn.augment_composition import octave_filters
from pygan.training import StepRandom

SHAPES = [(3, 16, 16), (1, 9, 12), (4, 13, 8), (3, 5, 1)]


def draw(
    settings: AugmentSettings, p: float, shape: tuple[int, int, int], count: int, seed: int = 0
) -> AugmentParameters:
    return sample(settings, p, shape, StepRandom(seed, "test", 0, range(count)))


def images(shape: tuple[int, int, int], count: int, dtype: str = "float64") -> np.ndarray:
    return np.random.RandomState(1).randn(count, *shape).astype(dtype)


@pytest.mark.parametrize("p", [0.15, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_everything_against_scipy(shape: tuple[int, int, int], p: float) -> None:
    x = images(shape, 8)
    parameters = draw(AugmentSettings.preset("bgcfnc"), p, shape, 8)
    y = apply(paddle.to_tensor(x), parameters).numpy()
    np.testing.assert_allclose(y, oracle.augmented(x, parameters), rtol=1e-10, atol=1e-11)
    assert (y != x).any(axis=(1, 2, 3)).all() or p < 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_transform_against_scipy(name: str) -> None:
    for shape in ((3, 12, 10), (1, 12, 10)):
        x = images(shape, 6)
        parameters = draw(AugmentSettings(**{name: 1.0}), 0.9, shape, 6)
        y = apply(paddle.to_tensor(x), parameters).numpy()
        np.testing.assert_allclose(y, oracle.augmented(x, parameters), rtol=1e-10, atol=1e-11)
        colored = shape[0] == 3 or name not in ("hue", "saturation")
        assert (y != x).any() == colored


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_other_types_agree_with_float64(dtype: str) -> None:
    x = paddle.to_tensor(images((3, 16, 12), 6, "float32")).astype(dtype)
    parameters = draw(AugmentSettings.preset("bgcfnc"), 0.7, (3, 16, 12), 6)
    y = apply(x, parameters)
    assert y.dtype == x.dtype
    expected = apply(x.astype("float64"), parameters).numpy()
    error = np.abs(y.astype("float64").numpy() - expected).max() / np.abs(expected).max()
    assert error < {"float32": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}[dtype]


@pytest.mark.parametrize("preset", ["bgc", "bgcfnc"])
def test_p_0_is_the_identity_bit_for_bit(preset: str) -> None:
    settings = AugmentSettings.preset(preset)
    random = StepRandom(0, "test", 0, range(3))
    for shape in SHAPES:
        for dtype in ("float32", "float64"):
            x = paddle.to_tensor(images(shape, 3, dtype))
            for y in (apply(x, draw(settings, 0.0, shape, 3)), augment(x, settings, 0.0, random)):
                np.testing.assert_array_equal(y.numpy(), x.numpy())


def test_images_that_nothing_applies_to_keep_their_bits_among_others() -> None:
    settings = AugmentSettings.preset("bgcfnc")
    parameters = draw(settings, 0.03, (3, 8, 8), 40)
    nothing = draw(settings, 0.0, (3, 8, 8), 40)
    same = np.ones(40, dtype=bool)
    for name, array in nothing.arrays().items():
        equal = getattr(parameters, name) == array
        same &= equal.reshape(40, -1).all(axis=1)
    assert 5 < same.sum() < 35
    x = images((3, 8, 8), 40, "float32")
    y = apply(paddle.to_tensor(x), parameters).numpy()
    np.testing.assert_array_equal(y[same], x[same])
    assert (y != x).any(axis=(1, 2, 3))[~same].all()


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 12), (4, 7, 9), (3, 1, 5)])
def test_flips_quarter_turns_and_whole_shifts_copy_pixels(shape: tuple[int, int, int]) -> None:
    parameters = draw(AugmentSettings.preset("blit"), 1.0, shape, 60)
    assert len(set(zip(parameters.xflip, parameters.rotate90))) == 8
    x = images(shape, 60, "float32")
    y = apply(paddle.to_tensor(x), parameters).numpy()
    for n in range(60):
        np.testing.assert_array_equal(y[n], oracle.blit(x[n], parameters, n))


def test_turns_and_shifts_go_where_the_docstring_says() -> None:
    nothing = draw(AugmentSettings(), 1.0, (1, 5, 5), 1)
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    for name, value, expected in (
        ("rotate90", np.array([1]), np.rot90(x[0, 0], -1)),
        ("xflip", np.array([True]), x[0, 0, :, ::-1]),
        ("xint", np.array([[1.0, 0.0]]), x[0, 0][:, [1, 0, 1, 2, 3]]),
        ("xint", np.array([[0.0, -2.0]]), x[0, 0][[2, 3, 4, 3, 2]]),
    ):
        parameters = dataclasses.replace(nothing, **{name: value})
        y = apply(paddle.to_tensor(x), parameters).numpy()[0, 0]
        np.testing.assert_array_equal(y, expected)
    for name in ("rotate_pre", "rotate_post", "hue"):  # hue does nothing to grey
        parameters = dataclasses.replace(nothing, **{name: np.array([np.pi / 2])})
        smooth = np.outer(np.arange(40) / 40, np.sin(np.arange(40) / 8) + 1)
        y = apply(paddle.to_tensor(smooth[None, None]), parameters).numpy()[0, 0]
        expected = smooth if name == "hue" else np.rot90(smooth, -1)
        np.testing.assert_allclose(y[2:-2, 2:-2], expected[2:-2, 2:-2], atol=0.02)
    # A zoom by 2 makes a spot in the middle larger.
    spot = np.zeros((1, 1, 33, 33))
    spot[0, 0, 14:19, 14:19] = 1
    for name, width, height in (("scale", 2, 2), ("aniso", 2, 0.5)):
        parameters = dataclasses.replace(nothing, **{name: np.array([2.0])})
        y = apply(paddle.to_tensor(spot), parameters).numpy()[0, 0]
        assert (y[16] > 0.5).sum() == pytest.approx(5 * width, abs=1)
        assert (y[10:23, 16] > 0.5).sum() == pytest.approx(5 * height, abs=1)


def test_alpha_is_moved_but_not_coloured() -> None:
    shape = (4, 9, 9)
    x = images(shape, 5)
    color = draw(AugmentSettings(brightness=1, hue=1, noise=1, cutout=1), 1.0, shape, 5)
    y = apply(paddle.to_tensor(x), color).numpy()
    np.testing.assert_array_equal(y[:, 3], x[:, 3])
    assert (y[:, :3] != x[:, :3]).any(axis=(1, 2, 3)).all()
    moved = draw(AugmentSettings(scale=1), 1.0, shape, 5)
    alone = apply(paddle.to_tensor(x[:, 3:]), moved).numpy()
    np.testing.assert_array_equal(apply(paddle.to_tensor(x), moved).numpy()[:, 3:], alone)


def test_operators_that_no_image_needs_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def watched(name: str, operator: Any) -> Any:
        def call(*args: Any) -> paddle.Tensor:
            called.append(name)
            return operator(*args)

        return call

    for name in ("warp", "image_filter", "color_transform"):
        monkeypatch.setattr(augmentation, name, watched(name, getattr(augmentation, name)))
    x = paddle.to_tensor(images((3, 6, 6), 3))
    for preset, expected in (
        ("geom", ["warp"]),
        ("blit", ["warp"]),
        ("color", ["color_transform"]),
        ("filter", ["image_filter"]),
        ("noise", ["color_transform"]),
        ("cutout", ["color_transform"]),
        ("bgcfnc", ["warp", "image_filter", "color_transform"]),
    ):
        called.clear()
        apply(x, draw(AugmentSettings.preset(preset), 1.0, (3, 6, 6), 3))
        assert called == expected
        called.clear()
        apply(x, draw(AugmentSettings.preset(preset), 0.0, (3, 6, 6), 3))
        assert called == []


def test_both_derivatives_through_the_whole_pipe() -> None:
    for shape in ((3, 6, 5), (1, 4, 7), (4, 5, 5)):
        parameters = draw(AugmentSettings.preset("bgcfnc"), 0.8, shape, 3)
        check_gradients(lambda x, q=parameters: apply(paddle.tanh(x), q), images(shape, 3))


def test_the_gradient_is_the_adjoint() -> None:
    shape, count = (3, 9, 14), 6
    parameters = draw(AugmentSettings.preset("bgcfnc"), 0.8, shape, count)
    a, b, dy = (np.random.RandomState(i).randn(count, *shape) for i in range(3))
    x = paddle.to_tensor(a, stop_gradient=False)
    y = apply(x, parameters)
    (dx,) = paddle.grad([y], [x], [paddle.to_tensor(dy)])
    moved = apply(paddle.to_tensor(a + b), parameters) - y  # affine: exactly linear in b
    left, right = float((dx * paddle.to_tensor(b)).sum()), float((moved * dy).sum())
    assert left == pytest.approx(right, rel=1e-10)


def test_an_r1_penalty_through_the_pipe_reaches_the_weights() -> None:
    """The penalty is on the gradient with respect to the image before augmentation."""
    shape, count = (3, 6, 6), 4
    settings = AugmentSettings.preset("bgc")
    parameters = draw(settings, 0.9, shape, count)
    weight = paddle.to_tensor(np.random.RandomState(2).randn(3 * 36, 1), stop_gradient=False)
    images_ = paddle.to_tensor(images(shape, count), stop_gradient=False)

    def penalty() -> paddle.Tensor:
        flat = apply(images_, parameters).reshape([count, -1])
        score = paddle.tanh(paddle.matmul(flat, weight) * 0.1)
        (gradient,) = paddle.grad([score.sum()], [images_], create_graph=True)
        return paddle.square(gradient).sum()

    penalty().backward()
    direction, h = np.random.RandomState(3).randn(*weight.shape), 1e-6
    value, slopes = weight.numpy(), []
    expected = float((weight.grad.numpy() * direction).sum())
    for sign in (1, -1):
        weight.set_value(value + sign * h * direction)
        slopes.append(float(penalty()))
    assert (slopes[0] - slopes[1]) / (2 * h) == pytest.approx(expected, rel=1e-6)


def test_results_do_not_depend_on_the_split_of_the_batch() -> None:
    shape = (3, 11, 8)
    settings = AugmentSettings.preset("bgcfnc")
    x = images(shape, 8, "float32")
    whole = augment(paddle.to_tensor(x), settings, 0.6, StepRandom(4, "s", 2, range(8))).numpy()
    for part in ([0, 2, 4, 6], [1, 3, 5, 7], [3]):
        random = StepRandom(4, "s", 2, part)
        y = augment(paddle.to_tensor(x[part]), settings, 0.6, random).numpy()
        # The reference of the operators multiplies matrices, which round as the batch suits them.
        np.testing.assert_allclose(y, whole[part], rtol=1e-5, atol=1e-6)


def test_the_octaves_are_those_of_the_filter_bank() -> None:
    bank = octave_filters()
    assert bank.shape == (4, 43)
    np.testing.assert_allclose(bank, oracle.octaves(), atol=1e-11)
    np.testing.assert_allclose(bank.sum(axis=1), [1, 0, 0, 0], atol=1e-15)
    np.testing.assert_allclose(bank.sum(axis=0), np.arange(43) == 21, atol=1e-15)
    np.testing.assert_allclose(bank, bank[:, ::-1], atol=1e-16)
    # Each passes its own octave best, in the middle of it.
    frequency = np.array([1 / 32, 3 / 32, 3 / 16, 3 / 8])
    response = bank @ np.cos(2 * np.pi * np.outer(np.arange(-21, 22), frequency))
    assert response.argmax(axis=0).tolist() == [0, 1, 2, 3]


def test_what_does_not_fit_together_is_named() -> None:
    parameters = draw(AugmentSettings.preset("noise"), 1.0, (3, 6, 6), 2)
    with pytest.raises(ValueError, match=r"has shape \[3, 3, 6, 6\]; the parameters are for \[2, "):
        apply(paddle.zeros([3, 3, 6, 6]), parameters)
    with pytest.raises(ValueError, match=r"need \[2, 3, 5, 6\]"):
        apply(paddle.zeros([2, 3, 5, 6]), parameters)
