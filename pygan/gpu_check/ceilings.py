"""What the GPU reaches at best: copying memory and multiplying matrices, as Paddle does both."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, Optional

import paddle

from pygan.gpu_check.checks import describe
from pygan.gpu_check.timing import Stopwatch, paddle_tf32

_ROUNDS = 5


def measure(
    stopwatch: Stopwatch, *, megabytes: int = 512, side: int = 8192
) -> tuple[dict[str, Optional[float]], list[str]]:
    """Gigabytes and teraflops per second, by name, and why some are None.

    Args:
        stopwatch: times.
        megabytes: that are copied; several times the size of any cache.
        side: of the square matrices.
    """
    found: dict[str, Optional[float]] = {}
    errors = []
    measures: dict[str, Callable[[], float]] = {
        "copy_gbps": lambda: copy_gbps(stopwatch, megabytes),
        "float32_tflops": lambda: gemm_tflops(stopwatch, side, "float32", tf32=False),
        "tf32_tflops": lambda: gemm_tflops(stopwatch, side, "float32", tf32=True),
        "float16_tflops": lambda: gemm_tflops(stopwatch, side, "float16", tf32=False),
    }
    for name, function in measures.items():
        try:
            found[name] = function()
        except Exception as error:
            found[name] = None
            errors.append(f"{name}: {describe(error)}")
    return found, errors


def copy_gbps(stopwatch: Stopwatch, megabytes: int) -> float:
    """Bytes read and written per second by a copy, in 10^9."""
    x = paddle.ones([megabytes * 2**18])
    y = paddle.empty_like(x)
    milliseconds = _median(stopwatch, lambda: paddle.assign(x, y))
    return 2 * 4 * x.size / milliseconds / 1e6


def gemm_tflops(stopwatch: Stopwatch, side: int, dtype: Any, *, tf32: bool) -> float:
    """Operations per second of a product of square matrices, in 10^12."""
    a = paddle.randn([side, side]).astype(dtype)
    b = paddle.randn([side, side]).astype(dtype)
    with paddle_tf32(tf32):
        milliseconds = _median(stopwatch, lambda: paddle.matmul(a, b))
    return 2 * side**3 / milliseconds / 1e9


def _median(stopwatch: Stopwatch, body: Callable[[], object]) -> float:
    stopwatch.milliseconds(body, 2)
    return statistics.median(stopwatch.milliseconds(body, 3) / 3 for _ in range(_ROUNDS))
