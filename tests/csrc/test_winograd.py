"""The Winograd convolution against float64 sums, on every instruction set of this machine."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import pytest

Array = np.ndarray

ISAS = ("baseline", "avx2", "avx512")
SAME, STRIDED, TRANSPOSED = 0, 1, 2
PLAIN, EXCHANGED, MIRRORED = 0, 1, 2  # bits of a layout of weights
LINEAR, RELU, LRELU = 0, 1, 2
# max |error| / max |reference| of float32 against float64.
TOLERANCE = 1e-5


# --- Oracles: direct sums in the array's own type (float64 below) ---------------------------------


def pad(x: Array, before: int, after: int) -> Array:
    return np.pad(x, [(0, 0), (0, 0), (before, after), (before, after)])


def correlate(x: Array, w: Array) -> Array:
    """Valid correlation of [n, i, h, w] with [o, i, kh, kw]."""
    height, width = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    y = np.zeros((x.shape[0], w.shape[0], height, width))
    for a in range(w.shape[2]):
        for b in range(w.shape[3]):
            y += np.einsum("nihw,oi->nohw", x[:, :, a : a + height, b : b + width], w[:, :, a, b])
    return y


def correlate_adjoint(y: Array, w: Array) -> Array:
    """The transpose of `correlate` in x."""
    flipped = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    rows, cols = w.shape[2] - 1, w.shape[3] - 1
    return correlate(np.pad(y, [(0, 0), (0, 0), (rows, rows), (cols, cols)]), flipped)


def correlate_weights(x: Array, dy: Array) -> Array:
    """The gradient of `correlate` by w."""
    height, width = dy.shape[2:]
    kh, kw = x.shape[2] - height + 1, x.shape[3] - width + 1
    dw = np.zeros((dy.shape[1], x.shape[1], kh, kw))
    for a in range(kh):
        for b in range(kw):
            window = x[:, :, a : a + height, b : b + width]
            dw[:, :, a, b] = np.einsum("nohw,nihw->oi", dy, window)
    return dw


def spread(y: Array) -> Array:
    """Adjoint of taking every second row and column of an odd number."""
    n, c, h, w = y.shape
    full = np.zeros((n, c, 2 * h - 1, 2 * w - 1))
    full[:, :, ::2, ::2] = y
    return full


# --- The library ----------------------------------------------------------------------------------


def pointer(array: Array | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


def floats(array: Array | None) -> Array | None:
    return None if array is None else np.ascontiguousarray(array, dtype=np.float32)


@dataclass
class Epilogue:
    scale: Array | None = None
    noise: Array | None = None  # [n or 1, h, w]
    bias: Array | None = None
    act: int = LINEAR
    strength: float = 1.0
    alpha: float = 0.0
    gain: float = 1.0
    clamp: float = -1.0

    def __call__(self, u: Array) -> Array:
        z = u if self.scale is None else u * self.scale[:, :, None, None]
        if self.noise is not None:
            z = z + self.strength * self.noise[:, None]
        if self.bias is not None:
            z = z + self.bias[None, :, None, None]
        if self.act != LINEAR:
            z = np.where(z > 0, z, (self.alpha if self.act == LRELU else 0.0) * z)
        z = z * self.gain
        return z if self.clamp < 0 else np.clip(z, -self.clamp, self.clamp)


@dataclass
class Engine:
    lib: ctypes.CDLL
    isa: int
    threads: int = 1

    def forward(
        self,
        x: Array,
        w: Array,
        co: int,
        *,
        layout: int = PLAIN,
        in_scale: Array | None = None,
        epilogue: Epilogue | None = None,
        form: int = SAME,
    ) -> Array:
        e = epilogue or Epilogue()
        n, ci, h, width = x.shape
        if form == STRIDED:
            h, width = h // 2, width // 2
        size = (2 * h + 1, 2 * width + 1) if form == TRANSPOSED else (h, width)
        y = np.full((n, co, *size), np.nan, np.float32)
        x32, w32, s32, scale, noise, bias = map(floats, (x, w, in_scale, e.scale, e.noise, e.bias))
        shared_noise = noise is None or noise.shape[0] == 1
        parameters = np.array([e.strength, e.alpha, e.gain, e.clamp], np.float32)
        sizes = np.array([n, ci, co, h, width], np.int64)
        self.lib.pygan_test_winograd_forward(
            self.isa,
            self.threads,
            pointer(y),
            pointer(x32),
            pointer(w32),
            layout,
            pointer(s32),
            pointer(scale),
            pointer(noise),
            ctypes.c_int64(0 if shared_noise else h * width),
            pointer(bias),
            e.act,
            pointer(parameters),
            pointer(sizes),
            form,
        )
        return y

    def weight_grad(
        self,
        x: Array,
        dy: Array,
        *,
        x_scale: Array | None = None,
        dy_scale: Array | None = None,
        layout: int = PLAIN,
        form: int = SAME,
    ) -> Array:
        n, ci = x.shape[:2]
        co = dy.shape[1]
        h, width = dy.shape[2:]
        shape = (ci, co, 3, 3) if layout & EXCHANGED else (co, ci, 3, 3)
        dw = np.full(shape, np.nan, np.float32)
        x32, dy32, xs, dys = map(floats, (x, dy, x_scale, dy_scale))
        sizes = np.array([n, ci, co, h, width], np.int64)
        self.lib.pygan_test_winograd_weight_grad(
            self.isa,
            self.threads,
            pointer(dw),
            pointer(x32),
            pointer(dy32),
            pointer(xs),
            pointer(dys),
            pointer(sizes),
            layout,
            form,
        )
        return dw


@pytest.fixture(params=range(len(ISAS)), ids=ISAS)
def engine(native_lib: ctypes.CDLL, request: pytest.FixtureRequest) -> Engine:
    if request.param > native_lib.pygan_test_cpu_isa():
        pytest.skip(f"this machine has no {ISAS[request.param]}")
    return Engine(native_lib, request.param)


def assert_close(actual: Array, reference: Array, magnitude: float = 0.0) -> None:
    """Within TOLERANCE of the largest value, or of `magnitude` if that is larger."""
    assert actual.shape == reference.shape
    if reference.size == 0:
        return
    error = np.abs(actual - reference).max()
    assert error <= TOLERANCE * max(np.abs(reference).max(), magnitude)


def largest(x: Array) -> float:
    return float(np.abs(x).max(initial=0.0))


def rounded(rng: np.random.Generator, *shape: int) -> Array:
    """Normal numbers that float32 holds exactly."""
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


LAYOUTS = range(4)


def as_stored(weights: Array, layout: int) -> Array:
    """[o, i, 3, 3] as it lies in memory; its own inverse."""
    if layout & EXCHANGED:
        weights = weights.swapaxes(0, 1)
    return weights[:, :, ::-1, ::-1] if layout & MIRRORED else weights


SHAPES = [  # n, ci, co, h, w
    (1, 1, 1, 1, 1),
    (1, 3, 7, 2, 3),
    (2, 8, 3, 3, 2),
    (3, 7, 8, 4, 4),
    (1, 16, 16, 5, 9),
    (2, 5, 65, 6, 7),
    (3, 65, 7, 8, 8),
    (1, 4, 9, 9, 1),
    (1, 9, 4, 1, 9),
    (3, 16, 24, 16, 16),
    (1, 3, 16, 33, 33),
    (2, 17, 8, 64, 48),
    (1, 8, 5, 12, 64),
    (1, 5, 8, 7, 131),
    (2, 3, 70, 5, 128),
    (0, 3, 4, 8, 8),
    (2, 0, 4, 5, 6),
    (2, 3, 0, 5, 6),
    (1, 2, 3, 0, 4),
]
SHAPES_WITH_PIXELS = [shape for shape in SHAPES if shape[3] > 0]


def full_epilogue(rng: np.random.Generator, n: int, co: int, h: int, w: int, act: int) -> Epilogue:
    return Epilogue(
        scale=rounded(rng, n, co),
        noise=rounded(rng, n if act == LRELU else 1, h, w),
        bias=rounded(rng, co),
        act=act,
        strength=0.5,
        alpha=0.25,
        gain=1.5,
        clamp=4.0 if act == RELU else -1.0,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward(engine: Engine, shape: tuple[int, ...], layout: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, weights = rounded(rng, n, ci, h, w), rounded(rng, co, ci, 3, 3)
    y = engine.forward(x, as_stored(weights, layout), co, layout=layout)
    assert_close(y, correlate(pad(x, 1, 1), weights))


@pytest.mark.parametrize("act", [LINEAR, RELU, LRELU])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_with_scales_and_epilogue(engine: Engine, shape: tuple[int, ...], act: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, weights, s = rounded(rng, n, ci, h, w), rounded(rng, co, ci, 3, 3), rounded(rng, n, ci)
    epilogue = full_epilogue(rng, n, co, h, w, act)
    u = correlate(pad(x * s[:, :, None, None], 1, 1), weights)
    y = engine.forward(x, weights, co, in_scale=s, epilogue=epilogue)
    assert_close(y, epilogue(u), largest(u))  # the clamp hides how large u was


@pytest.mark.parametrize("shape", SHAPES)
def test_input_gradient(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    dy, weights, d = rounded(rng, n, co, h, w), rounded(rng, co, ci, 3, 3), rounded(rng, n, co)
    reference = correlate_adjoint(dy * d[:, :, None, None], weights)[:, :, 1 : h + 1, 1 : w + 1]
    assert_close(
        engine.forward(dy, weights, ci, layout=EXCHANGED | MIRRORED, in_scale=d), reference
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES_WITH_PIXELS)
def test_strided(engine: Engine, shape: tuple[int, ...], layout: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, 2 * h + 1, 2 * w + 1), rounded(rng, n, ci)
    weights = rounded(rng, co, ci, 3, 3)
    epilogue = full_epilogue(rng, n, co, h, w, LRELU)
    u = correlate(x * s[:, :, None, None], weights)[:, :, ::2, ::2]
    y = engine.forward(
        x,
        as_stored(weights, layout),
        co,
        layout=layout,
        in_scale=s,
        epilogue=epilogue,
        form=STRIDED,
    )
    assert_close(y, epilogue(u))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES_WITH_PIXELS)
def test_transposed(engine: Engine, shape: tuple[int, ...], layout: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, h, w), rounded(rng, n, ci)
    weights = rounded(rng, co, ci, 3, 3)
    reference = correlate_adjoint(spread(x * s[:, :, None, None]), weights.swapaxes(0, 1))
    stored = as_stored(weights, layout)
    y = engine.forward(x, stored, co, layout=layout, in_scale=s, form=TRANSPOSED)
    assert_close(y, reference)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_gradient(engine: Engine, shape: tuple[int, ...], layout: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, h, w), rounded(rng, n, ci)
    dy, d = rounded(rng, n, co, h, w), rounded(rng, n, co)
    reference = correlate_weights(pad(x * s[:, :, None, None], 1, 1), dy * d[:, :, None, None])
    dw = engine.weight_grad(x, dy, x_scale=s, dy_scale=d, layout=layout)
    assert_close(as_stored(dw, layout), reference)
    assert_close(engine.weight_grad(x, dy), correlate_weights(pad(x, 1, 1), dy))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES_WITH_PIXELS)
def test_strided_weight_gradient(engine: Engine, shape: tuple[int, ...], layout: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, 2 * h + 1, 2 * w + 1), rounded(rng, n, ci)
    dy, d = rounded(rng, n, co, h, w), rounded(rng, n, co)
    reference = correlate_weights(x * s[:, :, None, None], spread(dy * d[:, :, None, None]))
    dw = engine.weight_grad(x, dy, x_scale=s, dy_scale=d, layout=layout, form=STRIDED)
    assert_close(as_stored(dw, layout), reference)
    plain = engine.weight_grad(x, dy, form=STRIDED)
    assert_close(plain, correlate_weights(x, spread(dy)))


@pytest.mark.parametrize("shape", [(2, 512, 8, 8, 8), (1, 300, 16, 13, 20)])
def test_accuracy_with_many_channels(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(7)
    # Activations and weights of one sign are the hardest: the transforms cancel what is large.
    for x in (rounded(rng, n, ci, h, w), np.abs(rounded(rng, n, ci, h, w))):
        weights = rounded(rng, co, ci, 3, 3)
        assert_close(engine.forward(x, weights, co), correlate(pad(x, 1, 1), weights))
        high = rounded(rng, n, ci, 2 * h + 1, 2 * w + 1)
        low = engine.forward(high, weights, co, form=STRIDED)
        assert_close(low, correlate(high, weights)[:, :, ::2, ::2])
        y = engine.forward(x, weights, co, form=TRANSPOSED)
        assert_close(y, correlate_adjoint(spread(x), weights.swapaxes(0, 1)))


def test_accuracy_of_the_weight_gradient_of_many_pixels(engine: Engine) -> None:
    rng = np.random.default_rng(8)
    x, dy = rounded(rng, 2, 3, 160, 128), rounded(rng, 2, 4, 160, 128)
    for sign in (lambda a: a, np.abs):
        reference = correlate_weights(pad(sign(x), 1, 1), sign(dy))
        assert_close(engine.weight_grad(sign(x), sign(dy)), reference)


@pytest.mark.parametrize("shape", [(3, 40, 24, 20, 36), (1, 8, 16, 160, 160)])
@pytest.mark.parametrize("form", [SAME, STRIDED, TRANSPOSED])
def test_threads_do_not_change_a_bit(engine: Engine, shape: tuple[int, ...], form: int) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(9)
    high = (2 * h + 1, 2 * w + 1) if form == STRIDED else (h, w)
    x, dy = rounded(rng, n, ci, *high), rounded(rng, n, co, h, w)
    weights = rounded(rng, co, ci, 3, 3)
    results = []
    for threads in (1, 2, 3):
        engine.threads = threads
        y = engine.forward(x, weights, co, form=form)
        results.append([y, *([engine.weight_grad(x, dy, form=form)] if form != TRANSPOSED else [])])
    for others in results[1:]:
        for other, one in zip(others, results[0], strict=True):
            np.testing.assert_array_equal(other, one)


def test_nan_and_infinity_stay_in_their_tile(engine: Engine) -> None:
    rng = np.random.default_rng(10)
    x, weights = rounded(rng, 1, 3, 16, 16), rounded(rng, 4, 3, 3, 3)
    x[0, 1, 5, 6] = np.nan
    y = engine.forward(x, weights, 4, epilogue=Epilogue(act=LRELU, alpha=0.2))
    reference = correlate(pad(x, 1, 1), weights)
    assert np.isnan(y[np.isnan(reference)]).all()
    assert np.isfinite(y[:, :, 9:, :]).all()
    assert np.isfinite(y[:, :, :, 9:]).all()
