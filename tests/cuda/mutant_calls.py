"""Operator calls that show seeded bugs: a process of its own, which forks for each library.

    PYGAN_BACKEND=emulate python -m tests.cuda.mutant_calls

answers each line {"libraries": folder, "arch": 80, "calls": [[name, dtype], ...]} with a list of
verdicts, in a process that has loaded these libraries and no other: what the emulator objected to,
how far results are from the reference composition in float64, and each kernel's traffic with
shared memory. Importing Paddle once saves a second for each.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from csrc.ptx.runtime import record_launches, stand_in
from pygan.ops import (
    allow_tf32,
    bias_act,
    color_transform,
    conv2d,
    image_filter,
    modulated_conv2d,
    upfirdn2d,
)

Call = Callable[[str, str], list[paddle.Tensor]]
CALLS: dict[str, Call] = {}


def call(function: Call) -> Call:
    """Register a function of (impl, dtype) that returns the operator's results."""
    CALLS[function.__name__] = function
    return function


def tensor(seed: int, shape: list[int], dtype: str) -> paddle.Tensor:
    """Normal numbers, as multiples of 1/32 that all types have, and all multiplications, too."""
    array = np.random.default_rng([seed, *shape]).standard_normal(shape)
    exact = np.clip(np.round(array * 32) / 32, -4, 4).astype(np.float32)
    leaf = paddle.to_tensor(exact).astype(dtype)
    leaf.stop_gradient = False
    return leaf


def with_gradients(y: paddle.Tensor, leaves: list[paddle.Tensor]) -> list[paddle.Tensor]:
    dtype = str(y.dtype).rpartition(".")[2]
    return [y, *paddle.grad([y], leaves, [tensor(9, y.shape, dtype).detach()])]


@call
def bias_act_noise(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Column sums over 32 lines of a block."""
    leaves = [tensor(i, s, dtype) for i, s in enumerate([[2, 40, 40], [2, 1, 40], [1]])]
    x, noise, strength = leaves
    y = bias_act(x, noise=noise, strength=strength, act="lrelu", impl=impl)
    return with_gradients(y, leaves)


@call
def bias_act_bias(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Lines of several warps, each with a partial sum of its own."""
    x, b = tensor(1, [2, 3, 520], dtype), tensor(2, [3], dtype)
    return with_gradients(bias_act(x, b, act="lrelu", impl=impl), [x, b])


@call
def bias_act_many_sums(impl: str, dtype: str) -> list[paddle.Tensor]:
    """So many partial sums that a block adds them together."""
    leaves = [tensor(i, s, dtype) for i, s in enumerate([[260, 2, 8], [1, 1, 8], [1]])]
    x, noise, strength = leaves
    y = bias_act(x, noise=noise, strength=strength, act="lrelu", impl=impl)
    return with_gradients(y, leaves)


@call
def bias_act_odd_lines(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Vectors that start elsewhere in each line."""
    return [bias_act(tensor(1, [2, 3, 289], dtype), tensor(2, [3], dtype), impl=impl)]


@call
def bias_act_single(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Elements one by one."""
    x, noise = tensor(1, [2, 3, 21], dtype), tensor(2, [2, 1, 21], dtype)
    return [bias_act(x, noise=noise, act="lrelu", impl=impl)]


@call
def upsample_long_filter(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Several strips of several batches of rows."""
    f = np.random.default_rng(0).standard_normal(12).astype(np.float32)
    return [upfirdn2d(tensor(1, [1, 2, 40, 45], dtype), f, 2, 1, 6, impl=impl)]


@call
def upsample_odd(impl: str, dtype: str) -> list[paddle.Tensor]:
    """An odd number of columns, so that no two results are stored at once."""
    f = np.random.default_rng(0).standard_normal(8).astype(np.float32)
    return [upfirdn2d(tensor(1, [1, 2, 9, 37], dtype), f, 2, 1, 4, impl=impl)]


@call
def upsample_narrow(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Planes narrower than a warp, side by side."""
    f = np.random.default_rng(0).standard_normal(8).astype(np.float32)
    return [upfirdn2d(tensor(1, [1, 9, 16, 16], dtype), f, 2, 1, [4, 3, 4, 3], impl=impl)]


@call
def upsample_aligned(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Rows of whole vectors, of several warps of threads."""
    f = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    return [upfirdn2d(tensor(1, [1, 2, 9, 320], dtype), f, 2, 1, [2, 1, 2, 1], impl=impl)]


@call
def upsample_ragged(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Rows of whole vectors, and rows of an odd length, which are none."""
    f = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    images = [tensor(1, [1, 2, 5, width], dtype) for width in (8, 7)]
    return [upfirdn2d(x, f, 2, 1, [2, 1, 2, 1], impl=impl) for x in images]


def convolution(impl: str, dtype: str, side: tuple[int, int]) -> list[paddle.Tensor]:
    x, w = tensor(1, [2, 40, *side], dtype), tensor(2, [70, 40, 3, 3], dtype)
    return [conv2d(x, w, padding=1, impl=impl)]


@call
def conv_forward(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Images whose rows start at no multiple of 16 bytes."""
    return convolution(impl, dtype, (9, 7))


@call
def conv_forward_tf32(impl: str, dtype: str) -> list[paddle.Tensor]:
    previous = allow_tf32(True)
    try:
        return convolution(impl, dtype, (8, 12))
    finally:
        allow_tf32(previous)


@call
def conv_forward_few_rows(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Few results of many products: the sum is split among blocks."""
    x, w = tensor(1, [1, 160, 5, 3], dtype), tensor(2, [10, 160, 3, 3], dtype)
    return [conv2d(x, w, padding=1, impl=impl)]


@call
def conv_weight_grad(impl: str, dtype: str) -> list[paddle.Tensor]:
    x, w = tensor(1, [2, 33, 9, 7], dtype), tensor(2, [20, 33, 3, 3], dtype)
    y = conv2d(x, w, padding=1, impl=impl)
    return paddle.grad([y], [w], [tensor(9, y.shape, dtype).detach()])


@call
def conv_direct_weight_grad(impl: str, dtype: str) -> list[paddle.Tensor]:
    x, w = tensor(1, [1, 2, 15, 11], dtype), tensor(2, [5, 2, 3, 3], dtype)
    y = conv2d(x, w, padding=1, impl=impl)
    return paddle.grad([y], [w], [tensor(9, y.shape, dtype).detach()])


@call
def to_rgb(impl: str, dtype: str) -> list[paddle.Tensor]:
    x, w = tensor(1, [1, 37, 10, 9], dtype), tensor(2, [3, 37, 1, 1], dtype)
    return [conv2d(x, w, impl=impl)]


@call
def demodulated(impl: str, dtype: str) -> list[paddle.Tensor]:
    """More channels than a block sums at a time, and more samples."""
    x, w = tensor(1, [9, 300, 2, 2], dtype), tensor(2, [3, 300, 3, 3], dtype)
    return [modulated_conv2d(x, w, tensor(3, [9, 300], dtype), padding=1, impl=impl)]


@call
def layer_gradients(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Planes that a whole block sums."""
    shapes = [[2, 5, 24, 24], [3, 5, 3, 3], [2, 5], [2, 1, 24, 24], [1], [3]]
    leaves = [tensor(i, s, dtype) for i, s in enumerate(shapes)]
    x, w, styles, noise, strength, b = leaves
    y = modulated_conv2d(
        x, w, styles, noise, padding=1, noise_strength=strength, bias=b, act="lrelu", impl=impl
    )
    return with_gradients(y, leaves)


@call
def layer_many_planes(impl: str, dtype: str) -> list[paddle.Tensor]:
    """So many planes that the noise's gradient is summed in shares."""
    shapes = [[1, 2, 24, 24], [300, 2, 1, 1], [1, 2], [1, 1, 24, 24], [1]]
    leaves = [tensor(i, s, dtype) for i, s in enumerate(shapes)]
    x, w, styles, noise, strength = leaves
    y = modulated_conv2d(x, w, styles, noise, noise_strength=strength, impl=impl)
    return with_gradients(y, leaves)


@call
def color_one(impl: str, dtype: str) -> list[paddle.Tensor]:
    """One colour of one image, pixel by pixel."""
    x, noise = tensor(1, [1, 1, 13, 21], dtype), tensor(2, [1, 1, 13, 21], dtype).detach()
    rows = paddle.to_tensor([[0.5, 0.25, 0.5, 3, 7, 2, 9]], "float64")
    return [color_transform(x, rows, noise, impl=impl)]


@call
def color_three(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Whole vectors, some of which pass a row's end where something is cut out."""
    x = tensor(1, [2, 3, 16, 33], dtype)
    rows = np.random.default_rng(3).standard_normal([2, 17])
    rows[:, 13:] = [[0, 9, 3, 11], [20, 33, 0, 5]]
    y = color_transform(x, paddle.to_tensor(rows), impl=impl)
    return with_gradients(y, [x])


@call
def filter_lopsided(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Batches of rows that are not of whole vectors, by filters that are not symmetric."""
    x = tensor(1, [3, 11, 17, 131], dtype)
    taps = np.random.default_rng(3).standard_normal([3, 7])
    return with_gradients(image_filter(x, paddle.to_tensor(taps), impl=impl), [x])


@call
def filter_symmetric(impl: str, dtype: str) -> list[paddle.Tensor]:
    """Rows of whole vectors, by a filter as augmentation has them."""
    x = tensor(1, [1, 2, 12, 32], dtype)
    taps = paddle.to_tensor([[0.25, -1.0, 2.0, -1.0, 0.25]], "float64")
    return with_gradients(image_filter(x, taps, impl=impl), [x])


@call
def filter_long(impl: str, dtype: str) -> list[paddle.Tensor]:
    """More taps than tiles leave room for."""
    x = tensor(1, [1, 1, 6, 7], dtype)
    taps = paddle.to_tensor(np.random.default_rng(3).standard_normal([1, 2601]) / 50)
    return with_gradients(image_filter(x, taps, impl=impl), [x])


def error_of(actual: list[np.ndarray], exact: list[np.ndarray]) -> float:
    """The largest difference, relative to the largest value of its result."""
    return max(
        float(np.nan_to_num(np.abs(a - b), nan=np.inf).max() / np.abs(b).max())
        for a, b in zip(actual, exact)
    )


def arrays(results: list[paddle.Tensor]) -> list[np.ndarray]:
    return [t.astype("float64").numpy() for t in results]


def verdict(name: str, dtype: str) -> dict[str, Any]:
    """What came of one call.

    'message' is the emulator's objection, 'error' the results' distance from the reference's, and
    'shared' the wavefronts that each kernel's accesses to shared memory took and would at best.
    """
    run = CALLS[name]
    message, error = "", 0.0
    with record_launches() as launches:
        try:
            actual = arrays(run("native", dtype))
        except OSError as refusal:
            message = str(refusal)
    if not message:
        error = error_of(actual, arrays(run("ref", "float64")))
    shared: dict[str, list[int]] = {}
    for launch in launches:
        totals = shared.setdefault(launch["name"].split("<")[0], [0, 0])
        for kind in ("shared_load", "shared_store", "ldmatrix"):
            counters = launch["stats"].get(kind, {"wavefronts": 0, "ideal": 0})
            totals[0] += counters["wavefronts"]
            totals[1] += counters["ideal"]
    return {"message": message, "error": error, "shared": shared}


def answer(request: dict[str, Any]) -> None:
    """Print the verdicts, as a process that has not loaded any library yet."""
    os.environ["PYGAN_EMULATED_DIR"] = request["libraries"]
    os.environ["PTXEMU_ARCH"] = str(request["arch"])
    stand_in().ptxemu_set_global_races(1)
    print(json.dumps([verdict(name, dtype) for name, dtype in request["calls"]]), flush=True)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                answer(json.loads(line))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status != 0:
            print(json.dumps(f"wait status {status}"), flush=True)


if __name__ == "__main__":
    main()
