"""The calls that are compared with the CPU: awkward shapes, all attributes, all activations.

Inputs are float64 and rounded to the type under test. What goes into an activation with a kink, or
under a clamp, keeps a distance from it that is larger than any rounding, because a value that
rounds to the other side has another derivative and would tell nothing about the kernels.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from pygan import ops
from pygan.ops.bias_act import ACTIVATIONS

Inputs = Mapping[str, paddle.Tensor]


@dataclass(frozen=True)
class Case:
    """One call of an operator.

    Attributes:
        name: the operator, and what is special.
        inputs: arrays by name, float64.
        call: computes the output; the second argument is `impl`.
        multiplies: whether TF32 makes a difference.
        dtypes: the types that it is run in.
    """

    name: str
    inputs: dict[str, np.ndarray]
    call: Callable[[Inputs, str], paddle.Tensor]
    multiplies: bool = False
    dtypes: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _away_from_zero(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.25, 1.25, shape) * rng.choice([-1, 1], shape)


def bias_act(act: str, n: int, c: int, h: int, w: int, *, full: bool, clamp: Any = None) -> Case:
    """bias_act; ``full``: with scale, noise and strength."""
    name = f"bias_act {act} [{n}, {c}, {h}, {w}]"
    name += " scale, noise, strength" if full else ""
    name += f" clamp {clamp}" if clamp is not None else ""
    rng = _random(name)
    inputs = {"x": _away_from_zero(rng, n, c, h, w) * 2, "b": rng.uniform(-0.2, 0.2, c)}
    if full:
        inputs["scale"] = rng.uniform(0.8, 1.2, (n, c))
        inputs["noise"] = rng.uniform(0.02, 0.2, (n, 1, h, w))
        inputs["strength"] = np.array([0.5])

    def call(t: Inputs, impl: str) -> paddle.Tensor:
        more: Any = {key: t.get(key) for key in ("scale", "noise", "strength")}
        return ops.bias_act(t["x"], t["b"], act=act, clamp=clamp, **more, impl=impl)

    # A half may round to either side of the clamp.
    dtypes = ("float32", "float64") if clamp is not None else Case.dtypes
    return Case(name, inputs, call, dtypes=dtypes)


def upfirdn2d(n: int, c: int, h: int, w: int, *, taps: Any, **options: Any) -> Case:
    """upfirdn2d; taps: numbers, or the shape of a random filter."""
    settings = " ".join(f"{key} {value}" for key, value in options.items())
    name = f"upfirdn2d [{n}, {c}, {h}, {w}] taps {taps} {settings}"
    rng = _random(name)
    f = rng.uniform(-1, 1, taps) if isinstance(taps, tuple) else ops.setup_filter(taps)

    def call(t: Inputs, impl: str) -> paddle.Tensor:
        return ops.upfirdn2d(t["x"], f, **options, impl=impl)

    return Case(name, {"x": rng.uniform(-1, 1, (n, c, h, w))}, call)


def convolution(
    op: str, n: int, ci: int, co: int, h: int, w: int, k: tuple[int, int], **options: Any
) -> Case:
    """conv2d or conv_transpose2d."""
    settings = " ".join(f"{key} {value}" for key, value in options.items())
    name = f"{op} [{n}, {ci}, {h}, {w}] to {co} kernel {k[0]}x{k[1]} {settings}".rstrip()
    rng = _random(name)
    groups = options.get("groups", 1)
    shape = (co, ci // groups, *k) if op == "conv2d" else (ci, co // groups, *k)
    function = ops.conv2d if op == "conv2d" else ops.conv_transpose2d
    inputs = {
        "x": rng.uniform(-1, 1, (n, ci, h, w)),
        "w": rng.uniform(-1, 1, shape) / np.sqrt(ci * k[0] * k[1]),
        "bias": rng.uniform(-1, 1, co),
    }

    def call(t: Inputs, impl: str) -> paddle.Tensor:
        return function(t["x"], t["w"], t["bias"], **options, impl=impl)

    return Case(name, inputs, call, multiplies=True)


_LEVELS = np.array([1.0, -1.0, 4.0, -4.0])  # far from the kink at 0 and the clamp at 3 / sqrt(2)


def resampled(
    op: str, n: int, ci: int, co: int, size: int, k: int, act: str = "lrelu", **options: Any
) -> Case:
    """conv2d_resample or modulated_conv2d with everything that is fused into it."""
    settings = " ".join(f"{key} {value}" for key, value in options.items())
    name = f"{op} [{n}, {ci}, {size}, {size}] to {co} kernel {k}x{k} {act} {settings}".rstrip()
    rng = _random(name)
    f = ops.setup_filter([1, 3, 3, 1])
    up, down = options.get("up", 1), options.get("down", 1)
    plain = act == "linear"
    activation: dict[str, Any] = {"act": act} if plain else {"act": act, "clamp": 3.0}
    inputs = {
        "x": rng.uniform(-0.15, 0.15, (n, ci, size, size)),
        "w": rng.uniform(-1, 1, (co, ci, k, k)) / np.sqrt(ci * k * k),
        "bias": rng.uniform(-0.1, 0.1, co) + (0.0 if plain else np.resize(_LEVELS, co)),
    }
    if op == "modulated_conv2d":
        inputs["styles"] = rng.uniform(0.5, 1.5, (n, ci))
        out = size * up // down
        inputs["noise"] = rng.uniform(0.02, 0.2, (n, 1, out, out))
        inputs["strength"] = np.array([0.7])

    def call(t: Inputs, impl: str) -> paddle.Tensor:
        shared = {"padding": k // 2, "bias": t["bias"], **activation, **options, "impl": impl}
        if op == "conv2d_resample":
            return ops.conv2d_resample(t["x"], t["w"], f, **shared)
        return ops.modulated_conv2d(
            *(t["x"], t["w"], t["styles"], t["noise"]),
            resample_filter=f,
            noise_strength=t["strength"],
            **shared,
        )

    return Case(name, inputs, call, multiplies=True)


def all_cases() -> list[Case]:
    """For a GPU: every code path that shapes can choose, each within a fraction of a second."""
    return [
        *(bias_act(act, 3, 5, 9, 7, full=True) for act in ACTIVATIONS),
        bias_act("lrelu", 1, 8, 32, 32, full=True),
        bias_act("lrelu", 2, 3, 33, 31, full=False, clamp=1.7),
        bias_act("swish", 70, 3, 1, 1, full=False),
        upfirdn2d(2, 3, 33, 31, taps=[1, 3, 3, 1], padding=[2, 1, 2, 1]),
        upfirdn2d(2, 16, 32, 32, taps=[1, 3, 3, 1], up=2, padding=[2, 1, 2, 1], gain=4),
        upfirdn2d(2, 16, 64, 64, taps=[1, 3, 3, 1], down=2, padding=[1, 1, 1, 1]),
        upfirdn2d(1, 2, 19, 23, taps=(5, 3), up=[3, 1], down=[1, 2], padding=[4, -1, 2, 3]),
        upfirdn2d(1, 3, 40, 40, taps=(12,), up=2, padding=[6, 5, 6, 5], flip_filter=True),
        upfirdn2d(5, 7, 1, 1, taps=[1, 2, 1], padding=1),
        *_convolutions(),
        *_layers(),
    ]


def _convolutions() -> list[Case]:
    conv, transposed = "conv2d", "conv_transpose2d"
    return [
        convolution(conv, 2, 64, 64, 32, 32, (3, 3), padding=1),
        convolution(conv, 3, 17, 13, 19, 15, (3, 3), padding=1),
        convolution(conv, 2, 32, 48, 16, 16, (1, 1)),
        convolution(conv, 2, 3, 40, 33, 31, (3, 3), stride=2, padding=[1, 0]),
        convolution(conv, 2, 12, 18, 14, 14, (3, 2), groups=3, dilation=[2, 1]),
        convolution(conv, 1, 128, 4, 4, 4, (4, 4)),
        convolution(transposed, 2, 32, 24, 9, 11, (3, 3), stride=2, padding=1, output_padding=1),
        convolution(transposed, 2, 8, 12, 7, 6, (4, 2), stride=[1, 3], groups=2),
    ]


def _layers() -> list[Case]:
    conv, modulated = "conv2d_resample", "modulated_conv2d"
    return [
        resampled(conv, 2, 32, 32, 16, 3, down=2),
        resampled(conv, 2, 19, 11, 14, 3, up=2),
        resampled(conv, 2, 16, 24, 16, 1, down=2, act="linear"),
        resampled(conv, 2, 16, 24, 8, 1, up=2),
        resampled(conv, 2, 6, 5, 12, 3, act="swish"),
        resampled(modulated, 2, 64, 64, 16, 3),
        resampled(modulated, 3, 21, 13, 9, 3),
        resampled(modulated, 2, 32, 32, 16, 3, up=2),
        resampled(modulated, 2, 48, 3, 16, 1, act="linear", demodulate=False),
    ]


def small_cases() -> list[Case]:
    """For the emulator: one of each kind."""
    return [
        *(bias_act(act, 1, 2, 3, 3, full=act == "lrelu") for act in ACTIVATIONS),
        upfirdn2d(1, 1, 5, 4, taps=[1, 3, 3, 1], up=2, padding=[2, 1, 2, 1], gain=4),
        upfirdn2d(1, 1, 6, 6, taps=[1, 3, 3, 1], down=2, padding=1),
        convolution("conv2d", 1, 3, 5, 5, 4, (3, 3), padding=1),
        convolution("conv_transpose2d", 1, 3, 2, 3, 3, (3, 3), stride=2),
        resampled("conv2d_resample", 1, 3, 4, 6, 3, down=2),
        resampled("modulated_conv2d", 1, 4, 5, 4, 3, up=2),
    ]
