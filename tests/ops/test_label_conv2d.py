"""label_conv2d: native and reference, against numpy and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from label_cases import (
    DTYPES,
    IMPLS,
    TOLERANCE,
    blobs,
    label_conv_gradient_oracle,
    label_conv_oracle,
)

from pygan.ops import label_conv2d
from tests.gradcheck import check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")

# Samples and size of the map, labels, outputs, kernel, stride, padding.
CASES: dict[str, tuple[Any, ...]] = {
    "3x3": ((2, 9, 13), 5, 7, (3, 3), (1, 1), (1, 1)),
    "vectors": ((1, 12, 40), 11, 48, (3, 3), (1, 1), (1, 1)),
    "7x7": ((1, 10, 11), 4, 3, (7, 7), (1, 1), (3, 3)),
    "4x4 of stride 2": ((2, 9, 12), 3, 17, (4, 4), (2, 2), (2, 2)),
    "oblong": ((1, 8, 21), 6, 5, (2, 5), (3, 1), (0, 4)),
    "1x1": ((3, 5, 4), 9, 20, (1, 1), (1, 1), (0, 0)),
    "one pixel": ((1, 1, 1), 2, 1, (3, 3), (1, 1), (1, 1)),
    "padding beyond the kernel": ((1, 3, 2), 2, 4, (2, 2), (1, 2), (4, 3)),
    "no label": ((2, 4, 4), 1, 3, (3, 3), (1, 1), (1, 1)),
}


def inputs(name: str) -> tuple[Any, ...]:
    shape, count, outputs, kernel, stride, padding = CASES[name]
    rng = np.random.default_rng(len(name))
    labels = blobs(rng, shape, count) if name != "no label" else np.full(shape, -1)
    weight = rng.standard_normal([outputs, count, *kernel])
    return labels, weight, rng.standard_normal(outputs), stride, padding


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_numpy(dtype: str, name: str, impl: str) -> None:
    labels, weight, bias, stride, padding = inputs(name)
    w, b = (paddle.to_tensor(a).astype(dtype) for a in (weight, bias))
    for with_bias in (False, True):
        y = label_conv2d(
            paddle.to_tensor(labels), w, b if with_bias else None,
            stride=stride, padding=padding, impl=impl,
        )  # fmt: skip
        wide = [t.astype("float64").numpy() for t in (w, b)]
        want = label_conv_oracle(labels, wide[0], wide[1] if with_bias else None, stride, padding)
        assert y.dtype == w.dtype
        assert y.shape == list(want.shape)
        error = np.abs(y.astype("float64").numpy() - want).max()
        assert error <= TOLERANCE[dtype] * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives(name: str, impl: str) -> None:
    labels, weight, bias, stride, padding = inputs(name)
    ids = paddle.to_tensor(labels)
    check_gradients(
        lambda w, b: label_conv2d(ids, w, b, stride=stride, padding=padding, impl=impl),
        weight, bias, names=["weight", "bias"],
    )  # fmt: skip
    check_gradients(
        lambda w: label_conv2d(ids, w, stride=stride, padding=padding, impl=impl), weight
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_equals_numpy(dtype: str, name: str, impl: str) -> None:
    labels, weight, bias, stride, padding = inputs(name)
    w, b = (paddle.to_tensor(a).astype(dtype) for a in (weight, bias))
    w.stop_gradient = b.stop_gradient = False
    y = label_conv2d(paddle.to_tensor(labels), w, b, stride=stride, padding=padding, impl=impl)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    cotangent = paddle.to_tensor(dy).astype(dtype)
    dw, db = paddle.grad([y], [w, b], grad_outputs=[cotangent])
    dy = cotangent.astype("float64").numpy()
    want = label_conv_gradient_oracle(labels, dy, weight.shape, stride, padding)
    for got, exact in ((dw, want), (db, dy.sum((0, 2, 3)))):
        assert got.dtype == w.dtype
        error = np.abs(got.astype("float64").numpy() - exact).max()
        assert error <= TOLERANCE[dtype] * max(1.0, np.abs(exact).max())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("ids", ["int32", "int64", "int16", "uint8"])
def test_types_of_labels(ids: str, impl: str) -> None:
    rng = np.random.default_rng(2)
    labels, weight = rng.integers(0, 200, [1, 6, 7]), rng.standard_normal([3, 200, 3, 3])
    tensor = paddle.to_tensor(labels.astype(ids))
    y = label_conv2d(tensor, paddle.to_tensor(weight), padding=1, impl=impl)
    want = label_conv_oracle(labels, weight, padding=(1, 1))
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
def test_views_and_other_dtypes_of_bias(impl: str) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(-1, 5, [2, 9, 14])
    weight, bias = rng.standard_normal([4, 5, 3, 3]), np.arange(4.0)
    view = paddle.to_tensor(np.pad(labels, [(0, 0), (0, 0), (1, 2)]))[:, :, 1:-2]
    w = paddle.to_tensor(np.ascontiguousarray(weight.transpose(2, 3, 1, 0))).transpose([3, 2, 0, 1])
    y = label_conv2d(view, w, paddle.to_tensor(bias, "float32"), padding=1, impl=impl)
    want = label_conv_oracle(labels, weight, bias, padding=(1, 1))
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    labels, weight, bias, stride, padding = inputs("3x3")
    ids = paddle.to_tensor(labels)
    check_retain_graph(
        lambda w, b: label_conv2d(ids, w, b, stride=stride, padding=padding, impl=impl) ** 2,
        weight, bias,
    )  # fmt: skip


@pytest.mark.parametrize("impl", IMPLS)
def test_no_samples(impl: str) -> None:
    y = label_conv2d(
        paddle.zeros([0, 5, 6], "int32"), paddle.ones([3, 2, 3, 3]), padding=1, stride=2, impl=impl
    )
    assert (y.shape, y.dtype) == ([0, 3, 3, 3], paddle.float32)


LABELS = paddle.to_tensor(np.arange(16).reshape([1, 4, 4]) % 3)
WEIGHT = paddle.ones([2, 3, 3, 3])


def with_label(value: int) -> paddle.Tensor:
    labels = np.zeros([2, 4, 5], np.int64)
    labels[1, 2, 3] = value
    return paddle.to_tensor(labels)


BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`labels` is a list; .* integers", {"labels": [1]}),
    (TypeError, "`labels` is .*float32; it must hold integers", {"labels": paddle.ones([1, 4, 4])}),
    (TypeError, "`labels` is .*bool", {"labels": LABELS == 1}),
    (ValueError, r"`labels` has shape \[1, 1, 4, 4\]; .*3 axes", {"labels": LABELS.unsqueeze(1)}),
    (
        ValueError,
        "`labels` has 3 at row 2, column 3 of sample 1; ids must be from 0 to 2, or -1",
        {"labels": with_label(3)},
    ),
    (ValueError, "`labels` has -2 at row 2, column 3 of sample 1", {"labels": with_label(-2)}),
    (ValueError, f"`labels` has {2**40} at row 2", {"labels": with_label(2**40)}),
    (TypeError, "`weight` is .*int32", {"weight": WEIGHT.astype("int32")}),
    (ValueError, r"`weight` has shape \[2, 3, 3\]; .*4 axes", {"weight": WEIGHT[..., 0]}),
    (ValueError, r"`weight` has shape .*at least one label", {"weight": paddle.ones([2, 0, 3, 3])}),
    (ValueError, r"`weight` has shape .*at least 1x1", {"weight": paddle.ones([2, 3, 0, 3])}),
    (ValueError, r"`bias` has shape \[3\]; it must be \[2\]", {"bias": paddle.ones([3])}),
    (TypeError, "`bias` is a float", {"bias": 1.0}),
    (ValueError, "`stride` is 0", {"stride": 0}),
    (ValueError, r"`padding` is \[1, -1\]", {"padding": [1, -1]}),
    (ValueError, "the kernel covers 3x3 pixels, but .* only 2x4", {"labels": LABELS[:, :2]}),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=message) as caught:
        label_conv2d(**{"labels": LABELS, "weight": WEIGHT, **arguments})
    assert str(caught.value).startswith("pygan.ops.label_conv2d: ")
