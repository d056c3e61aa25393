"""Convolutions by definition in float64, and the native engines called through ctypes.

Run as ``python conv_oracle.py LIBRARY PATH SEED COUNT`` it checks random cases in a process of its
own, for instruction sets and settings that a process takes from its environment.
"""

import ctypes
import sys
from dataclasses import dataclass, field, replace

import numpy as np

OPS = ("forward", "input_grad", "weight_grad")
ACTS = {"linear": 0, "relu": 1, "lrelu": 2}
# max |error| / max |reference|, for sums in the order of the definition or blocks of it.
TOLERANCE = {np.float32: 4e-6, np.float64: 1e-12}
WINOGRAD_TOLERANCE = 2e-5  # its transforms cancel


@dataclass
class Shape:
    """The fields of the native ConvShape, in its order."""

    n: int
    ci: int
    co: int
    h: int
    w: int
    oh: int
    ow: int
    kh: int = 3
    kw: int = 3
    stride_y: int = 1
    stride_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    pad_top: int = 0
    pad_left: int = 0
    groups: int = 1

    def x(self) -> tuple[int, ...]:
        return (self.n, self.ci, self.h, self.w)

    def y(self) -> tuple[int, ...]:
        return (self.n, self.co, self.oh, self.ow)

    def weight(self) -> tuple[int, ...]:
        return (self.co, self.ci // self.groups, self.kh, self.kw)

    def array(self) -> ctypes.Array:
        values = [int(v) for v in vars(self).values()]
        return (ctypes.c_int64 * len(values))(*values)


@dataclass
class Epilogue:
    """y = clamp(gain * act(scale * u + strength * noise + bias)); None leaves a part out."""

    scale: np.ndarray | None = None
    noise: np.ndarray | None = None  # [n, h, w] or [h, w]
    bias: np.ndarray | None = None
    strength: float = 1.0
    act: str = "linear"
    alpha: float = 0.2
    gain: float = 1.0
    clamp: float = -1.0

    def apply(self, u: np.ndarray) -> np.ndarray:
        if self.scale is not None:
            u = u * self.scale[:, :, None, None].astype(np.float64)
        if self.noise is not None:
            noise = self.noise if self.noise.ndim == 3 else self.noise[None]
            u = u + self.strength * noise[:, None].astype(np.float64)
        if self.bias is not None:
            u = u + self.bias[None, :, None, None].astype(np.float64)
        slope = {"linear": 1.0, "relu": 0.0, "lrelu": self.alpha}[self.act]
        u = np.where(u < 0, u * slope, u) * self.gain
        return np.clip(u, -self.clamp, self.clamp) if self.clamp >= 0 else u


def simple_shape(n, ci, co, size, kernel, stride=1, padding=0, **rest) -> Shape:
    out = (size + 2 * padding - kernel) // stride + 1
    return Shape(
        n, ci, co, size, size, out, out, kernel, kernel, stride, stride,
        pad_top=padding, pad_left=padding, **rest,
    )  # fmt: skip


def _taps(s: Shape):
    """Per kernel tap: the valid outputs (slices of indices) and the inputs that they read."""
    for a in range(s.kh):
        iy = np.arange(s.oh) * s.stride_y - s.pad_top + a * s.dilation_y
        oy = np.flatnonzero((iy >= 0) & (iy < s.h))
        for b in range(s.kw):
            ix = np.arange(s.ow) * s.stride_x - s.pad_left + b * s.dilation_x
            ox = np.flatnonzero((ix >= 0) & (ix < s.w))
            yield a, b, np.ix_(oy, ox), np.ix_(iy[oy], ix[ox])


def oracle(op: str, s: Shape, a, b, a_scale=None, b_scale=None, epilogue=None) -> np.ndarray:
    """The float64 result of an operation; arguments as those of the native function."""

    def scaled(v, scale):
        v = v.astype(np.float64)
        return v if scale is None else v * scale[:, :, None, None].astype(np.float64)

    a = scaled(a, a_scale)
    b = scaled(b, b_scale) if op == "weight_grad" else b.astype(np.float64)
    out = np.zeros({"forward": s.y(), "input_grad": s.x(), "weight_grad": s.weight()}[op])
    ci, co = s.ci // s.groups, s.co // s.groups
    for g in range(s.groups):
        gi, go = slice(g * ci, (g + 1) * ci), slice(g * co, (g + 1) * co)
        for ty, tx, outputs, inputs in _taps(s):
            if op == "forward":
                part = np.einsum("ncij,oc->noij", a[:, gi][(..., *inputs)], b[go, :, ty, tx])
                out[:, go][(..., *outputs)] += part
            elif op == "input_grad":
                part = np.einsum("noij,oc->ncij", a[:, go][(..., *outputs)], b[go, :, ty, tx])
                out[:, gi][(..., *inputs)] += part
            else:
                x, dy = a[:, gi][(..., *inputs)], b[:, go][(..., *outputs)]
                out[go, :, ty, tx] = np.einsum("noij,ncij->oc", dy, x)
    return out if epilogue is None else epilogue.apply(out)


def _pointer(v: np.ndarray | None):
    return None if v is None else v.ctypes.data_as(ctypes.c_void_p)


def native(lib, op: str, s: Shape, a, b, a_scale=None, b_scale=None, epilogue=None) -> np.ndarray:
    """The native engine's result; the path is the one set by ``set_path``."""
    shape = {"forward": s.y(), "input_grad": s.x(), "weight_grad": s.weight()}[op]
    out = np.full(shape, np.nan, a.dtype)
    e = epilogue or Epilogue()
    options = (ctypes.c_double * 5)(e.strength, ACTS[e.act], e.alpha, e.gain, e.clamp)
    stride = int(np.prod(shape[2:])) if e.noise is not None and e.noise.ndim == 3 else 0
    status = lib.pygan_test_conv(
        OPS.index(op), int(a.dtype == np.float64), _pointer(out), _pointer(a), _pointer(b),
        _pointer(a_scale), _pointer(b_scale), _pointer(e.scale), _pointer(e.noise),
        ctypes.c_int64(stride), _pointer(e.bias), options, s.array(),
    )  # fmt: skip
    assert status == 0
    return out


def set_path(lib, name: str) -> None:
    assert lib.pygan_test_set_conv_path(name.encode()) == 1


def last_path(lib) -> str:
    lib.pygan_test_last_path.restype = ctypes.c_char_p
    return lib.pygan_test_last_path().decode()


@dataclass
class Case:
    """One operation with its operands."""

    op: str
    shape: Shape
    dtype: type
    a: np.ndarray
    b: np.ndarray
    a_scale: np.ndarray | None = None
    b_scale: np.ndarray | None = None
    epilogue: Epilogue = field(default_factory=Epilogue)

    def args(self) -> tuple:
        return self.op, self.shape, self.a, self.b, self.a_scale, self.b_scale, self.epilogue


def make_case(rng: np.random.Generator, op: str, s: Shape, dtype: type, full: bool) -> Case:
    """Random operands; with ``full`` every optional part is there, else each by chance."""

    def normal(*shape):
        return rng.standard_normal(shape).astype(dtype)

    def maybe(*shape):
        return normal(*shape) if full or rng.random() < 0.5 else None

    if op == "weight_grad":
        return Case(
            op, s, dtype, normal(*s.x()), normal(*s.y()), maybe(s.n, s.ci), maybe(s.n, s.co)
        )
    into, out = (s.x(), s.y()) if op == "forward" else (s.y(), s.x())
    e = Epilogue(
        scale=maybe(*out[:2]),
        noise=maybe(*([out[0]] if rng.random() < 0.5 else []), *out[2:]),
        bias=maybe(out[1]),
        strength=0.7,
        act=str(rng.choice(["linear", "relu", "lrelu"])),
        gain=1.5 if full or rng.random() < 0.5 else 1.0,
        clamp=2.0 if rng.random() < 0.3 else -1.0,
    )
    return Case(op, s, dtype, normal(*into), normal(*s.weight()), maybe(*into[:2]), None, e)


def random_shape(rng: np.random.Generator) -> Shape:
    """Any geometry: odd sizes, crops, uneven padding, dilation, stride, groups, nothing at all."""
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    ci, co = (groups * int(rng.choice([1, 1, 2, 3, 7, 17, 65])) for _ in range(2))
    if rng.random() < 0.1:  # depthwise
        groups = co = ci
    h, w = (int(rng.choice([1, 2, 4, 5, 8, 13, 16, 21])) for _ in range(2))
    kh, kw = (int(rng.choice([1, 1, 2, 3, 3, 3, 5])) for _ in range(2))
    stride = [int(v) for v in rng.choice([1, 1, 2, 3], 2)]
    dilation = [int(v) for v in rng.choice([1, 1, 1, 2, 3], 2)]
    pad = [int(v) for v in rng.integers(-2, 4, 4)]
    size = []
    for i, (extent, kernel) in enumerate(((h, kh), (w, kw))):
        reach = (kernel - 1) * dilation[i] + 1
        size.append(max(0, (extent + pad[i] + pad[i + 2] - reach) // stride[i] + 1))
    n = int(rng.choice([0, 1, 1, 2, 3]))
    return Shape(n, ci, co, h, w, *size, kh, kw, *stride, *dilation, pad[0], pad[1], groups)


def error_of(got: np.ndarray, want: np.ndarray, magnitude: float) -> float:
    """max |got - want| / magnitude; NaN counts as infinite."""
    if want.size == 0:
        return 0.0
    worst = np.abs(got.astype(np.float64) - want).max()
    return float("inf") if np.isnan(worst) else float(worst / max(magnitude, 1e-30))


def check(lib, case: Case, tolerance: float | None = None) -> None:
    """The native result against the definition, relative to the largest value before the clamp.

    A clamp bounds the result but not the rounding of the sum that it cuts: beside the clamped
    maximum, the error of a value just inside the bound would count for more than it is.
    """
    operands = case.args()[:-1]
    free = oracle(*operands, replace(case.epilogue, clamp=-1.0))
    want = oracle(*operands, case.epilogue) if case.epilogue.clamp >= 0 else free
    magnitude = float(np.abs(free).max()) if free.size else 0.0
    error = error_of(native(lib, *case.args()), want, magnitude)
    limit = tolerance or TOLERANCE[case.dtype]
    assert error < limit, f"{case.op} {case.dtype.__name__} {case.shape}: {error}"


def check_random(lib, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = random_shape(rng)
        for op in OPS:
            for dtype in (np.float32, np.float64):
                check(lib, make_case(rng, op, shape, dtype, full=False))


def main() -> None:
    library, path, seed, count = sys.argv[1:]
    import paddle  # noqa: F401  the library needs those that Paddle loads

    lib = ctypes.CDLL(library)
    set_path(lib, path)
    check_random(lib, int(seed), int(count))
    lib.pygan_test_isa.restype = ctypes.c_char_p
    print(lib.pygan_test_isa().decode())


if __name__ == "__main__":
    main()
