"""norm_statistics: mean and variance of every channel, for spade_norm."""

from __future__ import annotations

import paddle

from pygan.ops import _native
from pygan.ops._checks import check_images

_AXES = {"batch": [0, 2, 3], "instance": [2, 3]}  # that are summed over
# Numbers of csrc/paddle/norm.cc.
OVER = {"batch": 0, "instance": 1}
_KIND = 0


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def norm_statistics(
    x: paddle.Tensor, over: str = "batch", *, impl: str = "auto"
) -> tuple[paddle.Tensor, paddle.Tensor]:
    r"""Mean and variance of every channel of a batch, or of every channel of every sample.

    .. math::
        mean = \frac{1}{M} \sum x, \qquad variance = \frac{1}{M} \sum (x - mean)^2

    over the M values that ``over`` names. The variance is the biased one, which normalises the
    values it is of to a mean square of exactly one. It is summed about the mean: values that are
    large beside their differences lose nothing to cancellation.

    Args:
        x: ``[N, C, H, W]``; float16, bfloat16, float32 or float64. The 16-bit types are summed in
            float32.
        over: 'batch' for batch normalisation, M = N·H·W; 'instance' for instance normalisation,
            M = H·W.
        impl: 'auto', 'native' (exact to second order; a third is silently incomplete, because
            Paddle drops it) or 'ref' (a composition of Paddle operators, exact to third order).

    Returns:
        mean and variance, ``[C]`` over the batch or ``[N, C]`` over instances; float64 if ``x`` is,
        else float32. Of no values at all, both are 0.

    Raises:
        TypeError: ``x`` is not a floating-point tensor.
        ValueError: ``x`` does not have four axes, or ``over`` or ``impl`` has another value.

    Source: Ioffe and Szegedy, "Batch Normalization" (2015), algorithm 1; Ulyanov et al., "Instance
    Normalization" (2016), equation 2.
    """
    op = "norm_statistics"
    check_images(op, x, "[N, C, H, W]")
    check_over(op, "over", over)
    use_native = _native.use_native(impl, op, x, "norm", cuda=False)
    if 0 in x.shape:  # Paddle has no means of nothing
        shape = [x.shape[1]] if over == "batch" else [x.shape[0], x.shape[1]]
        return paddle.zeros(shape, statistics_dtype(x)), paddle.zeros(shape, statistics_dtype(x))
    if use_native:
        both = _native.call("pg_norm", x, *[None] * 4, _KIND, OVER[over], 0, 0, 1, 1)
        return both[0], both[1]
    return _norm_statistics_ref(x, over)


def check_over(op: str, name: str, over: object) -> None:
    """Require one of `OVER`."""
    if not isinstance(over, str) or over not in OVER:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` is {over!r}; it must be 'batch' (one mean for each channel) "
            "or 'instance' (one for each sample and channel)."
        )


def statistics_dtype(x: paddle.Tensor) -> paddle.dtype:
    """The type in which the statistics of ``x`` are kept."""
    return paddle.float64 if x.dtype == paddle.float64 else paddle.float32


def _norm_statistics_ref(x: paddle.Tensor, over: str) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The operator as a composition of Paddle operators."""
    axes, dtype = _AXES[over], statistics_dtype(x)
    wide = x if x.dtype == dtype else x.astype(dtype)
    mean = wide.mean(axes, keepdim=True)
    centred = wide - mean
    variance = (centred * centred).mean(axes)  # paddle.square has no third derivative
    return mean.reshape(variance.shape), variance
