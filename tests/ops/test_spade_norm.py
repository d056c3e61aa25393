"""spade_norm: native and reference, against numpy and finite differences."""

from __future__ import annotations

import itertools
from typing import Any, Optional

import numpy as np
import paddle
import pytest
from norm_cases import (
    DTYPES,
    IMPLS,
    LARGE,
    SHAPES,
    SLOPES,
    TOLERANCE,
    spade_oracle,
    statistics_oracle,
    tensor,
    wide,
)

from pygan.ops import norm_statistics, spade_norm
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph

pytestmark = pytest.mark.usefixtures("needs_native")
# Shapes of gamma and beta: maps, numbers of channels, numbers of samples and channels, none.
FORMS = ["map", "channel", "plane", None]


def form_shape(form: str, shape: tuple[int, ...], upsample: int) -> tuple[int, ...]:
    n, c, h, w = shape
    return {"map": (n, c, upsample * h, upsample * w), "channel": (c,), "plane": (n, c)}[form]


def random_form(
    rng: np.random.Generator, form: Optional[str], shape: tuple[int, ...], upsample: int = 1
) -> Optional[np.ndarray]:
    return None if form is None else 0.5 * rng.standard_normal(form_shape(form, shape, upsample))


def random_statistics(
    rng: np.random.Generator, shape: tuple[int, ...], over: str
) -> tuple[np.ndarray, np.ndarray]:
    size = shape[1:2] if over == "batch" else shape[:2]
    return rng.standard_normal(size), np.square(rng.standard_normal(size)) + 0.1


def close(got: paddle.Tensor, want: np.ndarray, dtype: str) -> None:
    assert tuple(got.shape) == want.shape
    error = np.abs(wide(got) - want).max() if want.size else 0.0
    assert error <= TOLERANCE[dtype] * max(1.0, float(np.abs(want).max()))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [*SHAPES, LARGE], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_numpy(dtype: str, shape: tuple[int, ...], impl: str) -> None:
    rng = np.random.default_rng(0)
    choices = list(itertools.product(["batch", "instance"], SLOPES, [1, 2], FORMS, FORMS))
    for i in rng.choice(len(choices), 6 if shape == LARGE else 24, replace=False):
        over, act, upsample, form, other = choices[i]
        x = tensor(3 * rng.standard_normal(shape) + 1, dtype)
        mean, variance = random_statistics(rng, shape, over)
        gamma, beta = (random_form(rng, f, shape, upsample) for f in (form, other))
        g, b = (None if t is None else tensor(t, dtype) for t in (gamma, beta))
        type_of_sums = "float64" if dtype == "float64" else "float32"
        m, v = tensor(mean, type_of_sums), tensor(variance, type_of_sums)
        y = spade_norm(x, m, v, g, b, epsilon=0.01, activation=act, upsample=upsample, impl=impl)
        assert y.dtype == x.dtype
        maps = [None if t is None else wide(t) for t in (g, b)]
        want = spade_oracle(wide(x), wide(m), wide(v), *maps, 0.01, SLOPES[act], upsample)
        close(y, want, dtype)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("upsample", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_maps_in_one_tensor(dtype: str, upsample: int, impl: str) -> None:
    rng = np.random.default_rng(1)
    shape = (2, 3, 5, 9)
    x = tensor(rng.standard_normal(shape), dtype)
    m, v = (tensor(t, "float32") for t in random_statistics(rng, shape, "batch"))
    size = (2, 6, 5 * upsample, 9 * upsample)
    both = tensor(rng.standard_normal(size), dtype)
    settings: dict[str, Any] = {"activation": "lrelu", "upsample": upsample, "impl": impl}
    results = []
    for joined in (True, False):
        inputs = [x.detach(), both.detach()]
        for t in inputs:
            t.stop_gradient = False
        if joined:
            y = spade_norm(inputs[0], m, v, gamma_beta=inputs[1], **settings)
        else:
            y = spade_norm(inputs[0], m, v, inputs[1][:, :3], inputs[1][:, 3:], **settings)
        y.sum().backward()
        results.append([y, *(t.grad for t in inputs)])
    gamma, beta = np.split(wide(both), 2, axis=1)
    want = spade_oracle(wide(x), wide(m), wide(v), gamma, beta, 1e-5, 0.2, upsample)
    close(results[0][0], want, dtype)
    for one, other in zip(*results):
        np.testing.assert_array_equal(wide(one), wide(other))


@pytest.mark.parametrize("impl", IMPLS)
def test_slope_of_ones_own(impl: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal([2, 3, 4, 5])
    m, v = random_statistics(rng, x.shape, "batch")
    for slope in (-0.5, 0.0, 0.75, 1.0, 2.0):
        y = spade_norm(tensor(x), tensor(m), tensor(v), activation="lrelu", alpha=slope, impl=impl)
        close(y, spade_oracle(x, m, v, slope=slope), "float64")


def smooth(
    rng: np.random.Generator, shape: tuple[int, ...], over: str, forms: list[Optional[str]],
    upsample: int, own: bool,
) -> list[np.ndarray]:  # fmt: skip
    """Inputs of which no number in front of the activation is near its kink."""
    for _ in range(100):
        x = rng.standard_normal(shape)
        m, v = statistics_oracle(x, over) if own else random_statistics(rng, shape, over)
        maps = [random_form(rng, f, shape, upsample) for f in forms]
        u = spade_oracle(x, m, v, *maps, 0.5, 1.0, upsample)
        if np.abs(u).min() > 2e-3:
            return [x, *([] if own else [m, v]), *(t for t in maps if t is not None)]
    raise AssertionError("no point without a kink")


SECOND_ORDER = [
    # shape, statistics over, gamma, beta, upsample
    ((2, 2, 3, 4), "batch", "map", "map", 1),
    ((2, 2, 2, 3), "instance", "map", "map", 2),
    ((2, 3, 3, 1), "instance", "channel", "plane", 1),
    ((3, 1, 2, 2), "batch", "plane", "channel", 2),
    ((1, 2, 1, 5), "instance", None, "map", 1),
    ((2, 2, 3, 3), "batch", "map", None, 2),
    ((2, 3, 3, 3), "batch", None, None, 1),
]


def subsets_of(count: int, impl: str) -> Optional[list[tuple[int, ...]]]:
    """All sets of stopped inputs for what is written by hand, a few for compositions."""
    return None if impl == "native" or count < 4 else [(), (0,), (1, 2), tuple(range(1, count))]


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("act", ["linear", "lrelu"])
@pytest.mark.parametrize("case", SECOND_ORDER, ids=str)
def test_derivatives_with_statistics_given(case: Any, act: str, impl: str) -> None:
    shape, over, gamma, beta, upsample = case
    inputs = smooth(np.random.default_rng(3), shape, over, [gamma, beta], upsample, own=False)

    def f(x: paddle.Tensor, m: paddle.Tensor, v: paddle.Tensor, *maps: paddle.Tensor) -> Any:
        left = list(maps)
        g, b = (left.pop(0) if form is not None else None for form in (gamma, beta))
        return spade_norm(x, m, v, g, b, epsilon=0.5, activation=act, upsample=upsample, impl=impl)

    names = ["x", "mean", "variance", *(n for n, t in (("gamma", gamma), ("beta", beta)) if t)]
    check_gradients(f, *inputs, names=names, samples=3, stopped=subsets_of(len(inputs), impl))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("act", ["linear", "lrelu"])
@pytest.mark.parametrize("case", SECOND_ORDER, ids=str)
def test_derivatives_through_its_own_statistics(case: Any, act: str, impl: str) -> None:
    shape, over, gamma, beta, upsample = case
    inputs = smooth(np.random.default_rng(4), shape, over, [gamma, beta], upsample, own=True)

    def f(x: paddle.Tensor, *maps: paddle.Tensor) -> paddle.Tensor:
        left = list(maps)
        g, b = (left.pop(0) if form is not None else None for form in (gamma, beta))
        with paddle.no_grad():
            m, v = norm_statistics(x, over, impl=impl)
        return spade_norm(
            x, m, v, g, b, own_statistics=over, epsilon=0.5, activation=act, upsample=upsample,
            impl=impl,
        )  # fmt: skip

    names = ["x", *(n for n, t in (("gamma", gamma), ("beta", beta)) if t)]
    check_gradients(f, *inputs, names=names, samples=5, rtol=3e-6)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("over", ["batch", "instance"])
def test_own_statistics_equal_a_graph_through_them(over: str, impl: str) -> None:
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal(s) for s in ((3, 4, 9, 11), (3, 8, 18, 22))]
    results = []
    for own in (over, None):
        x, maps = inputs = [paddle.to_tensor(a, stop_gradient=False) for a in arrays]
        m, v = norm_statistics(x, over, impl=impl)
        y = spade_norm(
            x, m, v, gamma_beta=maps, own_statistics=own, activation="lrelu", upsample=2, impl=impl
        )
        first = paddle.grad([(y**3).sum()], inputs, create_graph=True)
        paddle.add_n([(g * g).sum() for g in first]).backward()
        results.append([*first, *(t.grad for t in inputs)])
    for one, other in zip(*results):
        scale = np.abs(other.numpy()).max()
        np.testing.assert_allclose(one.numpy() / scale, other.numpy() / scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_gradients_in_every_type(dtype: str, impl: str) -> None:
    """Against float64's, of the same rounded inputs."""
    rng = np.random.default_rng(6)
    shape = (2, 3, 33, 40)
    arrays = [wide(tensor(rng.standard_normal(s), dtype)) for s in (shape, (2, 6, 66, 80))]
    dy = wide(tensor(rng.standard_normal((2, 3, 66, 80)), dtype))
    results = []
    for kind, which in ((dtype, impl), ("float64", "ref")):
        x, maps = inputs = [tensor(a, kind) for a in arrays]
        for t in inputs:
            t.stop_gradient = False
        m, v = norm_statistics(x, "batch", impl=which)
        y = spade_norm(
            x, m, v, gamma_beta=maps, own_statistics="batch", activation="relu", upsample=2,
            impl=which,
        )  # fmt: skip
        results.append(paddle.grad([y], inputs, grad_outputs=[tensor(dy, kind)]))
    for got, want in zip(*results):
        assert got.dtype == getattr(paddle, dtype)
        # A few numbers near the kink fall on its other side.
        error = np.abs(wide(got) - wide(want)) / np.abs(wide(want)).max()
        assert np.quantile(error, 0.999) <= 2 * TOLERANCE[dtype]


@pytest.mark.parametrize("impl", IMPLS)
def test_graph_can_be_walked_again(impl: str) -> None:
    rng = np.random.default_rng(7)
    inputs = smooth(rng, (2, 2, 3, 4), "batch", ["map", "map"], 1, own=False)
    check_retain_graph(
        lambda *t: spade_norm(*t, epsilon=0.5, activation="lrelu", impl=impl), *inputs
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_views(layout: str, impl: str) -> None:
    rng = np.random.default_rng(8)
    shape = (2, 3, 5, 18)
    x, gamma, beta = (rng.standard_normal(shape) for _ in range(3))
    m, v = random_statistics(rng, shape, "instance")
    view = HARD_LAYOUTS[layout]
    y = spade_norm(view(x), view(m), tensor(v), view(gamma), view(beta), impl=impl)
    np.testing.assert_allclose(y.numpy(), spade_oracle(x, m, v, gamma, beta), rtol=0, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (2, 0, 3, 3)], ids=str)
def test_of_nothing(shape: tuple[int, ...], impl: str) -> None:
    n, c, h, w = shape
    x = paddle.zeros(shape)
    x.stop_gradient = False
    m, v = norm_statistics(x, "batch", impl=impl)
    maps = paddle.zeros([n, 2 * c, 2 * h, 2 * w])
    y = spade_norm(x, m, v, gamma_beta=maps, upsample=2, own_statistics="batch", impl=impl)
    assert y.shape == [n, c, 2 * h, 2 * w]


@pytest.mark.parametrize("impl", IMPLS)
def test_statistics_of_another_type(impl: str) -> None:
    rng = np.random.default_rng(9)
    x = rng.standard_normal([2, 3, 4, 4])
    m, v = random_statistics(rng, x.shape, "batch")
    y = spade_norm(tensor(x, "float16"), tensor(m), tensor(v, "float64"), impl=impl)
    close(y, spade_oracle(wide(tensor(x, "float16")), m, v), "float16")


X = paddle.zeros([2, 3, 4, 4])
MEAN, VARIANCE = paddle.zeros([3]), paddle.ones([3])
MAPS = paddle.zeros([2, 6, 4, 4])
BAD_CALLS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "`x` is a ndarray", {"x": np.zeros([2, 3, 4, 4])}),
    (ValueError, r"`x` has shape \[3, 4\]", {"x": paddle.zeros([3, 4])}),
    (TypeError, "`mean` is None; .*norm_statistics", {"mean": None}),
    (ValueError, r"`mean` has shape \[4\]; it must be \[3\] or \[2, 3\]", {"mean": X[0, 0, 0]}),
    (ValueError, r"`mean` has shape \[2, 3\], but `variance` \[3\]", {"mean": X[:, :, 0, 0]}),
    (TypeError, "`variance` is .*int32", {"variance": VARIANCE.astype("int32")}),
    (
        ValueError,
        r"`mean` has shape \[3\]; it must be \[2, 3\], as norm_statistics\(x, 'instance'\)",
        {"own_statistics": "instance"},
    ),
    (ValueError, "`own_statistics` is 'layer'; it must be 'batch'", {"own_statistics": "layer"}),
    (ValueError, r"`gamma` has shape \[2, 6, 4, 4\]; it must be \[2, 3, 4, 4\]", {"gamma": MAPS}),
    (ValueError, r"`gamma` has .*\[2, 3, 8, 8\] or \[3\]", {"gamma": X, "upsample": 2}),
    (TypeError, "`gamma` is a float", {"gamma": 0.5}),
    (TypeError, "`beta` is .*int64", {"beta": MEAN.astype("int64")}),
    (ValueError, r"`gamma_beta` has shape \[2, 3, 4, 4\]; .*\[2, 6, 4, 4\]", {"gamma_beta": X}),
    (ValueError, "`gamma_beta` came with `beta`", {"gamma_beta": MAPS, "beta": X}),
    (ValueError, "`epsilon` is 0; it must be a positive", {"epsilon": 0}),
    (TypeError, "`epsilon` is a str", {"epsilon": "1e-5"}),
    (ValueError, "`activation` is 'tanh'; it must be linear, relu, lrelu", {"activation": "tanh"}),
    (
        ValueError,
        "`alpha` is 0.1, but `activation` is 'relu'",
        {"alpha": 0.1, "activation": "relu"},
    ),
    (TypeError, "`alpha` is a str", {"alpha": "0.1", "activation": "lrelu"}),
    (ValueError, "`upsample` is 3; it must be 1 or 2", {"upsample": 3}),
    (ValueError, "`impl` is 'cuda'", {"impl": "cuda"}),
]


@pytest.mark.parametrize(("error", "message", "arguments"), BAD_CALLS)
def test_errors(error: type[Exception], message: str, arguments: dict[str, Any]) -> None:
    call: dict[str, Any] = {"x": X, "mean": MEAN, "variance": VARIANCE}
    with pytest.raises(error, match=message) as caught:
        spade_norm(**{**call, **arguments})
    assert str(caught.value).startswith("pygan.ops.spade_norm: ")


@pytest.mark.parametrize("upsample", [1, 2])
@pytest.mark.parametrize("over", ["batch", "instance"])
def test_one_value_has_no_gradient(over: str, upsample: int) -> None:
    """It is normalised to 0; 1 / sqrt(epsilon) would make much of the rounding."""
    rng = np.random.default_rng(0)
    x = tensor(rng.standard_normal([1 if over == "batch" else 4, 3, 1, 1]), "float32")
    x.stop_gradient = False
    mean, variance = norm_statistics(x, over)
    y = spade_norm(x, mean, variance, own_statistics=over, upsample=upsample, impl="native")
    dy = tensor(rng.standard_normal(y.shape), "float32")
    (dx,) = paddle.grad([y], [x], grad_outputs=[dy])
    assert not dx.numpy().any()


@pytest.mark.parametrize("over", ["batch", "instance"])
def test_gradient_of_what_hardly_varies(over: str) -> None:
    """Where all of dy is alike, nearly nothing is left of it before it is scaled by 316."""
    rng = np.random.default_rng(0)
    x = np.float32(1 + 1e-5 * rng.standard_normal([2, 3, 5, 7]))
    dy = np.float32(3 + 1e-4 * rng.standard_normal(x.shape))
    gradients = []
    for dtype, impl in (("float64", "ref"), ("float32", "native")):
        t = tensor(x, dtype)
        t.stop_gradient = False
        mean, variance = norm_statistics(t, over, impl=impl)
        y = spade_norm(t, mean, variance, own_statistics=over, impl=impl)
        gradients.append(paddle.grad([y], [t], grad_outputs=[tensor(dy, dtype)])[0].numpy())
    largest = np.abs(gradients[0]).max()
    assert largest < 0.2  # of 3 * 316
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0, atol=2e-4)
