"""BatchNorm and InstanceNorm against their formulas in numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from pygan.nn import BatchNorm, InstanceNorm
from tests.gradcheck import check_gradients


def normalised(x: np.ndarray, axes: tuple[int, ...], epsilon: float = 1e-5) -> np.ndarray:
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


def test_batch_norm_and_its_running_averages() -> None:
    rng = np.random.default_rng(0)
    layer = BatchNorm(3, activation="lrelu", momentum=0.25)
    weight, bias = rng.standard_normal([2, 3])
    layer.weight.set_value(weight.astype("float32"))
    layer.bias.set_value(bias.astype("float32"))
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = 2 * rng.standard_normal([2, 3, 4, 5]) + 1
        u = normalised(x, (0, 2, 3)) * weight[:, None, None] + bias[:, None, None]
        y = layer(paddle.to_tensor(x, "float32"))
        np.testing.assert_allclose(y.numpy(), np.where(u > 0, u, 0.2 * u), atol=2e-5)
        mean = 0.75 * mean + 0.25 * x.mean((0, 2, 3))
        variance = 0.75 * variance + 0.25 * x.var((0, 2, 3), ddof=1)
        np.testing.assert_allclose(layer.running_mean.numpy(), mean, atol=1e-6)
        np.testing.assert_allclose(layer.running_var.numpy(), variance, atol=1e-5)
    layer.eval()
    m, v, w, b = (t[:, None, None] for t in (mean, variance, weight, bias))
    u = (x - m) / np.sqrt(v + 1e-5) * w + b
    y = layer(paddle.to_tensor(x, "float32"))
    np.testing.assert_allclose(y.numpy(), np.where(u > 0, u, 0.2 * u), atol=2e-5)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, atol=1e-6)


def test_batch_statistics_in_evaluation_mode() -> None:
    x = np.random.default_rng(1).standard_normal([1, 2, 6, 6])
    layer = BatchNorm(2, batch_statistics_in_eval=True)
    layer.eval()
    y = layer(paddle.to_tensor(x, "float32"))
    np.testing.assert_allclose(y.numpy(), normalised(x, (0, 2, 3)), atol=2e-5)
    assert (layer.running_mean.numpy() == 0).all()
    assert (layer.running_var.numpy() == 1).all()


@pytest.mark.parametrize("training", [True, False])
def test_instance_norm(training: bool) -> None:
    x = np.random.default_rng(2).standard_normal([2, 3, 4, 5]) + 3
    plain, affine = InstanceNorm(3, activation="relu"), InstanceNorm(3, affine=True)
    for layer in (plain, affine):
        layer.training = training
        assert not dict(layer.named_buffers())
    want = normalised(x, (2, 3))
    t = paddle.to_tensor(x, "float32")
    np.testing.assert_allclose(plain(t).numpy(), np.maximum(want, 0), atol=2e-5)
    np.testing.assert_allclose(affine(t).numpy(), want, atol=2e-5)
    assert set(plain.state_dict()) == set()
    assert set(affine.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("kind", ["batch", "sync", "instance"])
def test_gradients(kind: str) -> None:
    layer = InstanceNorm(2) if kind == "instance" else BatchNorm(2, affine=False, kind=kind)
    x = np.random.default_rng(3).standard_normal([2, 2, 3, 3])
    check_gradients(layer, x, rtol=3e-6)


def test_gradients_of_weight_and_bias() -> None:
    layer = BatchNorm(2)
    rng = np.random.default_rng(4)
    x = rng.standard_normal([2, 2, 3, 3])
    r = rng.standard_normal(x.shape)
    (layer(paddle.to_tensor(x, "float32")) * paddle.to_tensor(r, "float32")).sum().backward()
    want = (r * normalised(x, (0, 2, 3))).sum((0, 2, 3))
    np.testing.assert_allclose(layer.weight.grad.numpy(), want, atol=1e-4)
    np.testing.assert_allclose(layer.bias.grad.numpy(), r.sum((0, 2, 3)), atol=1e-5)


def test_training_goes_on_before_the_gradient_of_an_evaluation() -> None:
    layer = BatchNorm(2)
    x = paddle.to_tensor(np.random.default_rng(5).standard_normal([2, 2, 3, 3]), "float32")
    x.stop_gradient = False
    layer.eval()
    y = layer(x)
    layer.train()
    layer(x.detach())
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.float32(1 / np.sqrt(1 + 1e-5)), rtol=1e-6)


def test_one_value_for_each_channel() -> None:
    layer = BatchNorm(2, activation="relu")
    assert (layer(paddle.ones([1, 2, 1, 1])).numpy() == 0).all()
    assert np.isfinite(layer.running_var.numpy()).all()


def test_half_precision_keeps_float32_averages() -> None:
    x = np.random.default_rng(6).standard_normal([2, 3, 8, 8])
    layer = BatchNorm(3)
    y = layer(paddle.to_tensor(x).astype("float16"))
    assert y.dtype == paddle.float16
    assert layer.running_mean.dtype == paddle.float32
    np.testing.assert_allclose(y.astype("float64").numpy(), normalised(x, (0, 2, 3)), atol=4e-3)


def test_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="BatchNorm: `kind` is 'layer'; it must be one of batch"):
        BatchNorm(3, kind="layer")
