"""The compositions of Paddle's own convolutions against the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from pygan.ops import (
    _native,
    conv2d,
    conv2d_resample,
    conv_transpose2d,
    modulated_conv2d,
    setup_filter,
    upfirdn2d,
)


def random(shape: list[int], seed: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape))


def agree(op: Any, *tensors: paddle.Tensor, **options: Any) -> None:
    composed = op(*tensors, **options, impl=_native.COMPOSED)
    np.testing.assert_allclose(
        composed.numpy(), op(*tensors, **options, impl="ref").numpy(), rtol=1e-9, atol=1e-11
    )


FILTERS = {
    "1-D": np.array([1.0, 2.0, 3.0, 5.0]),
    "2-D": np.arange(15.0).reshape(3, 5),
    "none": None,
}


@pytest.mark.parametrize("taps", FILTERS)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [(1, 1, [3, 2, 4, 1]), (1, 2, [2, 1, 2, 2]), ([3, 2], 1, [5, -1, 2, 3]), (2, [1, 3], [3, 4])],
)
def test_upfirdn2d(taps: str, flip: bool, up: Any, down: Any, padding: list[int]) -> None:
    options = {"up": up, "down": down, "padding": padding, "flip_filter": flip, "gain": 1.7}
    agree(upfirdn2d, random([2, 3, 7, 6], 0), FILTERS[taps], **options)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [(1, 0, 1), (2, [1, 2], 1), ([1, 3], 3, [2, 1])]
)
def test_convolutions(groups: int, stride: Any, padding: Any, dilation: Any) -> None:
    x, bias = random([2, 4, 9, 8], 1), random([6], 2)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    agree(conv2d, x, random([6, 4 // groups, 3, 2], 3), bias, **options)
    agree(conv_transpose2d, x, random([4, 6 // groups, 3, 4], 4), bias, **options)


def test_transposed_output_padding() -> None:
    x, w = random([1, 2, 4, 5], 5), random([2, 3, 2, 3], 6)
    agree(conv_transpose2d, x, w, stride=[3, 2], padding=[1, 0], output_padding=[2, 1])


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("flip_weight", [False, True])
@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [(1, 1, [2, 1, 0, 3]), (2, 1, 1), (1, 2, 1), (2, 2, [1, 2, 3, 2]), (3, 1, [2, -1, 2, 0])],
)
def test_resampled_convolutions(
    kernel: int, flip_weight: bool, up: int, down: int, padding: Any
) -> None:
    x, w = random([2, 4, 7, 6], 7), random([6, 2, kernel, kernel], 8)
    options = {"up": up, "down": down, "padding": padding, "flip_weight": flip_weight}
    for taps in ("1-D", "2-D"):
        f = setup_filter(FILTERS[taps], normalize=False)
        agree(
            conv2d_resample, x, w, f, groups=2, bias=random([6], 9), act="lrelu", clamp=2, **options
        )
    styles = random([2, 4], 10)
    agree(
        modulated_conv2d, x, random([6, 4, kernel, kernel], 8), styles, resample_filter=f, **options
    )
