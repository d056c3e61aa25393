"""bias_act against a numpy oracle, finite differences, and itself on awkward inputs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pygan.ops import bias_act, native_info
from pygan.runtime import set_num_threads
from tests.gradcheck import (
    HARD_LAYOUTS,
    check_gradients,
    check_retain_graph,
    empty_batch,
    tensors,
)
from tests.ops.bias_act_cases import ACTIVATIONS, TOLERANCES, assert_close, oracle, rounded, values

IMPLS = ["native", "ref"]


# ---- Values


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("impl", IMPLS)
def test_matches_the_oracle(impl: str, act: str, dtype: str) -> None:
    x = rounded(values(3, 5, 7, 9, scale=4), dtype)
    for axis, clamp in itertools.product((0, 1, 2, -1), (None, 0.7)):
        b = rounded(values(x.shape[axis]), dtype)
        y = bias_act(
            paddle.to_tensor(x).astype(dtype),
            paddle.to_tensor(b).astype(dtype),
            axis=axis,
            act=act,
            clamp=clamp,
            impl=impl,
        )
        assert y.dtype == getattr(paddle, dtype)
        assert_close(y, oracle(x, b, axis, act, clamp=clamp))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("noise_shape", [(2, 1, 9, 11), (1, 1, 9, 11), (9, 11)])
@pytest.mark.parametrize("strength_shape", [(), (1,)])
def test_scale_noise_and_strength(impl: str, noise_shape: tuple, strength_shape: tuple) -> None:
    x, b, scale, noise = values(2, 3, 9, 11), values(3), values(2, 3), values(*noise_shape)
    y = bias_act(
        *tensors([x, b]),
        act="lrelu",
        alpha=0.3,
        gain=0.7,
        clamp=1.1,
        scale=paddle.to_tensor(scale),
        noise=paddle.to_tensor(noise),
        strength=paddle.full(strength_shape, 0.37, "float64"),
        impl=impl,
    )
    expected = oracle(x, b, 1, "lrelu", 0.3, 0.7, 1.1, scale, noise, 0.37)
    assert_close(y, expected)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (4, 3), (3, 700), (70, 4100), (2, 3, 1), (2, 1, 5), (1, 1, 1, 1), (2, 3, 4, 4),
     (3, 5, 2, 2), (2, 2, 65, 67), (2, 3, 2, 3, 5)],
)  # fmt: skip
def test_shapes(impl: str, shape: tuple) -> None:
    x, b, scale, noise = (
        values(*shape),
        values(shape[1]),
        values(*shape[:2]),
        values(shape[0], 1, *shape[2:]),
    )
    parts = {"scale": scale, "noise": noise, "strength": values(1)}
    assert_close(bias_act(*tensors([x, b]), act="elu", impl=impl), oracle(x, b, act="elu"))
    y = bias_act(
        *tensors([x, b]),
        act="elu",
        impl=impl,
        **{k: paddle.to_tensor(v) for k, v in parts.items()},
    )
    assert_close(y, oracle(x, b, act="elu", scale=scale, noise=noise, strength=parts["strength"]))


@pytest.mark.parametrize("impl", IMPLS)
def test_one_axis(impl: str) -> None:
    x, b = values(37), values(37)
    assert_close(bias_act(*tensors([x, b]), axis=0, act="tanh", impl=impl), np.tanh(x + b))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_extreme_values(act: str, impl: str) -> None:
    """Nothing overflows where the result is finite, tiny results keep their digits, NaN stays."""
    nan = [] if (impl, act) == ("ref", "relu") else [np.nan]  # Paddle's relu makes it 0
    x = np.array([-1e4, -200.0, -80.0, -1e-9, 1e-9, 80.0, 200.0, 1e4, *nan])
    with np.errstate(over="ignore", invalid="ignore"):
        expected = oracle(x, act=act, gain=1)
    # Paddle's elu and softplus lose the digits of results near 0.
    small = (1e-300, 1e-37) if impl == "native" else (1e-15, 1e-7)
    for dtype, rtol, atol in (("float64", 3e-15, small[0]), ("float32", 1e-6, small[1])):
        y = bias_act(paddle.to_tensor(x.astype(dtype)), act=act, gain=1, impl=impl).numpy()
        np.testing.assert_allclose(y, expected, rtol=rtol, atol=atol)


def test_identity_returns_its_input() -> None:
    x = paddle.rand([2, 3])
    assert bias_act(x) is x
    assert bias_act(x, act="linear", gain=1.0, clamp=math.inf) is x
    assert bias_act(x, act="linear", gain=2.0) is not x


@pytest.mark.parametrize("impl", IMPLS)
def test_other_inputs_take_the_dtype_of_x(impl: str) -> None:
    x, b = paddle.rand([2, 3, 4, 4]), paddle.rand([3]).astype("float64")
    b.stop_gradient = False
    y = bias_act(x, b, act="lrelu", impl=impl)
    assert y.dtype == paddle.float32
    y.sum().backward()
    assert b.grad.dtype == paddle.float64
    assert float(b.grad.abs().sum()) > 0


# ---- Derivatives


def gradient_inputs(combination: tuple[str, ...]) -> dict[str, np.ndarray]:
    inputs = {"x": values(2, 3, 3, 5)}
    shapes = {"b": (3,), "scale": (2, 3), "noise": (2, 1, 3, 5), "strength": (1,)}
    inputs.update({name: values(*shapes[name], seed=3) for name in combination})
    return inputs


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_gradients_of_all_inputs(act: str, impl: str) -> None:
    """Every set of targets and stopped inputs, where the clamp cuts a part of the elements."""
    inputs = gradient_inputs(("b", "scale", "noise", "strength"))
    clamp = {"sigmoid": 0.6, "tanh": 0.8}.get(act, 1.5)

    def f(x, b, scale, noise, strength):
        return bias_act(
            x, b, act=act, clamp=clamp, scale=scale, noise=noise, strength=strength, impl=impl
        )

    y = f(*tensors(inputs.values())).numpy()
    cut = np.mean(np.abs(y) == clamp)
    assert 0 < cut < 1
    check_gradients(f, *inputs.values(), names=list(inputs), samples=3)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    "combination",
    [(), ("b",), ("scale",), ("noise",), ("b", "scale"), ("noise", "strength"),
     ("b", "noise"), ("scale", "noise", "strength")],
    ids="+".join,
)  # fmt: skip
def test_gradients_of_combinations(combination: tuple[str, ...], impl: str) -> None:
    inputs = gradient_inputs(combination)

    def f(x, *others):
        parts = dict(zip(combination, others))
        return bias_act(x, parts.pop("b", None), act="swish", impl=impl, **parts)

    check_gradients(f, *inputs.values(), names=list(inputs))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 3), 1), ((4, 3), 0), ((2, 3, 2, 2), 1), ((2, 3, 4), -1), ((2, 3, 4, 5), 2), ((7,), 0)],
)
def test_gradients_of_axes(shape: tuple, axis: int, impl: str) -> None:
    check_gradients(
        lambda x, b: bias_act(x, b, axis=axis, act="softplus", impl=impl),
        values(*shape),
        values(shape[axis]),
        names=["x", "b"],
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    ("shape", "noise_shape"),
    [((3, 4), (3, 1)), ((3, 4), (1, 1)), ((3, 2, 2, 3), (2, 3)), ((2, 3, 1, 1), (1, 1))],
)
def test_gradients_of_shared_noise_and_rows(shape: tuple, noise_shape: tuple, impl: str) -> None:
    check_gradients(
        lambda x, b, s, n, t: bias_act(x, b, act="tanh", scale=s, noise=n, strength=t, impl=impl),
        values(*shape),
        values(shape[1]),
        values(*shape[:2]),
        values(*noise_shape),
        values(1),
        names=["x", "b", "scale", "noise", "strength"],
    )


@pytest.mark.parametrize("impl", IMPLS)
def test_linear_has_no_gradient_where_it_is_clamped(impl: str) -> None:
    x = paddle.to_tensor([-3.0, -0.5, 0.5, 3.0], stop_gradient=False)
    (g,) = paddle.grad([bias_act(x, clamp=1.0, gain=1.5, impl=impl).sum()], [x])
    assert g.tolist() == [0.0, 1.5, 1.5, 0.0]


@pytest.mark.parametrize("act", ["relu", "lrelu", "elu", "selu"])
@pytest.mark.parametrize("impl", IMPLS)
def test_derivative_at_zero_is_of_the_negative_side(impl: str, act: str) -> None:
    x = paddle.zeros([3], dtype="float64")
    x.stop_gradient = False
    (g,) = paddle.grad([bias_act(x, act=act, gain=1, impl=impl).sum()], [x])
    slope = {"relu": 0, "lrelu": 0.2, "elu": 1, "selu": 1.0507009873554805 * 1.6732632423543772}
    np.testing.assert_allclose(g.numpy(), slope[act], rtol=1e-15)


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_may_be_walked_again(impl: str) -> None:
    inputs = gradient_inputs(("b", "scale", "noise", "strength"))
    check_retain_graph(
        lambda x, b, s, n, t: bias_act(x, b, act="swish", scale=s, noise=n, strength=t, impl=impl),
        *inputs.values(),
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gradients_in_other_dtypes(dtype: str) -> None:
    """First and second order against float64, on an input long enough for sums to matter."""
    arrays = [rounded(a, dtype) for a in (values(2, 3, 40, 57), values(3), values(2, 3))]
    dy, ddx = (rounded(values(2, 3, 40, 57, seed=s), dtype) for s in (1, 2))

    def run(dtype):
        x, b, scale = (t.astype(dtype) for t in tensors(arrays))
        for t in (x, b, scale):
            t.stop_gradient = False
        y = bias_act(x, b, act="tanh", clamp=0.9, scale=scale, impl="native")
        grad_y = paddle.to_tensor(dy).astype(dtype)
        grad_y.stop_gradient = False
        first = paddle.grad([y], [x, b, scale], [grad_y], create_graph=True)
        second = paddle.grad(
            [first[0]], [grad_y, x, b, scale], [paddle.to_tensor(ddx).astype(dtype)]
        )
        return [t.astype("float64").numpy() for t in (*first, *second)]

    eps = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-6}[dtype]
    for got, want in zip(run(dtype), run("float64")):
        assert np.abs(got - want).max() <= eps * np.abs(want).max()


# ---- Awkward inputs


@pytest.mark.parametrize("layout", HARD_LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_layouts(layout: str, dtype: str) -> None:
    array = rounded(values(3, 5, 7, 9), dtype)
    b = paddle.to_tensor(rounded(values(5), dtype)).astype(dtype)
    x = HARD_LAYOUTS[layout](array, dtype)
    plain = paddle.to_tensor(array).astype(dtype)
    results = []
    for t in (x, plain):
        t.stop_gradient = False
        y = bias_act(t, b, act="lrelu", clamp=1.0, impl="native")
        (g,) = paddle.grad([y], [t], [HARD_LAYOUTS[layout](array, dtype)])
        results += [y.numpy(), g.numpy()]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])


@pytest.mark.parametrize("impl", IMPLS)
def test_empty_batch(impl: str) -> None:
    x = empty_batch(values(2, 3, 4, 4).astype("float32"))
    b = paddle.ones([3])
    x.stop_gradient = b.stop_gradient = False
    y = bias_act(x, b, act="lrelu", impl=impl)
    assert list(y.shape) == [0, 3, 4, 4]
    assert not y.stop_gradient
    if not paddle.__version__.startswith("2."):  # which has no gradients of empty tensors
        y.sum().backward()
        assert list(x.grad.shape) == [0, 3, 4, 4]
        assert b.grad.tolist() == [0.0, 0.0, 0.0]


def gradients_of(x: np.ndarray, b: np.ndarray, scale: np.ndarray, noise: np.ndarray) -> list:
    inputs = tensors([a.astype("float32") for a in (x, b, scale, noise, np.full(1, 0.3))], range(5))
    t, bias, s, n, strength = inputs
    y = bias_act(t, bias, act="swish", scale=s, noise=n, strength=strength, impl="native")
    first = paddle.grad([(y * y).sum()], inputs, create_graph=True)
    second = paddle.grad([paddle.add_n([(g * g).sum() for g in first])], inputs)
    return [a.numpy() for a in (y, *first, *second)]


@pytest.mark.parametrize("shape", [(3, 7, 95, 97), (70, 1500), (2, 3, 300, 301)])
def test_same_bits_for_any_number_of_threads(shape: tuple, restored_threads: None) -> None:
    arrays = values(*shape), values(shape[1]), values(*shape[:2]), values(shape[0], 1, *shape[2:])
    results = []
    for threads in (1, 2, 3, 1):
        set_num_threads(threads)
        assert native_info()["threads"] == threads
        results.append(gradients_of(*arrays))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(1, 20), min_size=2, max_size=4).map(tuple),
    axis=st.integers(-2, 1),
    act=st.sampled_from(list(ACTIVATIONS)),
    gain=st.sampled_from([None, 0.5, 3.0]),
    clamp=st.sampled_from([None, 0.25, 2.0]),
    with_bias=st.booleans(),
    with_scale=st.booleans(),
    with_noise=st.booleans(),
    seed=st.integers(0, 99),
)
def test_native_agrees_with_ref(
    shape, axis, act, gain, clamp, with_bias, with_scale, with_noise, seed
):
    """Values and all gradients of first and second order, for whatever arguments."""
    axis = 1 if with_scale or with_noise else axis
    arrays = {"x": values(*shape, seed=seed)}
    if with_bias:
        arrays["b"] = values(shape[axis], seed=seed)
    if with_scale:
        arrays["scale"] = values(*shape[:2], seed=seed)
    if with_noise:
        arrays["noise"] = values(shape[0], 1, *shape[2:], seed=seed)
        arrays["strength"] = values(1, seed=seed)

    def run(impl):
        inputs = dict(zip(arrays, tensors(arrays.values(), range(5))))
        y = bias_act(**inputs, axis=axis, act=act, gain=gain, clamp=clamp, impl=impl)
        first = paddle.grad([(y * y).sum()], list(inputs.values()), create_graph=True)
        second = paddle.grad(
            [paddle.add_n([(g * g).sum() for g in first])],
            list(inputs.values()),
            allow_unused=True,
        )
        return [np.zeros(1) if t is None else t.numpy() for t in (y, *first, *second)]

    for got, want in zip(run("native"), run("ref")):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11 * max(1, np.abs(want).max()))
