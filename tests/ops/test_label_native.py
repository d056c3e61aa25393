"""What only the compiled operators on label maps have to keep: order of sums, switches, checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from label_cases import (
    blobs,
    instance_mean_oracle,
    label_conv_gradient_oracle,
    label_conv_oracle,
)

from pygan.ops import instance_mean, label_conv2d, no_weight_gradients
from pygan.ops._native import call
from pygan.runtime import set_num_threads

pytestmark = [
    pytest.mark.usefixtures("needs_native"),
    pytest.mark.cpu_kernels("they are of the CPU's kernels"),
]


# Of several parts of the pixels, several blocks of channels, and partial vectors of both.
LARGE = {"shape": (3, 131, 127), "count": 7, "outputs": 77}


def large_case() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = blobs(rng, LARGE["shape"], LARGE["count"])
    weight = rng.standard_normal([LARGE["outputs"], LARGE["count"], 3, 2])
    n, height, width = LARGE["shape"]
    dy = rng.standard_normal([n, LARGE["outputs"], height // 2 + 1, width + 1])
    return labels, weight, rng.standard_normal(LARGE["outputs"]), dy


def test_same_bits_for_any_number_of_threads(restored_threads: None) -> None:
    labels, weight, bias, dy = large_case()
    rng = np.random.default_rng(1)
    x = rng.standard_normal([3, 5, 131, 127])
    runs: list[list[np.ndarray]] = []
    for threads in (1, 2, 3, 1):
        set_num_threads(threads)
        results = []
        for dtype in ("float32", "float64", "bfloat16"):
            w, b = (paddle.to_tensor(a).astype(dtype) for a in (weight, bias))
            w.stop_gradient = b.stop_gradient = False
            y = label_conv2d(
                paddle.to_tensor(labels), w, b, stride=[2, 1], padding=1, impl="native"
            )
            g = paddle.grad([y], [w, b], grad_outputs=[paddle.to_tensor(dy).astype(dtype)])
            mean = instance_mean(
                paddle.to_tensor(x).astype(dtype), paddle.to_tensor(labels), impl="native"
            )
            results += [t.astype("float64").numpy() for t in (y, *g, mean)]
        runs.append(results)
    for run in runs[1:]:
        for first, again in zip(runs[0], run):
            np.testing.assert_array_equal(again, first)


def test_tasks_keep_to_their_columns(restored_threads: None) -> None:
    """77 channels are a task of 64 and one of 13, whose vectors are wider than its columns."""
    labels, weight, _, dy = large_case()
    assert LARGE["outputs"] == 77
    gradients = []
    for threads in [1] + [2] * 20:
        set_num_threads(threads)
        w = paddle.to_tensor(weight)
        w.stop_gradient = False
        y = label_conv2d(paddle.to_tensor(labels), w, stride=[2, 1], padding=1, impl="native")
        (dw,) = paddle.grad([y], [w], grad_outputs=[paddle.to_tensor(dy)])
        gradients.append(dw.numpy())
    for dw in gradients[1:]:
        np.testing.assert_array_equal(dw, gradients[0])


def test_large_maps() -> None:
    """Against numpy, by windows of which each tap is an index into the weight."""
    labels, weight, bias, dy = large_case()
    w, b = (paddle.to_tensor(a, stop_gradient=False) for a in (weight, bias))
    y = label_conv2d(paddle.to_tensor(labels), w, b, stride=[2, 1], padding=1, impl="native")
    padded = np.pad(labels, [(0, 0), (1, 1), (1, 1)], constant_values=-1)
    columns = np.concatenate([weight, np.zeros_like(weight[:, :1])], 1)  # at -1: zeros
    want, dw = np.zeros(y.shape) + bias[:, None, None], np.zeros_like(columns)
    for u, v in np.ndindex(3, 2):
        seen = padded[:, u : u + 129 + 2 : 2, v : v + 128][:, : y.shape[2], : y.shape[3]]
        want += columns[:, seen, u, v].transpose(1, 0, 2, 3)
        for label in range(LARGE["count"]):
            dw[:, label, u, v] = (dy * (seen == label)[:, None]).sum((0, 2, 3))
    np.testing.assert_allclose(y.numpy(), want, rtol=0, atol=1e-12)
    g, gb = paddle.grad([y], [w, b], grad_outputs=[paddle.to_tensor(dy)])
    np.testing.assert_allclose(g.numpy(), dw[:, :-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(gb.numpy(), dy.sum((0, 2, 3)), rtol=0, atol=1e-10)


def test_sums_of_large_instances_keep_their_digits() -> None:
    rng = np.random.default_rng(2)
    x = (rng.standard_normal([1, 2, 200, 300]) + 1000).astype("float32")
    ids = np.zeros([1, 200, 300], np.int32)
    y = instance_mean(paddle.to_tensor(x), paddle.to_tensor(ids), impl="native")
    want = instance_mean_oracle(x.astype("float64"), ids)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-7)


@pytest.mark.parametrize("held", ["weight", "bias", "both"])
def test_gradients_that_are_not_wanted(held: str) -> None:
    rng = np.random.default_rng(3)
    labels, weight = blobs(rng, (2, 7, 9), 4), rng.standard_normal([5, 4, 3, 3])
    w = paddle.to_tensor(weight, stop_gradient=held in ("weight", "both"))
    b = paddle.to_tensor(rng.standard_normal(5), stop_gradient=held in ("bias", "both"))
    y = label_conv2d(paddle.to_tensor(labels), w, b, padding=1, impl="native")
    assert y.stop_gradient == (held == "both")
    if held == "both":
        return
    dy = rng.standard_normal(y.shape)
    y.backward(paddle.to_tensor(dy))
    if held == "weight":
        np.testing.assert_allclose(b.grad.numpy(), dy.sum((0, 2, 3)), rtol=1e-12)
    else:
        want = label_conv_gradient_oracle(labels, dy, weight.shape, padding=(1, 1))
        np.testing.assert_allclose(w.grad.numpy(), want, rtol=0, atol=1e-12)


def test_no_weight_gradients() -> None:
    rng = np.random.default_rng(4)
    labels = paddle.to_tensor(blobs(rng, (1, 6, 6), 3))
    w = paddle.to_tensor(rng.standard_normal([2, 3, 3, 3]), stop_gradient=False)
    b = paddle.to_tensor(rng.standard_normal(2), stop_gradient=False)
    y = label_conv2d(labels, w, b, padding=1, impl="native")
    with no_weight_gradients():
        g, gb = paddle.grad([y.sum()], [w, b])
    assert (g.shape, float(g.abs().sum())) == (w.shape, 0)
    np.testing.assert_allclose(gb.numpy(), 36)


@pytest.mark.skipif(paddle.__version__.startswith("2."), reason="Paddle 3's static graphs")
def test_labels_of_a_saved_program_are_checked(tmp_path: Path) -> None:
    class Layer(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.w = self.create_parameter([2, 3, 3, 3])

        def forward(self, labels):
            return label_conv2d(labels, self.w, padding=1, impl="native")

    layer = Layer()
    layer.eval()
    spec = [paddle.static.InputSpec([None, 4, 5], "int64")]
    paddle.jit.save(layer, str(tmp_path / "layer"), input_spec=spec)
    loaded = paddle.jit.load(str(tmp_path / "layer"))
    labels = np.random.default_rng(5).integers(-1, 3, [2, 4, 5])
    want = label_conv_oracle(labels, layer.w.numpy().astype(float), padding=(1, 1))
    np.testing.assert_allclose(loaded(paddle.to_tensor(labels)).numpy(), want, atol=1e-5)
    labels[1, 2, 3] = 2**33
    with pytest.raises(OSError, match=f"`labels` has {2**33} at row 2, column 3 of sample 1; ids"):
        loaded(paddle.to_tensor(labels))


SPEC = [0, 2, 3, 3, 3, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": SPEC[:-1]}, "a wrong specification"),
        ({"spec": [3, *SPEC[1:]]}, "a wrong specification"),
        ({"spec": [0, 2, 3, 3, 3, 0, *SPEC[6:]]}, "a size or stride is not positive"),
        ({"spec": [0, 2, 4, *SPEC[3:]]}, "the weight's shape"),
        ({"labels": paddle.zeros([1, 4, 4])}, "the map must be int32 or int64"),
        ({"labels": paddle.zeros([4, 4], "int32")}, r"the labels must be \[N, H, W\]"),
        ({"labels": paddle.zeros([1, 0, 4], "int32")}, "the kernel of 3 x 3 pixels is larger"),
        ({"bias": paddle.zeros([3])}, r"`bias` must be \[O\]"),
        ({"bias": paddle.zeros([2], "float64")}, r"`bias` must be \[O\]"),
        ({"spec": [1, *SPEC[1:]]}, r"`x` must be \[N, C, H, W\], and `instances`"),
    ],
)
def test_the_operators_own_checks(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "x": paddle.ones([2, 3, 3, 3]),
        "labels": paddle.zeros([1, 4, 4], "int32"),
        "bias": None,
        "spec": SPEC,
        **change,
    }
    with pytest.raises(OSError, match=message):
        call("pg_label", *arguments.values())
