"""What upfirdn2d and setup_filter say about arguments that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from upfirdn2d_cases import TAPS

from pygan.ops import setup_filter, upfirdn2d

pytestmark = pytest.mark.usefixtures("needs_native")


def _image() -> paddle.Tensor:
    return paddle.zeros([1, 2, 4, 4])


BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`x` is a ndarray", {"x": np.zeros([1, 1, 4, 4])}),
    (TypeError, "`x` is .*int64", {"x": paddle.zeros([1, 1, 4, 4], "int64")}),
    (ValueError, r"`x` has shape \[4, 4\]", {"x": paddle.zeros([4, 4])}),
    (ValueError, r"its H and W must be at least 1", {"x": paddle.zeros([1, 1, 0, 4])}),
    (TypeError, "`f` is list", {"f": [1, 3, 3, 1]}),
    (TypeError, "`f` holds int64", {"f": np.array([1, 3, 3, 1])}),
    (ValueError, r"`f` has shape \[2, 2, 2\]", {"f": np.zeros([2, 2, 2])}),
    (ValueError, r"`f` has shape \[0\]", {"f": np.zeros([0])}),
    (ValueError, "`up` is 0", {"up": 0}),
    (ValueError, r"`up` is \[1, 2, 3\]", {"up": [1, 2, 3]}),
    (ValueError, "`down` is 1.5", {"down": 1.5}),
    (ValueError, r"`down` is \[\]", {"down": []}),
    (ValueError, r"`padding` is \[1, 2, 3\]", {"padding": [1, 2, 3]}),
    (ValueError, "`padding` is 0.5", {"padding": 0.5}),
    (
        ValueError,
        r"the width is 4 \* 1 \(up\) \+ -1 \+ 0 .* filter's 4 taps",
        {"padding": [-1, 0, 0, 0]},
    ),
    (ValueError, r"the height is 4 \* 2 .* = 3, less", {"up": 2, "padding": [0, 0, -5, 0]}),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    call: dict[str, Any] = {"x": _image(), "f": setup_filter(TAPS), "impl": "native"}
    with pytest.raises(error, match=message) as caught:
        upfirdn2d(**{**call, **arguments})
    assert str(caught.value).startswith("pygan.ops.upfirdn2d: ")


def test_filter_that_requires_a_gradient_is_refused() -> None:
    f = paddle.to_tensor(TAPS, stop_gradient=False)
    with pytest.raises(ValueError, match="`f` requires a gradient"):
        upfirdn2d(_image(), f)
    assert upfirdn2d(_image(), f.detach(), padding=2).shape == [1, 2, 5, 5]


@pytest.mark.parametrize(
    ("f", "arguments", "message"),
    [
        ([], {}, r"`f` has shape \[0\]"),
        (np.zeros([1, 1, 1]), {}, r"`f` has shape \[1, 1, 1\]"),
        ([[1, 1]], {"separable": True}, "separable=True"),
        ([1, -1], {}, "sum to 0"),
    ],
)
def test_setup_filter_errors(f: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setup_filter(f, **arguments)
