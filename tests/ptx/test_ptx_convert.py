"""cvt, set, setp, selp, slct."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numbers_oracle import (
    BF16,
    F16,
    F32,
    F64,
    TF32,
    bfloat,
    round_fraction,
    round_integer,
    unbfloat,
)
from ptx_text import dtype_of, elementwise, operands

INTEGERS = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"]
FLOATS = {"f16": (F16, np.float16), "f32": (F32, np.float32), "f64": (F64, np.float64)}


def values_of(name: str, seed: int = 0) -> np.ndarray:
    if name in FLOATS:
        rng = np.random.default_rng(seed)
        limit = 12 if name == "f16" else 40
        x = rng.standard_normal(256) * 2.0 ** rng.integers(-limit, limit, 256)
        x[::3] = rng.integers(-600, 600, len(x[::3])) / 4
        return x.astype(FLOATS[name][1])
    return operands(name, 1, seed)[0]


@pytest.mark.parametrize("target", INTEGERS)
@pytest.mark.parametrize("source", INTEGERS)
def test_integers_wrap_or_saturate(source, target):
    x, to = values_of(source), dtype_of(target)
    info = np.iinfo(to)
    wrapped, clamped = elementwise(
        f"  cvt.{target}.{source} %y0, %x0;\n  cvt.sat.{target}.{source} %y1, %x0;", [x], [to, to]
    )
    exact = [int(v) for v in x]
    np.testing.assert_array_equal(wrapped, x.astype(to))
    np.testing.assert_array_equal(
        clamped, np.array([min(max(v, info.min), info.max) for v in exact], to)
    )


@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
@pytest.mark.parametrize("target", INTEGERS)
@pytest.mark.parametrize("source", FLOATS)
def test_floats_become_integers_clamped(source, target, mode):
    x, to = values_of(source), dtype_of(target)
    x[:4] = [np.nan, np.inf, -np.inf, 0]
    info = np.iinfo(to)
    got = elementwise(f"  cvt.{mode}.{target}.{source} %y0, %x0;", [x], [to])
    for value, result in zip(x, got):
        if math.isnan(value):
            want = 0
        elif math.isinf(value):
            want = info.max if value > 0 else info.min
        else:
            want = round_integer(Fraction(float(value)), mode[:2])
        assert int(result) == min(max(want, info.min), info.max), value


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("target", FLOATS)
@pytest.mark.parametrize("source", INTEGERS)
def test_integers_become_floats(source, target, mode):
    x = values_of(source)
    to, dtype = FLOATS[target]
    got = elementwise(f"  cvt.{mode}.{target}.{source} %y0, %x0;", [x], [dtype])
    want = [round_fraction(Fraction(int(v)), to, mode) for v in x]
    np.testing.assert_array_equal(got.astype(np.float64), want)


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize(("source", "target"), [("f64", "f32"), ("f64", "f16"), ("f32", "f16")])
def test_narrower_floats(source, target, mode):
    x = values_of(source)
    to, dtype = FLOATS[target]
    got = elementwise(f"  cvt.{mode}.{target}.{source} %y0, %x0;", [x], [dtype])
    want = [round_fraction(Fraction(float(v)), to, mode) for v in x]
    np.testing.assert_array_equal(got.astype(np.float64), want)


@pytest.mark.parametrize(("source", "target"), [("f16", "f32"), ("f16", "f64"), ("f32", "f64")])
def test_wider_floats_are_exact(source, target):
    x = values_of(source)
    got = elementwise(f"  cvt.{target}.{source} %y0, %x0;", [x], [FLOATS[target][1]])
    np.testing.assert_array_equal(got, x.astype(FLOATS[target][1]))


@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
def test_rounding_to_integral_floats(mode):
    x = values_of("f32")
    got = elementwise(f"  cvt.{mode}.f32.f32 %y0, %x0;", [x], [np.float32])
    want = [round_integer(Fraction(float(v)), mode[:2]) for v in x]
    np.testing.assert_array_equal(got, np.array(want, np.float32))


def test_saturation_clamps_to_the_unit_interval():
    x = values_of("f32")
    x[0] = np.nan
    got = elementwise("  cvt.sat.f32.f32 %y0, %x0;", [x], [np.float32])
    np.testing.assert_array_equal(got, np.nan_to_num(np.clip(x, 0, 1)))


@pytest.mark.parametrize("mode", ["rn", "rz"])
def test_bfloat16_and_pairs(mode):
    a, b = values_of("f32"), values_of("f32", seed=1)
    one, pair, positive, halves = elementwise(
        f"  cvt.{mode}.bf16.f32 %y0, %x0;\n  cvt.{mode}.bf16x2.f32 %y1, %x0, %x1;\n"
        f"  cvt.{mode}.relu.bf16x2.f32 %y2, %x0, %x1;\n  cvt.{mode}.f16x2.f32 %y3, %x0, %x1;",
        [a, b],
        [np.uint16, np.uint32, np.uint32, np.uint32],
    )

    def rounded(x: np.ndarray, to) -> np.ndarray:
        return np.array([round_fraction(Fraction(float(v)), to, mode) for v in x])

    np.testing.assert_array_equal(unbfloat(one), rounded(a, BF16))
    np.testing.assert_array_equal(unbfloat(pair >> 16), rounded(a, BF16))
    np.testing.assert_array_equal(unbfloat(pair & 0xFFFF), rounded(b, BF16))
    np.testing.assert_array_equal(unbfloat(positive >> 16), np.maximum(rounded(a, BF16), 0))
    high = (halves >> 16).astype(np.uint16).view(np.float16)
    np.testing.assert_array_equal(high.astype(float), rounded(a, F16))
    low = (halves & 0xFFFF).astype(np.uint16).view(np.float16)
    np.testing.assert_array_equal(low.astype(float), rounded(b, F16))


def test_bfloat16_widens_exactly():
    bits = bfloat(values_of("f32"))
    from csrc.ptx import ptxemu

    ptxemu.set_device(90)
    got = elementwise("  cvt.f32.bf16 %y0, %x0;", [bits], [np.float32], target=90)
    np.testing.assert_array_equal(got, unbfloat(bits))


def test_tf32_rounds_ties_away_from_zero():
    x = values_of("f32")
    x[:2] = [1 + 2.0**-11, -1 - 2.0**-11]  # ties
    got = elementwise("  cvt.rna.tf32.f32 %y0, %x0;", [x], [np.uint32])
    want = [round_fraction(Fraction(float(v)), TF32, "rna") for v in x]
    np.testing.assert_array_equal(got.view(np.float32), want)


COMPARISONS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: (a < b) | (a > b),
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("name", ["u16", "s16", "u32", "s32", "u64", "s64", "f16", "f32", "f64"])
def test_comparisons(name):
    a, b = values_of(name), values_of(name, seed=1)
    a[::4] = b[::4]
    unordered = name in FLOATS
    if unordered:
        a[1::8] = np.nan
        b[3::8] = np.nan
    names = list(COMPARISONS) + ([c + "u" for c in COMPARISONS] + ["num", "nan"]) * unordered
    body = "\n".join(
        f"  setp.{c}.{name} %p1|%p2, %x0, %x1;\n  selp.u32 %y{i}, 1, 0, %p1;\n"
        f"  @%p2 add.u32 %y{i}, %y{i}, 2;"
        for i, c in enumerate(names)
    )
    got = elementwise(body, [a, b], [np.uint32] * len(names))
    nan = np.isnan(a) | np.isnan(b) if unordered else np.zeros(len(a), bool)
    for c, result in zip(names, got):
        if c in ("num", "nan"):
            want = nan if c == "nan" else ~nan
        else:
            want = COMPARISONS[c[:2]](a, b) | (nan if len(c) == 3 else False)
        np.testing.assert_array_equal(result, np.where(want, 1, 2), err_msg=c)


def test_comparisons_combine_with_predicates():
    a, b = (values_of("s32", seed=s) for s in (0, 1))
    got = elementwise(
        "  setp.lt.s32 %p1, %x0, 0;\n"
        + "\n".join(
            f"  setp.lt.{c}.s32 %p2, %x0, %x1, {n}%p1;\n  selp.u32 %y{i}, 1, 0, %p2;"
            for i, (c, n) in enumerate([("and", ""), ("or", "!"), ("xor", "")])
        ),
        [a, b],
        [np.uint32] * 3,
    )
    less, negative = a < b, a < 0
    for result, want in zip(got, [less & negative, less | ~negative, less ^ negative]):
        np.testing.assert_array_equal(result, want.astype(np.uint32))


def test_set_and_slct():
    a, b = values_of("f32"), values_of("f32", seed=1)
    mask, one, chosen, pairs = elementwise(
        "  set.lt.u32.f32 %y0, %x0, %x1;\n  set.lt.f32.f32 %y1, %x0, %x1;\n"
        "  slct.f32.f32 %y2, %x0, %x1, %x1;\n  .reg .b32 %u, %v;\n"
        "  cvt.rn.f16x2.f32 %u, %x0, %x1;\n  cvt.rn.f16x2.f32 %v, %x1, %x0;\n"
        "  set.le.f16x2.f16x2 %y3, %u, %v;",
        [a, b],
        [np.uint32, np.float32, np.float32, np.uint32],
    )
    np.testing.assert_array_equal(mask, np.where(a < b, 0xFFFFFFFF, 0))
    np.testing.assert_array_equal(one, np.where(a < b, 1, 0))
    np.testing.assert_array_equal(chosen, np.where(b >= 0, a, b))
    with np.errstate(over="ignore"):
        x, y = a.astype(np.float16), b.astype(np.float16)
    want = np.where(x <= y, 0x3C000000, 0) | np.where(y <= x, 0x3C00, 0)
    np.testing.assert_array_equal(pairs, want)
