"""warp's CUDA kernels, emulated, against scipy, the CPU's and the definition of exact maps.

tests/ops/test_warp.py runs on them too, with PYGAN_BACKEND=emulate. Here is what is theirs alone:
each way that they take, and what they do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from csrc.ptx.runtime import record_launches, reset, runtime_calls
from pygan.nn.augment import AugmentSettings, apply, sample
from pygan.ops import _native, emulated, warp
from pygan.training import StepRandom
from tests.ops.augment_cases import random_matrices, warp_oracle

on_emulator = pytest.mark.usefixtures("on_emulator")

DTYPES = ["float32", "float64", "float16", "bfloat16"]
# Largest error relative to the largest number: of sums in the type, then of one rounding. The taps
# of the oracle have two digits more than the operator's.
TOLERANCE = {"float64": 1e-11, "float32": 1e-6, "float16": 1.1e-3, "bfloat16": 9e-3}
# Several tiles, whole and not; planes smaller than a tile; a row, a column, two pixels.
SHAPES = [(1, 2, 33, 18), (2, 3, 7, 9), (1, 1, 1, 20), (2, 1, 17, 1), (1, 2, 1, 2)]


def tensor(array: np.ndarray, dtype: Any = "float64") -> paddle.Tensor:
    return paddle.to_tensor(array).astype(dtype)


def wide(t: paddle.Tensor) -> np.ndarray:
    return t.astype("float64").numpy()


def close(actual: paddle.Tensor, expected: np.ndarray, tolerance: float) -> None:
    error = np.abs(wide(actual) - expected).max()
    assert error <= tolerance * max(1.0, np.abs(expected).max()), error


def with_derivatives(
    x: np.ndarray, matrices: np.ndarray, dy: np.ndarray, ddx: np.ndarray, dtype: str
) -> list[paddle.Tensor]:
    """y, and the gradients of both orders for these of y and of the gradient."""
    images, grads = tensor(x, dtype), tensor(dy, dtype)
    images.stop_gradient = grads.stop_gradient = False
    y = warp(images, tensor(matrices), impl="native")
    (dx,) = paddle.grad([y], [images], [grads], create_graph=True)
    (ddy,) = paddle.grad([dx], [grads], [tensor(ddx, dtype)])
    return [y, dx, ddy]


def check(shape: tuple[int, ...], matrices: np.ndarray, dtype: str, tolerance: float = 0) -> None:
    """Against scipy, and for the gradient the CPU's kernels in float64."""
    rng = np.random.default_rng(0)
    x, dy, ddx = (wide(tensor(rng.standard_normal(shape), dtype)) for _ in range(3))
    with emulated(), record_launches() as launches:
        y, dx, ddy = with_derivatives(x, matrices, dy, ddx, dtype)
    kernels = [launch["name"].split("<")[0] for launch in launches]
    assert kernels == ["device::warp_kernel", "device::warp_transposed_kernel", *kernels[:1]]
    for launch in launches:
        stats = launch["stats"]
        assert stats["races"] == stats["uninitialised_shared_reads"] == 0
        assert stats["divergent_barriers"] == 0
    tolerance = max(tolerance, TOLERANCE[dtype])
    close(y, warp_oracle(x, matrices), tolerance)
    close(ddy, warp_oracle(ddx, matrices), tolerance)
    close(dx, wide(with_derivatives(x, matrices, dy, ddx, "float64")[1]), tolerance)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_both_derivatives(dtype: str, shape: tuple[int, ...]) -> None:
    # In images of few pixels many taps meet one, and show that they sum to 1 to 5e-13 only.
    few = 1e-10 if min(shape[2:]) == 1 else 0
    check(shape, random_matrices(np.random.default_rng(1), shape), dtype, few)


WAYS = {
    "one window": [0.8, 0.3, 1.5, -0.3, 0.8, 0.25],
    "two pieces": [1.6, 0.2, 0.5, 0.3, 1.5, -3],
    "three pieces": [0.5, 2.5, 1, 3.2, 0.2, -1],
    "four pieces": [-4.2, 0.1, 1, 0.3, 4.4, -1],
    "no window": [7, 2, 40, -3, 9, -50],
    "shrunk to specks": [40, 1, 2, -2, 35, 1],
    "along one axis": [30, 0, 2, 0, 1, 0.5],
    "magnified": [0.05, 0.01, 1.3, -0.02, 0.06, -2.2],
    "one point": [0, 0, 1.25, 0, 0, 2.5],
    "one line": [1, 2, 0.5, 0.5, 1, 0],
    "nearly one line": [1, 2, 0.5, 0.5, 1 + 1e-7, 0],
    "one column": [0, 0, 1.25, 0, 1, 0.5],
    "turned": [6e-17, 1, 0.25, -1, 6e-17, 0],
    "shifted by halves": [1, 0, 0.5, 0, 1, -0.5],
    "nearly exact": [1, 1e-9, 0, 0, 1, 0],
}


@pytest.mark.parametrize("matrix", WAYS.values(), ids=WAYS)
def test_every_way(matrix: list[float]) -> None:
    matrices = np.array([matrix], dtype=np.float64)
    every_pixel = np.abs(matrices).max() > 16  # is compared with every other one, for the gradient
    for dtype in ("float64", "float32"):
        check((1, 1, 4, 5) if every_pixel else (1, 1, 9, 14), matrices, dtype)
    check((1, 1, 2, 5 if every_pixel else 19), matrices, "float64")


@pytest.mark.parametrize("matrix", [[0.3, 40, 3, 1, 0.5, 0], [20, 0, 0.5, 0, 1, 0.25]], ids=str)
def test_specks_of_images_of_few_pixels(matrix: list[float]) -> None:
    for shape in ((1, 1, 1, 5), (1, 1, 3, 1), (1, 2, 1, 1), (1, 1, 2, 2)):
        check(shape, np.array([matrix]), "float64", 1e-10)


def test_far_away() -> None:
    """Hundreds of reflections off, and as many as there may be."""
    x = np.random.default_rng(2).standard_normal([2, 1, 5, 6])
    near = np.array([[1, 0.25, 4, 0, 1, 0.5], [0.5, 0, 3.25, 0.5, 1, 1]])
    far = near.copy()
    far[0, 2] += 10 * 10**6  # periods of ten pixels and of eight
    far[1, 5] -= 8 * 2**26
    with emulated():
        results = [with_derivatives(x, m, x, x, "float64") for m in (near, far)]
    for close_by, far_off in zip(*results):
        close(far_off, wide(close_by), 1e-6)


def exact(x: np.ndarray, matrix: list[float], transposed: bool) -> np.ndarray:
    """The definition of maps that take pixels to pixels, by indices; or its transpose."""
    xx, xy, tx, yx, yy, ty = matrix
    h, w = x.shape[-2:]
    i, j = np.mgrid[:h, :w]
    j, i = j - (w - 1) / 2, i - (h - 1) / 2

    def reflected(place: np.ndarray, size: int) -> np.ndarray:
        place = np.round(place).astype(int) % max(1, 2 * (size - 1))
        return np.minimum(place, max(1, 2 * (size - 1)) - place) if size > 1 else 0 * place

    column = reflected(xx * j + xy * i + tx + (w - 1) / 2, w)
    row = reflected(yx * j + yy * i + ty + (h - 1) / 2, h)
    if not transposed:
        return x[..., row, column]
    result = np.zeros_like(x)
    for plane, given in zip(result.reshape(-1, h, w), x.reshape(-1, h, w)):
        np.add.at(plane, (row, column), given)
    return result


@on_emulator
@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_maps_move_every_bit(dtype: str) -> None:
    rng = np.random.default_rng(3)
    maps = [[1, 0, 0, 0, 1, 0], [1, 0, 3, 0, 1, -2], [-1, 0, -41, 0, 1, 0], [1, 0, 0, 0, -1, 9]]
    turns = [[0, 1, 2, -1, 0, 1], [0, -1, 0, -1, 0, 0], [0, 1, -30, 1, 0, 25]]
    for h, w in ((6, 6), (17, 19), (1, 5), (4, 1), (1, 1)):
        matrices = maps + (turns if (h - w) % 2 == 0 else [])
        # Few bits, so that sums are exact too.
        x = tensor(rng.integers(-8, 9, [len(matrices), 2, h, w]), dtype)
        y, dx, ddy = with_derivatives(wide(x), np.array(matrices), wide(x), wide(x), dtype)
        for n, matrix in enumerate(matrices):
            expected = exact(wide(x)[n], matrix, transposed=False)
            np.testing.assert_array_equal(wide(y)[n], expected, str(matrix))
            np.testing.assert_array_equal(wide(ddy)[n], expected, str(matrix))
            expected = exact(wide(x)[n], matrix, transposed=True)
            np.testing.assert_array_equal(wide(dx)[n], expected, str(matrix))


@on_emulator
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_signed_zeros_and_payloads_are_moved(dtype: str) -> None:
    bits = {2: "uint16", 4: "uint32", 8: "uint64"}
    x = tensor(np.random.default_rng(4).standard_normal([2, 1, 3, 5]), dtype)
    raw = x.numpy().view(bits[x.element_size()])
    ones = {"float16": 0x7E55, "bfloat16": 0x7FD5, "float32": 0x7FC12345}
    raw[..., 0] = ones.get(dtype, 0x7FF8000000012345)
    raw[..., 1] = 1 << (8 * x.element_size() - 1)
    x = paddle.to_tensor(raw.view(x.numpy().dtype), stop_gradient=False)
    y = warp(x, tensor(np.array([[1.0, 0, 0, 0, 1, 0], [-1, 0, 0, 0, 1, 0]])), impl="native")
    np.testing.assert_array_equal(y.numpy().view(raw.dtype)[0], raw[0])
    np.testing.assert_array_equal(y.numpy().view(raw.dtype)[1], raw[1, ..., ::-1])
    (dx,) = paddle.grad([y], [x], [x.detach()])
    np.testing.assert_array_equal(dx.numpy().view(raw.dtype)[0], raw[0])


@on_emulator
@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e308, 2.0**31])
def test_maps_that_lead_nowhere(bad: float) -> None:
    x = np.random.default_rng(5).standard_normal([8, 1, 4, 5])
    matrices = np.tile([1.0, 0, 0, 0, 1, 0], [8, 1])
    for n in range(6):
        matrices[n, n] = bad
    matrices[6] = [0.5, 0.25, 1, 0, 1, 0]
    for dtype in ("float32", "float16"):
        images = tensor(x, dtype)
        images.stop_gradient = False
        # Python refuses what is not finite, where it can see it.
        y = _native.call("pg_augment", images, tensor(matrices), None, 0)
        (dx,) = paddle.grad([y], [images], [images.detach()])
        for result in (wide(y), wide(dx)):
            assert np.isnan(result[:6]).all()
            assert np.isfinite(result[6]).all()
            np.testing.assert_array_equal(result[7], wide(images)[7])


def test_samples_do_not_depend_on_each_other() -> None:
    """Nor do results on the run."""
    rng = np.random.default_rng(6)
    shape = (4, 2, 18, 7)
    x, matrices = rng.standard_normal(shape), random_matrices(rng, shape)
    matrices[1] = [-1, 0, 4, 0, 1, 0]
    matrices[3] *= 2
    with emulated():
        together = with_derivatives(x, matrices, x, x, "float32")
        again = with_derivatives(x, matrices, x, x, "float32")
        alone = []
        for n in range(4):
            one, its = x[n : n + 1], matrices[n : n + 1]
            alone.append(with_derivatives(one, its, one, one, "float32"))
    for k, result in enumerate(together):
        np.testing.assert_array_equal(result.numpy(), again[k].numpy())
        for n in range(4):
            np.testing.assert_array_equal(result.numpy()[n], alone[n][k].numpy()[0])


# What may be called while a stream is captured: launches, and questions about the device.
PERMITTED = {"cudaLaunchKernel", "cudaFuncSetAttribute", "cudaDeviceGetAttribute"}


def test_augmentation_in_few_launches_without_reading_back() -> None:
    """Geometry, colours, noise and the cut-out, and the gradients of both orders."""
    settings = AugmentSettings.preset("bgcfnc", {})
    shape = [2, 3, 16, 16]
    parameters = sample(settings, 0.9, shape[1:], StepRandom(7, "test", 0, range(shape[0])))
    x = tensor(np.random.default_rng(7).standard_normal(shape), "float32")
    x.stop_gradient = False
    with emulated(), record_launches() as launches:
        reset()
        y = apply(x, parameters)
        assert set(runtime_calls()) <= PERMITTED
        forward = runtime_calls()["cudaLaunchKernel"]
        (dx,) = paddle.grad([y.sum()], [x], create_graph=True)
        assert len(launches) <= 8
        (dx * dx).sum().backward()
        assert set(runtime_calls()) <= PERMITTED
    assert forward == 3
    assert len(launches) == 9  # three operators, three times
