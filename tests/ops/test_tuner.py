"""The choice between native kernels and composition: fake GPU, fake clock, CPU tensors."""

from __future__ import annotations

import json
import multiprocessing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
import pytest

from pygan import ops
from pygan.ops import _composed, _conv_ref, _native, _tuner
from pygan.ops._tune_cache import TuneCache
from pygan.ops._tune_device import PaddleDevice
from pygan.ops._tuner import COMPOSED, NATIVE, REF, Tuner

GPU = {"gpu": "Fake 9000", "driver": "1", "paddle": "3", "pygan": "0"}


class FakeDevice:
    """A GPU whose memory is the CPU's."""

    def __init__(self) -> None:
        self.on_gpu = True
        self.reason: Optional[str] = None
        self.capturing = self.autocasting = self.tf32 = False
        self.released = 0
        self.facts = dict(GPU)

    def holds(self, x: paddle.Tensor) -> bool:
        return self.on_gpu

    def unusable(self, x: paddle.Tensor) -> Optional[str]:
        return self.reason

    def identity(self) -> dict[str, str]:
        return self.facts

    def paddle_tf32(self) -> bool:
        return self.tf32

    def is_capturing(self) -> bool:
        return self.capturing

    def is_autocasting(self) -> bool:
        return self.autocasting

    def synchronize(self) -> None:
        pass

    def release(self) -> None:
        self.released += 1


class Operator:
    """Takes the time, and fails, as it is told; counts its calls."""

    def __init__(self, native: float = 1e-3, composition: float = 2e-3) -> None:
        self.seconds = {NATIVE: native, REF: composition, COMPOSED: composition}
        self.now = 0.0
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}

    def clock(self) -> float:
        return self.now

    def __call__(self, impl: str, *tensors: Optional[paddle.Tensor]) -> paddle.Tensor:
        self.calls.append(impl)
        if impl in self.failing:
            raise self.failing[impl]
        self.now += self.seconds[impl]
        y = tensors[0] * 2
        return y if len(tensors) < 2 or tensors[1] is None else y + tensors[1]


class Bench:
    """A tuner with everything faked, and one operator to choose for."""

    def __init__(self, folder: Path, **seconds: float) -> None:
        self.folder = folder
        self.device = FakeDevice()
        self.operator = Operator(**seconds)
        self.tuner = self.fresh()

    def fresh(self, mode: str = "1") -> Tuner:
        """The tuner of the next process."""
        self.tuner = Tuner(self.device, TuneCache(self.folder), self.operator.clock, mode)
        return self.tuner

    def choose(
        self, *tensors: Optional[paddle.Tensor], op: str = "conv2d", attributes: tuple = (1, "a")
    ) -> str:
        return self.tuner.choose(op, tensors or (image(),), attributes, self.operator)

    def timed(self, *tensors: Optional[paddle.Tensor], **options: Any) -> bool:
        """Whether choosing called the operator."""
        before = len(self.operator.calls)
        self.choose(*tensors, **options)
        return len(self.operator.calls) > before


def image(shape: tuple[int, ...] = (2, 3, 4, 4), grad: bool = False, dtype: str = "float32") -> Any:
    x = paddle.ones(shape, dtype=dtype)
    x.stop_gradient = not grad
    return x


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "tune")


def test_the_faster_side_wins(tmp_path: Path) -> None:
    assert Bench(tmp_path / "a", native=1e-3, composition=2e-3).choose() == NATIVE
    slow_native = Bench(tmp_path / "b", native=2e-3, composition=1e-3)
    assert slow_native.choose() == COMPOSED
    assert slow_native.choose(image(grad=True)) == REF  # which has all derivatives
    (first, second) = slow_native.tuner.report()
    assert (first["choice"], first["source"]) == ("composition", "timed")
    assert first["native_ms"] == pytest.approx(2.0)
    assert first["composition_ms"] == pytest.approx(1.0)
    assert (first["op"], first["shapes"], first["inputs"]) == ("conv2d", [[2, 3, 4, 4]], "c")
    assert second["inputs"] == "g"


def test_native_wins_where_the_difference_is_noise(tmp_path: Path) -> None:
    assert Bench(tmp_path, native=1e-3, composition=0.99e-3).choose() == NATIVE


def test_one_outlier_does_not_decide(bench: Bench) -> None:
    counts = iter(range(10**6))
    usual = bench.operator.clock

    def clock() -> float:
        if next(counts) == 7:  # the end of one of the batches
            bench.operator.now += 10
        return usual()

    bench.tuner = Tuner(bench.device, None, clock)
    assert bench.choose() == NATIVE
    (entry,) = bench.tuner.report()
    assert entry["native_ms"] == pytest.approx(1.0)


def test_a_decided_shape_is_not_timed_again(bench: Bench) -> None:
    assert bench.timed()
    assert not bench.timed()


@pytest.mark.parametrize(
    "other",
    [
        {"tensors": (image((2, 3, 4, 5)),)},
        {"tensors": (image(grad=True),)},
        {"tensors": (image(dtype="float64"),)},
        {"tensors": (image(), image((1,)))},
        {"attributes": (2, "a")},
        {"op": "upfirdn2d"},
    ],
)
def test_what_differs_in_speed_is_timed_apart(bench: Bench, other: dict[str, Any]) -> None:
    bench.choose()
    assert bench.timed(*other.pop("tensors", ()), **other)


def test_weights_of_another_shape_are_timed_apart(bench: Bench) -> None:
    bench.choose(image(), image((1,)))
    assert bench.timed(image(), image((1, 1)))
    assert not bench.timed(image(), image((1,)))


def test_no_grad_is_inference(bench: Bench) -> None:
    with paddle.no_grad():
        bench.choose(image(grad=True))
    assert bench.operator.calls[0] == NATIVE
    assert set(bench.operator.calls) == {NATIVE, COMPOSED}


def test_tf32_is_part_of_the_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.choose()
    monkeypatch.setattr(_native, "tf32", not _native.tf32)
    assert bench.timed()


def test_a_composition_in_tf32_is_no_candidate_for_float32(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.operator.seconds[COMPOSED] = 1e-6
    bench.device.tf32 = True
    monkeypatch.setattr(_native, "tf32", False)
    assert not bench.timed()
    assert bench.choose() == NATIVE
    assert "TF32" in bench.tuner.report()[0]["why"]
    assert bench.choose(image(dtype="float64")) == COMPOSED
    assert bench.choose(op="bias_act") == COMPOSED  # which multiplies no matrices
    monkeypatch.setattr(_native, "tf32", True)
    assert bench.choose() == COMPOSED


def test_the_next_process_reads_the_decision(bench: Bench) -> None:
    bench.operator.seconds[COMPOSED] = 1e-6
    bench.choose()
    bench.fresh()
    assert not bench.timed()
    assert bench.choose() == COMPOSED
    (entry,) = bench.tuner.report()
    assert entry["source"] == "cache"
    assert entry["composition_ms"] == pytest.approx(1e-3)


@pytest.mark.parametrize("fact", sorted(GPU))
def test_another_machine_or_version_times_anew(bench: Bench, fact: str) -> None:
    bench.choose()
    bench.fresh()
    bench.device.facts = {**GPU, fact: "another"}
    assert bench.timed()


def test_force_times_once_per_process(bench: Bench) -> None:
    bench.choose()
    bench.operator.seconds[NATIVE] = 1.0
    bench.fresh(mode="force")
    assert bench.timed()
    assert bench.choose() == COMPOSED
    assert not bench.timed()
    bench.fresh()
    assert bench.choose() == COMPOSED  # and what it found is kept


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"schema": 99, "entries": {}}',
        b"[" * 100000,
    ],
)
def test_a_damaged_file_counts_as_empty(bench: Bench, damage: bytes) -> None:
    bench.choose()
    path = TuneCache(bench.folder).path(GPU)
    path.write_bytes(damage)
    bench.fresh()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bench.timed()
    bench.fresh()
    assert not bench.timed()


@pytest.mark.parametrize(
    "entry",
    [None, 3, {}, {"choice": "native"}, {"choice": "faster", "native_ms": 1, "composition_ms": 1},
     {"choice": "native", "native_ms": "1", "composition_ms": 1},
     {"choice": "native", "native_ms": float("nan"), "composition_ms": 1}],
)  # fmt: skip
def test_a_damaged_entry_is_timed_again(bench: Bench, entry: Any) -> None:
    bench.choose()
    path = TuneCache(bench.folder).path(GPU)
    content = json.loads(path.read_text())
    (name,) = content["entries"]
    content["entries"][name] = entry
    path.write_text(json.dumps(content))
    bench.fresh()
    assert bench.timed()


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file" / "tune")
    with pytest.warns(UserWarning, match="PYGAN_TUNE_CACHE"):
        assert bench.choose() == NATIVE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bench.choose(image((1, 1))) == NATIVE


def _add(folder: Path, who: int, barrier: Any) -> None:
    cache = TuneCache(folder)
    barrier.wait()
    for i in range(20):
        cache.add(GPU, f"{who}/{i}", {"choice": "native", "native_ms": 1, "composition_ms": 2})


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    writers = [context.Process(target=_add, args=(tmp_path, who, barrier)) for who in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
        assert process.exitcode == 0
    assert len(TuneCache(tmp_path).read(GPU)) == 60
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), MemoryError("Out of memory")])
def test_native_wins_where_the_composition_fails(bench: Bench, error: Exception) -> None:
    bench.operator.failing[COMPOSED] = error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bench.choose() == NATIVE
    assert str(error) in bench.tuner.report()[0]["why"]
    assert bench.device.released == 1
    bench.fresh()
    assert bench.timed()  # another process may have the memory


def test_the_composition_wins_with_a_warning_where_native_fails(bench: Bench) -> None:
    bench.operator.failing[NATIVE] = RuntimeError("drawing\n\nillegal instruction")
    with pytest.warns(UserWarning, match=r"conv2d: .*failed.*illegal instruction.*gpu_check"):
        assert bench.choose() == COMPOSED
    assert bench.choose() == COMPOSED
    bench.fresh()
    with pytest.warns(UserWarning, match="failed"):
        bench.choose()


def test_where_both_fail_the_native_call_may_say_why(bench: Bench) -> None:
    bench.operator.failing = {NATIVE: RuntimeError("a"), COMPOSED: RuntimeError("b")}
    assert bench.choose() == NATIVE


def test_a_failure_in_a_later_round_counts(bench: Bench) -> None:
    usual, count = bench.operator, iter(range(10**6))

    def run(impl: str, *tensors: Any) -> paddle.Tensor:
        if impl == COMPOSED and next(count) == 6:
            raise RuntimeError("out of memory")
        return usual(impl, *tensors)

    assert bench.tuner.choose("conv2d", (image(),), (), run) == NATIVE
    assert "out of memory" in bench.tuner.report()[0]["why"]


@pytest.mark.parametrize("state", ["capturing", "autocasting"])
def test_nothing_is_timed_or_remembered_meanwhile(bench: Bench, state: str) -> None:
    bench.operator.seconds[COMPOSED] = 1e-6
    setattr(bench.device, state, True)
    assert bench.choose() == NATIVE
    assert bench.operator.calls == []
    setattr(bench.device, state, False)
    assert bench.choose() == COMPOSED
    setattr(bench.device, state, True)
    # What is decided may be captured; Paddle's casts would change the composition's numbers.
    assert bench.choose() == (COMPOSED if state == "capturing" else NATIVE)


def test_cpu_tensors_and_missing_kernels_are_left_to_auto(bench: Bench) -> None:
    bench.device.on_gpu = False
    assert bench.choose() == "auto"
    bench.device.on_gpu, bench.device.reason = True, "no library"
    assert bench.choose() == "auto"
    bench.device.reason = None
    assert bench.choose(image((0, 3, 4, 4))) == "auto"
    assert bench.operator.calls == []


def test_the_callers_tensors_graph_and_random_numbers_stay_as_they_are(bench: Bench) -> None:
    x, w = image(grad=True), image((1,), grad=True)
    seen = []
    x.register_hook(seen.append)
    x.grad = paddle.full_like(x, 7.0)
    state = paddle.get_rng_state()[0].current_seed()
    paddle.seed(5)
    expected = paddle.rand([3]).numpy()
    paddle.seed(5)
    numbers = np.random.get_state()[1].copy()  # noqa: NPY002
    bench.choose(x, w)
    np.testing.assert_array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    np.testing.assert_array_equal(paddle.rand([3]).numpy(), expected)
    assert seen == []
    np.testing.assert_array_equal(x.grad.numpy(), np.full(x.shape, 7.0))
    assert w.grad is None
    assert not x.stop_gradient
    np.testing.assert_array_equal(x.numpy(), np.ones(x.shape))
    paddle.seed(state)


# The operators ---------------------------------------------------------------------------------


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


def test_report_without_a_tuner_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tuner, "tuner", None)
    assert ops.tuning_report() == []


def test_report_is_that_of_the_tuner(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tuner, "tuner", bench.tuner)
    bench.choose()
    assert [entry["op"] for entry in ops.tuning_report()] == ["conv2d"]
    ops.tuning_report()[0]["op"] = "changed"
    assert ops.tuning_report()[0]["op"] == "conv2d"


def test_settings_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setenv("PYGAN_TUNE", "0")
    assert _tuner._make() is None
    monkeypatch.setenv("PYGAN_TUNE", "always")
    with pytest.warns(UserWarning, match="0, 1 or force"):
        made = _tuner._make()
    assert made is not None
    assert made._mode == "1"
    monkeypatch.setenv("PYGAN_TUNE", "force")
    forced = _tuner._make()
    assert forced is not None
    assert forced._mode == "force"
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: False)
    assert _tuner._make() is None
    monkeypatch.delenv("PYGAN_TUNE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _tuner._cache_folder() == tmp_path / "pygan" / "tune"
    monkeypatch.setenv("PYGAN_TUNE_CACHE", str(tmp_path / "here"))
    assert _tuner._cache_folder() == tmp_path / "here"
    monkeypatch.delenv("PYGAN_TUNE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _tuner._cache_folder() == tmp_path / ".cache" / "pygan" / "tune"


def test_the_real_device_knows_cpu_tensors_and_mixed_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = PaddleDevice()
    assert not device.holds(image().cpu())
    assert not device.is_capturing()
    assert not device.is_autocasting()
    tracer = paddle.base.framework._dygraph_tracer()
    monkeypatch.setattr(tracer, "_amp_level", paddle.base.core.AmpLevel.O1)
    assert device.is_autocasting()
