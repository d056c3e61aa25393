"""The choice between native kernels and composition: fake GPU, fake clock, CPU tensors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
import pytest

from pygan import ops
from pygan.ops import _native, _tuner
from pygan.ops._tune_device import PaddleDevice, cudnn_version
from pygan.ops._tuner import COMPOSED, NATIVE, REF, Tuner
from tests.ops.tuner_bench import Bench, image


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


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.delenv("PYGAN_TUNE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    made = _tuner._make()
    assert made is not None
    assert made._cache is None


def test_the_absence_of_cudnn_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for answer in (None, -1, 8907):
        monkeypatch.setattr(paddle.device, "get_cudnn_version", lambda answer=answer: answer)
        names.append(cudnn_version())
    assert names == ["none", "none", "8907"]


def test_another_build_of_the_kernels_is_another_identity(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paddle.device.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(paddle.device.cuda, "get_device_name", lambda: "Fake 9000")
    identities = []
    for content in (b"one", b"two", b"one"):
        (tmp_path / "_C.so").write_bytes(content)
        monkeypatch.setattr(_native, "_PACKAGE", tmp_path)
        identities.append(PaddleDevice().identity())
    assert identities[0] == identities[2] != identities[1]
    monkeypatch.setattr(_native, "_PACKAGE", tmp_path / "missing")
    assert PaddleDevice().identity() not in identities


def test_weights_that_the_caller_leaves_out_are_timed(bench: Bench, needs_native: None) -> None:
    """In `no_weight_gradients` the native side would win by computing less."""
    library = _native.library()
    assert library is not None
    skipped = []

    def run(impl: str, *tensors: Optional[paddle.Tensor]) -> paddle.Tensor:
        skipped.append(library.pygan_set_skip_weight_gradients(0))
        return bench.operator(impl, *tensors)

    with ops.no_weight_gradients():
        bench.tuner.choose("conv2d", (image(grad=True),), (), run)
        assert library.pygan_set_skip_weight_gradients(1) == 1
    assert skipped
    assert not any(skipped)


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
