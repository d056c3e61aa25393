"""Convolution with optional ×up and ×down resampling through a FIR filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional, Union

import paddle

from pygan.ops import _composed, _native, _tuner
from pygan.ops._checks import (
    check_extent,
    check_groups,
    check_images,
    check_kernel,
    check_one_of,
    check_shape,
    check_tensor,
    integer,
    same_dtype,
    sides,
)
from pygan.ops._convolution import Epilogue, Resampling, cast_epilogue, native, reference
from pygan.ops._filters import Filter, check_filter, to_tensor
from pygan.ops.bias_act import resolve_activation


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def conv2d_resample(
    x: paddle.Tensor,
    w: paddle.Tensor,
    f: Filter = None,
    up: int = 1,
    down: int = 1,
    padding: Union[int, Sequence[int]] = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
    *,
    bias: Optional[paddle.Tensor] = None,
    act: str = "linear",
    alpha: Optional[float] = None,
    gain: Optional[float] = None,
    clamp: Optional[float] = None,
    impl: str = "auto",
) -> paddle.Tensor:
    r"""Upsample by ``up``, convolve with ``w``, downsample by ``down``; then bias and activation.

    1. insert up-1 zeros after every pixel, pad (once, in pixels of this image), filter with ``f``
       and multiply by up²;
    2. correlate with ``w`` (``flip_weight=False``: true convolution);
    3. filter with ``f`` and keep every down-th pixel;
    4. ``clamp(gain · act(· + bias))``, as `pygan.ops.bias_act`.

    With an odd kernel of size k and ``padding=k//2`` the output has ``up/down`` times the size. The
    steps are done in the order that costs least; ×up and ×down are one operator each.

    Args:
        x: [N, C, H, W]; float32, float64, float16 or bfloat16.
        w: [O, C/groups, kh, kw], cast to the dtype of ``x``.
        f: filter of `pygan.ops.setup_filter`, for up and down; a constant, as in
            `pygan.ops.upfirdn2d`. None is the identity.
        up, down: positive integers.
        padding: an integer, [x, y] or [x0, x1, y0, y1]; negative crops.
        groups: divides C and O.
        flip_weight: True for correlation (as `conv2d`), False for convolution.
        flip_filter: False for convolution with ``f``, as `pygan.ops.upfirdn2d`.
        bias, act, alpha, gain, clamp: as `pygan.ops.bias_act`, fused into the same pass.
        impl: 'auto', 'native' (compiled, exact to second order; a third is silently incomplete) or
            'ref' (Paddle composition, exact to third order).

    Returns:
        [N, O, H', W'].

    Raises:
        ValueError, TypeError: for arguments that do not fit; the message says which.

    Source: the resampling convolutions of Karras et al. 2020, "Analyzing and Improving the Image
    Quality of StyleGAN", appendix B.
    """
    op = "conv2d_resample"
    check_images(op, x, "[N, C, H, W]")
    resampling, size = check_weight_and_resampling(
        op, x, w, f, up, down, padding, groups, flip_filter
    )
    epilogue = Epilogue(bias=bias, act=act, alpha=alpha, gain=gain, clamp=clamp)
    check_epilogue(op, epilogue, [x.shape[0], w.shape[0], *size])
    if _tuner.tuner is not None and impl == "auto":
        impl = _tuner.tuner.choose(
            op,
            (x, w, bias),
            tuning_attributes(resampling, flip_weight, epilogue, groups),
            _again,
            (f, up, down, padding, groups, flip_weight, flip_filter, act, alpha, gain, clamp),
        )
    run = select(impl, _native.use_native(impl, op, x))
    return run(
        x,
        same_dtype(w, x),
        groups=int(groups),
        flip=not flip_weight,
        scale_in=None,
        resampling=resampling,
        epilogue=cast_epilogue(epilogue, x),
    )


def _again(
    impl: str,
    x: paddle.Tensor,
    w: paddle.Tensor,
    bias: Optional[paddle.Tensor],
    *settings: Any,
) -> paddle.Tensor:
    """The call that the tuner times."""
    *plain, act, alpha, gain, clamp = settings
    activation = {"act": act, "alpha": alpha, "gain": gain, "clamp": clamp}
    return conv2d_resample(x, w, *plain, bias=bias, **activation, impl=impl)


def select(impl: str, use_native: bool) -> Callable[..., paddle.Tensor]:
    """What computes a resampled convolution."""
    if use_native:
        return native
    return _composed.resampled if impl == _native.COMPOSED else reference


def tuning_attributes(r: Resampling, flip_weight: bool, e: Epilogue, groups: int) -> tuple:
    """What the speed of `conv2d_resample` and `modulated_conv2d` depends on, besides shapes."""
    taps = None if r.f is None else tuple(r.f.shape)
    return (r.up, r.down, *r.padding, taps, bool(flip_weight), int(groups), e.act, e.clamp is None)


def check_weight_and_resampling(
    op: str,
    x: paddle.Tensor,
    w: paddle.Tensor,
    f: Filter,
    up: int,
    down: int,
    padding: Union[int, Sequence[int]],
    groups: int,
    flip_filter: bool,
    *,
    names: tuple[str, str] = ("w", "f"),
) -> tuple[Resampling, list[int]]:
    """Check what `conv2d_resample` and `modulated_conv2d` share.

    ``names`` are those of ``w`` and ``f`` in the function that was called. Returns the resampling,
    its padding completed, and the size [H', W'] of the output.
    """
    name_w, name_f = names
    check_tensor(op, name_w, w, 4, "[O, C/groups, kh, kw]")
    check_kernel(op, name_w, w)
    up, down = integer(op, "up", up, 1), integer(op, "down", down, 1)
    groups = check_groups(op, groups, x.shape[1], w.shape[0])
    if w.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"pygan.ops.{op}: `{name_w}` has shape {list(w.shape)} and expects "
            f"{w.shape[1] * groups} input channels in {groups} groups, but `x` has {x.shape[1]}."
        )
    values = sides(op, padding)
    taps: Optional[paddle.Tensor] = None
    taken = [w.shape[2] - 1, w.shape[3] - 1]
    if f is not None:
        check_filter(op, f, name_f)
    if up > 1 or down > 1:
        taps = to_tensor(check_filter(op, f, name_f))
        fh, fw = taps.shape[0], taps.shape[-1]
        if up > 1:
            values = _grow(
                values, (fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2
            )
        if down > 1:
            values = _grow(
                values,
                (fw - down + 1) // 2,
                (fw - down) // 2,
                (fh - down + 1) // 2,
                (fh - down) // 2,
            )
        passes = int(up > 1) + int(down > 1)
        taken = [taken[0] + passes * (fh - 1), taken[1] + passes * (fw - 1)]
    size = [x.shape[2] * up + values[2] + values[3], x.shape[3] * up + values[0] + values[1]]
    if size[0] <= taken[0] or size[1] <= taken[1]:
        raise ValueError(
            f"pygan.ops.{op}: kernel and filter cover {taken[0] + 1}x{taken[1] + 1} pixels, but "
            f"the padded input has only {size[0]}x{size[1]}; use a larger input or more padding."
        )
    check_extent(op, "the upsampled and padded input", *size)
    out = [(s - t - 1) // down + 1 for s, t in zip(size, taken)]
    return Resampling(up, down, taps, values, bool(flip_filter)), out


def _grow(padding: Sequence[int], *by: int) -> list[int]:
    return [p + b for p, b in zip(padding, by)]


def check_epilogue(op: str, e: Epilogue, shape: Sequence[int]) -> None:
    """Check the fused epilogue against the [N, O, H', W'] that the convolution makes."""
    resolve_activation(e.act, e.alpha, e.gain, e.clamp, op=op)
    if e.bias is not None:
        check_tensor(op, "bias", e.bias, 1, "[O]")
        check_shape(op, "bias", e.bias, [shape[1]], "one number per output channel")
    if e.noise is not None:
        n, _, h, w = shape
        legal = [[n, 1, h, w], [1, 1, h, w], [h, w]]
        check_one_of(
            op, "noise", e.noise, legal, "one map per sample of the output, or one for all"
        )
    if e.strength is not None:
        why = "one factor for the whole noise"
        check_one_of(op, "noise_strength", e.strength, [[], [1]], why)
        if e.noise is None:
            raise ValueError(
                f"pygan.ops.{op}: `noise_strength` came without `noise`; pass the noise that it "
                "multiplies, or leave it out."
            )
