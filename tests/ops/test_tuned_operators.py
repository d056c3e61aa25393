"""Operators do what the tuner has chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

from pygan import ops
from pygan.ops import _composed, _conv_ref, _native, _tuner
from tests.ops.tuner_bench import Bench


@pytest.fixture
def installed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, needs_native: None
) -> Callable[[float], None]:
    """Puts the tuner where the operators look; the argument is the seconds of a native call."""
    call = _native.call
    clock = bench.operator
    monkeypatch.setattr(_tuner, "tuner", bench.tuner)

    def tick() -> float:
        clock.now += 1e-3
        return clock.now

    bench.tuner._clock = tick

    def install(seconds: float) -> None:
        def slow(*arguments: Any) -> Any:
            clock.now += seconds
            return call(*arguments)

        monkeypatch.setattr(_native, "call", slow)

    return install


def operators(grad: bool) -> dict[str, Callable[[str], paddle.Tensor]]:
    rng = np.random.default_rng(0)

    def random(*shape: int) -> paddle.Tensor:
        return paddle.to_tensor(rng.standard_normal(shape), stop_gradient=not grad)

    x, w, b, s = random(2, 4, 6, 5), random(4, 4, 3, 3), random(4), random(2, 4)
    f = ops.setup_filter([1, 3, 3, 1])
    noise, strength = random(2, 1, 12, 10), random()
    noise1 = random(6, 5)
    return {
        "bias_act": lambda impl: ops.bias_act(
            x, b, act="lrelu", clamp=1, scale=s, noise=noise1, strength=strength, impl=impl
        ),
        "upfirdn2d": lambda impl: ops.upfirdn2d(x, f, 2, 1, [2, 1, 2, 1], gain=4, impl=impl),
        "conv2d": lambda impl: ops.conv2d(x, w, b, 2, [1, 0], 1, impl=impl),
        "conv_transpose2d": lambda impl: ops.conv_transpose2d(x, w, b, 2, 1, 1, impl=impl),
        "conv2d_resample": lambda impl: ops.conv2d_resample(
            x, w, f, down=2, padding=1, bias=b, act="relu", gain=2, impl=impl
        ),
        "modulated_conv2d": lambda impl: ops.modulated_conv2d(
            *(x, w, s, noise), up=2, padding=1, resample_filter=f,
            **dict(noise_strength=strength, bias=b, act="lrelu", impl=impl),
        ),
    }  # fmt: skip


NAMES = list(operators(False))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slow", [False, True])
def test_operators_follow_the_choice(
    name: str,
    grad: bool,
    slow: bool,
    bench: Bench,
    installed: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(1.0 if slow else 0.0)
    call = operators(grad)[name]
    expected = call("ref")
    np.testing.assert_allclose(call("auto").numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)
    (entry,) = bench.tuner.report()  # one decision: nothing inside is timed on its own
    assert entry["op"] == name
    assert entry["choice"] == ("composition" if slow else "native")

    used: list[str] = []
    native_call = _native.call
    monkeypatch.setattr(_native, "call", lambda *a: (used.append("native"), native_call(*a))[1])
    for module in (_composed, _conv_ref):
        for function in ("correlate", "correlate_transposed"):
            usual = getattr(module, function)

            def spied(*a: Any, usual: Any = usual, module: Any = module, **k: Any) -> Any:
                used.append(module.__name__.rpartition(".")[2])
                return usual(*a, **k)

            monkeypatch.setattr(module, function, spied)
    again = call("auto")
    np.testing.assert_allclose(again.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)
    assert ("native" in used) == (not slow)
    if "conv" in name and name != "conv2d_resample" and slow and name != "modulated_conv2d":
        assert ("_conv_ref" in used) == grad
        assert ("_composed" in used) == (not grad)
    assert again.stop_gradient == (not grad)
    assert len(bench.tuner.report()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_explicit_impl_is_not_tuned(
    name: str, bench: Bench, installed: Callable[[float], None]
) -> None:
    installed(1.0)
    for impl in ("native", "ref"):
        operators(False)[name](impl)
    assert bench.tuner.report() == []


def test_a_composition_of_paddles_convolutions_never_meets_a_gradient(
    bench: Bench, installed: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(1.0)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("not right to second order")

    for function in ("correlate", "correlate_transposed", "upfirdn2d", "resampled"):
        monkeypatch.setattr(_composed, function, refuse)
    for call in operators(True).values():
        y = call("auto")
        assert not y.stop_gradient
    assert {entry["choice"] for entry in bench.tuner.report()} == {"composition"}
    assert not [entry for entry in bench.tuner.report() if "why" in entry]
