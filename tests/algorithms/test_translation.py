"""Losses of image translation against numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from pygan.algorithms import translation
from pygan.training import make_condition


def tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[paddle.Tensor]:
    rng = np.random.default_rng(seed)
    made = [paddle.to_tensor(2 * rng.standard_normal(shape)) for shape in shapes]
    for tensor in made:
        tensor.stop_gradient = False
    return made


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("mode", translation.GAN_MODES)
def test_adversarial_losses(mode: str, real: bool) -> None:
    (logits,) = tensors((3, 1, 4, 5))
    x = logits.numpy()
    expected = {
        "hinge": np.maximum(0, 1 - x if real else 1 + x),
        "lsgan": (x - (1 if real else 0)) ** 2,
        "vanilla": np.log1p(np.exp(-x if real else x)),
    }[mode].mean()
    assert translation.discriminator_loss(mode, logits, real).item() == pytest.approx(expected)
    theirs = -x.mean() if mode == "hinge" else None
    if real:
        expected = expected if theirs is None else theirs
        assert translation.generator_loss(mode, logits).item() == pytest.approx(expected)


def test_feature_matching_leaves_out_the_logits_and_the_real_side() -> None:
    shapes = [(2, 3, 4, 4), (2, 5, 2, 2), (2, 1, 1, 1)]
    fake, real = ([tensors(*shapes, seed=s) for s in seeds] for seeds in ((0, 1), (2, 3)))
    loss = translation.feature_matching(fake, real)
    expected = sum(
        np.abs(fake[k][i].numpy() - real[k][i].numpy()).mean() for k in range(2) for i in range(2)
    )
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    for k in range(2):
        assert all(layer.grad is not None for layer in fake[k][:2])
        assert fake[k][2].grad is None
        assert all(layer.grad is None for layer in real[k])


def test_divergence_is_that_of_normal_distributions() -> None:
    """Against the mean of the logarithm of the ratio of densities, by quadrature."""
    mean, log_variance = tensors((2, 3), (2, 3))
    x = np.linspace(-60, 60, 400001)
    expected = np.zeros(2)
    for n in range(2):
        for m, v in zip(mean[n].numpy(), np.exp(log_variance[n].numpy())):
            log_p = -((x - m) ** 2) / (2 * v) - 0.5 * np.log(2 * np.pi * v)
            log_q = -(x**2) / 2 - 0.5 * np.log(2 * np.pi)
            expected[n] += (np.exp(log_p) * (log_p - log_q)).sum() * (x[1] - x[0])
    found = translation.divergence(mean, log_variance).item()
    assert found == pytest.approx(expected.mean(), rel=1e-6)


def test_network_input() -> None:
    labels = np.zeros((1, 2, 3), np.uint8)
    instances = np.array([[[1, 1, 2], [1, 1, 2]]], np.uint16)
    sources = np.full((1, 2, 2, 3), 255, np.uint8)
    ids, maps = translation.network_input(make_condition(labels, instances, sources), True)
    assert ids.dtype == paddle.int32
    assert maps.numpy()[0, :, 0].tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert translation.network_input(make_condition(labels, instances), False)[1] is None
    ids, maps = translation.network_input(make_condition(sources=sources), True)
    assert ids is None
    assert maps.shape == [1, 2, 2, 3]


def test_halves() -> None:
    layers = [tensors((4, 2, 3, 3), (4, 1, 1, 1)), tensors((4, 2, 1, 1))]
    first, second = translation.halves(layers)
    for k in range(2):
        for whole, a, b in zip(layers[k], first[k], second[k], strict=True):
            np.testing.assert_array_equal(np.concatenate([a.numpy(), b.numpy()]), whole.numpy())


def test_the_perceptual_network_is_chosen_of_those_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pygan.metrics.extractors as extractors

    for there, expected in [([], "none"), (["vgg16"], "vgg16"), (["vgg16", "vgg19"], "vgg19")]:
        monkeypatch.setattr(extractors, "installed", lambda there=there: there)
        assert translation.choose_perceptual("auto") == expected
    assert translation.choose_perceptual("none") == "none"
    assert translation.open_perceptual("none") is None


def test_perceptual_loss_takes_the_colours_of_four_channels() -> None:
    class Recorder:
        def distance(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
            return (a - b).abs().mean([1, 2, 3])

    (fakes,), (reals,) = tensors((2, 4, 2, 2)), tensors((2, 4, 2, 2), seed=1)
    found = translation.perceptual_loss(Recorder(), fakes, reals).item()  # type: ignore[arg-type]
    assert found == pytest.approx(np.abs(fakes.numpy() - reals.numpy())[:, :3].mean())
