"""The native convolution operator: one multilinear form for every convolution of pygan.

    u = C(x · s, w)                 C: strided, transposed, ×up with FIR, or FIR then ×down
    y = clamp(gain · act(d · u + strength · noise + bias))

It is linear in x, s, w and d before the activation; csrc/modulated_conv2d/ computes it and its
first and second derivatives with three engines: forward, input gradient and weight gradient.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional

import paddle

from pygan.ops import _conv_ref, _native
from pygan.ops._checks import optional_same_dtype
from pygan.ops.bias_act import ACTIVATIONS, bias_act
from pygan.ops.upfirdn2d import upfirdn2d

_IS_PADDLE_2 = paddle.__version__.startswith("2.")

# The numbers of csrc/modulated_conv2d/modulated_conv2d.h.
MODE_CONV, MODE_TRANSPOSED, MODE_UP, MODE_DOWN = 0, 1, 2, 3
_SPEC = 24  # numbers of the attribute `spec` of csrc/paddle/conv2d_spec.h


@dataclass
class Epilogue:
    """What follows the convolution in the same pass over memory; see `pygan.ops.bias_act`."""

    scale: Optional[paddle.Tensor] = None  # [N, O]
    noise: Optional[paddle.Tensor] = None  # [N or 1, 1, H, W]
    strength: Optional[paddle.Tensor] = None  # [1]
    bias: Optional[paddle.Tensor] = None  # [O]
    act: str = "linear"
    alpha: Optional[float] = None
    gain: Optional[float] = None
    clamp: Optional[float] = None

    def is_identity(self) -> bool:
        """Whether the epilogue changes nothing."""
        return (
            all(t is None for t in (self.scale, self.noise, self.bias, self.clamp))
            and self.act == "linear"
            and self.gain in (None, 1.0)
        )

    def is_fusible(self) -> bool:
        """Whether the convolution can take it in: its gradient reads the slope off the output."""
        if self.act not in ("linear", "relu", "lrelu"):
            return False
        keeps_sign = (self.gain is None or self.gain > 0) and (
            self.alpha is None or self.alpha >= 0
        )
        return self.act == "linear" or keeps_sign

    def apply(self, u: paddle.Tensor, impl: str) -> paddle.Tensor:
        """The epilogue as an operator of its own."""
        if self.is_identity():
            return u
        return bias_act(
            u,
            self.bias,
            act=self.act,
            alpha=self.alpha,
            gain=self.gain,
            clamp=self.clamp,
            scale=self.scale,
            noise=self.noise,
            strength=self.strength,
            impl=impl,
        )


@dataclass
class Resampling:
    """×up before, or ×down after, the convolution, with FIR taps f; padding [x0, x1, y0, y1]."""

    up: int
    down: int
    f: Optional[paddle.Tensor]
    padding: Sequence[int]
    flip_filter: bool = False


class Modulated(NamedTuple):
    """What a demodulated convolution is given of its weights and styles."""

    w: paddle.Tensor
    s: paddle.Tensor
    d: paddle.Tensor  # [N, O], the scale of the epilogue
    staged: Optional[paddle.Tensor] = None  # what a GPU multiplies: `staged` of pg_conv2d


#: Makes it; given x and ``spec`` of the convolution, in the launch that stages its operands.
Modulate = Callable[[Optional[paddle.Tensor], Sequence[int]], Modulated]


def _need(x: Optional[paddle.Tensor]) -> int:
    return 0 if x is None or x.stop_gradient else 1


def convolution(
    x: paddle.Tensor,
    w: paddle.Tensor,
    *,
    mode: int = MODE_CONV,
    transposed: bool = False,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    flip: bool = False,
    scale_in: Optional[paddle.Tensor] = None,
    resampling: Optional[Resampling] = None,
    epilogue: Optional[Epilogue] = None,
    modulate: Optional[Modulate] = None,
) -> paddle.Tensor:
    """Run the native operator. The public functions have checked the arguments.

    ``padding`` is [left, right, top, bottom] of the correlation, or, with ``transposed``, what is
    cut from the full output. ``flip`` turns the correlation into a true convolution. What
    ``modulate`` makes takes the place of ``w``, ``scale_in`` and the epilogue's scale.
    """
    e = epilogue or Epilogue()
    if transposed:
        mode = MODE_TRANSPOSED
    if _IS_PADDLE_2 and x.shape[0] == 0:  # which has no empty results
        size = _output_size(x, w, mode, stride, padding, dilation, resampling)
        channels = w.shape[1] * groups if transposed else w.shape[0]
        return paddle.zeros([0, channels, *size], dtype=x.dtype)
    fused = e.is_fusible()
    taps: Optional[paddle.Tensor] = None
    fir = [0, 0, 0, 0, 0]
    if resampling is not None:
        taps = resampling.f
        fir = [int(p) for p in resampling.padding] + [int(resampling.flip_filter)]
    geometry = [
        mode,
        stride[0],
        stride[1],
        dilation[0],
        dilation[1],
        *padding,
        groups,
        int(flip),
        *fir,
    ]
    geometry = [int(v) for v in geometry]
    staged: Optional[paddle.Tensor] = None
    if modulate is not None:
        w, scale_in, d, staged = modulate(x, [*geometry, *([0] * (_SPEC - len(geometry)))])
        e = dataclasses.replace(e, scale=d)
    head = e if fused else Epilogue()
    noise, strength = head.noise, head.strength
    spec = [
        *geometry,
        ACTIVATIONS[head.act].number,
        *(_need(t) for t in (x, w, scale_in, head.scale, noise, strength, head.bias)),
    ]
    activation = ACTIVATIONS[head.act]
    alpha = activation.alpha if head.alpha is None else head.alpha
    gain = activation.gain if head.gain is None else head.gain
    clamp = -1.0 if head.clamp is None else head.clamp
    y = _native.call(
        "pg_conv2d",
        x,
        w,
        scale_in,
        head.scale,
        noise,
        strength,
        head.bias,
        taps,
        staged,
        spec,
        _native.double_bits(alpha),
        _native.double_bits(gain),
        _native.double_bits(clamp),
    )
    return y if fused else e.apply(y, "native")


def _output_size(
    x: paddle.Tensor,
    w: paddle.Tensor,
    mode: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    resampling: Optional[Resampling],
) -> list[int]:
    """[H', W'], as infer_output_size of csrc/modulated_conv2d/linear_conv.cpp."""
    sides = padding if resampling is None else resampling.padding
    taps = [1, 1]
    if resampling is not None and resampling.f is not None:
        taps = [resampling.f.shape[0], resampling.f.shape[-1]]
    size = []
    for axis in (0, 1):
        extent, step = x.shape[2 + axis], stride[axis]
        reach = (w.shape[2 + axis] - 1) * dilation[axis] + 1
        around = sides[2 - 2 * axis] + sides[3 - 2 * axis]
        if mode == MODE_TRANSPOSED:
            size.append((extent - 1) * step + reach - around)
        elif mode == MODE_UP:
            size.append((extent - 1) * step + reach + around - (taps[axis] - 1))
        else:
            size.append((extent + around - (taps[axis] - 1) - reach) // step + 1)
    return size


def cast_epilogue(e: Epilogue, x: paddle.Tensor) -> Epilogue:
    """The epilogue with its tensors in the dtype of ``x`` and in the operator's shapes."""
    noise = optional_same_dtype(e.noise, x)
    strength = optional_same_dtype(e.strength, x)
    if noise is not None and noise.ndim == 2:
        noise = noise.unsqueeze([0, 1])
    if strength is not None:
        strength = strength.reshape([1])
    return Epilogue(
        scale=optional_same_dtype(e.scale, x),
        noise=noise,
        strength=strength,
        bias=optional_same_dtype(e.bias, x),
        act=e.act,
        alpha=e.alpha,
        gain=e.gain,
        clamp=e.clamp,
    )


def reference(
    x: paddle.Tensor,
    w: paddle.Tensor,
    *,
    groups: int,
    flip: bool,
    scale_in: Optional[paddle.Tensor],
    resampling: Resampling,
    epilogue: Epilogue,
) -> paddle.Tensor:
    """The composition that specifies resampled convolution: FIR-up, correlate, FIR-down.

    The padding of ``resampling`` is applied once, in pixels of the upsampled image.
    """
    r = resampling
    if scale_in is not None:
        x = x * scale_in.reshape([*scale_in.shape, 1, 1])
    if flip:
        w = paddle.flip(w, [2, 3])
    if r.up > 1 or any(r.padding):
        x = upfirdn2d(
            x,
            r.f if r.up > 1 else None,
            up=r.up,
            padding=list(r.padding),
            flip_filter=r.flip_filter,
            gain=r.up**2,
            impl="ref",
        )
    u = _conv_ref.correlate(x, w, groups=groups)
    if r.down > 1:
        u = upfirdn2d(u, r.f, down=r.down, flip_filter=r.flip_filter, impl="ref")
    return epilogue.apply(u, "ref")


def native(
    x: paddle.Tensor,
    w: paddle.Tensor,
    *,
    groups: int,
    flip: bool,
    scale_in: Optional[paddle.Tensor],
    resampling: Resampling,
    epilogue: Epilogue,
    modulate: Optional[Modulate] = None,
) -> paddle.Tensor:
    """The same as `reference` through the compiled operators, in the order that costs least.

    What ``modulate`` makes takes the place of ``w``, ``scale_in`` and the epilogue's scale.
    """
    r = resampling
    kh, kw = w.shape[2:]
    x0, x1, y0, y1 = r.padding
    pointwise = kh == kw == 1
    # Where the epilogue waits for a filter of its own, the scale must be there before.
    if modulate is not None and r.up > 1 and (pointwise or r.down > 1):
        w, scale_in, d, _ = modulate(None, [])
        epilogue, modulate = dataclasses.replace(epilogue, scale=d), None
    fir = functools.partial(upfirdn2d, f=r.f, flip_filter=r.flip_filter, impl="native")
    alone = functools.partial(convolution, w=w, groups=groups, flip=flip, scale_in=scale_in)
    convolve = functools.partial(alone, epilogue=epilogue, modulate=modulate)
    if r.up == 1 and r.down == 1:
        return convolve(x, padding=r.padding)
    if pointwise and r.up == 1:  # filter and drop samples first: the convolution sees fewer
        return convolve(fir(x, down=r.down, padding=list(r.padding)))
    if pointwise and r.down == 1:  # convolve first, for the same reason
        u = fir(alone(x), up=r.up, padding=list(r.padding), gain=r.up**2)
        return epilogue.apply(u, "native")
    if r.up > 1:
        # Correlating the zero-inserted image is a transposed convolution, whose full output starts
        # k-1 pixels earlier and ends k-up pixels later.
        after = [x0 - (kw - 1), x1 - (kw - r.up), y0 - (kh - 1), y1 - (kh - r.up)]
        step = Resampling(r.up, 1, r.f, after, r.flip_filter)
        factor = (r.up, r.up)
        if r.down == 1:
            return convolve(x, mode=MODE_UP, stride=factor, resampling=step)
        u = fir(alone(x, mode=MODE_UP, stride=factor, resampling=step), down=r.down)
        return epilogue.apply(u, "native")
    return convolve(x, mode=MODE_DOWN, stride=(r.down, r.down), resampling=r)
