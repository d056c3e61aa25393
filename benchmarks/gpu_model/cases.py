"""The cases of the table: what runs, the bytes it must move, and what its counts must be.

The bytes that any implementation must move ("compulsory") are those of an operator's inputs and
outputs, once each; never those of its workspace.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, Union

import paddle

from benchmarks.gpu_model.counts import Loop, count
from benchmarks.gpu_model.devices import A100_40, H100
from benchmarks.gpu_model.model import Operator
from pygan.ops import allow_tf32, bias_act, modulated_conv2d, setup_filter, upfirdn2d

Value = Union[float, str]
DType = Literal["float16", "float32"]


@dataclasses.dataclass(frozen=True)
class Target:
    """What a count must be. `bound`: the most it may be, or with `least` the least, or the word."""

    what: str
    value: Callable[[Operator], Value]
    bound: Value
    least: bool = False
    percent: bool = False
    large: bool = False  # meant for shapes that fill a GPU

    def holds(self, operator: Operator) -> bool:
        value = self.value(operator)
        if isinstance(self.bound, str) or isinstance(value, str):
            return value == self.bound
        return value >= self.bound if self.least else value <= self.bound


@dataclasses.dataclass(frozen=True)
class Work:
    """A call, and the tensors that it reads."""

    run: Callable[[], paddle.Tensor]
    reads: Sequence[paddle.Tensor]


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[], Work]
    targets: Sequence[Target]
    product: str = "float16"
    tf32: bool = False


def _bytes(tensor: paddle.Tensor) -> int:
    return int(tensor.numel()) * tensor.element_size()


def run(case: Case) -> Operator:
    """Run the case on the emulator."""
    work = case.build()
    result: list[paddle.Tensor] = []
    previous = allow_tf32(case.tf32)
    try:
        launches = count(lambda: result.append(work.run()))
    finally:
        allow_tf32(previous)
    compulsory = sum(map(_bytes, work.reads)) + _bytes(result[0])
    return Operator(launches, compulsory, case.product)


def _images(shape: Sequence[int], dtype: DType) -> paddle.Tensor:
    paddle.seed(0)
    return paddle.randn(shape).astype(dtype)


# ---- What the table asks for.

REQUESTED = Target("requested / compulsory", lambda o: o.requested / o.compulsory, 1.05)
DRAM = Target("from DRAM (A100) / compulsory", lambda o: o.dram(A100_40) / o.compulsory, 1.15)
CONFLICTS = Target("bank conflicts", lambda o: o.conflicts, 0.05, percent=True)
LOOP_CONFLICTS = Target(
    "bank conflicts, main loop", lambda o: _loop(o).conflicts, 0.0, percent=True
)
LOADS = Target("sector efficiency, loads", lambda o: o.load_efficiency, 0.95, least=True)
STORES = Target("sector efficiency, stores", lambda o: o.store_efficiency, 0.95, least=True)
TENSOR_SHARE = Target(
    "tensor share, main loop",
    lambda o: _loop(o).tensor_share,
    0.4,
    least=True,
    percent=True,
    large=True,
)


def _loop(operator: Operator) -> Loop:
    loop = operator.tensor_launch.loop
    assert loop is not None
    return loop


def _limiter_a100(name: str) -> Target:
    return Target("limiter, A100", lambda o: o.limiter(A100_40)[0], name, large=True)


def _limiter_h100(name: str) -> Target:
    return Target("limiter, H100", lambda o: o.limiter(H100)[0], name, large=True)


# ---- bias_act


def bias_act_case(dtype: DType, shape: Sequence[int]) -> Case:
    def build() -> Work:
        x, b = _images(shape, dtype), _images(shape[1:2], dtype)
        return Work(lambda: bias_act(x, b, act="lrelu"), (x, b))

    return Case(
        f"bias_act {dtype}, {_shape(shape)}",
        build,
        (REQUESTED, _limiter_a100("DRAM"), _limiter_h100("DRAM")),
    )


# ---- upfirdn2d

_FILTERS = {
    "4×4": setup_filter([1, 3, 3, 1]),
    "4+4": setup_filter([1, 3, 3, 1], separable=True),
    "12+12": setup_filter([1, 2, 4, 7, 9, 11, 11, 9, 7, 4, 2, 1], separable=True),
}
_RESAMPLING = {"up2": (2, 1), "down2": (1, 2), "blur": (1, 1)}


def upfirdn2d_case(mode: str, taps: str, planes: int, size: int) -> Case:
    up, down = _RESAMPLING[mode]
    f = _FILTERS[taps]
    k = f.shape[0]
    # As pygan.ops.upsample2d, downsample2d and filter2d pad.
    before, after = (k + up - 1) // 2, (k - up) // 2
    if up == 1:
        before, after = (k - down + 1) // 2, (k - down) // 2

    def build() -> Work:
        x = _images([1, planes, size, size], "float32")
        pads = [before, after] * 2
        return Work(lambda: upfirdn2d(x, f, up, down, pads, gain=float(up * up)), (x, f))

    targets = [DRAM, CONFLICTS]
    if k == 4:
        targets += [_limiter_a100("DRAM"), _limiter_h100("DRAM")]
    return Case(f"upfirdn2d {mode} {taps} float32, {planes}×{size}²", build, targets)


# ---- The modulated convolution


def convolution_case(
    product: Literal["float16", "tf32"], samples: int, channels: int, size: int
) -> Case:
    """3×3 with demodulation and nothing else, so that all that is counted is the convolution's."""
    dtype: DType = "float32" if product == "tf32" else product

    def build() -> Work:
        x = _images([samples, channels, size, size], dtype)
        w = _images([channels, channels, 3, 3], "float32")
        s = _images([samples, channels], "float32")
        return Work(lambda: modulated_conv2d(x, w, s, padding=1), (x, w, s))

    return Case(
        f"modulated conv 3×3 {product}, {samples}×{channels}×{size}²",
        build,
        (LOOP_CONFLICTS, LOADS, STORES, TENSOR_SHARE, _limiter_a100("tensor")),
        product=product,
        tf32=product == "tf32",
    )


def _shape(shape: Sequence[int]) -> str:
    n, c, h, _ = shape
    return f"{n}×{c}×{h}²"


def cases(quick: bool = False) -> list[Case]:
    """All cases; ``quick``: one of each kernel, small."""
    if quick:
        small = [
            bias_act_case("float32", [1, 8, 64, 64]),
            bias_act_case("float16", [1, 8, 64, 64]),
            upfirdn2d_case("up2", "4×4", 4, 64),
            upfirdn2d_case("down2", "4+4", 4, 64),
            upfirdn2d_case("blur", "12+12", 4, 64),
            convolution_case("float16", 1, 128, 32),
            convolution_case("tf32", 1, 64, 32),
        ]
        return [
            dataclasses.replace(case, targets=[t for t in case.targets if not t.large])
            for case in small
        ]
    return [
        bias_act_case("float32", [4, 64, 256, 256]),
        bias_act_case("float16", [4, 64, 256, 256]),
        *(
            upfirdn2d_case(mode, taps, 64, 256)
            for taps in ("4×4", "4+4", "12+12")
            for mode in ("up2", "down2", "blur")
        ),
        *(convolution_case("float16", n, 256, 64) for n in (1, 2, 4)),
        convolution_case("float16", 4, 512, 16),
        *(convolution_case("tf32", n, 256, 64) for n in (1, 4)),
        convolution_case("tf32", 4, 512, 16),
    ]
