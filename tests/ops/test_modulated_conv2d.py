"""modulated_conv2d and conv2d_resample against numpy, scipy and finite differences."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d

from pygan.ops import conv2d, conv2d_resample, modulated_conv2d, no_weight_gradients, setup_filter
from pygan.ops._convolution import Epilogue, cast_epilogue, convolution
from tests.gradcheck import HARD_LAYOUTS, check_gradients, check_retain_graph, empty_batch

IMPLS = ["native", "ref"]
SQRT2 = np.sqrt(2.0)


def paddings(taps, up, down, padding):
    """Before and after, in pixels of the upsampled image: so that the size is exactly up/down."""
    before = after = padding
    if up > 1:
        before, after = before + (taps + up - 1) // 2, after + (taps - up) // 2
    if down > 1:
        before, after = before + (taps - down + 1) // 2, after + (taps - down) // 2
    return before, after


def resample_oracle(x, w, f=None, up=1, down=1, padding=0, groups=1, flip_weight=True):
    """Zero insertion, padding, filter, correlation, filter, striding: one image plane at a time."""
    n, ci, h, wd = x.shape
    co, per_group = w.shape[:2]
    f2 = np.ones((1, 1)) if f is None else (np.outer(f, f) if f.ndim == 1 else f)
    planes = np.zeros((n, ci, h * up, wd * up))
    planes[:, :, ::up, ::up] = x
    for axis in (2, 3):
        sides = paddings(f2.shape[axis - 2], up, down, padding)
        grow = [(0, 0)] * 4
        grow[axis] = tuple(max(p, 0) for p in sides)
        crop = slice(max(-sides[0], 0), planes.shape[axis] - max(-sides[1], 0))
        planes = np.pad(planes.take(np.arange(planes.shape[axis])[crop], axis), grow)
    taps = f2[::-1, ::-1]

    def fir(image):
        return correlate2d(image, taps, "valid")

    if up > 1:
        planes = np.stack([[fir(p) for p in s] for s in planes]) * up**2
    kernel = w if flip_weight else w[:, :, ::-1, ::-1]
    out = []
    for s in planes:
        channels = []
        for o in range(co):
            first = o // (co // groups) * per_group
            channels.append(
                sum(correlate2d(s[first + i], kernel[o, i], "valid") for i in range(per_group))
            )
        out.append(channels)
    out = np.array(out)
    if down > 1:
        out = np.stack([[fir(p) for p in s] for s in out])[:, :, ::down, ::down]
    return out


def layer_oracle(x, w, s, noise, strength, bias, demodulate, act, clamp, **resampling):
    """The layer as the paper writes it: every sample has weights of its own."""
    out = []
    for n in range(len(x)):
        scaled = w * s[n][None, :, None, None]
        if demodulate:
            scaled = scaled / np.sqrt((scaled**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        out.append(resample_oracle(x[n : n + 1], scaled, **resampling)[0])
    z = np.stack(out)
    if noise is not None:
        z = z + strength * noise
    if bias is not None:
        z = z + bias[None, :, None, None]
    y = {"linear": z, "lrelu": np.where(z > 0, z, 0.2 * z) * SQRT2}[act]
    return y if clamp is None else y.clip(-clamp, clamp)


def relative_error(actual, expected):
    return np.abs(np.asarray(actual, np.float64) - expected).max() / max(
        np.abs(expected).max(), 1e-30
    )


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("flip_weight", [True, False])
def test_resample_matches_oracle(impl, k, up, down, flip_weight):
    rng = np.random.default_rng(k + 10 * up + 100 * down)
    x, w = rng.standard_normal((2, 4, 9, 8)), rng.standard_normal((6, 2, k, k))
    f = setup_filter([1, 3, 3, 1])
    y = conv2d_resample(
        paddle.to_tensor(x),
        paddle.to_tensor(w),
        f,
        up=up,
        down=down,
        padding=k // 2,
        groups=2,
        flip_weight=flip_weight,
        impl=impl,
    )
    expected = resample_oracle(x, w, f.numpy().astype(np.float64), up, down, k // 2, 2, flip_weight)
    assert relative_error(y.numpy(), expected) < 1e-12


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_layer_matches_paper(impl, up, down, demodulate, clamp):
    rng = np.random.default_rng(7)
    x, w, s = rng.standard_normal((3, 5, 6, 10)), rng.standard_normal((4, 5, 3, 3)), None
    s = rng.standard_normal((3, 5)) + 1
    size = (6 * up // down, 10 * up // down)
    noise, bias, strength = rng.standard_normal((3, 1, *size)), rng.standard_normal(4), 0.3
    f = setup_filter([1, 3, 3, 1])
    y = modulated_conv2d(
        *map(paddle.to_tensor, (x, w, s, noise)),
        up=up,
        down=down,
        padding=1,
        resample_filter=f,
        demodulate=demodulate,
        noise_strength=paddle.to_tensor(strength, dtype="float64"),
        bias=paddle.to_tensor(bias),
        act="lrelu",
        clamp=clamp,
        impl=impl,
    )
    expected = layer_oracle(
        x, w, s, noise, strength, bias, demodulate, "lrelu", clamp,
        f=f.numpy().astype(np.float64), up=up, down=down, padding=1,
    )  # fmt: skip
    assert relative_error(y.numpy(), expected) < 1e-12


# StyleGAN2's own shapes, small and just past the sizes at which other paths take over.
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (4, 16, 8, 8), (2, 24, 33, 32), (2, 17, 64, 32)])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_float32_is_within_two_in_a_hundred_thousand(shape, up, down):
    rng = np.random.default_rng(3)
    n, c, h, w = shape
    h, w = h // 2 * 2, w // 2 * 2
    arrays = [rng.standard_normal(a) for a in ((n, c, h, w), (19, c, 3, 3), (n, c))]
    f = setup_filter([1, 3, 3, 1])

    def run(dtype):
        tensors = [paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays]
        y = modulated_conv2d(
            *tensors, up=up, down=down, padding=1, resample_filter=f, act="lrelu", impl="native"
        )
        grads = paddle.grad([(y * y).sum()], tensors)
        return [t.numpy() for t in (y, *grads)]

    for single, double in zip(run("float32"), run("float64")):
        assert relative_error(single, double) < 2e-5


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("transform", ["conv", "up", "down"])
def test_gradients_of_the_layer(impl, transform):
    rng = np.random.default_rng(11)
    up, down = {"conv": (1, 1), "up": (2, 1), "down": (1, 2)}[transform]
    f = setup_filter([1, 3, 3, 1])
    x, w = rng.standard_normal((2, 3, 4, 6)), rng.standard_normal((2, 3, 3, 3))
    s = rng.standard_normal((2, 3)) + 1

    def layer(x, w, s):
        return modulated_conv2d(
            x, w, s, up=up, down=down, padding=1, resample_filter=f, flip_weight=(up == 1),
            act="lrelu", impl=impl,
        )  # fmt: skip

    check_gradients(layer, x, w, s, names=["x", "w", "styles"])


@pytest.mark.parametrize("clamp", [None, 1.5])
@pytest.mark.parametrize("act", ["linear", "relu", "lrelu"])
def test_gradients_of_the_epilogue(act, clamp):
    rng = np.random.default_rng(5)
    x, w, d = rng.standard_normal((2, 2, 3, 4)), rng.standard_normal((3, 2, 3, 3)), None
    d = rng.standard_normal((2, 3)) + 0.2
    noise, strength = rng.standard_normal((2, 1, 3, 4)), rng.standard_normal(1)
    bias = rng.standard_normal(3)

    def layer(x, d, noise, strength, bias):
        e = Epilogue(d, noise, strength, bias, act, clamp=clamp)
        return convolution(
            x, paddle.to_tensor(w), padding=(1, 1, 1, 1), epilogue=cast_epilogue(e, x)
        )

    names = ["x", "scale", "noise", "strength", "bias"]
    check_gradients(layer, x, d, noise, strength, bias, names=names, samples=2)


@pytest.mark.parametrize(
    ("act", "alpha", "gain"),
    [("lrelu", -0.5, None), ("lrelu", 0.1, -2.0), ("linear", None, -1.0), ("tanh", None, 0.5)],
)
def test_epilogues_whose_slope_cannot_be_read_off_the_output(act, alpha, gain):
    rng = np.random.default_rng(12)
    x, w, s = rng.standard_normal((2, 2, 3, 4)), rng.standard_normal((3, 2, 3, 3)), None
    s = rng.standard_normal((2, 2))

    def layer(x, w, s, impl="native"):
        return modulated_conv2d(
            x, w, s, padding=1, act=act, alpha=alpha, gain=gain, impl=impl
        )  # fmt: skip

    inputs = [paddle.to_tensor(a) for a in (x, w, s)]
    expected = layer(*inputs, impl="ref").numpy()
    assert relative_error(layer(*inputs).numpy(), expected) < 1e-12
    check_gradients(layer, x, w, s, names=["x", "w", "styles"], samples=3)


@pytest.mark.cpu_kernels("on a GPU the gradient of a zero scale is NaN (layer_cuda.h)")
def test_gradients_where_a_scale_is_zero():
    """There the convolution's result cannot be read off the output, and is computed."""
    rng = np.random.default_rng(6)
    x, w, s = rng.standard_normal((2, 2, 3, 4)), rng.standard_normal((3, 2, 3, 3)), None
    s, d = rng.standard_normal((2, 2)), rng.standard_normal((2, 3))
    d[0, 1] = d[1, 2] = 0
    bias = rng.standard_normal(3)

    def layer(x, w, s, d):
        e = Epilogue(scale=d, bias=paddle.to_tensor(bias), act="lrelu")
        return convolution(x, w, padding=(1, 1, 1, 1), scale_in=s, epilogue=e)

    check_gradients(layer, x, w, s, d, names=["x", "w", "s", "d"], samples=3)


@pytest.mark.parametrize("fused", [True, False])
def test_path_length_of_a_small_generator(fused):
    """The regulariser that Paddle's own convolution differentiates wrongly if weights are fused."""
    rng = np.random.default_rng(0)
    n, c, k = 2, 3, 4
    shapes = [(1, c, 4, 4), (5, c), (k, c, 3, 3), (5, k), (3, k, 3, 3)]
    parameters = [rng.standard_normal(s) for s in shapes]
    z, noise = rng.standard_normal((n, 5)), paddle.to_tensor(rng.standard_normal((n, 3, 4, 4)))

    def modconv(x, w, s):
        if not fused:
            return modulated_conv2d(x, w, s, padding=1, impl="native")
        weights = w.unsqueeze(0) * s.reshape([n, 1, -1, 1, 1])
        weights = weights * ((weights * weights).sum([2, 3, 4], keepdim=True) + 1e-8).rsqrt()
        weights = weights.reshape([-1, *w.shape[1:]])
        y = conv2d(x.reshape([1, -1, 4, 4]), weights, padding=1, groups=n, impl="native")
        return y.reshape([n, -1, 4, 4])

    def penalty(const, affine1, w1, affine2, w2):
        latent = paddle.to_tensor(z, stop_gradient=False)
        x = const.tile([n, 1, 1, 1])
        x = paddle.tanh(modconv(x, w1, paddle.matmul(latent, affine1) + 1))
        y = modconv(x, w2, paddle.matmul(latent, affine2) + 1)
        (g,) = paddle.grad([(y * noise).sum()], [latent], create_graph=True)
        lengths = (g * g).sum(-1).sqrt()
        return ((lengths - 0.1) * (lengths - 0.1)).mean()

    tensors = [paddle.to_tensor(p, stop_gradient=False) for p in parameters]
    penalty(*tensors).backward()
    for i, array in enumerate(parameters):
        flat = array.reshape(-1)
        for j in rng.choice(flat.size, 5, replace=False):
            values = []
            for step in (1e-5, -1e-5):
                kept = flat[j]
                flat[j] = kept + step
                values.append(penalty(*map(paddle.to_tensor, parameters)).item())
                flat[j] = kept
            numeric = (values[0] - values[1]) / 2e-5
            analytic = tensors[i].grad.numpy().reshape(-1)[j]
            assert abs(numeric - analytic) <= 2e-7 * max(1.0, abs(numeric)) * 10


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_shape_and_attribute(data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    groups, k = draw(1, 2), data.draw(st.sampled_from([1, 3, 5]))
    up, down = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2)]))
    n, ci, co = draw(1, 3), groups * draw(1, 4), groups * draw(1, 4)
    h, w = draw(1, 9), draw(1, 9)
    taps = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    flip_weight = data.draw(st.booleans())
    rng = np.random.default_rng(draw(0, 99))
    x, weight = rng.standard_normal((n, ci, h, w)), rng.standard_normal((co, ci // groups, k, k))
    f = setup_filter([float(t) for t in taps], separable=data.draw(st.booleans()))
    arguments = dict(up=up, down=down, padding=k // 2, groups=groups, flip_weight=flip_weight)
    before, after = paddings(len(taps), up, down, k // 2)
    if min(h, w) * up + before + after < k + ((up > 1) + (down > 1)) * (len(taps) - 1):
        with pytest.raises(ValueError, match="use a larger input or more padding"):
            conv2d_resample(paddle.to_tensor(x), paddle.to_tensor(weight), f, **arguments)
        return
    expected = resample_oracle(x, weight, f.numpy().astype(np.float64), **arguments)
    for dtype, tolerance in (("float64", 1e-11), ("float32", 2e-5)):
        y = conv2d_resample(
            paddle.to_tensor(x.astype(dtype)), paddle.to_tensor(weight), f, **arguments
        )
        assert relative_error(y.numpy(), expected) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 4e-3), ("bfloat16", 3e-2)])
def test_half_precision_in_and_out(dtype, tolerance):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 8, 9, 7)), rng.standard_normal((5, 8, 3, 3))
    s = 50 * rng.standard_normal((2, 8))
    half = [paddle.to_tensor(a.astype(np.float32)).astype(dtype).detach() for a in (x, w, s)]
    for t in half:
        t.stop_gradient = False
    y = modulated_conv2d(*half, padding=1, act="lrelu", impl="native")
    assert y.dtype == half[0].dtype
    exact = [t.astype("float64").detach() for t in half]
    for t in exact:
        t.stop_gradient = False
    expected = modulated_conv2d(*exact, padding=1, act="lrelu", impl="native")
    assert relative_error(y.astype("float32").numpy(), expected.numpy()) < tolerance
    for got, want in zip(
        paddle.grad([y.astype("float32").sum()], half), paddle.grad([expected.sum()], exact)
    ):
        assert relative_error(got.astype("float32").numpy(), want.numpy()) < 3 * tolerance


@pytest.mark.parametrize("layout", HARD_LAYOUTS)
def test_memory_layouts(layout):
    rng = np.random.default_rng(9)
    x, w = rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((3, 3, 3, 3))
    make = HARD_LAYOUTS[layout]
    y = conv2d(make(x), make(w), padding=1, impl="native")
    assert relative_error(y.numpy(), resample_oracle(x, w, padding=1)) < 1e-12


@pytest.mark.parametrize(("up", "down", "size"), [(1, 1, 8), (2, 1, 16), (1, 2, 4)])
def test_no_samples(up, down, size):
    x = empty_batch(np.zeros((1, 3, 8, 8)))
    x.stop_gradient = False
    w = paddle.ones([4, 3, 3, 3], dtype="float64")
    w.stop_gradient = False
    f = setup_filter([1, 3, 3, 1])
    y = conv2d_resample(x, w, f, up=up, down=down, padding=1)
    assert list(y.shape) == [0, 4, size, size]
    if not paddle.__version__.startswith("2."):  # which differentiates nothing empty
        y.sum().backward()
        assert float(w.grad.abs().sum()) == 0


def test_retain_graph():
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((3, 3, 3, 3))
    s = rng.standard_normal((2, 3))

    def layer(x, w, s):
        return modulated_conv2d(x, w, s, padding=1, act="lrelu", impl="native")

    check_retain_graph(layer, x, w, s)


def test_no_weight_gradients_leaves_second_order_alone():
    rng = np.random.default_rng(4)
    x0, w0 = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((3, 3, 3, 3))

    def penalty(context):
        x, w = (paddle.to_tensor(a, stop_gradient=False) for a in (x0, w0))
        y = conv2d(x, w, padding=1, impl="native")
        with context:
            (g,) = paddle.grad([(y * y).sum()], [x], create_graph=True)
        (g * g).sum().backward()
        return g.numpy(), w.grad.numpy()

    import contextlib

    plain, skipping = penalty(contextlib.nullcontext()), penalty(no_weight_gradients())
    np.testing.assert_array_equal(plain[0], skipping[0])
    np.testing.assert_array_equal(plain[1], skipping[1])

    w = paddle.to_tensor(w0, stop_gradient=False)
    y = conv2d(paddle.to_tensor(x0), w, padding=1, impl="native")
    with no_weight_gradients():
        (g,) = paddle.grad([y.sum()], [w])
    assert float(g.abs().sum()) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(styles=paddle.ones([2, 4])), r"`styles` has shape \[2, 4\]; it must be \[2, 3\]"),
        (dict(weight=paddle.ones([4, 5, 3, 3])), r"`weight` has shape .* expects 5 input channels"),
        (dict(x=paddle.ones([2, 3, 8])), r"`x` has shape \[2, 3, 8\]; it must have 4 axes"),
        (dict(bias=paddle.ones([3])), r"`bias` has shape \[3\]; it must be \[4\]"),
        (dict(up=0), r"`up` is 0; it must be an integer >= 1"),
        (dict(padding=[1, 2, 3]), r"`padding` is \[1, 2, 3\]; it must be an integer"),
        (dict(impl="cuda"), r"`impl` is 'cuda'; it must be 'auto', 'native' or 'ref'"),
        (dict(noise=paddle.ones([5, 5])), r"`noise` has shape \[5, 5\]; it must be .* \[8, 8\]"),
    ],
)
def test_errors_say_what_came_and_what_is_legal(change, message):
    arguments = dict(
        x=paddle.ones([2, 3, 8, 8]), weight=paddle.ones([4, 3, 3, 3]), styles=paddle.ones([2, 3]),
        padding=1,
    )  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=message):
        modulated_conv2d(**{**arguments, **change})
