"""Convolution and transposed convolution whose gradients are exact to second order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional, Union

import paddle

from pygan.ops import _composed, _conv_ref, _native, _tuner
from pygan.ops._checks import (
    check_extent,
    check_groups,
    check_images,
    check_kernel,
    check_shape,
    check_tensor,
    optional_same_dtype,
    pair,
    same_dtype,
)
from pygan.ops._convolution import Epilogue, convolution
from pygan.ops.bias_act import resolve_activation

_IntPair = Union[int, Sequence[int]]


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def conv2d(
    x: paddle.Tensor,
    w: paddle.Tensor,
    bias: Optional[paddle.Tensor] = None,
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    dilation: _IntPair = 1,
    groups: int = 1,
    *,
    act: str = "linear",
    alpha: Optional[float] = None,
    gain: Optional[float] = None,
    clamp: Optional[float] = None,
    impl: str = "auto",
) -> paddle.Tensor:
    r"""2-D cross-correlation, as ``paddle.nn.functional.conv2d``, and an activation.

    .. math:: y_{n,o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v}\;
              x_{n,\,c,\;i\,stride + u\,dilation - pad,\;j\,stride + v\,dilation - pad}

    Differentiable twice; Paddle's own ``conv2d`` silently loses a second-order term when only ``w``
    lies on the path from the target to what is differentiated, which is what path-length
    regularisation meets.

    Args:
        x: [N, C, H, W]; float32, float64, float16 or bfloat16 (the latter two compute in float32).
        w: [O, C/groups, kh, kw], cast to the dtype of ``x``.
        bias: [O] or None.
        stride, padding, dilation: an integer or [vertical, horizontal].
        groups: divides C and O.
        act, alpha, gain, clamp: as `pygan.ops.bias_act`, in the same pass where ``act`` is linear,
            relu or lrelu. Mind the default gain of the rectifiers, sqrt(2).
        impl: 'auto', 'native' (compiled, exact to second order; a third is silently incomplete) or
            'ref' (Paddle composition, exact to third order).

    Returns:
        [N, O, H', W'] with H' = (H + 2·padding - dilation·(kh - 1) - 1) // stride + 1.

    Raises:
        ValueError, TypeError: for arguments that do not fit; the message says which.
    """
    op = "conv2d"
    check_images(op, x, "[N, C, H, W]")
    check_tensor(op, "w", w, 4, "[O, C/groups, kh, kw]")
    check_kernel(op, "w", w)
    stride, dilation = pair(op, "stride", stride, 1), pair(op, "dilation", dilation, 1)
    py, px = pair(op, "padding", padding, 0)
    groups = check_groups(op, groups, x.shape[1], w.shape[0])
    if w.shape[1] * groups != x.shape[1]:
        raise ValueError(
            f"pygan.ops.{op}: `w` has shape {list(w.shape)} and expects {w.shape[1] * groups} "
            f"input channels in {groups} groups, but `x` has {x.shape[1]}."
        )
    _check_window(op, x, w, (px, px, py, py), dilation)
    bias = _check_bias(op, bias, w.shape[0], x)
    resolve_activation(act, alpha, gain, clamp, op=op)
    epilogue = Epilogue(bias=bias, act=act, alpha=alpha, gain=gain, clamp=clamp)
    if _tuner.tuner is not None and impl == "auto":
        impl = _tuner.tuner.choose(
            op,
            (x, w, bias),
            (*stride, py, px, *dilation, groups, act, clamp is None),
            _again,
            (conv2d, act, alpha, gain, clamp, stride, (py, px), dilation, groups),
        )
    w = same_dtype(w, x)
    if not _native.use_native(impl, op, x):
        correlate = _composed.correlate if impl == _native.COMPOSED else _conv_ref.correlate
        y = correlate(x, w, stride, (px, px, py, py), dilation, groups)
        return epilogue.apply(y, "ref")
    return convolution(
        x,
        w,
        stride=stride,
        padding=(px, px, py, py),
        dilation=dilation,
        groups=groups,
        epilogue=epilogue,
    )


@paddle.jit.not_to_static
def conv_transpose2d(
    x: paddle.Tensor,
    w: paddle.Tensor,
    bias: Optional[paddle.Tensor] = None,
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    output_padding: _IntPair = 0,
    groups: int = 1,
    dilation: _IntPair = 1,
    *,
    act: str = "linear",
    alpha: Optional[float] = None,
    gain: Optional[float] = None,
    clamp: Optional[float] = None,
    impl: str = "auto",
) -> paddle.Tensor:
    r"""Transposed convolution, as ``paddle.nn.functional.conv2d_transpose``, and an activation.

    The adjoint of `conv2d` in its input: every ``x[n, c, i, j]`` adds ``x · w[c]`` to the output at
    (i·stride - padding, j·stride - padding). Differentiable twice; Paddle's own has no second order
    on the CPU.

    Args:
        x: [N, C, H, W]; float32, float64, float16 or bfloat16.
        w: [C, O/groups, kh, kw], cast to the dtype of ``x``.
        bias: [O] or None.
        stride, padding, dilation: an integer or [vertical, horizontal].
        output_padding: rows and columns added at the bottom and right; smaller than the stride or
            the dilation.
        groups: divides C and O.
        act, alpha, gain, clamp: as `pygan.ops.bias_act`, in the same pass where ``act`` is linear,
            relu or lrelu. Mind the default gain of the rectifiers, sqrt(2).
        impl: 'auto', 'native' (compiled, exact to second order; a third is silently incomplete) or
            'ref' (Paddle composition, exact to third order).

    Returns:
        [N, O, H', W'], H' = (H - 1)·stride - 2·padding + dilation·(kh - 1) + 1 + output_padding.

    Raises:
        ValueError, TypeError: for arguments that do not fit; the message says which.
    """
    op = "conv_transpose2d"
    check_images(op, x, "[N, C, H, W]")
    check_tensor(op, "w", w, 4, "[C, O/groups, kh, kw]")
    check_kernel(op, "w", w)
    stride, dilation = pair(op, "stride", stride, 1), pair(op, "dilation", dilation, 1)
    py, px = pair(op, "padding", padding, 0)
    extra = pair(op, "output_padding", output_padding, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"pygan.ops.{op}: `output_padding` is {output_padding!r}; it must be smaller than the "
            f"stride {list(stride)} or the dilation {list(dilation)}."
        )
    groups = check_groups(op, groups, x.shape[1])
    if w.shape[0] != x.shape[1]:
        raise ValueError(
            f"pygan.ops.{op}: `w` has shape {list(w.shape)} and expects {w.shape[0]} input "
            f"channels, but `x` has {x.shape[1]}."
        )
    bias = _check_bias(op, bias, w.shape[1] * groups, x)
    resolve_activation(act, alpha, gain, clamp, op=op)
    epilogue = Epilogue(bias=bias, act=act, alpha=alpha, gain=gain, clamp=clamp)
    kh, kw = w.shape[2:]
    size = [
        (x.shape[2] - 1) * stride[0] - 2 * py + dilation[0] * (kh - 1) + 1 + extra[0],
        (x.shape[3] - 1) * stride[1] - 2 * px + dilation[1] * (kw - 1) + 1 + extra[1],
    ]
    if min(size) < 1:
        raise ValueError(
            f"pygan.ops.{op}: `padding` {padding!r} leaves an output of {size[0]}x{size[1]}; "
            f"it must be smaller."
        )
    check_extent(op, "the output", *size)
    if _tuner.tuner is not None and impl == "auto":
        impl = _tuner.tuner.choose(
            op,
            (x, w, bias),
            (*stride, py, px, *extra, *dilation, groups, act, clamp is None),
            _again,
            (conv_transpose2d, act, alpha, gain, clamp, stride, (py, px), extra, groups, dilation),
        )
    w = same_dtype(w, x)
    if not _native.use_native(impl, op, x):
        of = _composed if impl == _native.COMPOSED else _conv_ref
        y = of.correlate_transposed(x, w, stride, (px, px, py, py), extra, dilation, groups)
        return epilogue.apply(y, "ref")
    return convolution(
        x,
        w,
        transposed=True,
        stride=stride,
        padding=(px, px - extra[1], py, py - extra[0]),
        dilation=dilation,
        groups=groups,
        epilogue=epilogue,
    )


def _again(
    impl: str,
    x: paddle.Tensor,
    w: paddle.Tensor,
    bias: Optional[paddle.Tensor],
    op: Callable[..., paddle.Tensor],
    *settings: Any,
) -> paddle.Tensor:
    """The call that the tuner times."""
    act, alpha, gain, clamp, *plain = settings
    activation = {"act": act, "alpha": alpha, "gain": gain, "clamp": clamp}
    return op(x, w, bias, *plain, **activation, impl=impl)


def _check_bias(
    op: str, bias: Optional[paddle.Tensor], channels: int, x: paddle.Tensor
) -> Optional[paddle.Tensor]:
    if bias is None:
        return None
    check_tensor(op, "bias", bias, 1, "[O]")
    check_shape(op, "bias", bias, [channels], "one number per output channel")
    return optional_same_dtype(bias, x)


def _check_window(
    op: str,
    x: paddle.Tensor,
    w: paddle.Tensor,
    padding: Sequence[int],
    dilation: Sequence[int],
) -> None:
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilation)]
    size = [x.shape[2] + padding[2] + padding[3], x.shape[3] + padding[0] + padding[1]]
    if size[0] < reach[0] or size[1] < reach[1]:
        raise ValueError(
            f"pygan.ops.{op}: the kernel covers {reach[0]}x{reach[1]} pixels, but the padded input "
            f"has only {size[0]}x{size[1]}; use a larger input or more padding."
        )
    check_extent(op, "the padded input", *size)
