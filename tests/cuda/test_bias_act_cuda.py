"""bias_act's CUDA kernels, emulated, against numpy and scipy in float64: both derivatives too."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import paddle
import pytest
from scipy.special import expit

from csrc.ptx.runtime import record_launches
from pygan.ops import bias_act

pytestmark = pytest.mark.usefixtures("on_emulator")

ACTIVATIONS = ["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]
DTYPES = ["float32", "float64", "float16", "bfloat16"]
# One rounding to the type, relative to the value, and errors of sums relative to the largest value.
ROUNDING = {"float32": 1.3e-7, "float64": 3e-16, "float16": 1e-3, "bfloat16": 8e-3}
SUMS = {"float32": 3e-5, "float64": 1e-13, "float16": 3e-5, "bfloat16": 3e-5}
ALPHA, GAIN = 0.2, 1.5

# [n, channels, length]: whole vectors in one and several blocks, rows that start anywhere, planes
# narrower than a warp, inner size 1 and single values.
SHAPES = [(2, 3, 40), (1, 2, 1040), (2, 3, 289), (2, 4, 16), (2, 40, 9), (3, 5, 1), (70, 3, 1)]
OPERANDS = [(), ("b",), ("scale",), ("noise", "strength"), ("b", "scale", "noise", "strength")]


def jet(act: str, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """act(u), act'(u), act''(u)."""
    positive, zero, one = u > 0, np.zeros_like(u), np.ones_like(u)
    exp, expm1 = np.exp(np.minimum(u, 0)), np.expm1(np.minimum(u, 0))
    sigmoid = expit(u)
    slope = sigmoid * expit(-u)
    curve = -slope * np.tanh(u / 2)
    if act in ("linear", "relu", "lrelu"):
        negative = {"linear": 1.0, "relu": 0.0, "lrelu": ALPHA}[act]
        factor = np.where(positive, one, negative)
        return factor * u, factor, zero
    if act == "tanh":
        return np.tanh(u), 1 / np.cosh(u) ** 2, -2 * np.tanh(u) / np.cosh(u) ** 2
    if act in ("elu", "selu"):
        scale, alpha = (1.0507009873554805, 1.6732632423543772) if act == "selu" else (1.0, 1.0)
        below = scale * alpha * np.where(positive, zero, exp)
        return (
            scale * np.where(positive, u, alpha * expm1),
            np.where(positive, scale, below),
            below,
        )
    return {
        "sigmoid": (sigmoid, slope, curve),
        "softplus": (np.logaddexp(0, u), sigmoid, slope),
        "swish": (u * sigmoid, sigmoid + u * slope, 2 * slope + u * curve),
    }[act]


class Call:
    """Random operands of one call, rounded to its type, and what the operator makes of them."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        operands: tuple[str, ...],
        dtype: Any,
        act: str = "lrelu",
        clamp: Optional[float] = None,
        shared_noise: bool = False,
    ) -> None:
        n, c, length = shape
        self.dtype: Any = dtype
        self.act, self.clamp = act, clamp
        rng = np.random.default_rng([*shape, len(operands)])
        shapes = {
            "x": shape,
            "b": (c,),
            "scale": (n, c),
            "noise": (1 if shared_noise else n, 1, length),
            "strength": (1,),
        }
        self.names = ["x", *operands]
        self.tensors = {k: self._tensor(rng.standard_normal(shapes[k])) for k in self.names}
        self.dy = self._tensor(rng.standard_normal(shape))
        self.dd = {k: self._tensor(rng.standard_normal(shapes[k])) for k in self.names}

    def _tensor(self, array: np.ndarray) -> paddle.Tensor:
        return paddle.to_tensor(array, stop_gradient=False).astype(self.dtype).detach()

    def run(self) -> dict[str, np.ndarray]:
        """y, the gradients "d...", and the gradients "dd..." of their contraction with dd."""
        live: dict[str, Any] = {k: t.clone().detach() for k, t in self.tensors.items()}
        dy = self.dy.clone().detach()
        for t in [*live.values(), dy]:
            t.stop_gradient = False
        form: dict[str, Any] = {"act": self.act, "alpha": ALPHA, "gain": GAIN, "clamp": self.clamp}
        y = bias_act(**live, **form, impl="native")
        first = paddle.grad([y], list(live.values()), [dy], create_graph=True)
        dd = list(self.dd.values())
        second = paddle.grad(first, [*live.values(), dy], dd, allow_unused=True)
        out = {"y": y}
        out.update((f"d{k}", t) for k, t in zip(self.names, first))
        out.update((f"dd{k}", t) for k, t in zip([*self.names, "y"], second) if t is not None)
        return {k: t.astype("float64").numpy() for k, t in out.items()}

    def expected(self) -> dict[str, np.ndarray]:
        """The same by the formulas of csrc/bias_act/sweep.h."""

        def operand(of: dict[str, paddle.Tensor], name: str, otherwise: float) -> Any:
            if name not in of:
                return otherwise
            array = of[name].astype("float64").numpy()
            return {"b": array[..., None], "scale": array[..., None]}.get(name, array)

        x, dy = operand(self.tensors, "x", 0), self.dy.astype("float64").numpy()
        b, scale = operand(self.tensors, "b", 0), operand(self.tensors, "scale", 1)
        noise, strength = operand(self.tensors, "noise", 0), operand(self.tensors, "strength", 1)
        f, f1, f2 = jet(self.act, scale * x + strength * noise + b)
        limit = np.inf if self.clamp is None else self.clamp
        kept = np.abs(GAIN * f) <= limit
        k1, k2 = GAIN * f1 * kept, GAIN * f2 * kept
        ddx, ddb = operand(self.dd, "x", 0), operand(self.dd, "b", 0)
        ddscale, ddnoise = operand(self.dd, "scale", 0), operand(self.dd, "noise", 0)
        ddstrength = operand(self.dd, "strength", 0)
        t = scale * ddx + ddscale * x + ddb + strength * ddnoise + ddstrength * noise
        du, e = k1 * dy, k2 * t * dy
        out = {"y": np.clip(GAIN * f, -limit, limit), "ddy": k1 * t}
        out.update(self._sums("d", scale * du, du, du * x, du * noise, strength * du))
        out.update(
            self._sums(
                "dd",
                scale * e + ddscale * du,
                e,
                e * x + du * ddx,
                e * noise + du * ddnoise,
                strength * e + ddstrength * du,
            )
        )
        return out

    def _sums(self, prefix: str, x: Any, b: Any, scale: Any, strength: Any, noise: Any) -> Any:
        all_sums = {
            "x": x,
            "b": b.sum((0, 2)),
            "scale": scale.sum(2),
            "strength": np.atleast_1d(np.sum(strength)),
            "noise": noise.sum(1, keepdims=True),
        }
        if "noise" in self.tensors and self.tensors["noise"].shape[0] == 1:
            all_sums["noise"] = all_sums["noise"].sum(0, keepdims=True)
        return {prefix + k: all_sums[k] for k in self.names}

    def check(self) -> None:
        got, expected = self.run(), self.expected()
        for name, value in got.items():
            wanted = expected[name].reshape(value.shape)
            largest = max(1.0, float(np.abs(wanted).max(initial=0)))
            error = np.abs(value - wanted) - ROUNDING[self.dtype] * np.abs(wanted)
            assert error.max(initial=0) <= SUMS[self.dtype] * largest, name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operands", OPERANDS, ids="+".join)
def test_every_layout_and_operand(dtype: str, operands: tuple[str, ...]) -> None:
    for i, shape in enumerate(SHAPES):
        act = ("lrelu", "swish")[i % 2]
        Call(shape, operands, dtype, act, clamp=0.9, shared_noise=i % 3 == 0).check()


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_activation(act: str, dtype: str) -> None:
    for shape in [(2, 3, 40), (2, 3, 21)]:
        Call(shape, OPERANDS[-1], dtype, act).check()


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_extreme_values(act: str) -> None:
    u = np.array([0.0, -0.0, 1e-30, -1e-30, 88.0, -88.0, 1e30, -1e30, np.nan, np.inf])
    x = paddle.to_tensor(u.astype(np.float32), stop_gradient=False)
    y = bias_act(x, act=act, gain=GAIN, alpha=ALPHA, impl="native")
    (dx,) = paddle.grad([y], [x])
    with np.errstate(all="ignore"):
        f, f1, _ = jet(act, u)
    # exp() gives zero where its value is no normal number; swish multiplies that by 88.
    vanishing = 2e-36
    np.testing.assert_allclose(y.numpy()[:-1], GAIN * f[:-1], rtol=3e-7, atol=vanishing)
    np.testing.assert_allclose(dx.numpy()[:8], GAIN * f1[:8], rtol=1e-6, atol=vanishing)
    assert np.isnan(dx.numpy()[8]) or act in ("linear", "relu", "lrelu")
    assert y.numpy()[-1] == GAIN * f[-1]


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 3, 0), (0, 4, 1)])
def test_an_empty_tensor_has_zero_parameter_gradients(shape: tuple[int, int, int]) -> None:
    x = paddle.zeros(shape)
    b = paddle.ones([shape[1]])
    x.stop_gradient = b.stop_gradient = False
    (db,) = paddle.grad([bias_act(x, b, act="lrelu", impl="native")], [b])
    assert not db.numpy().any()


def test_one_pass_over_memory_without_hazards() -> None:
    shape = (2, 4, 4096)
    call = Call(shape, OPERANDS[-1], "float32", clamp=1.0)
    with record_launches() as launches:
        call.run()
    kernels = [launch["name"].split("<")[0].split("::")[-1] for launch in launches]
    assert kernels == ["sweep_kernel", "sweep_kernel", "sums_kernel", "sweep_kernel", "sums_kernel"]
    for launch in launches:
        stats = launch["stats"]
        assert stats["races"] == stats["uninitialised_shared_reads"] == 0
        assert stats["divergent_barriers"] == 0
    forward = launches[0]["stats"]
    moved = forward["global_load"]["sectors"] + forward["global_store"]["sectors"]
    # x and y once; so small a call reads the noise for each of its few channels.
    assert 32 * moved <= 3.1 * 4 * np.prod(shape)


def test_large_calls_share_the_noise() -> None:
    call = Call((2, 48, 16384), ("noise",), "float16")
    with record_launches() as launches:
        bias_act(call.tensors["x"], noise=call.tensors["noise"], act="lrelu", impl="native")
    stats = launches[0]["stats"]
    moved = 32 * (stats["global_load"]["sectors"] + stats["global_store"]["sectors"])
    once = stats["unique_read_bytes"] + stats["unique_write_bytes"]
    assert moved <= 1.5 * once


def test_results_repeat_to_the_bit() -> None:
    call = Call((3, 5, 289), OPERANDS[-1], "float32", "swish")
    first, second = call.run(), call.run()
    assert all(np.array_equal(first[k], second[k]) for k in first)
