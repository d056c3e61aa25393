"""spade_norm: normalise, scale and shift by maps, and activate, in one pass over memory."""

from __future__ import annotations

from typing import Optional

import paddle

from pygan.ops import _native
from pygan.ops._checks import FLOATING, check_images, check_number, check_one_of, same_dtype
from pygan.ops.norm_statistics import OVER, check_over, norm_statistics, statistics_dtype

# Numbers of csrc/paddle/norm.cc.
_KIND, _GIVEN = 1, 2
# Slope of the activation below zero.
_SLOPES = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def spade_norm(
    x: paddle.Tensor,
    mean: paddle.Tensor,
    variance: paddle.Tensor,
    gamma: Optional[paddle.Tensor] = None,
    beta: Optional[paddle.Tensor] = None,
    *,
    gamma_beta: Optional[paddle.Tensor] = None,
    own_statistics: Optional[str] = None,
    epsilon: float = 1e-5,
    activation: str = "linear",
    alpha: Optional[float] = None,
    upsample: int = 1,
    impl: str = "auto",
) -> paddle.Tensor:
    r"""Normalise with given statistics, scale by 1 + gamma, shift by beta and activate.

    .. math::
        \hat x = \frac{x - mean}{\sqrt{variance + epsilon}}, \qquad
        y = act(\hat x \cdot (1 + gamma) + beta), \qquad
        act(u) = u > 0 \;?\; u : slope \cdot u

    Args:
        x: ``[N, C, H, W]``; float16, bfloat16, float32 or float64. The 16-bit types are computed in
            float32.
        mean, variance: ``[C]`` or ``[N, C]``, both of one shape, as :func:`norm_statistics` gives
            them or as they were kept in training; cast to float64 if ``x`` is, else to float32.
        gamma, beta: a map of numbers for each channel, ``[N, C, H, W]`` of ``upsample`` times the
            size of ``x``; or one number for each channel, ``[C]``, or for each channel of each
            sample, ``[N, C]``; or None for none. Cast to the dtype of ``x``.
        gamma_beta: ``[N, 2C, H, W]``, both maps in one tensor, gamma first: the two of a single
            convolution, which need not be taken apart. Instead of ``gamma`` and ``beta``.
        own_statistics: 'batch' or 'instance' says that ``mean`` and ``variance`` are
            ``norm_statistics(x, own_statistics)``. The gradient to ``x`` then comes complete, the
            part through its statistics included, in the same pass; none flows to ``mean`` and
            ``variance``, which may be computed under ``paddle.no_grad()`` and used for several
            norms of one ``x``. None lets gradients flow to the statistics, if they want any.
        epsilon: a positive number, added to the variance.
        activation: 'linear' (slope 1), 'relu' (slope 0) or 'lrelu' (slope ``alpha``).
        alpha: slope below zero, only with 'lrelu'; None for 0.2.
        upsample: 2 makes ``x`` twice as high and wide, by nearest neighbours, without a copy of it
            in memory; 1 leaves it.
        impl: 'auto', 'native' (exact to second order; a third is silently incomplete, because
            Paddle drops it) or 'ref' (a composition of Paddle operators, exact to third order).

    Returns:
        ``[N, C, upsample·H, upsample·W]`` of the dtype of ``x``.

    Raises:
        TypeError: an argument is not a floating-point tensor, or not a number.
        ValueError: a shape is not as above, ``gamma_beta`` comes with ``gamma`` or ``beta``, or
            ``activation``, ``alpha``, ``epsilon``, ``own_statistics``, ``upsample`` or ``impl`` has
            another value.

    Source: Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization" (2019),
    equation 1, with the 1 + gamma of the authors' networks.
    """
    op = "spade_norm"
    check_images(op, x, "[N, C, H, W]")
    if upsample not in (1, 2) or isinstance(upsample, bool):
        raise ValueError(f"pygan.ops.{op}: `upsample` is {upsample!r}; it must be 1 or 2.")
    slope = _slope_of(op, activation, alpha)
    check_number(op, "epsilon", epsilon)
    if not 0 < epsilon < float("inf"):
        raise ValueError(
            f"pygan.ops.{op}: `epsilon` is {epsilon!r}; it must be a positive number, as 1e-5."
        )
    mean, variance = _check_statistics(op, x, mean, variance, own_statistics)
    gamma, beta = _check_maps(op, x, gamma, beta, gamma_beta, upsample)
    use_native = _native.use_native(impl, op, x, "norm", cuda=False)
    if 0 in x.shape:  # Paddle 2 has no kernels for empty tensors
        return _enlarged(x, upsample)
    if use_native:
        # Which gradients will be wanted, since Paddle does not tell the gradient kernels.
        inputs = (x, mean, variance, gamma, beta)
        needs = sum(1 << i for i, t in enumerate(inputs) if t is not None and not t.stop_gradient)
        over = _GIVEN if own_statistics is None else OVER[own_statistics]
        bits = _native.double_bits
        return _native.call(
            "pg_norm", *inputs, _KIND, over, bits(epsilon), bits(slope), upsample, needs
        )
    return _spade_norm_ref(
        x, mean, variance, gamma, beta, own_statistics, float(epsilon), slope, upsample
    )


def _slope_of(op: str, activation: str, alpha: Optional[float]) -> float:
    """The slope below zero."""
    if not isinstance(activation, str) or activation not in _SLOPES:
        raise ValueError(
            f"pygan.ops.{op}: `activation` is {activation!r}; it must be {', '.join(_SLOPES)}. "
            "Others are applied by pygan.ops.bias_act."
        )
    if alpha is None:
        return _SLOPES[activation]
    if activation != "lrelu":
        raise ValueError(
            f"pygan.ops.{op}: `alpha` is {alpha!r}, but `activation` is {activation!r}, which has "
            "a slope of its own; leave alpha out, or say activation='lrelu'."
        )
    check_number(op, "alpha", alpha)
    return float(alpha)


def _check_statistics(
    op: str,
    x: paddle.Tensor,
    mean: paddle.Tensor,
    variance: paddle.Tensor,
    own_statistics: Optional[str],
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The statistics, in the type that they are computed in."""
    samples, channels = x.shape[:2]
    legal = [[channels], [samples, channels]]
    why = "one number for each channel, or for each sample and channel"
    if own_statistics is not None:
        check_over(op, "own_statistics", own_statistics)
        legal = legal[:1] if own_statistics == "batch" else legal[1:]
        why = f"as norm_statistics(x, {own_statistics!r}) gives it"
    for name, t in (("mean", mean), ("variance", variance)):
        if t is None:
            raise TypeError(
                f"pygan.ops.{op}: `{name}` is None; it must be a paddle.Tensor, as "
                "pygan.ops.norm_statistics(x) gives it."
            )
        check_one_of(op, name, t, legal, why)
        _check_floating(op, name, t)
    if mean.ndim != variance.ndim:
        raise ValueError(
            f"pygan.ops.{op}: `mean` has shape {list(mean.shape)}, but `variance` "
            f"{list(variance.shape)}; they must have one shape."
        )
    dtype = statistics_dtype(x)
    mean, variance = (t if t.dtype == dtype else t.astype(dtype) for t in (mean, variance))
    if own_statistics is not None:
        mean, variance = mean.detach(), variance.detach()
    return mean, variance


def _check_maps(
    op: str,
    x: paddle.Tensor,
    gamma: Optional[paddle.Tensor],
    beta: Optional[paddle.Tensor],
    gamma_beta: Optional[paddle.Tensor],
    upsample: int,
) -> tuple[Optional[paddle.Tensor], Optional[paddle.Tensor]]:
    """gamma and beta, in the dtype of x; the two in one are gamma, with beta None."""
    samples, channels, height, width = x.shape
    size = [upsample * height, upsample * width]
    if gamma_beta is not None:
        if gamma is not None or beta is not None:
            other = "gamma" if gamma is not None else "beta"
            raise ValueError(
                f"pygan.ops.{op}: `gamma_beta` came with `{other}`; pass either both maps in one "
                "tensor or each in its own."
            )
        why = f"two maps for each channel of `x`, {upsample} times its size"
        check_one_of(op, "gamma_beta", gamma_beta, [[samples, 2 * channels, *size]], why)
        _check_floating(op, "gamma_beta", gamma_beta)
        return same_dtype(gamma_beta, x), None
    legal = [[samples, channels, *size], [channels], [samples, channels]]
    why = f"a map for each channel of `x`, {upsample} times its size, or one number"
    for name, t in (("gamma", gamma), ("beta", beta)):
        if t is not None:
            check_one_of(op, name, t, legal, why)
            _check_floating(op, name, t)
    return (
        None if gamma is None else same_dtype(gamma, x),
        None if beta is None else same_dtype(beta, x),
    )


def _spade_norm_ref(
    x: paddle.Tensor,
    mean: paddle.Tensor,
    variance: paddle.Tensor,
    gamma: Optional[paddle.Tensor],
    beta: Optional[paddle.Tensor],
    own_statistics: Optional[str],
    epsilon: float,
    slope: float,
    upsample: int,
) -> paddle.Tensor:
    """The operator as a composition of Paddle operators."""
    dtype = statistics_dtype(x)
    wide = x if x.dtype == dtype else x.astype(dtype)
    if own_statistics is not None:
        mean, variance = norm_statistics(wide, own_statistics, impl="ref")
    # Numbers as tensors: as attributes of Paddle 2's operators they would be float32.
    u = wide - _spread(mean)
    u = u * paddle.pow(_spread(variance) + paddle.full([1], epsilon, dtype), -0.5)
    u = _enlarged(u, upsample)
    if gamma is not None and gamma.ndim == 4 and gamma.shape[1] == 2 * x.shape[1]:
        gamma, beta = paddle.split(gamma, 2, axis=1)
    if gamma is not None:
        u = u * (_spread(gamma.astype(dtype)) + 1)
    if beta is not None:
        u = u + _spread(beta.astype(dtype))
    if slope != 1:
        positive = (u > 0).astype(dtype)
        positive.stop_gradient = True
        u = u * (positive + (1 - positive) * paddle.full([1], slope, dtype))
    return u if u.dtype == x.dtype else u.astype(x.dtype)


def _spread(t: paddle.Tensor) -> paddle.Tensor:
    """Numbers for each channel, or each sample and channel, as [1 or N, C, 1, 1]; maps as is."""
    if t.ndim == 4:
        return t
    return t.reshape([1, -1, 1, 1] if t.ndim == 1 else [*t.shape, 1, 1])


def _enlarged(x: paddle.Tensor, factor: int) -> paddle.Tensor:
    """Nearest neighbours, by an operator that Paddle differentiates as often as needed."""
    n, c, h, w = x.shape
    if factor == 1:
        return x.reshape(x.shape)
    if 0 in x.shape:
        return x.reshape([n, c, h * factor, w * factor])
    parts = x.reshape([n, c, h, 1, w, 1]).tile([1, 1, 1, factor, 1, factor])
    return parts.reshape([n, c, h * factor, w * factor])


def _check_floating(op: str, name: str, t: paddle.Tensor) -> None:
    if t.dtype not in FLOATING:
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is {t.dtype}; it must be float32, float64, float16 or "
            "bfloat16. Convert it with .astype('float32')."
        )
