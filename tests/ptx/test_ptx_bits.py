"""Bit manipulation against Python's integers."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import COUNT, elementwise, operands


@pytest.mark.parametrize("bits", [32, 64])
def test_counts_and_reversal(bits):
    (a,) = operands(f"u{bits}", 1)
    count, zeros, reverse, leading, shift = elementwise(
        f"  popc.b{bits} %y0, %x0;\n  clz.b{bits} %y1, %x0;\n  brev.b{bits} %y2, %x0;\n"
        f"  bfind.u{bits} %y3, %x0;\n  bfind.shiftamt.u{bits} %y4, %x0;",
        [a],
        [np.uint32, np.uint32, a.dtype, np.uint32, np.uint32],
    )
    for i, value in enumerate(int(v) for v in a):
        assert count[i] == bin(value).count("1")
        assert zeros[i] == bits - value.bit_length()
        assert int(reverse[i]) == int(f"{value:0{bits}b}"[::-1], 2)
        assert leading[i] == (value.bit_length() - 1) % 2**32
        assert shift[i] == (bits - value.bit_length() if value else 2**32 - 1)


@pytest.mark.parametrize("bits", [32, 64])
def test_bfind_of_signed_numbers_finds_the_first_bit_unlike_the_sign(bits):
    (a,) = operands(f"s{bits}", 1)
    got = elementwise(f"  bfind.s{bits} %y0, %x0;", [a], [np.uint32])
    want = [((~v if v < 0 else v).bit_length() - 1) % 2**32 for v in map(int, a)]
    np.testing.assert_array_equal(got, np.array(want, np.uint32))


def extract(value: int, position: int, length: int, bits: int, signed: bool) -> int:
    """As the PTX ISA defines bfe: bits beyond the top are the sign of a signed number."""
    last = min(position + length - 1, bits - 1)
    sign = (value >> last) & 1 if signed and length else 0
    return sum(
        ((value >> (position + i)) & 1 if i < length and position + i < bits else sign) << i
        for i in range(bits)
    )


@pytest.mark.parametrize("name", ["u32", "s32", "u64", "s64"])
def test_field_extraction_and_insertion(name):
    a, b = operands("u" + name[1:], 2)
    bits = 8 * a.itemsize
    rng = np.random.default_rng(5)
    position = rng.integers(0, bits + 8, COUNT).astype(np.uint32)
    length = rng.integers(0, bits + 8, COUNT).astype(np.uint32)
    taken, put = elementwise(
        f"  bfe.{name} %y0, %x0, %x2, %x3;\n  bfi.b{bits} %y1, %x0, %x1, %x2, %x3;",
        [a, b, position, length],
        [a.dtype, a.dtype],
    )
    for i in range(COUNT):
        x, y, p, n = int(a[i]), int(b[i]), int(position[i]), int(length[i])
        assert int(taken[i]) == extract(x, p, n, bits, name[0] == "s")
        mask = (((1 << n) - 1) << p) % 2**bits
        assert int(put[i]) == (y & ~mask) | ((x << p) & mask)


@pytest.mark.parametrize("table", [0x00, 0x80, 0x96, 0xE8, 0xCA, 0x1B, 0xFE])
def test_lop3(table):
    a, b, c = operands("u32", 3)
    got = elementwise(f"  lop3.b32 %y0, %x0, %x1, %x2, {table};", [a, b, c], [np.uint32])
    want = np.zeros(COUNT, np.uint32)
    for bit in range(32):
        index = (a >> bit & 1) * 4 + (b >> bit & 1) * 2 + (c >> bit & 1)
        want |= (np.uint32(table) >> index & 1) << np.uint32(bit)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", ["clamp", "wrap"])
def test_funnel_shifts(mode):
    a, b = operands("u32", 2)
    n = np.random.default_rng(7).integers(0, 40, COUNT).astype(np.uint32)
    left, right = elementwise(
        f"  shf.l.{mode}.b32 %y0, %x0, %x1, %x2;\n  shf.r.{mode}.b32 %y1, %x0, %x1, %x2;",
        [a, b, n],
        [np.uint32] * 2,
    )
    for i in range(COUNT):
        pair = int(a[i]) | int(b[i]) << 32
        amount = min(int(n[i]), 32) if mode == "clamp" else int(n[i]) % 32
        assert int(left[i]) == (pair << amount >> 32) % 2**32
        assert int(right[i]) == (pair >> amount) % 2**32


SELECTORS = {
    "": lambda c, i: c >> (4 * i) & 15,
    ".f4e": lambda c, i: ((c & 3) + i) & 7,
    ".b4e": lambda c, i: ((c & 3) - i) & 7,
    ".rc8": lambda c, i: c & 3,
    ".ecl": lambda c, i: max(i, c & 3),
    ".ecr": lambda c, i: min(i, c & 3),
    ".rc16": lambda c, i: 2 * (c & 1) + (i & 1),
}


@pytest.mark.parametrize("mode", SELECTORS)
def test_permutation_of_bytes(mode):
    a, b, c = operands("u32", 3)
    got = elementwise(f"  prmt.b32{mode} %y0, %x0, %x1, %x2;", [a, b, c], [np.uint32])
    for i in range(COUNT):
        pair = int(a[i]) | int(b[i]) << 32
        want = 0
        for byte in range(4):
            selector = SELECTORS[mode](int(c[i]), byte)
            value = pair >> (8 * (selector & 7)) & 255
            if selector & 8:
                value = 255 if value & 128 else 0
            want |= value << (8 * byte)
        assert int(got[i]) == want


@pytest.mark.parametrize("mode", ["clamp", "wrap"])
def test_masks_and_extensions(mode):
    (a,) = operands("u32", 1)
    rng = np.random.default_rng(9)
    position, length = (rng.integers(0, 40, COUNT).astype(np.uint32) for _ in range(2))
    mask, extended, signed = elementwise(
        f"  bmsk.{mode}.b32 %y0, %x1, %x2;\n  szext.{mode}.u32 %y1, %x0, %x2;\n"
        f"  szext.{mode}.s32 %y2, %x0, %x2;",
        [a, position, length],
        [np.uint32] * 3,
    )
    for i in range(COUNT):
        p, n = int(position[i]), int(length[i])
        if mode == "wrap":
            p, n = p % 32, n % 32
        assert int(mask[i]) == (((1 << n) - 1) << p) % 2**32
        kept = int(a[i]) % 2 ** min(n, 32)
        assert int(extended[i]) == kept
        negative = 0 < n <= 32 and kept >> (n - 1) & 1
        assert int(signed[i]) == (kept - 2**n if negative else kept) % 2**32
