"""Distances of images for projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.apps.perceptual import PREFERENCE, Distance, PixelPyramid, find_distance, psnr
from pygan.errors import InputError
from pygan.metrics.extractors import PERCEPTUAL


def images(*shape: int) -> np.ndarray:
    return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def halve(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))


@pytest.mark.parametrize(
    ("shape", "levels"), [((2, 3, 16, 16), 3), ((1, 1, 24, 8), 2), ((3, 4, 5, 6), 1)]
)
def test_pyramid_is_the_mean_over_resolutions(shape: tuple[int, ...], levels: int) -> None:
    a, b = images(2, *shape)
    found = PixelPyramid().distance(paddle.to_tensor(a), paddle.to_tensor(b)).numpy()
    a, b, terms = a.astype(np.float64), b.astype(np.float64), []
    for level in range(levels):
        if level > 0:
            a, b = halve(a), halve(b)
        terms.append(np.square(a - b).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(found, np.mean(terms, axis=0), rtol=1e-5)


class Spy:
    """A network that keeps what it sees; its distance is the mean squared difference."""

    def __init__(self, embeds: bool) -> None:
        self.seen: list[np.ndarray] = []
        if embeds:
            self.embed = self._embed

    def _embed(self, images: paddle.Tensor) -> paddle.Tensor:
        self.seen.append(images.numpy())
        return images.flatten(1) / float(np.sqrt(np.prod(images.shape[1:])))

    def distance(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        self.seen += [b.numpy(), a.numpy()]
        return paddle.square(a - b).mean(axis=[1, 2, 3])


@pytest.mark.parametrize("embeds", [True, False])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_networks_see_rgb_on_black_and_on_white(embeds: bool, count: int, channels: int) -> None:
    spy = Spy(embeds)
    a, b = images(count, channels, 32, 40), -images(1, channels, 32, 40)
    found = Distance("spy", spy).to(paddle.to_tensor(b))(paddle.to_tensor(a))

    def views(x: np.ndarray) -> np.ndarray:
        if channels in (2, 4):
            alpha = (x[:, -1:] + 1) / 2
            on = [x[:, :-1] * alpha + ground * (1 - alpha) for ground in (-1, 1)]
            x = np.concatenate(on)
        return np.repeat(x, 3, axis=1) if x.shape[1] == 1 else x

    expected = np.repeat(views(b), 1 if embeds else count, axis=0)
    np.testing.assert_allclose(spy.seen[0], expected, atol=1e-6)
    np.testing.assert_allclose(spy.seen[1], views(a), atol=1e-6)
    difference = views(a) - np.repeat(views(b), count, axis=0)
    np.testing.assert_allclose(float(found), np.square(difference).mean(), rtol=1e-5)


def test_networks_see_at_most_256_and_at_least_32_pixels() -> None:
    spy = Spy(embeds=False)
    large, small = images(1, 3, 520, 260), images(1, 3, 16, 24)
    Distance("spy", spy).to(paddle.to_tensor(large))(paddle.to_tensor(large))
    expected = large[:, :, :519, :258].reshape(1, 3, 173, 3, 86, 3).mean(axis=(3, 5))
    np.testing.assert_allclose(spy.seen[0], expected, atol=1e-6)
    Distance("spy", spy).to(paddle.to_tensor(small))(paddle.to_tensor(small))
    np.testing.assert_array_equal(spy.seen[-1], small.repeat(2, axis=2).repeat(2, axis=3))


def test_distance_of_pixels_of_files() -> None:
    a = np.zeros((3, 8, 8), np.uint8)
    b = np.full((3, 8, 8), 255, np.uint8)
    assert find_distance("pixels").between(a, b) == pytest.approx(4)
    assert find_distance("pixels").between(b, b) == 0


def test_psnr() -> None:
    a = np.full((3, 4, 4), 100, np.uint8)
    assert psnr(a, a) == np.inf
    assert psnr(a + np.uint8(5), a) == pytest.approx(20 * np.log10(255 / 5))
    hidden = np.concatenate([a, np.zeros((1, 4, 4), np.uint8)])
    other = np.concatenate([a * 0, np.zeros((1, 4, 4), np.uint8)])
    assert psnr(hidden, other) == np.inf


def test_the_best_that_is_installed_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    from pygan.metrics import extractors

    assert set(PREFERENCE) <= set(PERCEPTUAL)
    monkeypatch.setattr(extractors, "find_perceptual", lambda name: name)
    for have, expected in [
        (["inception-2015", "vgg16", "vgg16-unit", "stlpips-alex"], "vgg16-unit"),
        (["stlpips-alex", "stlpips-vgg", "vgg16-unit"], "stlpips-vgg"),
        (list(PERCEPTUAL), "lpips-vgg"),
    ]:
        monkeypatch.setattr(extractors, "installed", lambda have=have: have)
        assert find_distance().name == expected
    assert find_distance("stlpips-alex").name == "stlpips-alex"


def test_errors_tell_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pygan.metrics.extractors.catalogue import CATALOGUE

    for weights in CATALOGUE.values():
        monkeypatch.delenv(weights.variable, raising=False)
    monkeypatch.setenv("PYGAN_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"'pygan weights get stlpips-vgg'.*--perceptual pixels"):
        find_distance()
    with pytest.raises(InputError, match="pygan weights get stlpips-vgg"):
        find_distance("stlpips-vgg")
    with pytest.raises(
        InputError, match=r"--perceptual: 'lpips' is unknown; choose from: .*pixels"
    ):
        find_distance("lpips")


@pytest.mark.parametrize("name", PREFERENCE)
def test_installed_networks_measure(name: str) -> None:
    from pygan.metrics.extractors import find_perceptual, installed

    if name not in installed():
        pytest.skip(f"{name} is not installed")
    a, b = paddle.to_tensor(images(1, 3, 64, 48)), paddle.to_tensor(-images(1, 3, 64, 48))
    expected: Any = find_perceptual(name).distance(a, b)
    a.stop_gradient = False
    found = find_distance(name).to(b)(a)
    np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-3)
    found.backward()
    assert float(a.grad.abs().max()) > 0
