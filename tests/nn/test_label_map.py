"""Label maps at other resolutions, against numpy and dense planes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from pygan.nn.label_map import (
    MapPyramid,
    apply_first,
    first_conv,
    halve,
    halved,
    halved_one_hot,
    resize_nearest,
)

SIZES = [(1, 1), (2, 3), (8, 8), (7, 10)]


def labels(n, count, size, seed=0):
    return np.random.default_rng(seed).integers(-1, count, (n, *size)).astype("int32")


def one_hot(ids, count):
    return (ids[:, None] == np.arange(count)[None, :, None, None]).astype("float64")


@pytest.mark.parametrize("target", [(4, 5), (3, 2), (7, 10), (14, 20), (1, 1)])
def test_resize_nearest(target):
    ids = labels(2, 5, (7, 10))
    found = resize_nearest(paddle.to_tensor(ids), target).numpy()
    assert found.dtype == np.int32
    for i in range(target[0]):
        for j in range(target[1]):
            expected = ids[:, i * 7 // target[0], j * 10 // target[1]]
            np.testing.assert_array_equal(found[:, i, j], expected)


def test_a_pyramid_makes_each_level_once():
    ids, maps = paddle.to_tensor(labels(1, 3, (8, 8))), paddle.rand([1, 2, 8, 8])
    pyramid = MapPyramid(ids, maps)
    assert pyramid.at((8, 8))[0] is ids
    small, extra = pyramid.at((4, 2))
    assert pyramid.at((4, 2))[0] is small
    np.testing.assert_array_equal(extra.numpy(), maps.numpy()[:, :, ::2, ::4])
    assert MapPyramid(ids, None).at((2, 2))[1] is None


@pytest.mark.parametrize("size", SIZES)
def test_halving_without_planes(size):
    ids = labels(2, 4, size)
    planes = paddle.to_tensor(one_hot(ids, 4))
    expected = halve(planes).numpy()
    found = halved_one_hot(paddle.to_tensor(ids), 4, paddle.float64)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    assert expected.shape == (2, 4, rows, columns)
    for i in range(rows):  # means by hand, windows cut at the border
        part = slice(max(2 * i - 1, 0), 2 * i + 2)
        np.testing.assert_allclose(
            expected[:, :, i, 0], one_hot(ids, 4)[:, :, part, 0:2].mean((2, 3)), atol=1e-12
        )


def test_halving_passes_gradients_to_maps_twice():
    ids = paddle.to_tensor(labels(1, 3, (6, 6)))
    maps = paddle.rand([1, 2, 6, 6], dtype="float64")
    maps.stop_gradient = False
    dense = halved(ids, maps, 3)
    assert dense.shape == [1, 5, 3, 3]
    (gradient,) = paddle.grad([paddle.square(dense).sum()], [maps], create_graph=True)
    paddle.square(gradient).sum().backward()
    assert abs(maps.grad).min().item() > 0


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("count", [0, 3])
def test_a_first_convolution_takes_labels_or_dense_maps(mode, count):
    layer = first_conv(count, 2, 4, 3, stride=2, padding=1, padding_mode=mode)
    layer.to(dtype="float64")
    maps = np.random.default_rng(1).standard_normal((2, 2, 6, 7))
    ids = labels(2, 3, (6, 7))
    planes = np.concatenate([one_hot(ids, 3), maps], axis=1) if count else maps
    dense = apply_first(layer, None, paddle.to_tensor(planes))
    plain = nn.Conv2D(count + 2, 4, 3, stride=2, padding=1, padding_mode=mode)
    plain.to(dtype="float64")
    plain.set_state_dict(layer.state_dict())
    expected = plain(paddle.to_tensor(planes)).numpy()
    np.testing.assert_allclose(dense.numpy(), expected, atol=1e-12)
    if count:
        by_labels = apply_first(layer, paddle.to_tensor(ids), paddle.to_tensor(maps))
        np.testing.assert_allclose(by_labels.numpy(), expected, atol=1e-12)
