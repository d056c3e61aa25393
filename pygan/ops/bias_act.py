"""Bias, activation, gain and clamp in one pass over memory, exact to second order."""

from __future__ import annotations

import functools
import math
from numbers import Real
from typing import Any, NamedTuple, Optional

import paddle
import paddle.nn.functional as F

from pygan.ops import _native, _tuner
from pygan.ops._checks import FLOATING, check_one_of, is_tensor

_IS_PADDLE_2 = paddle.__version__.startswith("2.")
_SQRT2 = math.sqrt(2)
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


class _Activation(NamedTuple):
    number: int  # of csrc/common/activation.h
    alpha: float
    gain: float


ACTIVATIONS = {
    "linear": _Activation(0, 0.0, 1.0),
    "relu": _Activation(1, 0.0, _SQRT2),
    "lrelu": _Activation(2, 0.2, _SQRT2),
    "tanh": _Activation(3, 0.0, 1.0),
    "sigmoid": _Activation(4, 0.0, 1.0),
    "elu": _Activation(5, 0.0, 1.0),
    "selu": _Activation(6, 0.0, 1.0),
    "softplus": _Activation(7, 0.0, 1.0),
    "swish": _Activation(8, 0.0, _SQRT2),
}


class _Resolved(NamedTuple):
    """An activation with its defaults filled in, and the attributes that carry it."""

    act: str
    alpha: float
    gain: float
    clamp: Optional[float]
    is_identity: bool
    attributes: tuple[int, int, int, int]


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def bias_act(
    x: paddle.Tensor,
    b: Optional[paddle.Tensor] = None,
    axis: int = 1,
    act: str = "linear",
    alpha: Optional[float] = None,
    gain: Optional[float] = None,
    clamp: Optional[float] = None,
    *,
    scale: Optional[paddle.Tensor] = None,
    noise: Optional[paddle.Tensor] = None,
    strength: Optional[paddle.Tensor] = None,
    impl: str = "auto",
) -> paddle.Tensor:
    """Scale, add noise and bias, activate, multiply by a gain and clamp, in one pass over memory.

    .. math::
        u = scale_{n,c} \\cdot x + strength \\cdot noise + b_{axis}, \\qquad
        y = \\min(\\max(gain \\cdot act(u), -clamp), clamp)

    ========  =====================================================  =============  ============
    act       act(u)                                                 default alpha  default gain
    ========  =====================================================  =============  ============
    linear    u                                                                     1
    relu      max(u, 0)                                                             sqrt(2)
    lrelu     u if u > 0 else alpha * u                              0.2            sqrt(2)
    tanh      tanh(u)                                                               1
    sigmoid   1 / (1 + exp(-u))                                                     1
    elu       u if u > 0 else exp(u) - 1                                            1
    selu      1.0507009873554805 * (u if u > 0 else
              1.6732632423543772 * (exp(u) - 1))                                    1
    softplus  log(1 + exp(u))                                                       1
    swish     u * sigmoid(u)                                                        sqrt(2)
    ========  =====================================================  =============  ============

    The defaults keep the variance of a normal input roughly unchanged. At u = 0 the derivative is
    that of the negative side. Where the clamp cuts, the gradient is zero, for every activation.

    Args:
        x: any shape; float32, float64, float16 or bfloat16. The 16-bit types are computed in
            float32, float64 with float64 constants throughout.
        b: bias, shape ``[x.shape[axis]]``, or None.
        axis: the axis of ``x`` to which ``b`` belongs; negative counts from the end.
        act: an activation of the table.
        alpha: slope of ``lrelu`` for negative input; the other activations have no parameter.
        gain: multiplies the activation; None for the table's default.
        clamp: limits the result to ``[-clamp, clamp]``; None for no limit.
        scale: shape ``[N, C] == x.shape[:2]``: multiplies each channel of each sample, as the
            demodulation of a modulated convolution does. None for 1.
        noise: shape ``[N, 1, *space]`` or ``[1, 1, *space]`` with ``space == x.shape[2:]``, or just
            ``space``: added to every channel. None for none.
        strength: a scalar tensor, shape ``[]`` or ``[1]``, multiplying ``noise``. None for 1.
        impl: 'native' for the compiled operator, 'ref' for the composition of Paddle operators, and
            'auto' for the compiled operator where there is one.

    ``scale`` and ``noise`` need ``axis=1``. ``b``, ``scale``, ``noise`` and ``strength`` are cast
    to the dtype of ``x``.

    Returns:
        y, with the shape and dtype of ``x``. With nothing to do, ``x`` itself.

    All five tensors have gradients of first and second order (``create_graph=True``). The native
    operator saves only its inputs and recomputes the activation in its backward passes, each of
    which reads memory once and yields every gradient. Its sums do not depend on the number of
    threads. Its derivatives of third order are silently incomplete, because Paddle drops them:
    those need ``impl='ref'``, without a clamp, relu, elu, selu and softplus, whose third order
    Paddle refuses. So do gradients inside a static program (`paddle.jit.to_static` with
    ``full_graph=True``).

    Raises:
        TypeError: an argument is no tensor, or not a floating one, or not a number.
        ValueError: an unknown ``act`` or ``impl``, a wrong shape or axis, a negative ``clamp``.
        RuntimeError: ``impl='native'`` without compiled operators.

    Source: the fused bias and activation of StyleGAN2 (Karras et al. 2020, "Analyzing and Improving
    the Image Quality of StyleGAN", appendix B); scale and noise are the demodulation and the noise
    input of its figure 2.
    """
    form = resolve_activation(act, alpha, gain, clamp)
    if b is None and scale is None and noise is None:
        axis = 0
        _check_x(x)
        if form.is_identity and strength is None:
            return x
    else:
        axis = _check(x, b, axis, scale, noise)
    if strength is not None:
        _check_strength(noise, strength)
    if _tuner.tuner is not None and impl == "auto":
        impl = _tuner.tuner.choose(
            "bias_act",
            (x, b, scale, noise, strength),
            (axis, form.act, form.gain == 1, form.clamp is None),
            _again,
            (axis, act, alpha, gain, clamp),
        )
    dtype = x.dtype
    b, scale = _cast(b, dtype), _cast(scale, dtype)
    noise, strength = _cast(noise, dtype), _cast(strength, dtype)
    # Paddle 2 takes no empty result from a registered operator; there is nothing to speed up.
    if not _native.use_native(impl, "bias_act", x) or 0 in x.shape:
        return _bias_act_ref(x, b, axis, form, scale, noise, strength)
    # Which gradients will be wanted, since Paddle does not tell the gradient kernels.
    needs = 0 if x.stop_gradient else 1
    for i, t in enumerate((b, scale, noise, strength)):
        if t is not None and not t.stop_gradient:
            needs |= 2 << i
    return _native.call("pg_bias_act", x, b, scale, noise, strength, *form.attributes, axis, needs)


def _again(
    impl: str,
    x: paddle.Tensor,
    b: Optional[paddle.Tensor],
    scale: Optional[paddle.Tensor],
    noise: Optional[paddle.Tensor],
    strength: Optional[paddle.Tensor],
    *settings: Any,
) -> paddle.Tensor:
    """The call that the tuner times."""
    return bias_act(x, b, *settings, scale=scale, noise=noise, strength=strength, impl=impl)


def _bias_act_ref(
    x: paddle.Tensor,
    b: Optional[paddle.Tensor],
    axis: int,
    form: _Resolved,
    scale: Optional[paddle.Tensor],
    noise: Optional[paddle.Tensor],
    strength: Optional[paddle.Tensor],
) -> paddle.Tensor:
    """The operator as a composition of Paddle operators that differentiate twice on 2.6 and 3.x."""
    if _IS_PADDLE_2 and 0 in x.shape:  # where a broadcast over nothing fails
        return x + 0
    dtype = x.dtype
    if dtype in (paddle.float16, paddle.bfloat16):
        x = x.astype("float32")
        b, scale = _cast(b, paddle.float32), _cast(scale, paddle.float32)
        noise, strength = _cast(noise, paddle.float32), _cast(strength, paddle.float32)
    u = x
    if scale is not None:
        u = u * scale.reshape([*scale.shape, *[1] * (x.ndim - 2)])
    if noise is not None:
        noise = noise.unsqueeze([0, 1]) if noise.ndim == x.ndim - 2 else noise
        u = u + (noise if strength is None else noise * strength.reshape([1] * x.ndim))
    if b is not None:
        u = u + b.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    y = _activate(u, form)
    if form.gain != 1:
        y = y * form.gain
    if form.clamp is not None:
        y = paddle.clip(y, -form.clamp, form.clamp)
    return y if y.dtype == dtype else y.astype(dtype)


def _activate(u: paddle.Tensor, form: _Resolved) -> paddle.Tensor:
    if form.act == "linear":
        return u
    if form.act == "relu":
        return F.relu(u)
    if form.act == "lrelu":  # F.leaky_relu rounds its slope to float32
        return u * _slope(u, form.alpha)
    if form.act == "tanh":
        return F.tanh(u)
    if form.act == "sigmoid":
        return F.sigmoid(u)
    if form.act == "elu":
        return F.elu(u)
    if form.act == "selu":  # F.selu has no second derivative
        return F.elu(u) * _slope(u, _SELU_ALPHA) * _SELU_SCALE
    if form.act == "softplus":  # the default threshold of 20 is an error of 2e-9
        return F.softplus(u, threshold=80)
    return u * F.sigmoid(u)


def _slope(u: paddle.Tensor, negative: float) -> paddle.Tensor:
    """1 where u > 0, elsewhere ``negative``; a constant for differentiation."""
    positive = (u > 0).astype(u.dtype)
    positive.stop_gradient = True
    return positive + (1 - positive) * negative


@functools.lru_cache(maxsize=256)
def _resolve(
    act: str, alpha: Optional[float], gain: Optional[float], clamp: Optional[float], op: str
) -> _Resolved:
    if act not in ACTIVATIONS:
        raise ValueError(
            f"pygan.ops.{op}: `act` is {act!r}; it must be one of {', '.join(ACTIVATIONS)}."
        )
    number, default_alpha, default_gain = ACTIVATIONS[act]
    for name, value in (("alpha", alpha), ("gain", gain), ("clamp", clamp)):
        if value is not None and not isinstance(value, Real):
            raise TypeError(
                f"pygan.ops.{op}: `{name}` is a {type(value).__name__}; it must be a number or "
                f"None (no gradient flows to it)."
            )
    if clamp is not None and not clamp >= 0:
        raise ValueError(
            f"pygan.ops.{op}: `clamp` is {clamp}; it must be at least 0, or None for no limit."
        )
    alpha = default_alpha if alpha is None else float(alpha)
    gain = default_gain if gain is None else float(gain)
    clamp = None if clamp is None or math.isinf(clamp) else float(clamp)
    bits = _native.double_bits
    return _Resolved(
        act,
        alpha,
        gain,
        clamp,
        act == "linear" and gain == 1 and clamp is None,
        (number, bits(alpha), bits(gain), bits(-1.0 if clamp is None else clamp)),
    )


def resolve_activation(
    act: str,
    alpha: Optional[float],
    gain: Optional[float],
    clamp: Optional[float],
    op: str = "bias_act",
) -> _Resolved:
    """Defaults of the table, checked for ``op``; remembered, as layers ask for the same few."""
    try:
        return _resolve(act, alpha, gain, clamp, op)
    except TypeError:  # not hashable, or not a number: the function itself says it best
        name = act if isinstance(act, str) else repr(act)
        return _resolve.__wrapped__(name, alpha, gain, clamp, op)


def _cast(t: Optional[paddle.Tensor], dtype: paddle.dtype) -> Optional[paddle.Tensor]:
    # The identity spares most calls Paddle's comparison, which is ten times slower.
    return t if t is None or t.dtype is dtype or t.dtype == dtype else t.astype(dtype)


def _check_x(x: paddle.Tensor) -> None:
    if not is_tensor(x):
        raise TypeError(
            f"pygan.ops.bias_act: `x` is a {type(x).__name__}; it must be a paddle.Tensor."
        )
    if x.dtype not in FLOATING:
        raise TypeError(
            f"pygan.ops.bias_act: `x` is {x.dtype}; it must be float32, float64, float16 or "
            f"bfloat16. Convert it with .astype('float32')."
        )


def _check(
    x: paddle.Tensor,
    b: Optional[paddle.Tensor],
    axis: int,
    scale: Optional[paddle.Tensor],
    noise: Optional[paddle.Tensor],
) -> int:
    """Check the shapes of what is there; return the axis counted from the front."""
    _check_x(x)
    shape = list(x.shape)
    ndim = len(shape)
    if not isinstance(axis, int) or not -ndim <= axis < ndim:
        raise ValueError(
            f"pygan.ops.bias_act: `axis` is {axis!r}; for `x` of shape {shape} it must be an "
            f"integer in [{-ndim}, {ndim - 1}]."
        )
    axis %= ndim
    if b is not None:
        check_one_of(
            "bias_act", "b", b, [[shape[axis]]], f"one bias for each index of axis {axis} of `x`"
        )
    if scale is None and noise is None:
        return axis
    if axis != 1:
        raise ValueError(
            f"pygan.ops.bias_act: `axis` is {axis}; with `scale` or `noise` it must be 1, the "
            f"channels of `x`. Transpose `x`, or add `b` in a call of its own."
        )
    if scale is not None:
        check_one_of(
            "bias_act", "scale", scale, [shape[:2]], "one factor for each sample and channel of `x`"
        )
    if noise is not None:
        space = shape[2:]
        legal = [[shape[0], 1, *space], [1, 1, *space], space]
        check_one_of(
            "bias_act", "noise", noise, legal, "one image for each sample of `x`, or one for all"
        )
    return axis


def _check_strength(noise: Optional[paddle.Tensor], strength: paddle.Tensor) -> None:
    check_one_of("bias_act", "strength", strength, [[], [1]], "one factor for the whole noise")
    if noise is None:
        raise ValueError(
            "pygan.ops.bias_act: `strength` came without `noise`; pass the noise that it "
            "multiplies, or leave it out."
        )
