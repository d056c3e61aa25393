"""conv2d and conv_transpose2d against numpy/scipy oracles and finite differences."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d, correlate2d

from pygan.ops import conv2d, conv2d_resample, conv_transpose2d
from tests.gradcheck import check_gradients, check_retain_graph

IMPLS = ["native", "ref"]


def dilate(w, dilation):
    out = np.zeros(
        (*w.shape[:2], *((s - 1) * d + 1 for s, d in zip(w.shape[2:], dilation))), w.dtype
    )
    out[:, :, :: dilation[0], :: dilation[1]] = w
    return out


def conv2d_oracle(x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    w = dilate(w, dilation)
    co, per_group = w.shape[:2]
    out = [
        [
            sum(
                correlate2d(s[o // (co // groups) * per_group + i], w[o, i], "valid")
                for i in range(per_group)
            )
            for o in range(co)
        ]
        for s in x
    ]
    return np.array(out)[:, :, :: stride[0], :: stride[1]]


def conv_transpose2d_oracle(x, w, stride, padding, output_padding, dilation, groups):
    n, ci, h, wd = x.shape
    w = dilate(w, dilation)
    per_group = w.shape[1]
    spread = np.zeros((n, ci, (h - 1) * stride[0] + 1, (wd - 1) * stride[1] + 1))
    spread[:, :, :: stride[0], :: stride[1]] = x
    full = (spread.shape[2] + w.shape[2] - 1, spread.shape[3] + w.shape[3] - 1)
    out = np.zeros(
        (n, per_group * groups, full[0] + output_padding[0], full[1] + output_padding[1])
    )
    for s in range(n):
        for i in range(ci):
            for o in range(per_group):
                to = i // (ci // groups) * per_group + o
                out[s, to, : full[0], : full[1]] += convolve2d(spread[s, i], w[i, o])
    return out[:, :, padding[0] : out.shape[2] - padding[0], padding[1] : out.shape[3] - padding[1]]


def error(actual, expected):
    assert list(actual.shape) == list(expected.shape)
    return np.abs(actual.numpy() - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    "attributes",
    [
        dict(),
        dict(padding=1),
        dict(stride=2, padding=1),
        dict(stride=[2, 3], padding=[0, 2]),
        dict(dilation=2, padding=2),
        dict(groups=2, padding=1),
        dict(groups=4, stride=2),
    ],
)
def test_conv2d(impl, attributes):
    rng = np.random.default_rng(0)
    groups = attributes.get("groups", 1)
    x, w, b = rng.standard_normal((2, 4, 9, 7)), rng.standard_normal((4, 4 // groups, 3, 3)), None
    b = rng.standard_normal(4)
    y = conv2d(*map(paddle.to_tensor, (x, w, b)), **attributes, impl=impl)
    pairs = {k: (v, v) if isinstance(v, int) else v for k, v in attributes.items()}
    pairs["groups"] = groups
    assert error(y, conv2d_oracle(x, w, **pairs) + b[:, None, None]) < 1e-12


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    ("stride", "padding", "output_padding", "dilation", "groups"),
    [
        ((1, 1), (0, 0), (0, 0), (1, 1), 1),
        ((2, 2), (1, 1), (0, 0), (1, 1), 1),
        ((2, 2), (1, 0), (1, 1), (1, 1), 2),
        ((3, 2), (2, 1), (2, 0), (1, 1), 1),
        ((2, 1), (0, 1), (0, 0), (2, 3), 4),
    ],
)
def test_conv_transpose2d(impl, stride, padding, output_padding, dilation, groups):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((4, 3, 3, 3))
    b = rng.standard_normal(3 * groups)
    y = conv_transpose2d(
        *map(paddle.to_tensor, (x, w, b)),
        stride=list(stride),
        padding=list(padding),
        output_padding=list(output_padding),
        groups=groups,
        dilation=list(dilation),
        impl=impl,
    )
    expected = conv_transpose2d_oracle(x, w, stride, padding, output_padding, dilation, groups)
    assert error(y, expected + b[:, None, None]) < 1e-12


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 2), (1, 4)])
def test_conv2d_gradients(impl, k, stride, groups):
    rng = np.random.default_rng(2)
    x, w, b = rng.standard_normal((2, 4, 5, 4)), rng.standard_normal((4, 4 // groups, k, k)), None
    b = rng.standard_normal(4)

    def f(x, w, b):
        return conv2d(x, w, b, stride=stride, padding=k // 2, groups=groups, impl=impl)

    check_gradients(f, x, w, b, names=["x", "w", "bias"])


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_transpose2d_gradients(impl, groups):
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 4, 3, 4)), rng.standard_normal((4, 2, 3, 3))
    b = rng.standard_normal(2 * groups)

    def f(x, w, b):
        return conv_transpose2d(
            x, w, b, stride=2, padding=1, output_padding=1, groups=groups, impl=impl
        )

    check_gradients(f, x, w, b, names=["x", "w", "bias"])


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(
    ("act", "function"),
    [
        ("lrelu", lambda u: np.clip(0.5 * np.where(u > 0, u, 0.1 * u), -1.5, 1.5)),
        ("tanh", lambda u: np.clip(0.5 * np.tanh(u), -1.5, 1.5)),
    ],
)
def test_activations(impl, act, function):
    rng = np.random.default_rng(9)
    x, w, b = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 4, 4)), None
    b = rng.standard_normal(4)
    settings = dict(act=act, alpha=0.1, gain=0.5, clamp=1.5, impl=impl)

    def down(x, w, b):
        return conv2d(x, w, b, stride=2, padding=1, **settings)

    def up(x, w, b):
        return conv_transpose2d(x, w, b, stride=2, padding=1, **settings)

    expected = conv2d_oracle(x, w, (2, 2), (1, 1)) + b[:, None, None]
    assert error(down(*map(paddle.to_tensor, (x, w, b))), function(expected)) < 1e-12
    turned = w.transpose(1, 0, 2, 3)
    expected = conv_transpose2d_oracle(x, turned, (2, 2), (1, 1), (0, 0), (1, 1), 1)
    y = up(*map(paddle.to_tensor, (x, turned, b)))
    assert error(y, function(expected + b[:, None, None])) < 1e-12
    assert (np.abs(y.numpy()) < 1.5).any()  # not all of it is clamped
    if act == "tanh" or impl == "native":  # the reference has no second order of a clamp
        check_gradients(down, x / 4, w, b, names=["x", "w", "bias"])
        check_gradients(up, x / 4, turned, b, names=["x", "w", "bias"])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 5, 1, 7), (3, 1, 6, 1)])
def test_single_pixels_and_lines(shape):
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal(shape), rng.standard_normal((3, shape[1], 3, 3))
    y = conv2d(paddle.to_tensor(x), paddle.to_tensor(w), padding=1, impl="native")
    assert error(y, conv2d_oracle(x, w, padding=(1, 1))) < 1e-12
    check_gradients(lambda x, w: conv2d(x, w, padding=1, impl="native"), x, w, samples=3)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_transpose_is_the_adjoint(data):
    """<conv2d(x, w), y> = <x, conv_transpose2d(y, w)> for any geometry."""

    def draw(low, high):
        return data.draw(st.integers(low, high))

    groups, k = draw(1, 3), draw(1, 4)
    stride, dilation = [draw(1, 3), draw(1, 3)], [draw(1, 2), draw(1, 2)]
    padding = [draw(0, 2), draw(0, 2)]
    ci, co, n = groups * draw(1, 3), groups * draw(1, 3), draw(1, 3)
    size = [draw(max(1, (k - 1) * d + 1 - 2 * p), 9) for d, p in zip(dilation, padding)]
    rng = np.random.default_rng(draw(0, 99))
    x = paddle.to_tensor(rng.standard_normal((n, ci, *size)))
    w = paddle.to_tensor(rng.standard_normal((co, ci // groups, k, k)))
    forward = conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = paddle.to_tensor(rng.standard_normal(forward.shape))
    # Rows that a stride skips at the end come back through output_padding.
    left = [
        s + 2 * p - d * (k - 1) - 1 - (o - 1) * t
        for s, p, d, o, t in zip(size, padding, dilation, forward.shape[2:], stride)
    ]
    if any(e >= max(s, d) for e, s, d in zip(left, stride, dilation)):
        return
    back = conv_transpose2d(
        y, w, stride=stride, padding=padding, output_padding=left, dilation=dilation, groups=groups
    )
    assert back.shape == x.shape
    np.testing.assert_allclose(
        float((forward * y).sum()), float((x * back).sum()), rtol=1e-9, atol=1e-9
    )


@pytest.mark.cpu_kernels("a GPU has other paths")
@pytest.mark.parametrize("path", ["direct", "winograd", "onednn", "auto"])
def test_every_path_gives_the_same_numbers(path):
    """float32 stays within 2e-5 of float64 whichever engine computes it, and they can be forced."""
    from pygan.ops import last_conv_path, set_conv_path

    rng = np.random.default_rng(8)
    arrays = [rng.standard_normal(s) for s in ((3, 20, 34, 31), (18, 20, 3, 3))]

    def run(dtype):
        x, w = (paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays)
        y = conv2d(x, w, padding=1, impl="native")
        taken = last_conv_path()
        return [t.numpy() for t in (y, *paddle.grad([(y * y).sum()], [x, w]))], taken

    exact, _ = run("float64")
    previous = set_conv_path(path)
    try:
        single, taken = run("float32")
    finally:
        set_conv_path(previous)
    if path in ("direct", "winograd"):
        assert taken == path
    for a, b in zip(single, exact):
        assert np.abs(a - b).max() / np.abs(b).max() < 2e-5


def test_retain_graph():
    rng = np.random.default_rng(5)
    check_retain_graph(
        lambda x, w: conv_transpose2d(x, w, stride=2),
        rng.standard_normal((1, 2, 3, 3)),
        rng.standard_normal((2, 2, 3, 3)),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: conv2d(x, w, stride=0), r"`stride` is 0; it must be an integer >= 1"),
        (lambda x, w: conv2d(x, w, groups=3), r"`groups` is 3; it must be a positive integer"),
        (lambda x, w: conv2d(x[:, :1], w), r"expects 2 input channels .* `x` has 1"),
        (lambda x, w: conv2d(x[:, :, :2], w), r"the kernel covers 3x3 .* only 2x5"),
        (lambda x, w: conv2d(x.astype("int32"), w), r"`x` is paddle.int32; it must be float32"),
        (lambda x, w: conv_transpose2d(x, w, output_padding=1), r"`output_padding` is 1"),
        (lambda x, w: conv2d(x, w, act="gelu"), r"conv2d: `act` is 'gelu'; it must be one of"),
    ],
)
def test_errors_say_what_came_and_what_is_legal(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(paddle.ones([1, 2, 5, 5]), paddle.ones([2, 2, 3, 3]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_have_no_gradient_where_they_are_clamped(dtype):
    # 1.1 lies between two numbers of either type: y is the lower one, below the clamp as given.
    x = paddle.full([1, 2, 3, 3], 8.0).astype(dtype)
    w = paddle.ones([2, 2, 1, 1]).astype(dtype)
    x.stop_gradient = w.stop_gradient = False
    y = conv2d_resample(x, w, act="lrelu", clamp=1.1, impl="native")
    gx, gw = paddle.grad([y.astype("float32").sum()], [x, w])
    assert not gx.astype("float32").abs().sum().item()
    assert not gw.astype("float32").abs().sum().item()
