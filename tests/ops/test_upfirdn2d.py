"""upfirdn2d against scipy, finite differences and itself: native and reference, all types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Union

import numpy as np
import paddle
import pytest
from gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph, empty_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from pygan.ops import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d
from pygan.ops._native import unavailable_reason

IMPLS = ["native", "ref"]
TAPS = np.array([1.0, 3.0, 3.0, 1.0])


@pytest.fixture(autouse=True)
def _needs_native(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    impl = callspec.params.get("impl") if callspec else "native"
    if impl != "ref" and unavailable_reason() is not None:
        pytest.skip(f"no native operators: {unavailable_reason()}")


class Case(NamedTuple):
    shape: tuple[int, int, int, int]
    f: np.ndarray
    up: list[int]
    down: list[int]
    padding: list[int]
    flip: bool
    gain: float

    def run(self, x: paddle.Tensor, impl: str, f: Any = None) -> paddle.Tensor:
        f = self.f if f is None else f
        return upfirdn2d(x, f, self.up, self.down, self.padding, self.flip, self.gain, impl=impl)

    def scale(self, x: np.ndarray) -> float:
        """Bound of the result's size: what its rounding errors are relative to."""
        taps = np.abs(_outer(self.f)).sum()
        return float(abs(self.gain) * taps * np.abs(x).max())


def _outer(f: np.ndarray) -> np.ndarray:
    return np.outer(f, f) if f.ndim == 1 else f


def oracle(x: np.ndarray, case: Case) -> np.ndarray:
    """The four steps of the definition, one after the other, in float64."""
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = case.up, case.down, case.padding
    n, c, h, w = x.shape
    u = np.zeros((n, c, h * up_y, w * up_x))
    u[:, :, ::up_y, ::up_x] = x
    u = np.pad(u, [(0, 0), (0, 0), (max(y0, 0), max(y1, 0)), (max(x0, 0), max(x1, 0))])
    u = u[:, :, max(-y0, 0) : u.shape[2] - max(-y1, 0), max(-x0, 0) : u.shape[3] - max(-x1, 0)]
    f = _outer(case.f)
    f = f[::-1, ::-1] if case.flip else f
    return case.gain * np.stack(
        [[convolve2d(p, f, "valid")[::down_y, ::down_x] for p in image] for image in u]
    )


def is_legal(case: Case) -> bool:
    """The filter fits, and (for the oracle's sake) cropping leaves a pixel."""
    _, _, h, w = case.shape
    x0, x1, y0, y1 = case.padding
    kh, kw = _outer(case.f).shape
    rows, columns = h * case.up[1], w * case.up[0]
    return (
        rows + y0 + y1 >= kh
        and columns + x0 + x1 >= kw
        and rows + min(y0, 0) + min(y1, 0) >= 1
        and columns + min(x0, 0) + min(x1, 0) >= 1
    )


def random_case(rng: np.random.Generator) -> Case:
    while True:
        shape = (
            int(rng.integers(1, 3)),
            int(rng.integers(1, 3)),
            int(rng.integers(1, 13)),
            int(rng.integers(1, rng.choice([4, 13, 90]))),
        )
        kind = rng.integers(3)
        if kind == 0:
            f = rng.standard_normal(rng.integers(1, 25))
        else:
            f = rng.standard_normal(rng.integers(1, 8, 2))
            if kind == 1:
                f = np.outer(f[:, 0], f[0])
        case = Case(
            shape,
            f,
            [int(i) for i in rng.integers(1, 5, 2)],
            [int(i) for i in rng.integers(1, 5, 2)],
            [int(i) for i in rng.integers(-3, 9, 4)],
            bool(rng.integers(2)),
            float(rng.uniform(0.25, 4)),
        )
        if is_legal(case):
            return case


# ---- Values


@pytest.mark.parametrize("impl", IMPLS)
def test_equals_scipy_in_float64(impl: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        case = random_case(rng)
        x = rng.standard_normal(case.shape)
        y = case.run(paddle.to_tensor(x), impl).numpy()
        expected = oracle(x, case)
        assert y.shape == expected.shape, case
        assert np.abs(y - expected).max() <= 1e-12 * max(1.0, case.scale(x)), case


# Largest error, relative to Case.scale: of some additions in float32, then of one rounding (one
# truncation in the reference on Paddle 2, whose casts do not round).
TOLERANCE = {"float32": 2e-6, "float16": 1.1e-3, "bfloat16": 9e-3}


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_scipy_in_other_types(dtype: str, impl: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        case = random_case(rng)
        x = paddle.to_tensor(rng.standard_normal(case.shape)).astype(dtype)
        y = case.run(x, impl)
        assert y.dtype == x.dtype
        x64 = x.astype("float64").numpy()
        error = np.abs(y.astype("float64").numpy() - oracle(x64, case)).max()
        assert error <= TOLERANCE[dtype] * case.scale(x64), case


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """float32 numbers rounded to nearest, ties to even, in a 16-bit type; as float32."""
    if dtype == "float16":
        return x.astype(np.float16).astype(np.float32)
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_types_are_filtered_in_float32(dtype: str) -> None:
    rng = np.random.default_rng(2)
    x = paddle.to_tensor(rng.standard_normal([2, 3, 19, 37])).astype(dtype)
    f = rng.standard_normal(12)
    for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
        wide = upfirdn2d(x.astype("float32"), f, up, down, 6, impl="native").numpy()
        y = upfirdn2d(x, f, up, down, 6, impl="native")
        np.testing.assert_array_equal(y.astype("float32").numpy(), rounded(wide, dtype))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, int]:
    small = st.integers(1, 5)
    width = st.one_of(st.integers(1, 9), st.integers(1, 150))
    separable = draw(st.booleans())
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    size: Union[int, tuple[int, int]] = (
        draw(st.integers(1, 32)) if separable else (draw(small), draw(small))
    )
    padding = draw(st.lists(st.integers(-6, 40), min_size=4, max_size=4))
    case = Case(
        (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(width)),
        rng.standard_normal(size),
        draw(st.lists(small, min_size=2, max_size=2)),
        draw(st.lists(small, min_size=2, max_size=2)),
        padding,
        draw(st.booleans()),
        draw(st.floats(0.125, 8)),
    )
    return case, seed


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_any_legal_call_equals_scipy(drawn: tuple[Case, int]) -> None:
    case, seed = drawn
    if not is_legal(case):
        return
    x = np.random.default_rng(seed).standard_normal(case.shape)
    y = case.run(paddle.to_tensor(x), "native").numpy()
    np.testing.assert_allclose(y, oracle(x, case), rtol=0, atol=1e-12 * max(1, case.scale(x)))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 1, 9), (1, 1, 9, 1), (3, 1, 2, 2)])
def test_tiny_images(shape: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    for up, down in ((1, 1), (2, 1), (1, 2), (4, 3)):
        case = Case(shape, TAPS, [up] * 2, [down] * 2, [3, 2, 2, 3], False, 1.0)
        y = case.run(paddle.to_tensor(x), "native").numpy()
        np.testing.assert_allclose(y, oracle(x, case), rtol=0, atol=1e-12 * case.scale(x))


def test_large_padding_and_crops_that_leave_no_pixel() -> None:
    x = paddle.ones([1, 2, 3, 3])
    y = upfirdn2d(x, setup_filter(TAPS), padding=[1000, 0, 0, 500], impl="native")
    assert y.shape == [1, 2, 500, 1000]
    assert y.numpy()[:, :, :, :997].max() == 0
    assert y.numpy().max() > 0
    # The crop on the left takes all the pixels, the padding on the right makes up for them.
    for impl in IMPLS:
        y = upfirdn2d(x, setup_filter(TAPS), padding=[-5, 9, -5, 9], impl=impl)
        assert y.shape == [1, 2, 4, 4]
        assert not y.numpy().any()


def test_infinities_stay_where_the_filter_puts_them() -> None:
    x = np.zeros([1, 1, 9, 40], np.float32)
    x[0, 0, 4, 20] = np.inf
    y = upfirdn2d(paddle.to_tensor(x), setup_filter(TAPS), padding=[2, 1, 2, 1], impl="native")
    rows, columns = np.nonzero(~np.isfinite(y.numpy()[0, 0]))
    assert set(rows) == {3, 4, 5, 6}
    assert set(columns) == {19, 20, 21, 22}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outer_products_are_run_separably_within_rounding(dtype: str) -> None:
    rng = np.random.default_rng(4)
    x = paddle.to_tensor(rng.standard_normal([2, 3, 20, 33]).astype(dtype))
    for f in (TAPS / 8, rng.standard_normal(6)):
        a = upfirdn2d(x, f, 2, 1, 4, impl="native").numpy()
        b = upfirdn2d(x, np.outer(f, f), 2, 1, 4, impl="native").numpy()
        eps = np.finfo(dtype).eps
        assert np.abs(a - b).max() <= 16 * eps * np.abs(f).sum() ** 2 * np.abs(x.numpy()).max()


def test_almost_separable_filters_keep_their_difference() -> None:
    f = np.outer(TAPS, TAPS)
    f[1, 2] += 1e-9
    x = np.random.default_rng(5).standard_normal([1, 1, 8, 8])
    case = Case(x.shape, f, [1, 1], [1, 1], [0, 0, 0, 0], False, 1.0)
    y = case.run(paddle.to_tensor(x), "native").numpy()
    np.testing.assert_allclose(y, oracle(x, case), rtol=0, atol=1e-13 * case.scale(x))


# ---- Gradients

GRADIENT_CASES = {
    "up2": {"f": TAPS, "up": 2, "padding": [2, 1, 2, 1], "gain": 4},
    "down2": {"f": np.outer(TAPS, TAPS), "down": 2, "padding": 1},
    "blur": {"f": np.outer(TAPS, TAPS), "padding": [2, 1, 2, 1]},
    "general": {
        "f": np.arange(12.0).reshape(3, 4) ** 1.5,
        "up": [3, 2],
        "down": [2, 3],
        "padding": [2, -1, 1, 4],
        "flip_filter": True,
        "gain": 0.3,
    },
    "long": {
        "f": np.sin(np.arange(24.0)),
        "up": [2, 4],
        "down": [1, 3],
        "padding": 12,
        "gain": 0.1,
    },
}


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_first_and_second_derivatives(name: str, impl: str) -> None:
    x = np.random.default_rng(6).standard_normal([2, 2, 5, 6])
    arguments = GRADIENT_CASES[name]
    check_gradients(lambda t: upfirdn2d(t, impl=impl, **arguments) * 0.1, x, names=["x"])


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    x = np.random.default_rng(7).standard_normal([1, 2, 5, 6])
    check_retain_graph(lambda t: upfirdn2d(t, TAPS, 2, padding=2, impl=impl) ** 2, x)


def test_gradients_of_native_and_reference_agree() -> None:
    rng = np.random.default_rng(8)
    for _ in range(40):
        case = random_case(rng)
        x = rng.standard_normal(case.shape)
        grads = []
        for impl in IMPLS:
            t = paddle.to_tensor(x, stop_gradient=False)
            y = case.run(t, impl)
            (g,) = paddle.grad([(y**3).sum()], [t], create_graph=True)
            (g * g).sum().backward()
            grads.append((g.numpy(), t.grad.numpy()))
        for native, ref in zip(*grads):
            np.testing.assert_allclose(native, ref, rtol=0, atol=1e-11 * np.abs(ref).max() + 1e-300)


def test_third_derivative_of_the_reference() -> None:
    rng = np.random.default_rng(9)
    x0, direction = rng.standard_normal([2, 1, 1, 4, 4])
    f = rng.standard_normal([3, 4])

    def third(x: np.ndarray) -> tuple[float, np.ndarray]:
        t = paddle.to_tensor(x, stop_gradient=False)
        y = upfirdn2d(t, f, up=2, padding=1, impl="ref") ** 3
        (g,) = paddle.grad([y.sum()], [t], create_graph=True)
        (h,) = paddle.grad([(g * g).sum()], [t], create_graph=True)
        size = (h * h).sum()
        return size.item(), paddle.grad([size], [t])[0].numpy()

    eps = 1e-5
    slope = (third(x0 + eps * direction)[0] - third(x0 - eps * direction)[0]) / (2 * eps)
    assert abs(slope - (third(x0)[1] * direction).sum()) <= 1e-6 * abs(slope)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_gradient_has_the_type_of_x(dtype: str) -> None:
    rng = np.random.default_rng(10)
    x = paddle.to_tensor(rng.standard_normal([1, 2, 6, 7])).astype(dtype)
    x.stop_gradient = False
    y = upfirdn2d(x, setup_filter(TAPS), 2, padding=[2, 1, 2, 1], impl="native")
    (g,) = paddle.grad([y], [x], grad_outputs=[y.detach()])
    assert g.dtype == x.dtype
    assert g.shape == x.shape
    # <dy, y> = <g, x> for dy = y: the gradient is the transpose.
    x, y, g = (t.astype("float64").numpy() for t in (x, y, g))
    left, right = (y**2).sum(), (g * x).sum()
    assert abs(left - right) <= 20 * TOLERANCE[dtype] * abs(left)


# ---- Memory


@pytest.mark.parametrize("layout", HARD_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_layouts(layout: str, dtype: str) -> None:
    array = np.random.default_rng(11).standard_normal([2, 3, 17, 35]).astype(dtype)
    for up, down in ((1, 1), (2, 1), (1, 2)):
        plain = upfirdn2d(paddle.to_tensor(array), TAPS, up, down, 2, impl="native").numpy()
        x = HARD_LAYOUTS[layout](array)
        np.testing.assert_array_equal(x.numpy(), array)
        y = upfirdn2d(x, TAPS, up, down, 2, impl="native")
        np.testing.assert_array_equal(y.numpy(), plain)


def test_transposed_gradient_of_the_result() -> None:
    rng = np.random.default_rng(12)
    x = paddle.to_tensor(rng.standard_normal([2, 3, 6, 8]), stop_gradient=False)
    dy = rng.standard_normal([2, 3, 12, 16])
    y = upfirdn2d(x, TAPS, 2, padding=[2, 1, 2, 1], impl="native")
    (plain,) = paddle.grad([y], [x], grad_outputs=[paddle.to_tensor(dy)], retain_graph=True)
    (g,) = paddle.grad([y], [x], grad_outputs=[HARD_LAYOUTS["transposed"](dy)])
    np.testing.assert_array_equal(g.numpy(), plain.numpy())


@pytest.mark.parametrize("impl", IMPLS)
def test_no_images(impl: str) -> None:
    x = empty_batch(np.zeros([2, 3, 4, 5], np.float32))
    assert upfirdn2d(x, setup_filter(TAPS), 2, padding=2, impl=impl).shape == [0, 3, 9, 11]
    assert upfirdn2d(paddle.zeros([2, 0, 4, 5]), None, impl=impl).shape == [2, 0, 4, 5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [256, 257])
def test_large_results_are_those_of_their_planes(width: int, dtype: str) -> None:
    """Large results are written around the cache, in whole lines where rows do not end with one."""
    rng = np.random.default_rng(15)
    array = rng.standard_normal([1, 20, 259, width]).astype(dtype)
    for up, down, padding in ((1, 1, [2, 1, 2, 1]), (2, 1, [2, 1, 2, 1]), (1, 1, [2, 2, 2, 2])):
        for f in (TAPS, rng.standard_normal([3, 2])):
            x = paddle.to_tensor(array)
            y = upfirdn2d(x, f, up, down, padding, impl="native").numpy()
            assert y.nbytes > 5e6
            for c in range(20):
                plane = upfirdn2d(x[:, c : c + 1], f, up, down, padding, impl="native").numpy()
                assert plane.nbytes < 4e6
                np.testing.assert_array_equal(y[:, c : c + 1], plane)


SCRIPT = """
import hashlib
import numpy as np
import paddle
from pygan.ops import upfirdn2d
from pygan.ops._native import native_info

rng = np.random.default_rng(0)
digest = hashlib.sha256()
for dtype in ("float32", "float64", "float16", "bfloat16"):
    for shape in ((16, 8, 37, 53), (1, 1, 1200, 1001), (1, 3, 20, 1100)):
        x = paddle.to_tensor(rng.standard_normal(shape)).astype(dtype)
        for f in (np.array([1., 3., 3., 1.]), rng.standard_normal(12), rng.standard_normal([3, 4])):
            for up, down in ((1, 1), (2, 1), (1, 2), (3, 2)):
                y = upfirdn2d(x, f, up, down, 6, impl="native")
                digest.update(y.astype("float64").numpy().tobytes())
print(native_info()["cpu_isa"], native_info()["threads"], digest.hexdigest())
"""


def _run(**environment: str) -> list[str]:
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_result_does_not_depend_on_the_number_of_threads() -> None:
    one, three = _run(OMP_NUM_THREADS="1"), _run(OMP_NUM_THREADS="3")
    assert (one[1], three[1]) == ("1", "3")
    assert one[2] == three[2]


ISA_SCRIPT = """
import sys
sys.path[:0] = [{tests!r}, {ops!r}]
import numpy as np
import paddle
from pygan.ops._native import native_info
from test_upfirdn2d import TOLERANCE, oracle, random_case

rng = np.random.default_rng(0)
for _ in range(120):
    case = random_case(rng)
    for dtype, tolerance in (("float64", 1e-12), *TOLERANCE.items()):
        x = paddle.to_tensor(rng.standard_normal(case.shape)).astype(dtype)
        x64 = x.astype("float64").numpy()
        y = case.run(x, "native").astype("float64").numpy()
        assert np.abs(y - oracle(x64, case)).max() <= tolerance * max(1, case.scale(x64)), case
print(native_info()["cpu_isa"])
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_other_instruction_sets(isa: str) -> None:
    here = Path(__file__).resolve()
    script = ISA_SCRIPT.format(tests=str(here.parents[1]), ops=str(here.parent))
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(here.parents[2]), "PYGAN_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    # The machine running this may have less than it was asked for.
    assert result.stdout.split()[-1] in ("baseline", isa)


# ---- Filters and the functions around the operator


def test_setup_filter() -> None:
    np.testing.assert_allclose(setup_filter(TAPS).numpy(), np.outer(TAPS, TAPS) / 64)
    np.testing.assert_array_equal(setup_filter(None).numpy(), [[1]])
    np.testing.assert_array_equal(setup_filter(3, normalize=False).numpy(), [[9]])
    long = setup_filter(np.arange(8.0))
    assert long.shape == [8]
    assert abs(long.sum().item() - 1) < 1e-6
    assert setup_filter(np.arange(8.0), separable=False).shape == [8, 8]
    assert setup_filter([1, 2, 3], separable=True).shape == [3]
    flipped = setup_filter([[1, 2], [3, 4]], normalize=False, flip_filter=True)
    np.testing.assert_array_equal(flipped.numpy(), [[4, 3], [2, 1]])
    assert abs(setup_filter(TAPS, gain=4).sum().item() - 4) < 1e-6
    assert abs(setup_filter(TAPS, gain=4, separable=True).sum().item() - 2) < 1e-6
    np.testing.assert_array_equal(setup_filter(paddle.to_tensor([1.0, 1.0])), np.full([2, 2], 0.25))
    assert setup_filter(TAPS).dtype == paddle.float32
    assert setup_filter(TAPS).stop_gradient


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5, 12])
def test_resampling_keeps_the_centre(taps: int, impl: str) -> None:
    """A filter is centred on its pixel as well as its length allows: to half a pixel."""
    f = setup_filter(np.ones(taps))
    pulse = np.zeros([1, 1, 30, 36])
    pulse[0, 0, 12, 17] = 1

    def centre(y: paddle.Tensor) -> list[float]:
        p = y.numpy()[0, 0]
        rows, columns = p.sum(1), p.sum(0)
        return [float(v @ np.arange(v.size) / v.sum()) for v in (rows, columns)]

    shift = 0.5 * (taps % 2 == 0)
    y = filter2d(paddle.to_tensor(pulse), f, impl=impl)
    assert y.shape == [1, 1, 30, 36]
    np.testing.assert_allclose(centre(y), [12 + shift, 17 + shift])

    shift = 0.5 * (taps % 2 == 1)
    y = upsample2d(paddle.to_tensor(pulse), f, impl=impl)
    assert y.shape == [1, 1, 60, 72]
    np.testing.assert_allclose(centre(y), [24.5 + shift, 34.5 + shift])

    ramp = np.broadcast_to(np.arange(36.0), [1, 1, 30, 36])
    y = downsample2d(paddle.to_tensor(np.ascontiguousarray(ramp)), f, impl=impl)
    assert y.shape == [1, 1, 15, 18]
    inside = y.numpy()[0, 0, 7, 5:12]
    np.testing.assert_allclose(inside, 2 * np.arange(5, 12) + 0.5 - shift, rtol=1e-6)


@pytest.mark.parametrize("impl", IMPLS)
def test_padding_formulas(impl: str) -> None:
    rng = np.random.default_rng(13)
    x = paddle.to_tensor(rng.standard_normal([1, 2, 12, 18]))
    for kh, kw in ((1, 1), (2, 3), (4, 4), (5, 2), (6, 12)):
        f = rng.standard_normal([kh, kw])
        y = filter2d(x, f, padding=[1, 0, -1, 2], gain=0.5, impl=impl)
        pad = [kw // 2 + 1, (kw - 1) // 2, kh // 2 - 1, (kh - 1) // 2 + 2]
        same = upfirdn2d(x, f, padding=pad, gain=0.5, impl=impl)
        np.testing.assert_array_equal(y.numpy(), same.numpy())
        for a, b in ((2, 2), (3, 1), (1, 4)):  # x, y
            y = upsample2d(x, f, up=[a, b], impl=impl)
            pad = [(kw + a - 1) // 2, (kw - a) // 2, (kh + b - 1) // 2, (kh - b) // 2]
            same = upfirdn2d(x, f, up=[a, b], padding=pad, gain=a * b, impl=impl)
            np.testing.assert_array_equal(y.numpy(), same.numpy())
            assert y.shape == [1, 2, 12 * b, 18 * a]
            y = downsample2d(x, f, down=[a, b], flip_filter=True, impl=impl)
            pad = [(kw - a + 1) // 2, (kw - a) // 2, (kh - b + 1) // 2, (kh - b) // 2]
            same = upfirdn2d(x, f, down=[a, b], padding=pad, flip_filter=True, impl=impl)
            np.testing.assert_array_equal(y.numpy(), same.numpy())
            assert y.shape == [1, 2, 12 // b, 18 // a]


def test_resampling_keeps_constant_images() -> None:
    x = paddle.full([1, 1, 12, 12], 3.0)
    f = setup_filter(TAPS)
    for y in (upsample2d(x, f), downsample2d(x, f), filter2d(x, f)):
        inside = y.numpy()[:, :, 3:-3, 3:-3] if y.shape[2] > 6 else y.numpy()[:, :, 2:-2, 2:-2]
        np.testing.assert_array_equal(inside, np.full_like(inside, 3.0))


def test_identity_without_a_filter() -> None:
    x = paddle.to_tensor(np.random.default_rng(14).standard_normal([2, 3, 4, 5]))
    for impl in IMPLS:
        np.testing.assert_array_equal(upfirdn2d(x, None, impl=impl).numpy(), x.numpy())


# ---- Errors


def _image() -> paddle.Tensor:
    return paddle.zeros([1, 2, 4, 4])


BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`x` is ndarray", {"x": np.zeros([1, 1, 4, 4])}),
    (TypeError, "`x` is a tensor of .*int64", {"x": paddle.zeros([1, 1, 4, 4], "int64")}),
    (ValueError, r"`x` has shape \[4, 4\]", {"x": paddle.zeros([4, 4])}),
    (ValueError, r"H, W >= 1", {"x": paddle.zeros([1, 1, 0, 4])}),
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
