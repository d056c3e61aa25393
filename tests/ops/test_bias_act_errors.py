"""What bias_act says of arguments that it cannot take."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from pygan.ops import bias_act


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"act": "gelu"}, ValueError, "`act` is 'gelu'; it must be one of linear, relu, lrelu"),
        ({"act": "lrelu", "alpha": "0.2"}, TypeError, "`alpha` is a str; it must be a number"),
        ({"gain": paddle.ones([1])}, TypeError, "`gain` is a Tensor; it must be a number"),
        ({"clamp": -1}, ValueError, "`clamp` is -1; it must be at least 0"),
        ({"clamp": math.nan}, ValueError, "`clamp` is nan; it must be at least 0"),
        ({"b": np.zeros(3)}, TypeError, r"`b` is a ndarray; .* paddle.Tensor of shape \[3\]"),
        ({"b": paddle.zeros([4])}, ValueError, r"`b` has shape \[4\]; it must be \[3\]"),
        ({"b": paddle.zeros([3]), "axis": 4}, ValueError, r"`axis` is 4; .* in \[-4, 3\]"),
        ({"b": paddle.zeros([3]), "axis": 1.0}, ValueError, r"`axis` is 1.0; .* integer"),
        ({"scale": paddle.zeros([3])}, ValueError, r"`scale` has shape \[3\]; .* \[2, 3\]"),
        ({"scale": paddle.zeros([2, 3]), "axis": 2}, ValueError, "`axis` is 2; .* must be 1"),
        ({"noise": paddle.zeros([2, 3, 4, 5])}, ValueError, r"`noise` .* \[2, 1, 4, 5\] or"),
        ({"strength": paddle.zeros([1])}, ValueError, "`strength` came without `noise`"),
        (
            {"noise": paddle.zeros([4, 5]), "strength": paddle.zeros([2])},
            ValueError,
            r"`strength` has shape \[2\]; it must be \[\] or \[1\]",
        ),
        ({"act": "relu", "impl": "fast"}, ValueError, "`impl` is 'fast'; it must be 'auto'"),
        ({"x": np.zeros((2, 3))}, TypeError, "`x` is a ndarray; it must be a paddle.Tensor"),
        ({"x": paddle.zeros([2, 3], "int32")}, TypeError, r"`x` is .*int32; it must be float32"),
    ],
)
def test_errors(arguments: dict, error: type, message: str) -> None:
    x = arguments.pop("x", None)
    x = paddle.zeros([2, 3, 4, 5]) if x is None else x
    with pytest.raises(error, match=message):
        bias_act(x, **arguments)
