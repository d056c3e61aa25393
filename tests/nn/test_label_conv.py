"""LabelConv2D against the dense convolution of the planes that it does not make."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import paddle
import pytest

from pygan.nn import LabelConv2D, reflected
from tests.gradcheck import check_gradients

CASES: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 7, "padding": 3, "padding_mode": "reflect"},
    {"kernel_size": 4, "stride": 2, "padding": 2},
    {"kernel_size": [3, 2], "stride": [1, 2], "padding": [2, 0], "padding_mode": "reflect"},
    {"kernel_size": 1, "bias": False},
]


def dense(layer: LabelConv2D, labels: np.ndarray, extra: Optional[np.ndarray]) -> np.ndarray:
    """One-hot planes and the extra channels, padded and correlated by numpy in float64."""
    planes = (labels[:, None] == np.arange(layer.label_count)[:, None, None]).astype(float)
    if extra is not None:
        planes = np.concatenate([planes, extra], 1)
    (py, px), (sy, sx) = layer.padding, layer.stride
    mode = {"zeros": "constant", "reflect": "reflect"}[layer.padding_mode]
    planes = np.pad(planes, [(0, 0), (0, 0), (py, py), (px, px)], mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(planes, layer.kernel_size, (2, 3))
    weight = layer.weight.numpy().astype(float)
    y = np.einsum("nchwuv,ocuv->nohw", windows[:, :, ::sy, ::sx], weight)
    return y if layer.bias is None else y + layer.bias.numpy()[:, None, None]


@pytest.mark.parametrize("extra_channels", [0, 1, 3])
@pytest.mark.parametrize("options", CASES, ids=str)
def test_equals_the_dense_convolution(options: dict[str, Any], extra_channels: int) -> None:
    rng = np.random.default_rng(0)
    paddle.seed(1)
    layer = LabelConv2D(6, extra_channels, 5, **options)
    assert layer.weight.shape[:2] == [5, 6 + extra_channels]
    if layer.bias is not None:
        layer.bias.set_value(rng.standard_normal(5).astype("float32"))
    labels = rng.integers(-1, 6, [2, 8, 9])
    extra = rng.standard_normal([2, extra_channels, 8, 9]) if extra_channels else None
    given = None if extra is None else paddle.to_tensor(extra, "float32")
    y = layer(paddle.to_tensor(labels.astype("int32")), given)
    want = dense(layer, labels, extra)
    assert y.shape == list(want.shape)
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_gradients_reach_the_whole_weight_and_the_extra_channels(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    layer = LabelConv2D(3, 2, 4, **options)
    layer.to(dtype="float64")
    labels = paddle.to_tensor(rng.integers(-1, 3, [1, 6, 5]))
    weight, extra = rng.standard_normal(layer.weight.shape), rng.standard_normal([1, 2, 6, 5])

    def call(w: paddle.Tensor, e: paddle.Tensor) -> paddle.Tensor:
        # Parameters are replaced by what the test differentiates by.
        del layer._parameters["weight"]
        layer.weight = w
        try:
            return layer(labels, e)
        finally:
            del layer.weight
            layer.weight = layer.create_parameter(list(w.shape), dtype="float64")

    check_gradients(call, weight, extra, names=["weight", "extra"])


def test_reflection_is_numpys() -> None:
    x = np.arange(2 * 3 * 5).reshape([2, 3, 5])
    for reach in ([0, 0], [2, 0], [1, 4]):
        want = np.pad(x, [(0, 0), (reach[0],) * 2, (reach[1],) * 2], mode="reflect")
        np.testing.assert_array_equal(reflected(paddle.to_tensor(x), reach).numpy(), want)
    with pytest.raises(ValueError, match="`padding` is 3 on an axis of 3 pixels"):
        reflected(paddle.to_tensor(x), [3, 0])


def test_errors() -> None:
    with pytest.raises(ValueError, match="`padding_mode` is 'same'"):
        LabelConv2D(3, 0, 4, 3, padding_mode="same")
    with pytest.raises(ValueError, match="`label_count` is 0"):
        LabelConv2D(0, 1, 4, 3)
    layer = LabelConv2D(3, 1, 4, 3)
    with pytest.raises(ValueError, match="`extra` has 0 channels; this layer takes 1"):
        layer(paddle.zeros([1, 4, 4], "int32"))
