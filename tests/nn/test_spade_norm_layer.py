"""SpadeNorm: its formula, its running averages, and several processes as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from scipy import signal

from pygan.nn import LabelConv2D, SpadeNorm
from pygan.nn.plain_conv import PlainConv2D

CHANNELS, LABELS, HIDDEN = 3, 2, 4


def layer_of(kind: str, **settings: Any) -> SpadeNorm:
    rng = np.random.default_rng(0)
    shared = PlainConv2D(LABELS, HIDDEN, 3, padding=1)
    layer = SpadeNorm(CHANNELS, shared, hidden_channels=HIDDEN, kind=kind, **settings)
    for parameter in layer.parameters():
        parameter.set_value((0.5 * rng.standard_normal(parameter.shape)).astype("float32"))
    return layer


def convolved(x: np.ndarray, conv: Any) -> np.ndarray:
    w, b = conv.weight.numpy(), conv.bias.numpy()
    planes = [
        [sum(signal.correlate2d(p, k, "same") for p, k in zip(image, kernel)) for kernel in w]
        for image in x.astype("float64")
    ]
    return np.array(planes) + b[:, None, None]


def expected(layer: SpadeNorm, x: np.ndarray, condition: np.ndarray, up: int = 1) -> np.ndarray:
    axes = (2, 3) if layer.kind == "instance" else (0, 2, 3)
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    normal = np.kron(normal, np.ones([up, up]))
    hidden = np.maximum(convolved(condition, layer.shared), 0)
    gamma, beta = np.split(convolved(hidden, layer.gamma_beta), 2, axis=1)
    u = normal * (1 + gamma) + beta
    return np.where(u > 0, u, 0.2 * u)


@pytest.mark.parametrize("kind", ["batch", "sync", "instance"])
@pytest.mark.parametrize("up", [1, 2])
def test_formula(kind: str, up: int) -> None:
    rng = np.random.default_rng(1)
    layer = layer_of(kind, activation="lrelu")
    x = rng.standard_normal([2, CHANNELS, 4, 5])
    condition = rng.standard_normal([2, LABELS, 4 * up, 5 * up])
    args = [paddle.to_tensor(a, "float32") for a in (x, condition)]
    y = layer(*args, upsample=up)
    np.testing.assert_allclose(y.numpy(), expected(layer, x, condition, up), atol=2e-5)
    shared = layer.statistics(args[0])
    np.testing.assert_array_equal(layer(*args, shared, upsample=up).numpy(), y.numpy())
    np.testing.assert_array_equal(layer(args[0], [args[1]], upsample=up).numpy(), y.numpy())
    names = {"shared.weight", "shared.bias", "gamma_beta.weight", "gamma_beta.bias"}
    kept = set() if kind == "instance" else {"running_mean", "running_var"}
    assert set(layer.state_dict()) == names | kept


def test_maps_of_labels() -> None:
    rng = np.random.default_rng(6)
    dense = layer_of("batch")
    layer = SpadeNorm(
        CHANNELS, LabelConv2D(LABELS, 0, HIDDEN, 3, padding=1), hidden_channels=HIDDEN
    )
    layer.set_state_dict(dense.state_dict())
    x = paddle.to_tensor(rng.standard_normal([2, CHANNELS, 6, 5]), "float32")
    labels = rng.integers(0, LABELS, [2, 6, 5])
    one_hot = np.moveaxis(np.eye(LABELS)[labels], -1, 1)
    y = layer(x, paddle.to_tensor(labels, "int32"))
    want = dense(x, paddle.to_tensor(one_hot, "float32"))
    np.testing.assert_allclose(y.numpy(), want.numpy(), atol=1e-5)


def test_running_averages_count_enlarged_pixels() -> None:
    rng = np.random.default_rng(2)
    layer = layer_of("batch", momentum=1.0)
    x = rng.standard_normal([1, CHANNELS, 2, 2])
    condition = paddle.zeros([1, LABELS, 4, 4])
    layer(paddle.to_tensor(x, "float32"), condition, upsample=2)
    large = np.kron(x, np.ones([2, 2]))
    np.testing.assert_allclose(layer.running_mean.numpy(), large.mean((0, 2, 3)), atol=1e-6)
    want = large.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_var.numpy(), want, atol=1e-6)


def test_evaluation_equals_training_with_the_same_statistics() -> None:
    rng = np.random.default_rng(3)
    layer = layer_of("batch", momentum=1.0)
    x = paddle.to_tensor(rng.standard_normal([4, CHANNELS, 9, 9]), "float32")
    condition = paddle.to_tensor(rng.standard_normal([4, LABELS, 9, 9]), "float32")
    y = layer(x, condition)
    unbiased = layer.running_var.numpy()
    layer.running_var.set_value(unbiased * (x.size // 3 - 1) / (x.size // 3))
    layer.eval()
    np.testing.assert_allclose(layer(x, condition).numpy(), y.numpy(), atol=1e-5)


def test_gradients_reach_everything() -> None:
    rng = np.random.default_rng(4)
    layer = layer_of("batch")
    x = paddle.to_tensor(rng.standard_normal([2, CHANNELS, 5, 5]), "float32")
    x.stop_gradient = False
    condition = paddle.to_tensor(rng.standard_normal([2, LABELS, 5, 5]), "float32")
    (layer(x, condition) ** 2).sum().backward()
    for t in (x, *layer.parameters()):
        assert np.abs(t.grad.numpy()).max() > 0


@pytest.mark.parametrize("over", ["own", "shared"])
def test_sync_is_batch_where_there_is_one_process(over: str) -> None:
    rng = np.random.default_rng(5)
    x = paddle.to_tensor(rng.standard_normal([2, CHANNELS, 5, 5]), "float32")
    condition = paddle.to_tensor(rng.standard_normal([2, LABELS, 5, 5]), "float32")
    results = []
    for kind in ("batch", "sync"):
        layer = layer_of(kind)
        statistics = layer.statistics(x) if over == "shared" else None
        results.append(layer(x, condition, statistics).numpy())
    np.testing.assert_array_equal(*results)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent
    launcher = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    options = ["--backend", "gloo", "--log_dir", str(tmp_path / "log")]
    path = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [*launcher, *options, str(here / "sync_program.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    logs = "\n".join(f.read_text() for f in (tmp_path / "log").glob("workerlog.*"))
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}\n{logs}"
    ours = [np.load(tmp_path / f"{rank}.npz") for rank in (0, 1)]
    for name in ours[0].files:
        got, want = [part[name] for part in ours], np.load(tmp_path / "whole.npz")[name]
        if name in ("y", "dx", "second"):
            np.testing.assert_allclose(np.concatenate(got), want, rtol=0, atol=1e-11)
        else:  # what all processes have alike
            np.testing.assert_array_equal(got[0], got[1])
            np.testing.assert_allclose(got[0], want, rtol=0, atol=1e-6)
