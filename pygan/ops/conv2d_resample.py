"""Convolution with optional ×up and ×down resampling through a FIR filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import paddle

from pygan.ops import _native
from pygan.ops._checks import check_shape, check_tensor, same_dtype
from pygan.ops._convolution import Epilogue, Resampling, cast_epilogue, native, reference


def conv2d_resample(
    x: paddle.Tensor,
    w: paddle.Tensor,
    f: Optional[paddle.Tensor] = None,
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
        f: filter of `pygan.ops.setup_filter`; needed when up or down is not 1.
        up, down: positive integers.
        padding: an integer, [x, y] or [x0, x1, y0, y1]; negative crops.
        groups: divides C and O.
        flip_weight: True for correlation (as `conv2d`), False for convolution.
        flip_filter: False for convolution with ``f``, as `pygan.ops.upfirdn2d`.
        bias, act, alpha, gain, clamp: as `pygan.ops.bias_act`, fused into the same pass.
        impl: 'auto', 'native' (compiled) or 'ref' (Paddle composition, any order of derivative).

    Returns:
        [N, O, H', W'].

    Raises:
        ValueError, TypeError: for arguments that do not fit; the message says which.

    Source: the resampling convolutions of Karras et al. 2020, "Analyzing and Improving the Image
    Quality of StyleGAN", appendix B.
    """
    op = "conv2d_resample"
    check_tensor(op, "x", x, 4, "[N, C, H, W]")
    resampling = check_weight_and_resampling(op, x, w, f, up, down, padding, groups, flip_filter)
    w = same_dtype(w, x)
    epilogue = Epilogue(bias=bias, act=act, alpha=alpha, gain=gain, clamp=clamp)
    check_epilogue(op, epilogue, x, w.shape[0])
    run = native if _native.use_native(impl, op, x) else reference
    return run(
        x,
        w,
        groups=groups,
        flip=not flip_weight,
        scale_in=None,
        resampling=resampling,
        epilogue=cast_epilogue(epilogue, x),
    )


def check_weight_and_resampling(
    op: str,
    x: paddle.Tensor,
    w: paddle.Tensor,
    f: Optional[paddle.Tensor],
    up: int,
    down: int,
    padding: Union[int, Sequence[int]],
    groups: int,
    flip_filter: bool,
) -> Resampling:
    """Check what `conv2d_resample` and `modulated_conv2d` share; complete the padding."""
    check_tensor(op, "w", w, 4, "[O, C/groups, kh, kw]")
    for name, factor in (("up", up), ("down", down)):
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"pygan.ops.{op}: `{name}` is {factor!r}; it must be an integer >= 1.")
    if not isinstance(groups, int) or groups < 1 or x.shape[1] % groups or w.shape[0] % groups:
        raise ValueError(
            f"pygan.ops.{op}: `groups` is {groups!r}; it must be a positive integer that divides "
            f"the {x.shape[1]} input and {w.shape[0]} output channels."
        )
    if w.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"pygan.ops.{op}: `w` has shape {list(w.shape)} and expects {w.shape[1] * groups} "
            f"input channels in {groups} groups, but `x` has {x.shape[1]}."
        )
    values = [padding] * 4 if isinstance(padding, int) else list(padding)
    if len(values) == 2:
        values = [values[0], values[0], values[1], values[1]]
    if len(values) != 4 or any(not isinstance(v, int) for v in values):
        raise ValueError(
            f"pygan.ops.{op}: `padding` is {padding!r}; it must be an integer, [x, y] or "
            f"[x0, x1, y0, y1]."
        )
    if f is None and (up > 1 or down > 1):
        f = paddle.ones([1], dtype="float32")
    if f is not None:
        if f.ndim not in (1, 2):
            raise ValueError(
                f"pygan.ops.{op}: the filter has shape {list(f.shape)}; it must be 1-D (separable) "
                f"or 2-D. Make it with pygan.ops.setup_filter."
            )
        fw, fh = f.shape[-1], f.shape[0]
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
    kh, kw = w.shape[2:]
    size = [x.shape[2] * up + values[2] + values[3], x.shape[3] * up + values[0] + values[1]]
    taken = [kh - 1, kw - 1]
    if f is not None:
        passes = int(up > 1) + int(down > 1)
        taken = [kh - 1 + passes * (f.shape[0] - 1), kw - 1 + passes * (f.shape[-1] - 1)]
    if size[0] <= taken[0] or size[1] <= taken[1]:
        raise ValueError(
            f"pygan.ops.{op}: kernel and filter cover {taken[0] + 1}x{taken[1] + 1} pixels, but "
            f"the padded input has only {size[0]}x{size[1]}; use a larger input or more padding."
        )
    return Resampling(up, down, f, values, flip_filter)


def _grow(padding: Sequence[int], *by: int) -> list[int]:
    return [p + b for p, b in zip(padding, by)]


def check_epilogue(op: str, e: Epilogue, x: paddle.Tensor, channels: int) -> None:
    """Check the tensors of the fused epilogue against [N, O] of the output."""
    if e.bias is not None:
        check_tensor(op, "bias", e.bias, 1, "[O]")
        check_shape(op, "bias", e.bias, [channels], "one number per output channel")
    if e.clamp is not None and not e.clamp >= 0:
        raise ValueError(
            f"pygan.ops.{op}: `clamp` is {e.clamp!r}; it must be None or a number >= 0."
        )
