"""Floating-point opcodes against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numbers_oracle import BF16, F16, F32, F64, bfloat, round_fraction, unbfloat
from ptx_text import elementwise

from csrc.ptx import ptxemu

COUNT = 128
FORMATS = {"f32": (F32, np.float32), "f64": (F64, np.float64)}


def floats(dtype: type, number: int, seed: int = 0, spread: int = 40) -> list[np.ndarray]:
    """Numbers of many magnitudes, some of which cancel or tie."""
    rng = np.random.default_rng(seed)
    arrays = []
    for _ in range(number):
        values = rng.standard_normal(COUNT) * 2.0 ** rng.integers(-spread, spread, COUNT)
        values[::5] = rng.integers(-8, 8, len(values[::5]))
        arrays.append(values.astype(dtype))
    arrays[-1][1::7] = -arrays[0][1::7]
    return arrays


def square_root(value: Fraction, mode: str) -> Fraction:
    """So close to the root that rounding it gives what rounding the root would."""
    scale = 2**400
    root = math.isqrt(value.numerator * scale**2 // value.denominator)
    exact = Fraction(root, scale)
    return exact if exact * exact == value else exact + Fraction(1, 3 * scale)


BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


def expect(got: np.ndarray, want: list[float]) -> None:
    np.testing.assert_array_equal(got.astype(np.float64), np.array(want))


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("opcode", BINARY)
@pytest.mark.parametrize("name", FORMATS)
def test_every_rounding_of_binary_operations(name, opcode, mode):
    to, dtype = FORMATS[name]
    a, b = floats(dtype, 2)
    b[b == 0] = 3
    got = elementwise(f"  {opcode}.{mode}.{name} %y0, %x0, %x1;", [a, b], [dtype])
    apply = BINARY[opcode]
    expect(
        got,
        [
            round_fraction(apply(Fraction(float(x)), Fraction(float(y))), to, mode)
            for x, y in zip(a, b)
        ],
    )


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_rounding_of_fma_sqrt_and_rcp(name, mode):
    to, dtype = FORMATS[name]
    a, b, c = floats(dtype, 3, spread=12)
    fused, root, reciprocal = elementwise(
        f"  fma.{mode}.{name} %y0, %x0, %x1, %x2;\n  abs.{name} %y1, %x0;\n"
        f"  sqrt.{mode}.{name} %y1, %y1;\n  rcp.{mode}.{name} %y2, %x0;",
        [np.where(a == 0, dtype(1), a), b, c],
        [dtype] * 3,
    )
    exact = [[Fraction(float(v)) for v in x] for x in (np.where(a == 0, dtype(1), a), b, c)]
    expect(fused, [round_fraction(x * y + z, to, mode) for x, y, z in zip(*exact)])
    expect(root, [round_fraction(square_root(abs(x), mode), to, mode) for x in exact[0]])
    expect(reciprocal, [round_fraction(1 / x, to, mode) for x in exact[0]])


def test_subnormals_are_kept_or_flushed():
    tiny = np.float32(1e-40)
    a = np.full(32, tiny)
    kept, flushed, product = elementwise(
        "  add.f32 %y0, %x0, %x0;\n  add.ftz.f32 %y1, %x0, %x0;\n"
        "  mul.ftz.f32 %y2, %x0, 0f60000000;",
        [a],
        [np.float32] * 3,
    )
    np.testing.assert_array_equal(kept, tiny + tiny)
    np.testing.assert_array_equal(flushed, 0)
    np.testing.assert_array_equal(product, 0)


def test_saturation():
    a = np.linspace(-2, 3, 64).astype(np.float32)
    a[0] = np.nan
    total, product, fused = elementwise(
        "  add.sat.f32 %y0, %x0, 0f00000000;\n  mul.sat.f32 %y1, %x0, 0f3F800000;\n"
        "  fma.rn.sat.f32 %y2, %x0, 0f3F800000, 0f00000000;",
        [a],
        [np.float32] * 3,
    )
    want = np.nan_to_num(np.clip(a, 0, 1))
    for got in (total, product, fused):
        np.testing.assert_array_equal(got, want)


SPECIALS = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e-40], np.float32)


def test_minimum_and_maximum_of_special_values():
    a, b = (x.ravel() for x in np.meshgrid(SPECIALS, SPECIALS))
    low, high, nan_low, nan_high, xor_low = elementwise(
        "  min.f32 %y0, %x0, %x1;\n  max.f32 %y1, %x0, %x1;\n  min.NaN.f32 %y2, %x0, %x1;\n"
        "  max.NaN.f32 %y3, %x0, %x1;\n  min.xorsign.abs.f32 %y4, %x0, %x1;",
        [a, b],
        [np.float32] * 5,
    )
    np.testing.assert_array_equal(low, np.fmin(a, b))
    np.testing.assert_array_equal(high, np.fmax(a, b))
    np.testing.assert_array_equal(nan_low, np.minimum(a, b))
    np.testing.assert_array_equal(nan_high, np.maximum(a, b))
    zeros = (a == 0) & (b == 0)
    np.testing.assert_array_equal(np.signbit(low[zeros]), (np.signbit(a) | np.signbit(b))[zeros])
    magnitude = np.fmin(np.abs(a), np.abs(b))
    numbers = ~np.isnan(magnitude)
    np.testing.assert_array_equal(np.abs(xor_low)[numbers], magnitude[numbers])
    np.testing.assert_array_equal(
        np.signbit(xor_low)[numbers], (np.signbit(a) ^ np.signbit(b))[numbers]
    )


def test_properties_and_signs():
    kinds = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"]
    a = np.resize(SPECIALS, 32)
    b = np.resize(SPECIALS[::-1], 32).copy()
    body = "\n".join(
        f"  testp.{kind}.f32 %p1, %x0;\n  selp.u32 %y{i}, 1, 0, %p1;"
        for i, kind in enumerate(kinds)
    )
    *got, signed = elementwise(
        body + "\n  copysign.f32 %y6, %x0, %x1;", [a, b], [np.uint32] * 6 + [np.float32]
    )
    tiny = np.finfo(np.float32).tiny
    normal = np.isfinite(a) & (np.abs(a) >= tiny)
    want = [
        np.isfinite(a),
        np.isinf(a),
        ~np.isnan(a),
        np.isnan(a),
        normal,
        np.isfinite(a) & (a != 0) & ~normal,
    ]
    for kind, result, expected in zip(kinds, got, want):
        np.testing.assert_array_equal(result, expected.astype(np.uint32), err_msg=kind)
    np.testing.assert_array_equal(signed.view("u4"), np.copysign(b, a).view("u4"))


SPECIAL_FUNCTIONS = {
    "sqrt": np.sqrt,
    "rcp": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}


@pytest.mark.parametrize("opcode", SPECIAL_FUNCTIONS)
def test_approximations_are_accurate(opcode):
    rng = np.random.default_rng(2)
    x = (np.abs(rng.standard_normal(COUNT)) * 4 + 0.01).astype(np.float32)
    got = elementwise(f"  {opcode}.approx.f32 %y0, %x0;", [x], [np.float32])
    np.testing.assert_allclose(got, SPECIAL_FUNCTIONS[opcode](x.astype(np.float64)), rtol=2e-7)


def test_double_approximations_deliver_their_upper_half():
    x = np.abs(floats(np.float64, 1)[0]) + 0.1
    inverse, root = elementwise(
        "  rcp.approx.ftz.f64 %y0, %x0;\n  rsqrt.approx.ftz.f64 %y1, %x0;", [x], [np.float64] * 2
    )
    np.testing.assert_allclose(inverse, 1 / x, rtol=2.0**-19)
    np.testing.assert_allclose(root, 1 / np.sqrt(x), rtol=2.0**-19)
    assert not (inverse.view("u8") & 0xFFFFFFFF).any()


# ---- halves


def halves(kind: str, number: int, seed: int = 0) -> tuple[list[np.ndarray], list[list[float]]]:
    """Bits, and the numbers that they stand for."""
    values = floats(np.float32, number, seed, spread=8)
    if kind == "f16":
        bits = [v.astype(np.float16).view(np.uint16) for v in values]
        return bits, [[float(x) for x in b.view(np.float16)] for b in bits]
    bits = [bfloat(v) for v in values]
    return bits, [[float(x) for x in unbfloat(b)] for b in bits]


def decode(kind: str, bits: np.ndarray) -> np.ndarray:
    return bits.view(np.float16).astype(np.float64) if kind == "f16" else unbfloat(bits)


@pytest.mark.parametrize("packed", ["", "x2"])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_arithmetic_of_halves_rounds_once(kind, packed):
    bits, values = halves(kind, 3)
    to = F16 if kind == "f16" else BF16
    words = [b.view(np.uint32) for b in bits] if packed else bits
    dtype = np.uint32 if packed else np.uint16
    opcodes = ["add", "sub", "mul", "min", "max"]
    body = "\n".join(f"  {op}.{kind}{packed} %y{i}, %x0, %x1;" for i, op in enumerate(opcodes))
    body += f"\n  fma.rn.{kind}{packed} %y5, %x0, %x1, %x2;\n  neg.{kind}{packed} %y6, %x0;"
    body += f"\n  abs.{kind}{packed} %y7, %x0;\n  fma.rn.relu.{kind}{packed} %y8, %x0, %x1, %x2;"
    ptxemu.set_device(90)  # bf16 add, sub and mul
    results = elementwise(body, words, [dtype] * 9, target=90)
    got = [decode(kind, r.view(np.uint16)) for r in results]
    a, b, c = ([Fraction(v) for v in x] for x in values)
    want = [
        [x + y for x, y in zip(a, b)],
        [x - y for x, y in zip(a, b)],
        [x * y for x, y in zip(a, b)],
        [min(x, y) for x, y in zip(a, b)],
        [max(x, y) for x, y in zip(a, b)],
        [x * y + z for x, y, z in zip(a, b, c)],
        [-x for x in a],
        [abs(x) for x in a],
        [max(x * y + z, Fraction(0)) for x, y, z in zip(a, b, c)],
    ]
    for i, exact in enumerate(want):
        np.testing.assert_array_equal(
            got[i], [round_fraction(v, to) for v in exact], err_msg=str(i)
        )


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_halves_propagate_nan_only_when_told(kind):
    nan, one = 0x7FFF, 0x3C00 if kind == "f16" else 0x3F80
    a = np.resize(np.array([nan, one, nan, one], np.uint16), 32)
    b = np.resize(np.array([one, nan, nan, one], np.uint16), 32)
    number, strict = elementwise(
        f"  min.{kind} %y0, %x0, %x1;\n  max.NaN.{kind} %y1, %x0, %x1;", [a, b], [np.uint16] * 2
    )
    np.testing.assert_array_equal(number[:4], [one, one, nan, one])
    np.testing.assert_array_equal(strict[:4], [nan, nan, nan, one])


def test_halves_saturate_and_flush():
    a = np.resize(np.array([-1, 0.5, 7, np.nan], np.float16), 32)
    tiny = np.full(32, 6e-8, np.float16)
    clamped, flushed = elementwise(
        "  add.sat.f16 %y0, %x0, %x1;\n  add.ftz.f16 %y1, %x1, %x1;",
        [a, tiny],
        [np.float16] * 2,
    )
    np.testing.assert_array_equal(clamped[:4], np.array([0, 0.5, 1, 0], np.float16))
    np.testing.assert_array_equal(flushed, 0)
