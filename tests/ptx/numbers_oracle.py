"""Exact arithmetic: rationals, rounded once to a binary format. Slow and obviously right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: bits of the significand, and the exponents' range."""

    precision: int  # with the leading one
    least: int  # exponent of the smallest normal number
    greatest: int  # exponent of the largest

    @property
    def largest(self) -> Fraction:
        return Fraction(2**self.precision - 1) * Fraction(2) ** (self.greatest - self.precision + 1)


F16 = Format(11, -14, 15)
BF16 = Format(8, -126, 127)
TF32 = Format(11, -126, 127)
F32 = Format(24, -126, 127)
F64 = Format(53, -1022, 1023)


def exact_floor_log2(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1


def round_integer(value: Fraction, mode: str) -> int:
    """To an integer: rn (ties to even), rna (ties away), rz, rm (down) or rp (up)."""
    if mode == "rz":
        return math.trunc(value)
    if mode == "rm":
        return math.floor(value)
    if mode == "rp":
        return math.ceil(value)
    if mode == "rna":
        return math.floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)
    return round(value)


def round_fraction(value: Fraction, to: Format, mode: str = "rn") -> float:
    """The nearest number of a format, as a double (which holds all of these formats)."""
    if value == 0:
        return 0.0
    exponent = max(exact_floor_log2(abs(value)), to.least)
    unit = Fraction(2) ** (exponent - to.precision + 1)
    rounded = round_integer(value / unit, mode) * unit
    if abs(rounded) > to.largest:
        towards_zero = mode == "rz" or mode == ("rm" if value > 0 else "rp")
        return math.copysign(float(to.largest) if towards_zero else math.inf, value)
    return float(rounded)


def bfloat(values: np.ndarray) -> np.ndarray:
    """Floats -> the bits of the nearest bfloat16."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def unbfloat(bits: np.ndarray) -> np.ndarray:
    """Bits of bfloat16 -> floats."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
