"""Weights, styles and demodulation of half-precision layers, by the CUDA kernels, emulated."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from modulation_cases import SHAPES, DType, check_modulation, leaf, operands

from benchmarks.gpu_model.paddle_counts import count_paddle
from csrc.ptx.runtime import record_launches
from pygan.ops import emulated, modulated_conv2d

HALVES: list[DType] = ["float16", "bfloat16"]


@pytest.mark.usefixtures("on_emulator")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wide", [(True, True), (False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", HALVES)
def test_values_and_both_derivatives(
    dtype: DType, wide: tuple[bool, bool], shape: tuple[int, ...]
) -> None:
    types: list[DType] = ["float32" if w else dtype for w in wide]
    check_modulation(shape, dtype, (types[0], types[1]))


@pytest.mark.usefixtures("on_emulator")
@pytest.mark.parametrize("frozen", [(True, False), (False, True)])
def test_constant_weights_and_constant_styles(frozen: tuple[bool, bool]) -> None:
    check_modulation((2, 5, 7, 3, 3), "float16", ("float32", "float16"), frozen)


def layer_operands(
    dtype: DType, parameters: DType
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    weight, styles = operands((2, 40, 24, 3, 3), dtype)
    x = np.random.default_rng(0).standard_normal((2, 40, 8, 6))
    return leaf(x, dtype), leaf(weight, parameters), leaf(styles, parameters)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_layer_is_two_launches_and_no_kernel_of_paddle(dtype: DType, wide: bool) -> None:
    x, w, s = layer_operands(dtype, "float32" if wide else dtype)
    with emulated(), record_launches() as launches, count_paddle() as paddle_kernels:
        modulated_conv2d(x, w, s, padding=1, impl="native")
    names = [launch["name"].partition("<")[0] for launch in launches]
    assert names == ["modulate_and_stage", "gather_kernel"]
    assert paddle_kernels.run() == {}


def test_the_gradient_of_a_constant_weight_is_not_computed() -> None:
    x, weight, styles = layer_operands("float16", "float32")
    weight.stop_gradient = True
    with emulated(), record_launches() as launches:
        y = modulated_conv2d(x, weight, styles, padding=1, impl="native").astype("float32")
        paddle.grad([(y * y).sum()], [x, styles])
    assert not [launch["name"] for launch in launches if "weight_grad" in launch["name"]]


def test_deterministic() -> None:
    arrays = operands((9, 13, 3, 3, 3), "float16")

    def results() -> list[np.ndarray]:
        w, s = (leaf(a, "float32") for a in arrays)
        x = leaf(np.ones((9, 13, 4, 4)), "float16")
        y = modulated_conv2d(x, w, s, padding=1, impl="native").astype("float32")
        return [y.numpy(), *(t.numpy() for t in paddle.grad([(y * y).sum()], [w, s]))]

    with emulated():
        for a, b in zip(results(), results()):
            np.testing.assert_array_equal(a, b)
