"""Shared layers against numpy."""

import numpy as np
import paddle
import pytest
from scipy.signal import convolve2d

from pygan.nn import (
    Conv2dLayer,
    FullyConnectedLayer,
    activation_gain,
    is_homogeneous,
    minibatch_stddev,
    normalize_2nd_moment,
)
from pygan.ops import bias_act


@pytest.fixture(autouse=True)
def _seed():
    paddle.seed(5)


def lrelu(x):
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize("bias", [True, False])
def test_fully_connected_layer(lr_multiplier, bias):
    args = {"bias": bias, "lr_multiplier": lr_multiplier, "bias_init": 0.5}
    x = paddle.randn([3, 7])
    for activation, act in (("linear", lambda v: v), ("lrelu", lrelu)):
        layer = FullyConnectedLayer(7, 4, activation=activation, **args)
        assert layer.weight.shape == [4, 7]
        expected = x.numpy() @ layer.weight.numpy().T * lr_multiplier / np.sqrt(7)
        if bias:
            assert (layer.bias.numpy() == 0.5).all()
            expected = expected + 0.5 * lr_multiplier
        np.testing.assert_allclose(layer(x).numpy(), act(expected), rtol=1e-4, atol=1e-6)


def test_fully_connected_layer_keeps_unit_variance():
    for lr_multiplier in (1.0, 0.01):
        layer = FullyConnectedLayer(400, 500, lr_multiplier=lr_multiplier)
        assert float(layer(paddle.randn([20, 400])).std()) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("activation", ["linear", "lrelu", "relu", "tanh", "swish", "softplus"])
def test_convolution_gain_reaches_weight_and_not_bias(activation):
    layer = Conv2dLayer(3, 4, 1, activation=activation)
    layer.bias.set_value(paddle.randn([4]))
    x = paddle.randn([2, 3, 5, 6])
    y = np.einsum("nihw,oi->nohw", x.numpy(), layer.weight.numpy()[:, :, 0, 0]) / np.sqrt(3)
    y = paddle.to_tensor(y + layer.bias.numpy()[:, None, None])
    expected = bias_act(y, act=activation).numpy()
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(x, gain=0.5).numpy(), expected / 2, rtol=1e-4, atol=1e-5)


def test_convolution_clamp_scales_with_the_gain():
    layer = Conv2dLayer(3, 4, 3, activation="lrelu", conv_clamp=0.25)
    x = paddle.randn([2, 3, 6, 6]) * 10
    assert float(layer(x).abs().max()) == 0.25
    assert float(layer(x, gain=0.5).abs().max()) == 0.125


@pytest.mark.parametrize(("up", "down", "size"), [(1, 1, (6, 8)), (2, 1, (12, 16)), (1, 2, (3, 4))])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_convolution_sizes(up, down, size, kernel_size):
    layer = Conv2dLayer(3, 4, kernel_size, up=up, down=down)
    assert layer(paddle.randn([2, 3, 6, 8])).shape == [2, 4, *size]
    assert set(layer.state_dict()) == {"weight", "bias"}  # filters are not part of a checkpoint


def test_upsampling_convolution_stores_its_kernel_flipped():
    layer = Conv2dLayer(2, 3, 3, up=2, resample_filter=(1,))
    layer.to(dtype="float64")
    layer.bias.set_value(paddle.randn([3], dtype="float64"))
    x = np.random.default_rng(3).standard_normal((1, 2, 4, 5))
    spread = np.zeros((2, 8, 10))
    spread[:, ::2, ::2] = 4 * x[0]  # the filter's gain, up^2
    spread = np.pad(spread, ((0, 0), (2, 0), (2, 0)))
    weight = layer.weight.numpy() / np.sqrt(2 * 9)
    for o, bias in enumerate(layer.bias.numpy()):
        expected = bias + sum(convolve2d(spread[i], weight[o, i], "valid") for i in range(2))
        actual = layer(paddle.to_tensor(x))[0, o].numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "act", ["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]
)
def test_activation_facts_are_those_of_the_operator(act):
    x = paddle.linspace(-2, 2, 9, dtype="float64").reshape([1, 9])
    default, plain = bias_act(x, act=act), bias_act(x, act=act, gain=1)
    np.testing.assert_allclose(default.numpy(), plain.numpy() * activation_gain(act), rtol=1e-12)
    scaled = bias_act(x * 3, act=act, gain=1).numpy()
    assert np.allclose(scaled, plain.numpy() * 3, rtol=1e-12) == is_homogeneous(act)


def test_normalize_2nd_moment():
    x = np.random.default_rng(0).standard_normal((3, 5, 2))
    for axis in (0, 1, 2):
        expected = x / np.sqrt((x**2).mean(axis=axis, keepdims=True) + 1e-8)
        actual = normalize_2nd_moment(paddle.to_tensor(x), axis=axis)
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)
    zero = normalize_2nd_moment(paddle.zeros([2, 4]))
    assert (zero.numpy() == 0).all()


@pytest.mark.parametrize(
    ("n", "group_size", "num_channels"), [(8, 4, 1), (6, 2, 3), (4, 8, 2), (6, None, 1), (4, 1, 1)]
)
def test_minibatch_stddev(n, group_size, num_channels):
    x = np.random.default_rng(1).standard_normal((n, 6, 2, 3))
    y = minibatch_stddev(paddle.to_tensor(x), group_size, num_channels).numpy()
    assert y.shape == (n, 6 + num_channels, 2, 3)
    np.testing.assert_array_equal(y[:, :6], x)
    groups = n // min(group_size or n, n)
    width = 6 // num_channels
    for i in range(n):
        members = np.array([x[m] for m in range(n) if m % groups == i % groups])
        for f in range(num_channels):
            part = members[:, f * width : (f + 1) * width]
            expected = np.sqrt(part.var(axis=0) + 1e-8).mean()
            np.testing.assert_allclose(
                y[i, 6 + f], np.full((2, 3), expected), rtol=1e-12, atol=1e-11
            )


def test_minibatch_stddev_groups_are_strided():
    """Changing one sample changes the statistic of its group n mod (N / G) and no other."""
    x = np.random.default_rng(2).standard_normal((8, 3, 2, 2))
    before = minibatch_stddev(paddle.to_tensor(x), 4).numpy()[:, 3, 0, 0]
    x[3] += 1.0 + x[3]
    after = minibatch_stddev(paddle.to_tensor(x), 4).numpy()[:, 3, 0, 0]
    np.testing.assert_array_equal(before != after, np.arange(8) % 2 == 1)


@pytest.mark.parametrize(("group_size", "num_channels"), [(4, 1), (2, 4), (2, 0)])
def test_minibatch_stddev_rejects_what_does_not_divide(group_size, num_channels):
    with pytest.raises(ValueError, match="minibatch_stddev"):
        minibatch_stddev(paddle.zeros([6, 6, 2, 2]), group_size, num_channels)
