"""color_transform's CUDA kernel, emulated, against numpy in float64 and against the CPU's."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import paddle
import pytest

from csrc.ptx.runtime import record_launches
from pygan.ops import _native, color_transform, emulated

on_emulator = pytest.mark.usefixtures("on_emulator")

DTYPES = ["float32", "float64", "float16", "bfloat16"]
# Largest error relative to the largest number: of sums in the type, then of one rounding.
TOLERANCE = {"float64": 1e-14, "float32": 1e-6, "float16": 1.1e-3, "bfloat16": 9e-3}
# Planes of whole vectors in rows of whole and of broken ones, of several blocks, of odd sizes, a
# row, a column, a pixel; with alpha and more.
SHAPES = [
    (2, 3, 8, 16),
    (2, 4, 16, 5),
    (1, 1, 64, 88),
    (1, 3, 7, 161),
    (3, 1, 5, 3),
    (2, 5, 1, 9),
    (2, 3, 8, 1),
    (3, 3, 1, 1),
]
IDENTITY = {1: [1.0, 0, 0], 3: [1.0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]}


def oracle(
    x: np.ndarray, rows: np.ndarray, noise: Optional[np.ndarray], transposed: bool = False
) -> np.ndarray:
    """The definition in float64; with offsets and noise unless it is transposed."""
    y = x.copy()
    k = 3 if rows.shape[1] == 17 else 1
    for n, row in enumerate(rows):
        matrix, offset, sigma = row[: k * k].reshape(k, k), row[k * k : k * k + k], row[k * k + k]
        y[n, :k] = np.einsum("cd,dij->cij", matrix.T if transposed else matrix, x[n, :k])
        if not transposed:
            y[n, :k] += offset[:, None, None]
            if noise is not None:
                y[n, :k] += sigma * noise[n]
        i, j = np.ogrid[: x.shape[2], : x.shape[3]]
        x0, x1, y0, y1 = row[-4:]
        y[n, :k, (i >= y0) & (i < y1) & (j >= x0) & (j < x1)] = 0
    return y


def random_rows(rng: np.random.Generator, shape: tuple[int, ...], colors: int) -> np.ndarray:
    """Of which the last sample's change nothing but what is cut out of it."""
    n, _, h, w = shape
    numbers = rng.standard_normal([n, colors * colors + colors + 1])
    numbers[-1] = IDENTITY[colors]
    ends = [np.sort(rng.integers(-1, size + 2, [n, 2]), 1) for size in (w, h)]
    return np.concatenate([numbers, *ends], 1)


def tensor(array: np.ndarray, dtype: Any) -> paddle.Tensor:
    return paddle.to_tensor(array).astype(dtype)


def wide(t: paddle.Tensor) -> np.ndarray:
    return t.astype("float64").numpy()


def close(actual: paddle.Tensor, expected: np.ndarray, dtype: str) -> None:
    error = np.abs(wide(actual) - expected).max()
    assert error <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())


@on_emulator
@pytest.mark.parametrize("with_noise", [False, True], ids=["plain", "noise"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_both_derivatives(dtype: str, with_noise: bool) -> None:
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        for colors in [1, 3] if shape[1] >= 3 else [1]:
            rows = random_rows(rng, shape, colors)
            x, dy, ddx = (tensor(rng.standard_normal(shape), dtype) for _ in range(3))
            noise = tensor(rng.standard_normal([shape[0], colors, *shape[2:]]), dtype)
            x.stop_gradient = dy.stop_gradient = False
            of_call = noise if with_noise else None
            with record_launches() as launches:
                y = color_transform(x, tensor(rows, "float64"), of_call, impl="native")
                (dx,) = paddle.grad([y], [x], [dy], create_graph=True)
                (ddy,) = paddle.grad([dx], [dy], [ddx])
            assert [k["name"].split("<")[0].split("::")[-1] for k in launches] == [
                "color_kernel"
            ] * 3
            close(y, oracle(wide(x), rows, wide(noise) if with_noise else None), dtype)
            close(dx, oracle(wide(dy), rows, None, transposed=True), dtype)
            linear = rows.copy()
            linear[:, colors * colors : colors * colors + colors + 1] = 0
            close(ddy, oracle(wide(ddx), linear, None), dtype)
            for result, source in ((y, x), (dx, dy), (ddy, ddx)):
                np.testing.assert_array_equal(wide(result)[:, colors:], wide(source)[:, colors:])


@on_emulator
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_change_nothing_copy_every_bit(dtype: str) -> None:
    """Infinities, signed zeros and the payload of NaN too; noise of a sigma of zero is not seen."""
    bits = {2: "uint16", 4: "uint32", 8: "uint64"}
    for width in (16, 7):
        x = tensor(np.random.default_rng(1).standard_normal([2, 3, 2, width]), dtype)
        raw = x.numpy().view(bits[x.element_size()])
        ones = {"float16": 0x7E55, "bfloat16": 0x7FD5, "float32": 0x7FC12345}
        raw[..., 0] = ones.get(dtype, 0x7FF8000000012345)
        raw[..., 1] = 1 << (8 * x.element_size() - 1)
        x = paddle.to_tensor(raw.view(x.numpy().dtype))
        rows = paddle.to_tensor([[*IDENTITY[3], 0, 0, 0, 0]] * 2, "float64")
        noise = paddle.full([2, 3, 2, width], np.nan, x.dtype)
        for more in (None, noise):
            y = color_transform(x, rows, more, impl="native")
            np.testing.assert_array_equal(y.numpy().view(raw.dtype), raw)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_unusual_numbers_as_on_the_cpu(dtype: str) -> None:
    """Cut-outs beyond the borders; numbers that are not finite, which a check for the CPU stops."""
    nan, inf = np.nan, np.inf
    ends = [[-9, 99, -9, 99], [3, 3, 0, 4], [4, 2, 0, 4], [-3, 2, 1, 1e300], [5, 9, 0, 4]]
    ends += [[-1e18, 1e18, -2, 1], [nan, 3, 1, inf], [1, nan, 0, 4]]
    rows = [[0.5, 0.25, 2, *e] for e in ends]
    tiny = len(rows)
    rows += [[1, 0, 1e-60, 0, 0, 0, 0], [1e60, 0, 0, 1, 2, 1, 2], [nan, 0, 0, 1, 2, 1, 2]]
    rows += [[1, inf, 0, 1, 2, 1, 2], [1, 0, nan, 0, 0, 0, 0]]
    numbers = tensor(np.array(rows), "float64")
    x = tensor(np.random.default_rng(2).standard_normal([len(rows), 2, 4, 6]), dtype)
    noise = paddle.full([len(rows), 1, 4, 6], np.inf, "float32").astype(dtype)
    noise[:tiny] = 0.5
    on_cpu = _native.call("pg_augment", x, numbers, noise, 1)
    with emulated():
        on_gpu = _native.call("pg_augment", x, numbers, noise, 1)
    np.testing.assert_allclose(wide(on_gpu), wide(on_cpu), rtol=TOLERANCE[dtype])
    assert np.isfinite(wide(on_gpu)[tiny]).all()  # such a sigma is zero in the images' type
    assert not np.isfinite(wide(on_gpu)[tiny + 1 :, 0, 3]).any()


@on_emulator
def test_many_samples() -> None:
    """More than a grid has rows, so that blocks take several."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal([65539, 1, 1, 1]).astype(np.float32)
    rows = rng.standard_normal([65539, 7])
    rows[:, 3:] = 0
    y = color_transform(paddle.to_tensor(x), paddle.to_tensor(rows), impl="native")
    expected = x[:, 0, 0, 0] * rows[:, 0] + rows[:, 1]
    np.testing.assert_allclose(y.numpy()[:, 0, 0, 0], expected, rtol=0, atol=1e-5)


@on_emulator
def test_one_pass_over_memory_in_whole_vectors() -> None:
    shape = (2, 3, 64, 64)
    rng = np.random.default_rng(4)
    x, noise = (tensor(rng.standard_normal(shape), "float32") for _ in range(2))
    rows = tensor(random_rows(rng, shape, 3)[:1].repeat(2, 0), "float64")
    with record_launches() as launches:
        color_transform(x, rows, noise, impl="native")
    (launch,) = launches
    stats = launch["stats"]
    assert stats["races"] == stats["uninitialised_shared_reads"] == 0
    assert stats["divergent_barriers"] == 0
    moved = 32 * (stats["global_load"]["sectors"] + stats["global_store"]["sectors"])
    assert moved <= 1.05 * 3 * 4 * np.prod(shape)  # x, noise and y, and the rows of each block
    # A warp stores 512 bytes at a time.
    assert stats["global_store"]["sectors"] == 16 * stats["global_store"]["requests"]
