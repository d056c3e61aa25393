"""Integer opcodes against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import COUNT, elementwise, operands

TYPES = ["u16", "s16", "u32", "s32", "u64", "s64"]


def wrap(values: list[int], dtype: np.dtype) -> np.ndarray:
    bits = 8 * dtype.itemsize
    unsigned = np.array([v % 2**bits for v in values], np.dtype(f"u{dtype.itemsize}"))
    return unsigned.view(dtype)


def truncated_quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


BINARY = {
    "add": lambda a, b, n: a + b,
    "sub": lambda a, b, n: a - b,
    "mul.lo": lambda a, b, n: a * b,
    "mul.hi": lambda a, b, n: (a * b) >> n,
    "min": lambda a, b, n: min(a, b),
    "max": lambda a, b, n: max(a, b),
    "div": lambda a, b, n: -1 if b == 0 else truncated_quotient(a, b),
    "rem": lambda a, b, n: a if b == 0 else a - b * truncated_quotient(a, b),
}
TERNARY = {
    "mad.lo": lambda a, b, c, n: a * b + c,
    "mad.hi": lambda a, b, c, n: ((a * b) >> n) + c,
    "sad": lambda a, b, c, n: abs(a - b) + c,
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("opcode", BINARY)
def test_binary(opcode, name):
    a, b = operands(name, 2)
    got = elementwise(f"  {opcode}.{name} %y0, %x0, %x1;", [a, b], [a.dtype])
    want = [BINARY[opcode](int(x), int(y), 8 * a.itemsize) for x, y in zip(a, b)]
    np.testing.assert_array_equal(got, wrap(want, a.dtype))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("opcode", TERNARY)
def test_ternary(opcode, name):
    a, b, c = operands(name, 3)
    got = elementwise(f"  {opcode}.{name} %y0, %x0, %x1, %x2;", [a, b, c], [a.dtype])
    want = [TERNARY[opcode](int(x), int(y), int(z), 8 * a.itemsize) for x, y, z in zip(a, b, c)]
    np.testing.assert_array_equal(got, wrap(want, a.dtype))


@pytest.mark.parametrize("name", ["u16", "s16", "u32", "s32"])
def test_wide_products(name):
    a, b = operands(name, 2)
    wide = np.dtype(a.dtype.kind + str(2 * a.itemsize))
    c = operands(wide.kind.replace("i", "s") + str(8 * wide.itemsize), 1, seed=1)[0]
    product, total = elementwise(
        f"  mul.wide.{name} %y0, %x0, %x1;\n  mad.wide.{name} %y1, %x0, %x1, %x2;",
        [a, b, c],
        [wide, wide],
    )
    exact = [int(x) * int(y) for x, y in zip(a, b)]
    np.testing.assert_array_equal(product, wrap(exact, wide))
    np.testing.assert_array_equal(total, wrap([p + int(z) for p, z in zip(exact, c)], wide))


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_logic_and_unary(bits):
    a, b = operands(f"u{bits}", 2)
    body = "\n".join(
        f"  {op}.b{bits} %y{i}, %x0, %x1;" for i, op in enumerate(["and", "or", "xor"])
    )
    body += f"\n  not.b{bits} %y3, %x0;\n  cnot.b{bits} %y4, %x0;"
    got = elementwise(body, [a, b], [a.dtype] * 5)
    for result, want in zip(got, [a & b, a | b, a ^ b, ~a, (a == 0).astype(a.dtype)]):
        np.testing.assert_array_equal(result, want)
    s = a.view(f"i{bits // 8}")
    negated, absolute = elementwise(
        f"  neg.s{bits} %y0, %x0;\n  abs.s{bits} %y1, %x0;", [s], [s.dtype] * 2
    )
    np.testing.assert_array_equal(negated, wrap([-int(v) for v in s], s.dtype))
    np.testing.assert_array_equal(absolute, wrap([abs(int(v)) for v in s], s.dtype))


@pytest.mark.parametrize("name", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_shifts(name):
    (a,) = operands(name, 1)
    bits = 8 * a.itemsize
    amount = np.random.default_rng(3).integers(0, bits + 8, COUNT).astype(np.uint32)
    left, right = elementwise(
        f"  shl.b{bits} %y0, %x0, %x1;\n  shr.{name} %y1, %x0, %x1;", [a, amount], [a.dtype] * 2
    )
    np.testing.assert_array_equal(
        left, wrap([int(x) << int(n) for x, n in zip(a, amount)], a.dtype)
    )
    np.testing.assert_array_equal(
        right, wrap([int(x) >> int(n) for x, n in zip(a, amount)], a.dtype)
    )


def test_saturating_sums():
    a, b = operands("s32", 2)
    total, difference = elementwise(
        "  add.sat.s32 %y0, %x0, %x1;\n  sub.sat.s32 %y1, %x0, %x1;", [a, b], [a.dtype] * 2
    )
    low, high = -(2**31), 2**31 - 1
    exact = a.astype(np.int64)
    np.testing.assert_array_equal(total, np.clip(exact + b, low, high))
    np.testing.assert_array_equal(difference, np.clip(exact - b, low, high))


@pytest.mark.parametrize("name", ["u32", "s32"])
def test_24_bit_products(name):
    a, b, c = operands(name, 3)
    low, high, total = elementwise(
        f"  mul24.lo.{name} %y0, %x0, %x1;\n  mul24.hi.{name} %y1, %x0, %x1;\n"
        f"  mad24.lo.{name} %y2, %x0, %x1, %x2;",
        [a, b, c],
        [a.dtype] * 3,
    )

    def low24(value: int) -> int:
        value %= 2**24
        return value - 2**24 if name == "s32" and value >= 2**23 else value

    exact = [low24(int(x)) * low24(int(y)) for x, y in zip(a, b)]
    np.testing.assert_array_equal(low, wrap(exact, a.dtype))
    np.testing.assert_array_equal(high, wrap([p >> 16 for p in exact], a.dtype))
    np.testing.assert_array_equal(total, wrap([p + int(z) for p, z in zip(exact, c)], a.dtype))


@pytest.mark.parametrize("bits", [32, 64])
def test_carry_chain_adds_numbers_of_two_words(bits):
    a, b, c, d = operands(f"u{bits}", 4)  # a + 2^bits b, c + 2^bits d
    chain = "  {0}.cc.u{1} %y0, %x0, %x2;\n  {2}.u{1} %y1, %x1, %x3;"
    for first, second, sign in (("add", "addc", 1), ("sub", "subc", -1)):
        low, high = elementwise(chain.format(first, bits, second), [a, b, c, d], [a.dtype, a.dtype])
        for i in range(COUNT):
            left, right = (int(x[i]) + (int(y[i]) << bits) for x, y in ((a, b), (c, d)))
            want = (left + sign * right) % 2 ** (2 * bits)
            assert int(low[i]) + (int(high[i]) << bits) == want


@pytest.mark.parametrize("bits", [32, 64])
def test_multiply_with_carry(bits):
    """A product of double width by mad.lo.cc and madc.hi."""
    a, b, c, d = operands(f"u{bits}", 4)
    low, high = elementwise(
        f"  mad.lo.cc.u{bits} %y0, %x0, %x1, %x2;\n  madc.hi.u{bits} %y1, %x0, %x1, %x3;",
        [a, b, c, d],
        [a.dtype, a.dtype],
    )
    for i in range(COUNT):
        want = int(a[i]) * int(b[i]) + int(c[i]) + (int(d[i]) << bits)
        assert int(low[i]) + (int(high[i]) << bits) == want % 2 ** (2 * bits)


@pytest.mark.parametrize("signs", ["u32.u32", "s32.s32", "u32.s32", "s32.u32"])
def test_dot_products_of_bytes(signs):
    a, b, c = operands("u32", 3)
    four, low, high = elementwise(
        f"  dp4a.{signs} %y0, %x0, %x1, %x2;\n  dp2a.lo.{signs} %y1, %x0, %x1, %x2;\n"
        f"  dp2a.hi.{signs} %y2, %x0, %x1, %x2;",
        [a, b, c],
        [np.uint32] * 3,
    )
    first, second = (kind[0].replace("s", "i") for kind in signs.split("."))
    a8 = a.view(first + "1").reshape(-1, 4).astype(np.int64)
    a16 = a.view(first + "2").reshape(-1, 2).astype(np.int64)
    b8 = b.view(second + "1").reshape(-1, 4).astype(np.int64)
    for got, want in (
        (four, (a8 * b8).sum(1)),
        (low, (a16 * b8[:, :2]).sum(1)),
        (high, (a16 * b8[:, 2:]).sum(1)),
    ):
        np.testing.assert_array_equal(got, ((want + c) % 2**32).astype(np.uint32))
