"""StyleGAN2's layer, fused, against the sequence of operators that it replaces.

    y = clamp(√2 · lrelu(d · conv(s · x, w) + strength · noise + bias)),
    d[n, o] = (Σ over i, k of (s[n, i] · w[o, i, k])² + 1e-8) ^ -1/2

Both sides are counted in the way that favours the sequence: it moves each operand of each of its
operators once and no more, as if every operator were perfect, and a convolution by a library
needed no workspace; for the fused layer every sector that a launch touches counts, the staged
copies of its operands included.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import paddle

from benchmarks.gpu_model.cases import DType
from benchmarks.gpu_model.counts import count
from benchmarks.gpu_model.model import Operator
from benchmarks.gpu_model.paddle_counts import PaddleCounts, count_paddle
from pygan.ops import modulated_conv2d


@dataclasses.dataclass(frozen=True)
class Unfused:
    """One operator of the sequence: its tensors, in elements."""

    what: str
    reads: int
    writes: int

    @property
    def elements(self) -> int:
        return self.reads + self.writes


def sequence(n: int, channels: int, size: int) -> list[Unfused]:
    """The layer as one composes it: scale, convolve, scale. (Weights per sample and a grouped
    convolution, the other way, move more where n is large and have no second derivative in Paddle.)
    """
    x = n * channels * size * size
    w = channels * channels * 9
    styles, energies, noise = n * channels, channels * channels, n * size * size
    return [
        Unfused("w²", w, w),
        Unfused("Σ over the taps of w²", w, energies),
        Unfused("s²", styles, styles),
        Unfused("s² · (Σ w²)ᵀ", styles + energies, styles),
        Unfused("+ 1e-8", styles, styles),
        Unfused("^ -1/2", styles, styles),
        Unfused("x · s", x + styles, x),
        Unfused("conv", x + w, x),
        Unfused("· d", x + styles, x),
        Unfused("noise · strength", noise, noise),
        Unfused("+ noise", x + noise, x),
        Unfused("+ bias", x + channels, x),
        Unfused("leaky_relu", x, x),
        Unfused("· √2", x, x),
        Unfused("clip", x, x),
    ]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A call of the fused layer: pygan's launches, and the kernels of Paddle around them."""

    fused: Operator
    paddle: PaddleCounts
    unfused: Sequence[Unfused]
    unfused_bytes: int

    @property
    def launches(self) -> int:
        return len(self.fused.launches) + self.paddle.launches

    @property
    def bytes_ratio(self) -> float:
        """Of the fused layer's launches, over the sequence."""
        return self.fused.unique / self.unfused_bytes


def measure(dtype: DType, n: int, channels: int, size: int) -> Layer:
    """Run the layer, with parameters of its own type as under automatic mixed precision."""
    paddle.seed(0)

    def random(*shape: int) -> paddle.Tensor:
        return paddle.randn(shape).astype(dtype)

    x, w = random(n, channels, size, size), random(channels, channels, 3, 3)
    styles = random(n, channels)
    noise, bias, strength = random(n, 1, size, size), random(channels), random(1)
    results: list[paddle.Tensor] = []
    paddle_counts = PaddleCounts()

    def body() -> None:
        with count_paddle() as seen:
            results.append(
                modulated_conv2d(
                    x, w, styles, noise, padding=1,
                    noise_strength=strength, bias=bias, act="lrelu", gain=math.sqrt(2), clamp=256.0,
                )
            )  # fmt: skip
        paddle_counts.kernels.update(seen.kernels)
        paddle_counts.reads += seen.reads

    launches = count(body)
    tensors = [x, w, styles, noise, bias, strength, results[0]]
    compulsory = sum(int(t.numel()) * t.element_size() for t in tensors)
    unfused = sequence(n, channels, size)
    size_of = x.element_size()
    return Layer(
        Operator(launches, compulsory, dtype if dtype == "float16" else "tf32"),
        paddle_counts,
        unfused,
        size_of * sum(each.elements for each in unfused),
    )
