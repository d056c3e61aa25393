"""Staging a layer's operands in the launch that makes its demodulation changes no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from modulation_cases import DType, leaf

from benchmarks.gpu_model.paddle_counts import count_paddle
from csrc.ptx.runtime import record_launches
from pygan.ops import _native, allow_tf32, emulated, modulated_conv2d, setup_filter

# N, I, O, kernel, H, W; then the layer's options.
LAYERS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 40, 24, 3, 8, 6), {"padding": 1}),
    "channels of several chunks, rows beyond 64": ((1, 300, 70, 3, 5, 4), {"padding": 1}),
    "more samples than are summed at once": ((9, 33, 5, 3, 4, 3), {"padding": 1}),
    "more samples than channels": ((11, 20, 3, 3, 4, 4), {"padding": 1}),
    "kernels of 25 taps": ((2, 70, 9, 5, 6, 7), {"padding": 2}),
    "kernels of 49 taps": ((1, 40, 9, 7, 8, 7), {"padding": 3}),
    "one tap": ((2, 40, 24, 1, 8, 6), {}),
    "vectors of pixels": ((1, 32, 64, 3, 12, 12), {"padding": 1}),
    "images larger than a tile": ((1, 33, 8, 3, 20, 13), {"padding": 1}),
    "wide borders": ((1, 40, 8, 3, 4, 4), {"padding": 3}),
    "a crop": ((1, 40, 8, 3, 7, 8), {"padding": [-1, 0, -2, 1]}),
    "upsampled": ((2, 40, 24, 3, 5, 4), {"up": 2, "padding": 1}),
    "no samples' worth of channels": ((2, 5, 7, 3, 4, 4), {"padding": 1}),
    "mirrored": ((2, 40, 24, 3, 6, 5), {"padding": 1, "flip_weight": False}),
    "not demodulated in the launch": ((2, 40, 24, 3, 8, 8), {"down": 2, "padding": 1}),
}


def run(layer: str, dtype: DType, parameters: DType) -> list[np.ndarray]:
    (n, i, o, k, h, w), options = LAYERS[layer]
    rng = np.random.default_rng(1)
    leaves = [
        leaf(rng.standard_normal(shape), kind)
        for shape, kind in (
            ((n, i, h, w), dtype),
            ((o, i, k, k), parameters),
            ((n, i), parameters),
        )
    ]
    if "up" in options or "down" in options:
        options = {**options, "resample_filter": setup_filter([1, 3, 3, 1])}
    x, weight, styles = leaves
    y = modulated_conv2d(x, weight, styles, act="lrelu", impl="native", **options)
    wide = y.astype("float32")
    grads = paddle.grad([(wide * wide).sum()], leaves)
    return [t.astype("float64").numpy() for t in (y, *grads)]


TYPES: list[tuple[DType, DType]] = [
    ("float32", "float32"),
    ("float64", "float64"),
    ("float16", "float32"),
    ("bfloat16", "bfloat16"),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("dtype", "parameters"), TYPES)
def test_no_bit_changes(
    monkeypatch: pytest.MonkeyPatch, dtype: DType, parameters: DType, layer: str
) -> None:
    with emulated():
        together = run(layer, dtype, parameters)
        monkeypatch.setattr(_native, "on_gpu", lambda x: False)
        with record_launches() as launches:
            apart = run(layer, dtype, parameters)
    assert not [each for each in launches if "_and_stage" in each["name"]]
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize(("dtype", "parameters"), TYPES)
def test_a_layer_is_two_launches_and_no_kernel_of_paddle(
    dtype: DType, parameters: DType, tf32: bool
) -> None:
    rng = np.random.default_rng(0)
    x = leaf(rng.standard_normal((2, 40, 8, 6)), dtype)
    w = leaf(rng.standard_normal((24, 40, 3, 3)), parameters)
    s = leaf(rng.standard_normal((2, 40)), parameters)
    noise, bias = (leaf(np.ones(shape), dtype) for shape in ([2, 1, 8, 6], [24]))
    previous = allow_tf32(tf32)
    try:
        with emulated(), record_launches() as launches, count_paddle() as paddle_kernels:
            modulated_conv2d(x, w, s, noise, padding=1, bias=bias, act="lrelu", impl="native")
    finally:
        allow_tf32(previous)
    names = [launch["name"].partition("<")[0] for launch in launches]
    first = "demodulate_and_stage" if dtype in ("float32", "float64") else "modulate_and_stage"
    # Long sums of few pixels are split, and added by one more.
    assert names in ([first, "gather_kernel"], [first, "gather_kernel", "reduce_kernel"])
    assert paddle_kernels.run() == {}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parameters_of_another_type_are_staged_on_their_own(dtype: DType) -> None:
    """float64 parameters of a float32 layer are demodulated in float64."""
    rng = np.random.default_rng(2)
    x, w, s = (
        leaf(rng.standard_normal(shape), kind)
        for shape, kind in (
            ((1, 40, 6, 6), dtype), ((8, 40, 3, 3), "float64"), ((1, 40), "float64"),
        )
    )  # fmt: skip
    exact = modulated_conv2d(
        x.astype("float64"), w.astype(dtype).astype("float64"), s, padding=1, impl="ref"
    )
    with emulated():
        y = modulated_conv2d(x, w, s, padding=1, impl="native")
    error = (y.astype("float64") - exact).abs().max() / exact.abs().max()
    assert float(error) < (1e-6 if dtype == "float32" else 3e-3)
