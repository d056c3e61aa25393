"""Modulated and demodulated convolution: the layer of StyleGAN2's generator, in one operator."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Optional, Union

import paddle

from pygan.ops import _native, _tuner
from pygan.ops._checks import check_images, check_shape, check_tensor, same_dtype
from pygan.ops._convolution import Epilogue, Modulated, cast_epilogue
from pygan.ops._filters import Filter
from pygan.ops.conv2d_resample import (
    check_epilogue,
    check_weight_and_resampling,
    select,
    tuning_attributes,
)

_EPSILON = 1e-8  # Karras et al. 2020, equation 3
_HALF = (paddle.float16, paddle.bfloat16)


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def modulated_conv2d(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    styles: paddle.Tensor,
    noise: Optional[paddle.Tensor] = None,
    up: int = 1,
    down: int = 1,
    padding: Union[int, Sequence[int]] = 0,
    resample_filter: Filter = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    fused_modconv: bool = True,
    *,
    noise_strength: Optional[paddle.Tensor] = None,
    bias: Optional[paddle.Tensor] = None,
    act: str = "linear",
    alpha: Optional[float] = None,
    gain: Optional[float] = None,
    clamp: Optional[float] = None,
    impl: str = "auto",
) -> paddle.Tensor:
    r"""Convolve every sample with its own scaled weights; then noise, bias and activation.

    .. math:: w'_{n,o,i,u,v} = s_{n,i}\, w_{o,i,u,v},\qquad
              d_{n,o} = \Big(\sum_{i,u,v} w'^2_{n,o,i,u,v} + 10^{-8}\Big)^{-1/2}

    .. math:: y = \mathrm{clamp}\big(gain \cdot act(\,d \cdot \mathrm{conv}(x \cdot s,\, w)
              + strength \cdot noise + bias\,)\big)

    The scaled form equals the convolution with ``w' · d`` and needs no weights per sample:
    style, demodulation, noise, bias and activation are part of one pass over the activations.

    Args:
        x: [N, I, H, W]; float32, float64, float16 or bfloat16.
        weight: [O, I, kh, kw].
        styles: [N, I].
        noise: [N, 1, H', W'], [1, 1, H', W'] or [H', W'] of the output, or None.
        up, down, padding, flip_weight: as `pygan.ops.conv2d_resample`.
        resample_filter: filter of `pygan.ops.setup_filter` for up and down.
        demodulate: multiply by d; without it d = 1 (as in toRGB).
        fused_modconv: accepted for code written for other libraries. It chose between two ways of
            computing the same numbers; pygan has one, which is the faster of the two.
        noise_strength: a scalar tensor, shape [] or [1], that multiplies ``noise``; None is 1.
        bias, act, alpha, gain, clamp: as `pygan.ops.bias_act`, fused into the same pass.
        impl: 'auto', 'native' (compiled, exact to second order; a third is silently incomplete) or
            'ref' (Paddle composition, exact to third order).

    Returns:
        [N, O, H', W'] in the dtype of ``x``. Differentiable twice in every tensor but the filter.

    Raises:
        ValueError, TypeError: for arguments that do not fit; the message says which.

    In float16 and bfloat16, weights and styles are first divided by their largest magnitude per
    output channel and per sample, which demodulation undoes, so that nothing overflows.

    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", sec. 2.2.
    """
    del fused_modconv
    op = "modulated_conv2d"
    check_images(op, x, "[N, I, H, W]")
    names = ("weight", "resample_filter")
    resampling, size = check_weight_and_resampling(
        op, x, weight, resample_filter, up, down, padding, 1, False, names=names
    )
    check_tensor(op, "styles", styles, 2, "[N, I]")
    check_shape(op, "styles", styles, x.shape[:2], "one number per sample and input channel")
    epilogue = Epilogue(None, noise, noise_strength, bias, act, alpha, gain, clamp)
    check_epilogue(op, epilogue, [x.shape[0], weight.shape[0], *size])
    if _tuner.tuner is not None and impl == "auto":
        impl = _tuner.tuner.choose(
            op,
            (x, weight, styles, noise, noise_strength, bias),
            (bool(demodulate), *tuning_attributes(resampling, flip_weight, epilogue, 1)),
            _again,
            (up, down, padding, resample_filter, demodulate, flip_weight, act, alpha, gain, clamp),
        )
    native = _native.use_native(impl, op, x)
    more: dict[str, Any] = {}
    if demodulate and native:
        more["modulate"] = functools.partial(_modulated, weight, styles, x.dtype)
    else:
        if demodulate and x.dtype in _HALF and 0 not in weight.shape:
            weight, styles, epilogue.scale = modulation(weight, styles, x.dtype, impl=impl)
        elif demodulate:
            epilogue.scale = demodulation(weight, styles, impl=impl)
        weight, styles = same_dtype(weight, x), same_dtype(styles, x)
    return select(impl, native)(
        x,
        weight,
        groups=1,
        flip=not flip_weight,
        scale_in=styles,
        resampling=resampling,
        epilogue=cast_epilogue(epilogue, x),
        **more,
    )


def _modulated(
    weight: paddle.Tensor,
    styles: paddle.Tensor,
    dtype: paddle.dtype,
    x: Optional[paddle.Tensor],
    spec: Sequence[int],
) -> Modulated:
    """Weights, styles and d of the native operators, in ``dtype``, that of the convolution.

    On a GPU, with ``x`` and ``spec`` of the convolution, they stage its operands as well.
    """
    if x is not None:
        x = x.detach() if _native.on_gpu(x) else None
    if dtype in _HALF and 0 not in weight.shape:
        return _native_modulation(weight, styles, dtype, x, spec)
    if weight.dtype in _HALF:
        weight = weight.astype("float32")
    styles = same_dtype(styles, weight)
    staging = None if weight.dtype != dtype else x
    d, staged = _native.call("pg_demodulation", weight, styles, staging, list(spec))
    weight, styles, d = (t if t.dtype == dtype else t.astype(dtype) for t in (weight, styles, d))
    return Modulated(weight, styles, d, None if staging is None else _constant(staged))


def _again(
    impl: str,
    x: paddle.Tensor,
    weight: paddle.Tensor,
    styles: paddle.Tensor,
    noise: Optional[paddle.Tensor],
    noise_strength: Optional[paddle.Tensor],
    bias: Optional[paddle.Tensor],
    *settings: Any,
) -> paddle.Tensor:
    """The call that the tuner times."""
    *plain, act, alpha, gain, clamp = settings
    activation = {"act": act, "alpha": alpha, "gain": gain, "clamp": clamp}
    more = {"noise_strength": noise_strength, "bias": bias, **activation}
    return modulated_conv2d(x, weight, styles, noise, *plain, **more, impl=impl)


def demodulation(
    weight: paddle.Tensor, styles: paddle.Tensor, *, impl: str = "auto"
) -> paddle.Tensor:
    """d[n, o] = rsqrt(Σ_i s[n, i]² · Σ_k w[o, i, k]² + 1e-8), at least in float32."""
    if weight.dtype in _HALF:
        weight = weight.astype("float32")
    styles = same_dtype(styles, weight)
    if _native.use_native(impl, "modulated_conv2d", weight):
        return _native.call("pg_demodulation", weight, styles, None, [])[0]
    energy = (weight * weight).sum([2, 3])
    # Paddle's rsqrt has no third order, its pow has.
    return paddle.pow(paddle.matmul(styles * styles, energy, transpose_y=True) + _EPSILON, -0.5)


def modulation(
    weight: paddle.Tensor, styles: paddle.Tensor, dtype: paddle.dtype, *, impl: str = "auto"
) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
    """`_normalise` of weights and styles, and the `demodulation` of these.

    The native operator gives all three in ``dtype``, float16 or bfloat16; the reference leaves the
    rounding to who needs it.
    """
    if not _native.use_native(impl, "modulated_conv2d", weight):
        weight, styles = _normalise(weight), _normalise(styles)
        return weight, styles, demodulation(weight, styles, impl=impl)
    return _native_modulation(weight, styles, dtype, None, [])[:3]


def _native_modulation(
    weight: paddle.Tensor,
    styles: paddle.Tensor,
    dtype: paddle.dtype,
    x: Optional[paddle.Tensor],
    spec: Sequence[int],
) -> Modulated:
    weight, styles = (
        t if t.dtype in (paddle.float32, dtype) else t.astype("float32") for t in (weight, styles)
    )
    types = [int(dtype == paddle.bfloat16), *(int(not t.stop_gradient) for t in (weight, styles))]
    w, s, d, staged = _native.call("pg_modulation", weight, styles, x, types, list(spec))
    # All results of an operator want gradients when one of its inputs does: the convolution would
    # compute the gradient of a weight that is constant.
    for result, given in ((w, weight), (s, styles)):
        if given.stop_gradient:
            _constant(result)
    return Modulated(w, s, d, None if x is None else _constant(staged))


def _constant(t: paddle.Tensor) -> paddle.Tensor:
    t.stop_gradient = True
    return t


def _normalise(t: paddle.Tensor) -> paddle.Tensor:
    """t over its largest magnitude per row, and 1/√fan-in for weights.

    Demodulation cancels the factor, so its own gradient is zero and the factor is a constant.
    """
    axes = list(range(1, t.ndim))
    largest = t.detach().astype("float32").abs().max(axes, keepdim=True).clip(min=1e-8)
    fan_in = math.prod(t.shape[1:]) if t.ndim == 4 else 1
    return t.astype("float32") / (largest * math.sqrt(fan_in))
