"""instance_mean and instance_edges: native and reference, against numpy."""

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
    instance_edges_oracle,
    instance_mean_oracle,
)

from pygan.ops import instance_edges, instance_mean
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")

SHAPES = [(2, 3, 9, 13), (1, 1, 1, 1), (3, 2, 1, 40), (1, 5, 33, 1), (2, 4, 20, 31)]


def instances_of(shape: tuple[int, ...], wild: bool) -> np.ndarray:
    """Regions with ids of a data set's kind, or any 64-bit numbers that are far apart."""
    rng = np.random.default_rng(sum(shape))
    ids = blobs(rng, (shape[0], *shape[2:]), 6)
    values = [-(2**63), 2**63 - 1, 0, -1, 26001, 2**32, 2**33]
    return np.array(values)[ids + 1] if wild else ids * 1000 + 24


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_mean_equals_numpy(dtype: str, shape: tuple[int, ...], impl: str) -> None:
    for wild in (False, True):
        ids = instances_of(shape, wild)
        x = paddle.to_tensor(np.random.default_rng(0).standard_normal(shape) + 3).astype(dtype)
        y = instance_mean(x, paddle.to_tensor(ids), impl=impl)
        want = instance_mean_oracle(x.astype("float64").numpy(), ids)
        assert y.dtype == x.dtype
        error = np.abs(y.astype("float64").numpy() - want).max()
        assert error <= TOLERANCE[dtype] * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("count", ["one", "every pixel"])
def test_mean_of_one_instance_and_of_single_pixels(count: str, impl: str) -> None:
    x = np.random.default_rng(1).standard_normal([2, 3, 17, 9])
    ids = np.full([2, 17, 9], 7) if count == "one" else np.arange(2 * 17 * 9).reshape([2, 17, 9])
    y = instance_mean(paddle.to_tensor(x), paddle.to_tensor(ids), impl=impl)
    want = x if count != "one" else np.broadcast_to(x.mean((2, 3), keepdims=True), x.shape)
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("impl", IMPLS)
def test_equal_ids_of_two_samples_are_two_instances(impl: str) -> None:
    x = paddle.to_tensor(np.array([1.0, 5.0]).reshape([2, 1, 1, 1]) * np.ones([2, 1, 3, 4]))
    y = instance_mean(x, paddle.ones([2, 3, 4], "int32"), impl=impl)
    np.testing.assert_array_equal(y.numpy(), x.numpy())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_derivatives_of_the_mean(shape: tuple[int, ...], impl: str) -> None:
    ids = paddle.to_tensor(instances_of(shape, False))
    x = np.random.default_rng(2).standard_normal(shape)
    check_gradients(lambda t: instance_mean(t, ids, impl=impl), x)


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    ids = paddle.to_tensor(instances_of((2, 3, 9, 13), False))
    x = np.random.default_rng(3).standard_normal([2, 3, 9, 13])
    check_retain_graph(lambda t: instance_mean(t, ids, impl=impl) ** 2, x)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_views(layout: str, impl: str) -> None:
    shape = (2, 3, 9, 13)
    ids, x = instances_of(shape, False), np.random.default_rng(4).standard_normal(shape)
    view = HARD_LAYOUTS[layout]
    y = instance_mean(view(x), view(ids), impl=impl)
    np.testing.assert_allclose(y.numpy(), instance_mean_oracle(x, ids), rtol=0, atol=1e-12)
    edges = instance_edges(view(ids), impl=impl)
    np.testing.assert_array_equal(edges.numpy(), instance_edges_oracle(ids))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_edges_equal_numpy(shape: tuple[int, ...], impl: str) -> None:
    for wild in (False, True):
        ids = instances_of(shape, wild)
        y = instance_edges(paddle.to_tensor(ids), impl=impl)
        assert (y.dtype, y.stop_gradient) == (paddle.float32, True)
        np.testing.assert_array_equal(y.numpy(), instance_edges_oracle(ids))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", ["int32", "int16", "int8", "uint8"])
def test_types_of_instances(dtype: str, impl: str) -> None:
    ids = blobs(np.random.default_rng(5), (1, 11, 12), 100)
    ids = np.abs(ids).astype(dtype)
    x = np.random.default_rng(6).standard_normal([1, 2, 11, 12])
    tensor = paddle.to_tensor(ids)
    y = instance_mean(paddle.to_tensor(x), tensor, impl=impl)
    np.testing.assert_allclose(y.numpy(), instance_mean_oracle(x, ids), rtol=0, atol=1e-12)
    edges = instance_edges(tensor, impl=impl)
    np.testing.assert_array_equal(edges.numpy(), instance_edges_oracle(ids))


@pytest.mark.parametrize("impl", IMPLS)
def test_no_samples(impl: str) -> None:
    ids = paddle.zeros([0, 4, 5], "int64")
    assert instance_mean(paddle.zeros([0, 3, 4, 5]), ids, impl=impl).shape == [0, 3, 4, 5]
    assert instance_edges(ids, impl=impl).shape == [0, 1, 4, 5]


X, IDS = paddle.ones([2, 3, 4, 5]), paddle.ones([2, 4, 5], "int32")
BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`x` is a ndarray", {"x": np.zeros([2, 3, 4, 5])}),
    (TypeError, "`x` is .*int32", {"x": X.astype("int32")}),
    (ValueError, r"`x` has shape \[3, 4, 5\]", {"x": X[0]}),
    (TypeError, "`instances` is .*float32; it must hold integers", {"instances": X[:, 0]}),
    (ValueError, r"`instances` has shape \[4, 5\]", {"instances": IDS[0]}),
    (ValueError, r"`instances` has shape \[2, 4, 4\]; it must be", {"instances": IDS[:, :, 1:]}),
    (ValueError, r"`instances` has shape \[1, 4, 5\]; it must be", {"instances": IDS[:1]}),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=message) as caught:
        instance_mean(**{"x": X, "instances": IDS, **arguments})
    assert str(caught.value).startswith("pygan.ops.instance_mean: ")


def test_errors_of_edges() -> None:
    with pytest.raises(TypeError, match=r"^pygan.ops.instance_edges: `instances` is .*float32"):
        instance_edges(X[:, 0])
    with pytest.raises(ValueError, match="`impl` is 'cuda'"):
        instance_edges(IDS, impl="cuda")
