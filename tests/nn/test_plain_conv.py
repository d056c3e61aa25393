"""Plain convolution layers against scipy: borders, strides, activations, initial values."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from scipy.signal import convolve2d, correlate2d

from pygan.nn.plain_conv import PlainConv2D, PlainConvTranspose2D, reflect


def in_float64(layer, seed=0):
    """With a bias that is not zero."""
    layer.to(dtype="float64")
    rng = np.random.default_rng(seed)
    for p in layer.parameters():
        p.set_value(rng.standard_normal(p.shape))
    return layer


def correlate(x, w):
    def channel(sample, kernel):
        return sum(correlate2d(a, k, "valid") for a, k in zip(sample, kernel))

    return np.array([[channel(sample, kernel) for kernel in w] for sample in x])


def lrelu(u, alpha):
    return np.where(u > 0, u, alpha * u)


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge")]
)
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution(mode, numpy_mode, stride):
    paddle.seed(0)
    layer = in_float64(
        PlainConv2D(
            3, 4, 4, stride=stride, padding=2, padding_mode=mode, activation="lrelu", alpha=0.1
        )
    )
    x = np.random.default_rng(1).standard_normal((2, 3, 7, 5))
    padded = np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)], mode=numpy_mode)
    u = correlate(padded, layer.weight.numpy())[:, :, ::stride, ::stride]
    expected = lrelu(u + layer.bias.numpy()[:, None, None], 0.1)
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("k", "padding", "output_padding"), [(4, 1, 0), (3, 1, 1)])
def test_transposed_convolution_doubles_the_size(k, padding, output_padding):
    paddle.seed(0)
    layer = in_float64(
        PlainConvTranspose2D(
            3,
            2,
            k,
            stride=2,
            padding=padding,
            output_padding=output_padding,
            activation="tanh",
        )
    )
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    y = layer(paddle.to_tensor(x)).numpy()
    assert y.shape == (2, 2, 8, 10)
    spread = np.zeros((2, 3, 8, 10))
    spread[:, :, ::2, ::2] = x
    w = layer.weight.numpy()
    full = np.array(
        [[sum(convolve2d(s[i], w[i, o]) for i in range(3)) for o in range(2)] for s in spread]
    )
    u = full[:, :, padding : padding + 8, padding : padding + 10]
    expected = np.tanh(u + layer.bias.numpy()[:, None, None])
    np.testing.assert_allclose(y, expected, atol=1e-12)


def test_initial_values():
    paddle.seed(3)
    for layer in (PlainConv2D(32, 64, 4), PlainConvTranspose2D(32, 64, 4, stride=2, padding=1)):
        weight = layer.weight.numpy()
        assert abs(weight.mean()) < 5e-4
        assert weight.std() == pytest.approx(0.02, rel=0.02)
        assert not layer.bias.numpy().any()
    constant = paddle.nn.initializer.Constant(2.0)
    assert (PlainConv2D(1, 1, 3, initializer=constant).weight.numpy() == 2).all()
    assert PlainConv2D(1, 1, 3, bias=False).bias is None


def test_errors():
    with pytest.raises(ValueError, match="`padding_mode` is 'wrap'; it must be one of"):
        PlainConv2D(1, 1, 3, padding_mode="wrap")
    with pytest.raises(ValueError, match="both sides must be at least 4"):
        reflect(paddle.ones([1, 1, 3, 8]), 3)
