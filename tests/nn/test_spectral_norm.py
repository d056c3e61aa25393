"""Spectral normalisation against singular values from numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from gradcheck import check_gradients
from paddle import nn

from pygan.nn.spectral_norm import (
    SpectralConv2D,
    fold,
    hold,
    power_iteration,
    right_vector,
    spectral_layers,
)


def layer(out_channels=5, in_channels=3, k=3, seed=0, **options):
    made = SpectralConv2D(in_channels, out_channels, k, padding=k // 2, **options)
    made.to(dtype="float64")
    rng = np.random.default_rng(seed)
    made.weight_orig.set_value(rng.standard_normal(made.weight_orig.shape))
    return made


def images(n=2, channels=3, size=6, seed=1):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal((n, channels, size, size)))


def singular_values(weight):
    return np.linalg.svd(weight.numpy().reshape(len(weight), -1), compute_uv=False)


def test_sigma_approaches_the_largest_singular_value():
    conv = layer()
    largest = singular_values(conv.weight_orig)[0]
    for _ in range(60):
        power_iteration(conv)
    assert conv.sigma().item() == pytest.approx(largest, rel=1e-9)
    assert singular_values(conv.effective_weight())[0] == pytest.approx(1, rel=1e-9)


def test_one_step_is_the_formula():
    conv = layer()
    u, w = conv.weight_u.numpy(), conv.weight_orig.numpy().reshape(5, -1)
    v = w.T @ u / np.linalg.norm(w.T @ u)
    conv.iterate()
    np.testing.assert_allclose(conv.weight_v.numpy(), v, rtol=1e-12)
    np.testing.assert_allclose(conv.weight_u.numpy(), w @ v / np.linalg.norm(w @ v), rtol=1e-12)
    np.testing.assert_allclose(right_vector(w, u), v, rtol=1e-12)


def test_only_training_iterates_unless_held():
    conv, x = layer(), images()
    before = conv.weight_u.numpy()
    conv.eval()
    conv(x)
    np.testing.assert_array_equal(conv.weight_u.numpy(), before)
    conv.train()
    hold(conv)
    conv(x)
    np.testing.assert_array_equal(conv.weight_u.numpy(), before)
    conv.iterates = True
    conv(x)
    assert abs(conv.weight_u.numpy() - before).max() > 1e-3


def test_two_passes_before_one_backward_pass():
    conv, x = layer(), images()
    (conv(x) * conv(x)).sum().backward()
    assert conv.weight_orig.grad is not None


def test_gradients_with_constant_vectors():
    """W / (u^T W v), to second order, for every set of targets."""
    conv = layer()
    hold(conv)

    def f(weight, x):
        conv._parameters["weight_orig"] = weight
        return conv(x)

    check_gradients(f, conv.weight_orig.numpy(), images().numpy(), names=["weight", "x"])


def test_gradient_of_the_largest_singular_value():
    """Where u and v are the singular vectors, the gradient is that of W / sigma(W)."""
    conv = layer()
    for _ in range(200):
        power_iteration(conv)
    hold(conv)
    rng = np.random.default_rng(3)
    direction, target = rng.standard_normal((2, *conv.weight_orig.shape))
    (conv.effective_weight() * paddle.to_tensor(target)).sum().backward()
    weight = conv.weight_orig.numpy()

    def value(w):
        return (w / np.linalg.svd(w.reshape(5, -1), compute_uv=False)[0] * target).sum()

    eps = 1e-6
    slope = (value(weight + eps * direction) - value(weight - eps * direction)) / (2 * eps)
    assert (conv.weight_orig.grad.numpy() * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_folding_keeps_the_result():
    network = nn.Sequential(layer(), nn.ReLU(), layer(2, 5, 1, bias=False))
    for _ in range(3):
        power_iteration(network)
    network.eval()
    before = network(images())
    fold(network)
    fold(network)  # once and for all
    assert all(conv.folded for conv in spectral_layers(network))
    np.testing.assert_allclose(network(images()).numpy(), before.numpy(), rtol=1e-12)
    weight = network[0].weight_orig
    assert singular_values(weight)[0] == pytest.approx(1, rel=0.1)


def test_names_are_those_of_published_files():
    assert sorted(layer().state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
