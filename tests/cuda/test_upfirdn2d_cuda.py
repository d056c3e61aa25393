"""upfirdn2d's CUDA kernels, emulated, against the definition in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from csrc.ptx.runtime import record_launches
from pygan.ops import upfirdn2d
from tests.ops.upfirdn2d_cases import Case, is_legal, oracle

pytestmark = pytest.mark.usefixtures("on_emulator")

# Sums relative to Case.scale, then one rounding to the type.
TOLERANCES = {"float64": 1e-14, "float32": 2e-6, "float16": 1.1e-3, "bfloat16": 9e-3}
# Rows from anywhere, one pixel, planes narrower than a warp, several strips and tiles.
SHAPES = [
    (1, 3, 5, 7),
    (1, 1, 1, 1),
    (35, 2, 4, 4),
    (1, 2, 40, 33),
    (1, 1, 20, 300),
    (1, 9, 16, 16),
]
FACTORS = [(1, 1), (2, 1), (1, 2)]
FILTERS = [(4, 4), (4,), (6,), (8,), (12,)]


def run(case: Case, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The operator's result and the oracle's, of an image rounded to the type."""
    rng = np.random.default_rng(list(case.shape))
    x = paddle.to_tensor(rng.standard_normal(case.shape)).astype(dtype)
    y = case.run(x, "native").astype("float64").numpy()
    return y, oracle(x.astype("float64").numpy(), case)


def check(case: Case, dtype: str) -> None:
    got, expected = run(case, dtype)
    assert got.shape == expected.shape
    scale = case.scale(np.array(4.0))
    assert np.abs(got - expected).max(initial=0) <= TOLERANCES[dtype] * scale


def taps(shape: tuple[int, ...], seed: int) -> np.ndarray:
    # Exactly representable in float32, in which filters of the smaller types are read.
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("f_shape", FILTERS, ids=str)
@pytest.mark.parametrize("factor", FACTORS, ids=str)
def test_the_filters_of_models(
    dtype: str, f_shape: tuple[int, ...], factor: tuple[int, int]
) -> None:
    up, down = factor
    k = f_shape[0]
    for i, shape in enumerate(SHAPES):
        rng = np.random.default_rng([i, k, up, down])
        padding = [int(p) for p in rng.integers(k // 2, k + 2, 4)]
        if i >= 3:
            padding[i % 4] = -2
        case = Case(shape, taps(f_shape, i), [up] * 2, [down] * 2, padding, i % 2 == 1, float(up))
        check(case, dtype)


# Less than a vector and whole ones, planes side by side in a warp, several warps, several blocks.
@pytest.mark.parametrize("shape", [(1, 9, 7, 8), (35, 2, 4, 16), (1, 2, 40, 24), (1, 1, 11, 544)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("up", "down", "left"), [(2, 1, 2), (1, 2, 1), (1, 1, 1), (1, 1, 2)], ids=str
)
def test_rows_of_whole_vectors(
    up: int, down: int, left: int, dtype: str, shape: tuple[int, int, int, int]
) -> None:
    right = (2 if down == 2 else 3) - left
    for i, rows in enumerate([(left, right), (0, 5), (4, -3), (-2, 3)]):
        f = taps((4, 4) if i % 2 == 0 else (4,), i)
        case = Case(shape, f, [up] * 2, [down] * 2, [left, right, *rows], i < 2, 1.5)
        with record_launches() as launches:
            check(case, dtype)
        (launch,) = launches
        assert "aligned_strip_kernel" in launch["name"]
        stats = launch["stats"]
        assert stats["races"] == stats["uninitialised_shared_reads"] == 0
        assert stats["divergent_barriers"] == 0


@pytest.mark.parametrize("factor", FACTORS, ids=str)
def test_the_same_bits_however_rows_are_aligned(factor: tuple[int, int]) -> None:
    # The first columns of an image with a column more, whose rows are not of whole vectors.
    up, down = factor
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 12, 64))).astype("float32")
    wider = paddle.concat([x, paddle.zeros([2, 3, 12, 1])], -1)
    left = up if up * down == 2 else 2
    padding = [left, (2 if down == 2 else 3) - left, 2, 1]
    f, names, results = taps((4, 4), 1), [], []
    for image in (x, wider):
        with record_launches() as launches:
            results.append(upfirdn2d(image, f, up, down, padding, impl="native").numpy())
        names.append(launches[0]["name"])
    assert "aligned_strip_kernel" in names[0]
    assert "aligned_strip_kernel" not in names[1]
    width = results[0].shape[3]
    np.testing.assert_array_equal(results[0], results[1][..., :width])


@pytest.mark.parametrize("seed", range(40))
def test_any_factors_and_filter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    f_shape = tuple(int(k) for k in rng.integers(1, 8, 2 - seed % 2))
    while True:
        case = Case(
            (1, 2, int(rng.integers(1, 9)), int(rng.integers(1, 9))),
            taps(f_shape, seed),
            [int(u) for u in rng.integers(1, 5, 2)],
            [int(d) for d in rng.integers(1, 5, 2)],
            [int(p) for p in rng.integers(-2, 8, 4)],
            bool(seed % 3),
            1.5,
        )
        if is_legal(case):
            break
    check(case, list(TOLERANCES)[seed % 4])


def test_a_filter_larger_than_the_image() -> None:
    check(Case((1, 1, 20, 20), taps((31, 31), 0), [1, 1], [1, 1], [15] * 4, False, 1.0), "float32")


def test_both_derivatives() -> None:
    f, shape = taps((4, 4), 1), (1, 2, 6, 7)
    x = paddle.to_tensor(np.random.default_rng(2).standard_normal(shape), stop_gradient=False)
    y = upfirdn2d(x, f, up=2, padding=[2, 1, 2, 1], impl="native")
    dy = paddle.to_tensor(np.random.default_rng(3).standard_normal(y.shape), stop_gradient=False)
    (dx,) = paddle.grad([y], [x], [dy], create_graph=True)
    # <dy, A v> = <A' dy, v>, and the gradient of <A' dy, v> with respect to dy is A v.
    v = paddle.to_tensor(np.random.default_rng(4).standard_normal(shape))
    av = oracle(v.numpy(), Case(shape, f, [2, 2], [1, 1], [2, 1, 2, 1], False, 1.0))
    assert float((dx * v).sum()) == pytest.approx(float((dy.numpy() * av).sum()), rel=1e-12)
    (ddy,) = paddle.grad([dx], [dy], [v])
    np.testing.assert_allclose(ddy.numpy(), av, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("f_shape", [(4, 4), (12,)], ids=str)
@pytest.mark.parametrize("factor", FACTORS, ids=str)
def test_one_launch_that_reads_rows_once(f_shape: tuple[int, ...], factor: tuple[int, int]) -> None:
    up, down = factor
    k = f_shape[0]
    # Enough planes for a GPU, so that there is no need of short strips, which share more rows.
    shape = (1, 512, 64 * down, 64 * down)
    case = Case(
        shape, taps(f_shape, 0), [up] * 2, [down] * 2, [k // 2, (k - 1) // 2] * 2, False, 1.0
    )
    with record_launches() as launches:
        case.run(paddle.zeros(shape), "native")
    (launch,) = launches
    assert "strip_kernel" in launch["name"]  # or "aligned_strip_kernel"
    stats = launch["stats"]
    assert stats["races"] == stats["uninitialised_shared_reads"] == 0
    assert stats["divergent_barriers"] == 0
    moved = 32 * (stats["global_load"]["sectors"] + stats["global_store"]["sectors"])
    assert moved <= 1.15 * (stats["unique_read_bytes"] + stats["unique_write_bytes"])
    for kind in ("shared_load", "shared_store"):
        assert stats[kind]["wavefronts"] <= 1.05 * stats[kind]["ideal"]
