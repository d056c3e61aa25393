"""norm_statistics and spade_norm give the same bits whatever the number of threads."""

from __future__ import annotations

from typing import Optional

import numpy as np
import paddle
import pytest
from norm_cases import DTYPES, tensor, wide

from pygan.ops import norm_statistics, spade_norm
from pygan.runtime import set_num_threads

pytestmark = [
    pytest.mark.usefixtures("needs_native", "restored_threads"),
    pytest.mark.cpu_kernels("the CPU's threads"),
]


def results(
    shape: tuple[int, ...], dtype: str, over: str, own: Optional[str], upsample: int
) -> list[np.ndarray]:
    """Statistics, value, and the gradients of both orders."""
    rng = np.random.default_rng(0)
    n, c, h, w = shape
    x = tensor(3 * rng.standard_normal(shape) + 1, dtype)
    maps = tensor(0.5 * rng.standard_normal([n, 2 * c, upsample * h, upsample * w]), dtype)
    weights = tensor(rng.standard_normal([n, c, upsample * h, upsample * w]), dtype)
    x.stop_gradient = maps.stop_gradient = False
    mean, variance = norm_statistics(x, over, impl="native")
    if dtype in ("float16", "bfloat16"):  # Paddle adds no two gradients of these types on a CPU
        mean, variance = mean.detach(), variance.detach()
    y = spade_norm(
        x,
        mean,
        variance,
        gamma_beta=maps,
        own_statistics=own,
        activation="lrelu",
        upsample=upsample,
        impl="native",
    )
    first = paddle.grad([y], [x, maps], grad_outputs=[weights], create_graph=True)
    second = paddle.grad(first, [x, maps], grad_outputs=[t.detach() for t in (x, maps)])
    return [wide(t) for t in (mean, variance, y, *first, *second)]


@pytest.mark.parametrize("upsample", [1, 2])
@pytest.mark.parametrize("own", [None, "own"])
@pytest.mark.parametrize("over", ["batch", "instance"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(
    dtype: str, over: str, own: Optional[str], upsample: int
) -> None:
    # Planes of several blocks, and a last one of part of a block and of a vector.
    shape, runs = (3, 5, 67, 71), []
    for threads in (1, 2, 3, 2, 2, 2):
        set_num_threads(threads)
        runs.append(results(shape, dtype, over, own and over, upsample))
    for run in runs[1:]:
        for first, again in zip(runs[0], run):
            np.testing.assert_array_equal(again, first)
