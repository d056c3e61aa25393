"""image_filter's CUDA kernels, emulated, against the definition in float64 and the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from csrc.ptx.runtime import record_launches
from pygan.nn.augment_composition import octave_filters
from pygan.ops import _native, emulated, image_filter
from tests.ops.augment_cases import DTYPES, TOLERANCE

on_emulator = pytest.mark.usefixtures("on_emulator")

# Rows of whole vectors and of broken ones, starting anywhere; images that are reflected once and
# many times; several batches of rows, tiles of rows and tiles of columns; a row, a column, a pixel.
SHAPES = [
    (2, 2, 16, 16),
    (3, 1, 7, 19),
    (1, 3, 21, 6),
    (2, 2, 1, 9),
    (2, 2, 2, 1),
    (1, 1, 1, 1),
    (1, 2, 75, 64),
    (1, 1, 11, 301),
    (8, 4, 17, 131),
]
TAPS = [1, 3, 5, 13, 43]


def matrix(taps: np.ndarray, size: int) -> np.ndarray:
    """[size, size]: the definition along one axis, pixel by pixel and tap by tap."""
    result = np.zeros([size, size])
    for i in range(size):
        for a, tap in enumerate(taps):
            q = (i + a - len(taps) // 2) % max(1, 2 * (size - 1))
            result[i, min(q, 2 * (size - 1) - q)] += tap
    return result


def oracle(x: np.ndarray, taps: np.ndarray, transposed: bool = False) -> np.ndarray:
    rows, columns = ([matrix(f, size) for f in taps] for size in x.shape[2:])
    if transposed:
        rows, columns = ([m.T for m in matrices] for matrices in (rows, columns))
    return np.stack([m @ image @ n.T for m, image, n in zip(rows, x, columns)])


def random_taps(rng: np.random.Generator, samples: int, k: int) -> np.ndarray:
    """Of which the last sample's are symmetric, and the second of three changes nothing."""
    taps = rng.standard_normal([samples, k]) / np.sqrt(k)
    taps[-1] += taps[-1, ::-1].copy()
    if samples == 3:
        taps[1] = np.arange(k) == k // 2
    return taps


def tensor(array: np.ndarray, dtype: Any) -> paddle.Tensor:
    return paddle.to_tensor(array).astype(dtype)


def wide(t: paddle.Tensor) -> np.ndarray:
    return t.astype("float64").numpy()


def check(shape: tuple[int, ...], k: int, dtype: str, kernels: list[str]) -> None:
    """The value and both derivatives, without a hazard, by these kernels."""
    rng = np.random.default_rng([k, *shape])
    taps = random_taps(rng, shape[0], k)
    x, dy, ddx = (tensor(rng.standard_normal(shape), dtype) for _ in range(3))
    x.stop_gradient = dy.stop_gradient = False
    with record_launches() as launches:
        y = image_filter(x, paddle.to_tensor(taps), impl="native")
        (dx,) = paddle.grad([y], [x], [dy], create_graph=True)
        (ddy,) = paddle.grad([dx], [dy], [ddx])
    assert [k["name"].split("<")[0].split("::")[-1] for k in launches] == kernels * 3
    for launch in launches:
        stats = launch["stats"]
        assert stats["races"] == stats["uninitialised_shared_reads"] == 0
        assert stats["divergent_barriers"] == 0
    scale = 4 * np.abs(taps).sum(1).max() ** 2
    for actual, expected in (
        (y, oracle(wide(x), taps)),
        (dx, oracle(wide(dy), taps, transposed=True)),
        (ddy, oracle(wide(ddx), taps)),
    ):
        assert str(actual.dtype) == f"paddle.{dtype}"
        error = np.abs(wide(actual) - expected).max()
        assert error <= TOLERANCE[dtype] * scale, (shape, k)


@on_emulator
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_and_both_derivatives(dtype: str, shape: tuple[int, ...]) -> None:
    for k in TAPS if np.prod(shape) < 10000 else [7]:
        check(shape, k, dtype, ["filter_tile_kernel"])


@on_emulator
@pytest.mark.parametrize("dtype", DTYPES)
def test_filters_too_long_for_tiles(dtype: str) -> None:
    for shape in [(3, 2, 5, 7), (1, 1, 1, 1), (1, 1, 2, 1)]:
        check(shape, 2601, dtype, ["filter_long_kernel"] * 2)


@on_emulator
def test_images_too_large_for_the_tiles_of_a_long_filter() -> None:
    check((1, 1, 143, 145), 203, "float32", ["filter_long_kernel"] * 2)


@on_emulator
@pytest.mark.parametrize("k", [5, 2601])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_one_in_the_middle_copies_every_bit(dtype: str, k: int) -> None:
    """Infinities, signed zeros and the payload of NaN too."""
    bits = {2: "uint16", 4: "uint32", 8: "uint64"}
    taps = paddle.to_tensor([np.arange(k) == k // 2] * 2).astype("float64")
    for width in (16, 7):
        x = tensor(np.random.default_rng(1).standard_normal([2, 3, 5, width]), dtype)
        raw = x.numpy().view(bits[x.element_size()])
        ones = {"float16": 0x7E55, "bfloat16": 0x7FD5, "float32": 0x7FC12345}
        raw[..., 0] = ones.get(dtype, 0x7FF8000000012345)
        raw[..., 1] = 1 << (8 * x.element_size() - 1)
        x = paddle.to_tensor(raw.view(x.numpy().dtype), stop_gradient=False)
        y = image_filter(x, taps, impl="native")
        (dx,) = paddle.grad([y], [x], [x.detach()])
        np.testing.assert_array_equal(y.numpy().view(raw.dtype), raw)
        np.testing.assert_array_equal(dx.numpy().view(raw.dtype), raw)


@on_emulator
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("k", "reach"), [(3, 1), (7, 3), (43, 21)])
def test_infinities_reach_no_further_than_taps(k: int, reach: int, symmetric: bool) -> None:
    """Nothing is multiplied by taps that are not there, even where vectors hold more pixels."""
    taps = np.random.default_rng(k).uniform(0.1, 1, [1, k])
    if symmetric:
        taps += taps[:, ::-1].copy()
    x = np.zeros([1, 1, 70, 90], np.float32)
    x[0, 0, 33, 45] = np.inf
    near = np.zeros(x.shape, bool)
    near[0, 0, 33 - reach : 34 + reach, 45 - reach : 46 + reach] = True
    x = paddle.to_tensor(x, stop_gradient=False)
    y = image_filter(x, paddle.to_tensor(taps), impl="native")
    (dx,) = paddle.grad([y], [x], [x.detach()])
    for result in (y, dx):
        np.testing.assert_array_equal(result.numpy(), np.where(near, np.inf, 0))


def test_numbers_that_are_not_finite_as_on_the_cpu() -> None:
    """In taps, which a check for the CPU stops."""
    taps = paddle.to_tensor([[0.5, np.nan, 0.5], [np.inf, 1, np.inf], [0, 1, 1e-300]], "float64")
    x = tensor(np.random.default_rng(2).uniform(1, 2, [3, 1, 6, 7]), "float32")
    on_cpu = _native.call("pg_augment", x, taps, None, 2)
    with emulated():
        on_gpu = _native.call("pg_augment", x, taps, None, 2)
    np.testing.assert_allclose(on_gpu.numpy(), on_cpu.numpy(), rtol=1e-6)


@on_emulator
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_however_images_are_cut(dtype: str) -> None:
    """Alone, an image is cut into tiles of few rows; among others into one."""
    rng = np.random.default_rng(3)
    x, taps = rng.standard_normal([1, 1, 40, 21]), rng.standard_normal([1, 9])
    results = []
    for count in (1, 130):
        images = tensor(x.repeat(count, 0), dtype)
        images.stop_gradient = False
        with record_launches() as launches:
            y = image_filter(images, paddle.to_tensor(taps.repeat(count, 0)), impl="native")
            (dx,) = paddle.grad([y], [images], [images.detach()])
        results.append((launches[0]["stats"]["blocks"] // count, wide(y), wide(dx)))
    (many, *alone), (one, *among) = results
    assert many > one == 1
    for few, all_of_them in zip(alone, among):
        np.testing.assert_array_equal(np.broadcast_to(few, all_of_them.shape), all_of_them)


@on_emulator
def test_many_images() -> None:
    """More than there are blocks, so that some take several."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal([16385, 1, 1, 1]).astype(np.float32)
    taps = rng.standard_normal([16385, 3])
    y = image_filter(paddle.to_tensor(x), paddle.to_tensor(taps), impl="native")
    expected = x[:, 0, 0, 0] * taps.sum(1) ** 2
    np.testing.assert_allclose(y.numpy()[:, 0, 0, 0], expected, rtol=0, atol=1e-4)


@on_emulator
@pytest.mark.parametrize(
    ("dtype", "side", "bound"),
    [
        ("float32", 64, 1.05),
        ("float16", 64, 1.1),  # with the taps of each plane
        ("bfloat16", 64, 1.1),
        ("float64", 64, 1.05),
        ("float32", 128, 1.05),
        ("float32", 61, 1.2),
    ],
)
def test_the_filters_of_augmentation_move_little(dtype: str, side: int, bound: float) -> None:
    """Each image is read once, by a launch without bank conflicts."""
    rng = np.random.default_rng(5)
    shape = (32, 1, side, side)
    taps = np.exp(rng.standard_normal([32, 4])) @ octave_filters()
    x = tensor(rng.standard_normal(shape), dtype)
    x.stop_gradient = False
    with record_launches() as launches:
        y = image_filter(x, paddle.to_tensor(taps), impl="native")
        paddle.grad([y], [x], [x.detach()])
    assert len(launches) == 2
    for launch in launches:
        stats = launch["stats"]
        moved = 32 * (stats["global_load"]["sectors"] + stats["global_store"]["sectors"])
        assert moved <= bound * (2 * x.element_size() * np.prod(shape) + taps.nbytes)
        for kind in ("shared_load", "shared_store"):
            assert stats[kind]["wavefronts"] <= 1.01 * stats[kind]["ideal"]
