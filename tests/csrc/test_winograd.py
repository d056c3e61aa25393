"""The Winograd convolution against float64 sums, on every instruction set of this machine."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import pytest

Array = np.ndarray

ISAS = ("baseline", "avx2", "avx512")
PLAIN, INPUT_SPACE_TO_DEPTH, OUTPUT_DEPTH_TO_SPACE = 0, 1, 2
LINEAR, RELU, LRELU = 0, 1, 2
# max |error| / max |reference| of float32 against float64.
TOLERANCE = 1e-5
# Asymmetric on purpose: a filter read backwards, or y for x, must show.
TAPS_Y = np.array([0.3, 0.9, 0.7, 0.1])
TAPS_X = np.array([0.2, 0.5, 1.1, -0.3])


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


def each_channel(x: Array, function: object, taps: Array) -> Array:
    """`correlate` or its adjoint with one filter for every channel."""
    n, c, h, w = x.shape
    y = function(x.reshape(n * c, 1, h, w), taps[None, None])  # type: ignore[operator]
    return y.reshape(n, c, *y.shape[2:])


FIR = np.outer(TAPS_Y, TAPS_X)


def filtered_up(x: Array) -> Array:
    """Zero insertion, padding and filter of the up layer: [h, w] -> [2h + 2, 2w + 2]."""
    n, c, h, w = x.shape
    inserted = np.zeros((n, c, 2 * h, 2 * w))
    inserted[:, :, ::2, ::2] = x
    return each_channel(pad(inserted, 3, 2), correlate, FIR)


def filtered_up_adjoint(y: Array) -> Array:
    return each_channel(y, correlate_adjoint, FIR)[:, :, 3:-2:2, 3:-2:2]


def filtered_down(x: Array) -> Array:
    """Padding and filter of the down layer: [2h, 2w] -> [2h + 1, 2w + 1]."""
    return each_channel(pad(x, 2, 2), correlate, FIR)


def filtered_down_adjoint(y: Array) -> Array:
    return each_channel(y, correlate_adjoint, FIR)[:, :, 2:-2, 2:-2]


def spread(y: Array) -> Array:
    """Adjoint of taking every second row and column of an odd number."""
    n, c, h, w = y.shape
    full = np.zeros((n, c, 2 * h - 1, 2 * w - 1))
    full[:, :, ::2, ::2] = y
    return full


def space_to_depth(x: Array) -> Array:
    return np.concatenate([x[:, :, py::2, px::2] for py in (0, 1) for px in (0, 1)], axis=1)


def depth_to_space(x: Array) -> Array:
    n, c, h, w = x.shape
    y = np.zeros((n, c // 4, 2 * h, 2 * w))
    for phase in range(4):
        y[:, :, phase // 2 :: 2, phase % 2 :: 2] = x[:, phase * (c // 4) : (phase + 1) * (c // 4)]
    return y


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
        transpose: bool = False,
        in_scale: Array | None = None,
        epilogue: Epilogue | None = None,
        polyphase: int = PLAIN,
        taps: Array | None = None,
    ) -> Array:
        e = epilogue or Epilogue()
        n, ci, h, width = x.shape
        if polyphase == INPUT_SPACE_TO_DEPTH:
            h, width = h // 2, width // 2
        zoom = 2 if polyphase == OUTPUT_DEPTH_TO_SPACE else 1
        y = np.full((n, co, h * zoom, width * zoom), np.nan, np.float32)
        x32, w32, s32, scale, noise, bias, taps32 = map(
            floats, (x, w, in_scale, e.scale, e.noise, e.bias, taps)
        )
        shared_noise = noise is None or noise.shape[0] == 1
        parameters = np.array([e.strength, e.alpha, e.gain, e.clamp], np.float32)
        sizes = np.array([n, ci, co, h, width], np.int64)
        self.lib.pygan_test_winograd_forward(
            self.isa,
            self.threads,
            pointer(y),
            pointer(x32),
            pointer(w32),
            int(transpose),
            pointer(s32),
            pointer(scale),
            pointer(noise),
            ctypes.c_int64(0 if shared_noise else h * width * zoom * zoom),
            pointer(bias),
            e.act,
            pointer(parameters),
            pointer(sizes),
            polyphase,
            pointer(taps32),
        )
        return y

    def weight_grad(
        self,
        x: Array,
        dy: Array,
        *,
        x_scale: Array | None = None,
        dy_scale: Array | None = None,
        polyphase: int = PLAIN,
        taps: Array | None = None,
    ) -> Array:
        n, ci = x.shape[:2]
        co = dy.shape[1]
        h, width = x.shape[2:] if polyphase == OUTPUT_DEPTH_TO_SPACE else dy.shape[2:]
        phases = 4 if taps is None else 1
        dw = np.full(
            (
                co * (phases if polyphase == OUTPUT_DEPTH_TO_SPACE else 1),
                ci * (phases if polyphase == INPUT_SPACE_TO_DEPTH else 1),
                3,
                3,
            ),
            np.nan,
            np.float32,
        )
        x32, dy32, xs, dys, taps32 = map(floats, (x, dy, x_scale, dy_scale, taps))
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
            polyphase,
            pointer(taps32),
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


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, weights = rounded(rng, n, ci, h, w), rounded(rng, co, ci, 3, 3)
    assert_close(engine.forward(x, weights, co), correlate(pad(x, 1, 1), weights))


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
    assert_close(engine.forward(dy, weights, ci, transpose=True, in_scale=d), reference)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_depth_to_space(engine: Engine, shape: tuple[int, ...], transpose: bool) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, weights, s = rounded(rng, n, ci, h, w), rounded(rng, 4 * co, ci, 3, 3), rounded(rng, n, ci)
    epilogue = full_epilogue(rng, n, co, 2 * h, 2 * w, LRELU)
    u = depth_to_space(correlate(pad(x * s[:, :, None, None], 1, 1), weights))
    stored = weights[:, :, ::-1, ::-1].swapaxes(0, 1) if transpose else weights
    y = engine.forward(
        x,
        stored,
        co,
        transpose=transpose,
        in_scale=s,
        epilogue=epilogue,
        polyphase=OUTPUT_DEPTH_TO_SPACE,
    )
    assert_close(y, epilogue(u))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_input_space_to_depth(engine: Engine, shape: tuple[int, ...], transpose: bool) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, 2 * h, 2 * w), rounded(rng, n, ci)
    weights = rounded(rng, co, 4 * ci, 3, 3)
    epilogue = full_epilogue(rng, n, co, h, w, LRELU)
    u = correlate(pad(space_to_depth(x * s[:, :, None, None]), 1, 1), weights)
    stored = weights[:, :, ::-1, ::-1].swapaxes(0, 1) if transpose else weights
    y = engine.forward(
        x,
        stored,
        co,
        transpose=transpose,
        in_scale=s,
        epilogue=epilogue,
        polyphase=INPUT_SPACE_TO_DEPTH,
    )
    assert_close(y, epilogue(u))


RESAMPLED_SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 3, 5, 4, 4),
    (1, 9, 8, 5, 3),
    (3, 8, 17, 8, 8),
    (1, 5, 3, 9, 70),
]
TAPS = np.concatenate([TAPS_Y, TAPS_X])


@pytest.mark.parametrize("shape", RESAMPLED_SHAPES)
def test_up_layer(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, weights, s = rounded(rng, n, ci, h, w), rounded(rng, co, ci, 3, 3), rounded(rng, n, ci)
    dy = rounded(rng, n, co, 2 * h, 2 * w)
    taps = TAPS.astype(np.float32)
    scaled = x * s[:, :, None, None]

    y = engine.forward(x, weights, co, in_scale=s, polyphase=OUTPUT_DEPTH_TO_SPACE, taps=taps)
    assert_close(y, correlate(filtered_up(scaled), weights))
    dx = engine.forward(dy, weights, ci, transpose=True, polyphase=INPUT_SPACE_TO_DEPTH, taps=taps)
    assert_close(dx, filtered_up_adjoint(correlate_adjoint(dy, weights)))
    dw = engine.weight_grad(x, dy, x_scale=s, polyphase=OUTPUT_DEPTH_TO_SPACE, taps=taps)
    assert_close(dw, correlate_weights(filtered_up(scaled), dy))


@pytest.mark.parametrize("shape", RESAMPLED_SHAPES)
def test_down_layer(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, 2 * h, 2 * w), rounded(rng, n, ci)
    weights, dy = rounded(rng, co, ci, 3, 3), rounded(rng, n, co, h, w)
    taps = TAPS.astype(np.float32)
    scaled = x * s[:, :, None, None]

    y = engine.forward(x, weights, co, in_scale=s, polyphase=INPUT_SPACE_TO_DEPTH, taps=taps)
    assert_close(y, correlate(filtered_down(scaled), weights)[:, :, ::2, ::2])
    dx = engine.forward(dy, weights, ci, transpose=True, polyphase=OUTPUT_DEPTH_TO_SPACE, taps=taps)
    assert_close(dx, filtered_down_adjoint(correlate_adjoint(spread(dy), weights)))
    dw = engine.weight_grad(x, dy, x_scale=s, polyphase=INPUT_SPACE_TO_DEPTH, taps=taps)
    assert_close(dw, correlate_weights(filtered_down(scaled), spread(dy)))


@pytest.mark.parametrize("shape", SHAPES)
def test_weight_gradient(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    x, s = rounded(rng, n, ci, h, w), rounded(rng, n, ci)
    dy, d = rounded(rng, n, co, h, w), rounded(rng, n, co)
    reference = correlate_weights(pad(x * s[:, :, None, None], 1, 1), dy * d[:, :, None, None])
    assert_close(engine.weight_grad(x, dy, x_scale=s, dy_scale=d), reference)
    assert_close(engine.weight_grad(x, dy), correlate_weights(pad(x, 1, 1), dy))


@pytest.mark.parametrize("shape", SHAPES)
def test_polyphase_weight_gradient(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(sum(shape))
    low_x, high_x = rounded(rng, n, ci, h, w), rounded(rng, n, ci, 2 * h, 2 * w)
    low_dy, high_dy = rounded(rng, n, co, h, w), rounded(rng, n, co, 2 * h, 2 * w)
    assert_close(
        engine.weight_grad(high_x, low_dy, polyphase=INPUT_SPACE_TO_DEPTH),
        correlate_weights(pad(space_to_depth(high_x), 1, 1), low_dy),
    )
    assert_close(
        engine.weight_grad(low_x, high_dy, polyphase=OUTPUT_DEPTH_TO_SPACE),
        correlate_weights(pad(low_x, 1, 1), space_to_depth(high_dy)),
    )


@pytest.mark.parametrize("up", [True, False])
def test_polyphase_weights(native_lib: ctypes.CDLL, up: bool) -> None:
    co, ci, n, h, width = 3, 2, 1, 4, 5
    rng = np.random.default_rng(0)
    w = floats(rounded(rng, co, ci, 3, 3))
    taps = TAPS.astype(np.float32)
    shape = (4 * co, ci, 3, 3) if up else (co, 4 * ci, 3, 3)
    w_eff = np.full(shape, np.nan, np.float32)
    back = np.full_like(w, np.nan)
    probe = floats(rounded(rng, *shape))

    def call(effective: Array, weights: Array, adjoint: int) -> None:
        native_lib.pygan_test_polyphase_weights(
            pointer(effective),
            pointer(weights),
            ctypes.c_int64(co),
            ctypes.c_int64(ci),
            int(up),
            adjoint,
            pointer(taps),
        )

    call(w_eff, w, 0)
    call(probe, back, 1)
    if up:
        x = rounded(rng, n, ci, h, width)
        y = depth_to_space(correlate(pad(x, 1, 1), w_eff.astype(np.float64)))
        assert_close(y, correlate(filtered_up(x), w.astype(np.float64)))
    else:
        x = rounded(rng, n, ci, 2 * h, 2 * width)
        y = correlate(pad(space_to_depth(x), 1, 1), w_eff.astype(np.float64))
        assert_close(y, correlate(filtered_down(x), w.astype(np.float64))[:, :, ::2, ::2])
    np.testing.assert_allclose(
        np.vdot(w_eff.astype(np.float64), probe), np.vdot(w.astype(np.float64), back), rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(2, 512, 8, 8, 8), (1, 300, 16, 13, 20)])
def test_accuracy_with_many_channels(engine: Engine, shape: tuple[int, ...]) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(7)
    # Activations and weights of one sign are the hardest: the transforms cancel what is large.
    for x in (rounded(rng, n, ci, h, w), np.abs(rounded(rng, n, ci, h, w))):
        weights = rounded(rng, co, ci, 3, 3)
        assert_close(engine.forward(x, weights, co), correlate(pad(x, 1, 1), weights))


def test_accuracy_of_the_weight_gradient_of_many_pixels(engine: Engine) -> None:
    rng = np.random.default_rng(8)
    x, dy = rounded(rng, 2, 3, 160, 128), rounded(rng, 2, 4, 160, 128)
    for sign in (lambda a: a, np.abs):
        reference = correlate_weights(pad(sign(x), 1, 1), sign(dy))
        assert_close(engine.weight_grad(sign(x), sign(dy)), reference)


@pytest.mark.parametrize("shape", [(3, 40, 24, 20, 36), (1, 8, 16, 160, 160)])
@pytest.mark.parametrize("polyphase", [PLAIN, INPUT_SPACE_TO_DEPTH, OUTPUT_DEPTH_TO_SPACE])
def test_threads_do_not_change_a_bit(
    engine: Engine, shape: tuple[int, ...], polyphase: int
) -> None:
    n, ci, co, h, w = shape
    rng = np.random.default_rng(9)
    in_zoom = 2 if polyphase == INPUT_SPACE_TO_DEPTH else 1
    out_zoom = 2 if polyphase == OUTPUT_DEPTH_TO_SPACE else 1
    x = rounded(rng, n, ci, h * in_zoom, w * in_zoom)
    dy = rounded(rng, n, co, h * out_zoom, w * out_zoom)
    weights = rounded(rng, co * out_zoom**2, ci * in_zoom**2, 3, 3)
    results = []
    for threads in (1, 2, 3):
        engine.threads = threads
        results.append(
            (
                engine.forward(x, weights, co, polyphase=polyphase),
                engine.weight_grad(x, dy, polyphase=polyphase),
            )
        )
    for y, dw in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dw, results[0][1])


def test_nan_and_infinity_stay_in_their_tile(engine: Engine) -> None:
    rng = np.random.default_rng(10)
    x, weights = rounded(rng, 1, 3, 16, 16), rounded(rng, 4, 3, 3, 3)
    x[0, 1, 5, 6] = np.nan
    y = engine.forward(x, weights, 4, epilogue=Epilogue(act=LRELU, alpha=0.2))
    reference = correlate(pad(x, 1, 1), weights)
    assert np.isnan(y[np.isnan(reference)]).all()
    assert np.isfinite(y[:, :, 9:, :]).all()
    assert np.isfinite(y[:, :, :, 9:]).all()
