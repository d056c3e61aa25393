"""Arguments that do not fit are refused in Python, with the argument's name and what is legal.

What reaches C++ unchecked surfaces as OSError, or ends the process; none of these may.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.ops import (
    conv2d,
    conv2d_resample,
    conv_transpose2d,
    downsample2d,
    filter2d,
    modulated_conv2d,
    setup_filter,
    upfirdn2d,
    upsample2d,
)

IMPLS = ["native", "ref"]
pytestmark = pytest.mark.usefixtures("needs_native")


def trainable(*shape: int) -> paddle.Tensor:
    t = paddle.ones(shape)
    t.stop_gradient = False
    return t


def refused(function: Any, error: type[Exception], message: str, **arguments: Any) -> None:
    with pytest.raises(error, match=message) as caught:
        function(**arguments)
    assert str(caught.value).startswith(f"pygan.ops.{function.__name__}: ")


CONVOLUTION = [
    (ValueError, r"`stride` is 1.5; it must be an integer >= 1 or two", {"stride": 1.5}),
    (ValueError, r"`stride` is None", {"stride": None}),
    (ValueError, r"`stride` is \[1, 2, 3\]", {"stride": [1, 2, 3]}),
    (ValueError, r"`stride` is True", {"stride": True}),
    (ValueError, r"`dilation` is \[1, 0\]", {"dilation": [1, 0]}),
    (ValueError, r"`padding` is 'same'", {"padding": "same"}),
    (ValueError, r"`padding` is -1", {"padding": -1}),
    (ValueError, r"`padding` is 2147483648; .*, below 2\*\*31", {"padding": 2**31}),
    (ValueError, r"`groups` is 3; .* divides", {"groups": 3}),
    (ValueError, r"`groups` is 1.0; .* divides", {"groups": 1.0}),
    (ValueError, r"`groups` is \[1\]; .* divides", {"groups": [1]}),
    (TypeError, r"`bias` is a ndarray; it must be a paddle.Tensor", {"bias": np.zeros(4)}),
    (ValueError, r"`bias` has shape \[4, 1\]; it must have 1 axes", {"bias": paddle.ones([4, 1])}),
    (TypeError, r"`w` is a list; it must be a paddle.Tensor", {"w": [[1.0]]}),
    (ValueError, r"`w` has shape .*; .* at least 1x1", {"w": paddle.ones([4, 4, 0, 3])}),
    (TypeError, r"`x` is a NoneType", {"x": None}),
]  # fmt: skip


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("error", "message", "change"), CONVOLUTION)
@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_convolutions(
    function: Any, error: type[Exception], message: str, change: dict[str, Any], impl: str
) -> None:
    arguments = {"x": paddle.ones([2, 4, 5, 6]), "w": paddle.ones([4, 4, 3, 3]), "impl": impl}
    refused(function, error, message, **{**arguments, **change})


def test_sizes_that_cannot_be_counted() -> None:
    x, w = paddle.ones([1, 1, 4, 4]), paddle.ones([1, 1, 3, 3])
    large = 2**31 - 1
    message = r"the padded input is 4294967298x4 pixels; each side must be below 2\*\*31"
    refused(conv2d, ValueError, message, x=x, w=w, padding=[large, 0], stride=large)
    message = r"the output is 6442450944x6442450942 pixels"
    refused(conv_transpose2d, ValueError, message, x=x, w=w, stride=large, padding=[0, 1])
    message = r"the upsampled and padded input is 858993458.x858993458. pixels"
    refused(conv2d_resample, ValueError, message, x=x, w=w, up=large)
    message = r"the upsampled and padded height is 858993458. pixels"
    refused(upfirdn2d, ValueError, message, x=x, f=None, up=large, down=large)


RESAMPLING = [
    (TypeError, r"`{f}` is list; make a filter with pygan.ops.setup_filter", {"f": [1.0, 3.0]}),
    (TypeError, r"`{f}` holds int64", {"f": paddle.ones([4], "int64")}),
    (ValueError, r"`{f}` has shape \[0\]; it must hold at least one tap", {"f": paddle.ones([0])}),
    (ValueError, r"`{f}` has shape \[4, 0\]", {"f": paddle.ones([4, 0])}),
    (ValueError, r"`{f}` has shape \[\]", {"f": paddle.ones([])}),
    (ValueError, r"`{f}` requires a gradient", {"f": trainable(4)}),
    (ValueError, r"`up` is 1.5; it must be an integer >= 1", {"up": 1.5}),
    (ValueError, r"`up` is \[2, 2\]", {"up": [2, 2]}),
    (ValueError, r"`down` is 2147483648; .*, below 2\*\*31", {"down": 2**31}),
    (ValueError, r"`padding` is nan; it must be an integer, \[x, y\]", {"padding": math.nan}),
    (ValueError, r"`padding` is 'ab'", {"padding": "ab"}),
    (ValueError, r"the padded input has only", {"padding": -9}),
    (ValueError, r"`{w}` has shape \[4, 4, 3, 0\]", {"w": paddle.ones([4, 4, 3, 0])}),
    (ValueError, r"`{w}` has shape .* expects 5 input channels", {"w": paddle.ones([4, 5, 3, 3])}),
    (ValueError, r"`act` is 'gelu'; it must be one of linear", {"act": "gelu"}),
    (ValueError, r"`act` is .*; it must be one of", {"act": ["relu"]}),
    (TypeError, r"`gain` is a Tensor; it must be a number", {"gain": paddle.ones([1])}),
    (TypeError, r"`gain` is a str", {"gain": "2"}),
    (TypeError, r"`alpha` is a str", {"act": "lrelu", "alpha": "x"}),
    (TypeError, r"`clamp` is a str", {"clamp": "1"}),
    (ValueError, r"`clamp` is -1; it must be at least 0", {"clamp": -1}),
    (ValueError, r"`clamp` is nan", {"clamp": math.nan}),
]  # fmt: skip


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("error", "message", "change"), RESAMPLING)
@pytest.mark.parametrize("function", [conv2d_resample, modulated_conv2d])
def test_resampled_convolutions(
    function: Any, error: type[Exception], message: str, change: dict[str, Any], impl: str
) -> None:
    arguments = {"w": paddle.ones([4, 4, 3, 3]), "f": setup_filter([1, 3, 3, 1]), "up": 2}
    arguments.update(change)
    names = {"w": "w", "f": "f"}
    if function is modulated_conv2d:
        arguments["styles"] = paddle.ones([2, 4])
        names = {"w": "weight", "f": "resample_filter"}
    for old, new in names.items():
        arguments[new] = arguments.pop(old)
        message = message.replace(f"{{{old}}}", new)
    refused(function, error, message, x=paddle.ones([2, 4, 5, 6]), impl=impl, **arguments)


def test_groups_of_a_resampled_convolution() -> None:
    x, w = paddle.ones([1, 4, 5, 5]), paddle.ones([4, 2, 3, 3])
    for groups in (3, 2.0, None):
        refused(conv2d_resample, ValueError, "`groups` is .* divides", x=x, w=w, groups=groups)


NOISE_SHAPES = [[5, 6], [10], [], [1, 10, 12], [3, 1, 10, 12], [2, 4, 10, 12], [2, 1, 12, 10]]


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", NOISE_SHAPES, ids=str)
def test_shape_of_the_noise(shape: list[int], impl: str) -> None:
    came = re.escape(str(shape))
    refused(
        modulated_conv2d,
        ValueError,
        rf"`noise` has shape {came}; it must be \[2, 1, 10, 12\] or \[1, 1, 10, 12\] or \[10, 12\]",
        x=paddle.ones([2, 4, 5, 6]),
        weight=paddle.ones([4, 4, 3, 3]),
        styles=paddle.ones([2, 4]),
        noise=paddle.ones(shape),
        up=2,
        padding=1,
        resample_filter=setup_filter([1, 3, 3, 1]),
        impl=impl,
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("up", "down", "size"), [(1, 1, 6), (2, 1, 12), (1, 2, 3), (3, 2, 9)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_noise_has_the_size_of_the_output(
    up: int, down: int, size: int, kernel: int, impl: str
) -> None:
    arguments = dict(
        x=paddle.ones([2, 4, 6, 6]),
        weight=paddle.ones([4, 4, kernel, kernel]),
        styles=paddle.ones([2, 4]),
        up=up,
        down=down,
        padding=kernel // 2,
        resample_filter=setup_filter([1, 3, 3, 1]),
        impl=impl,
    )
    y = modulated_conv2d(noise=paddle.ones([size, size]), **arguments)
    assert y.shape == [2, 4, size, size]
    refused(modulated_conv2d, ValueError, "`noise`", noise=paddle.ones([size, 7]), **arguments)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (TypeError, "`noise` is a ndarray", {"noise": np.ones([5, 6])}),
        (ValueError, r"`noise_strength` has shape \[2\]", {"noise_strength": paddle.ones([2])}),
        (ValueError, r"`noise_strength` .* \[1, 1\]", {"noise_strength": paddle.ones([1, 1])}),
        (TypeError, "`noise_strength` is a float", {"noise_strength": 0.5}),
        (
            ValueError,
            "`noise_strength` came without `noise`",
            {"noise": None, "noise_strength": paddle.ones([1])},
        ),
    ],
)  # fmt: skip
def test_noise_and_its_strength(
    error: type[Exception], message: str, change: dict[str, Any], impl: str
) -> None:
    arguments = dict(
        x=paddle.ones([2, 4, 5, 6]),
        weight=paddle.ones([4, 4, 3, 3]),
        styles=paddle.ones([2, 4]),
        noise=paddle.ones([5, 6]),
        padding=1,
        impl=impl,
    )
    refused(modulated_conv2d, error, message, **{**arguments, **change})


@pytest.mark.parametrize("function", [upfirdn2d, upsample2d])
@pytest.mark.parametrize("gain", [paddle.ones([1]), "2", None])
def test_gain_of_the_resampling_functions(function: Any, gain: Any) -> None:
    x, f = paddle.ones([1, 2, 6, 6]), setup_filter([1, 3, 3, 1])
    refused(function, TypeError, "`gain` is a .*; it must be a number", x=x, f=f, gain=gain)


@pytest.mark.parametrize("function", [upfirdn2d, filter2d, upsample2d, downsample2d])
def test_integers_that_are_too_large(function: Any) -> None:
    x, f = paddle.ones([1, 2, 6, 6]), setup_filter([1, 3, 3, 1])
    message = r"`padding` is 2147483648; .*, below 2\*\*31"
    refused(function, ValueError, message, x=x, f=f, padding=2**31)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, r"`f` is \[1, nan\]; its taps must be finite", {"f": [1, math.nan]}),
        (TypeError, "`f` is 'abc'; it must be a number, or", {"f": "abc"}),
        (TypeError, "`f` is .*; it must be a number, or", {"f": [[1], [1, 2]]}),
        (TypeError, "`gain` is a str", {"f": [1, 2], "gain": "x"}),
        (ValueError, "`gain` is -1; it must be at least 0", {"f": [1, 2], "gain": -1}),
    ],
)
def test_setup_filter(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    refused(setup_filter, error, message, **arguments)


def test_numpy_integers_and_numpy_filters_are_welcome() -> None:
    x, w = paddle.rand([1, 2, 6, 6]), paddle.rand([2, 2, 3, 3])
    two, one = np.int64(2), np.array([1, 1])
    np.testing.assert_array_equal(
        conv2d(x, w, stride=two, padding=one), conv2d(x, w, stride=2, padding=1)
    )
    f = setup_filter([1, 3, 3, 1])
    expected = conv2d_resample(x, w, f, up=2, padding=1).numpy()
    y = conv2d_resample(x, w, f.numpy(), up=two, padding=one, groups=np.int32(1))
    np.testing.assert_array_equal(y, expected)
    # A filter in half precision is one in float32.
    y = conv2d_resample(x, w, f.astype("float16"), up=2, padding=1)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
