"""FIR filters: making them, and checking and converting those that an operator is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import paddle

from pygan.ops._checks import check_number, is_tensor

Filter = Union[paddle.Tensor, np.ndarray, None]


def setup_filter(
    f: Union[paddle.Tensor, np.ndarray, Sequence, float, None],
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: Optional[bool] = None,
) -> paddle.Tensor:
    """Make a FIR filter for the functions of this module.

    1. Make ``f`` an array: None is the identity ``[1]``, a number is one tap per axis.
    2. Unless ``separable``, turn 1-D taps into the 2-D filter ``outer(f, f)``.
    3. ``normalize``: divide by the sum, so that a constant image keeps its value.
    4. ``flip_filter``: reverse every axis.
    5. Multiply by ``gain ** (ndim / 2)``, so that the filter gains ``gain`` over both axes.

    Args:
        f: taps, 1-D (separable) ``[k]`` or 2-D ``[kh, kw]``, a number, or None.
        normalize: make the taps sum to one.
        flip_filter: reverse the filter.
        gain: gain of the filter over both axes together.
        separable: keep 1-D taps 1-D; by default for 8 taps and more, which two 1-D passes filter
            with fewer operations on every device.

    Returns:
        float32 tensor ``[k]`` (separable) or ``[kh, kw]``.

    Raises:
        TypeError: ``f`` or ``gain`` is not of numbers.
        ValueError: ``f`` is empty, not finite, has more than two axes, is 2-D with
            ``separable=True``, or sums to zero with ``normalize=True``; ``gain`` is negative.
    """
    try:
        taps = np.asarray(1 if f is None else to_numpy(f), dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"pygan.ops.setup_filter: `f` is {f!r}; it must be a number, or real numbers along one "
            "or two axes."
        ) from None
    if taps.ndim > 2 or taps.size == 0:
        raise ValueError(
            f"pygan.ops.setup_filter: `f` has shape {list(taps.shape)}; "
            "it must be a number, or hold at least one tap along one or two axes."
        )
    if not np.isfinite(taps).all():
        raise ValueError(f"pygan.ops.setup_filter: `f` is {f!r}; its taps must be finite numbers.")
    if taps.ndim == 0:
        taps = taps[None]
    if separable is None:
        separable = taps.ndim == 1 and taps.size >= 8
    if separable and taps.ndim == 2:
        raise ValueError(
            f"pygan.ops.setup_filter: `f` has shape {list(taps.shape)} with separable=True; "
            "a separable filter is given by its 1-D taps."
        )
    if not separable and taps.ndim == 1:
        taps = np.outer(taps, taps)
    if normalize:
        total = taps.sum()
        if total == 0:
            raise ValueError(
                "pygan.ops.setup_filter: the taps of `f` sum to 0 and cannot be normalized; "
                "pass normalize=False."
            )
        taps = taps / total
    if flip_filter:
        taps = np.flip(taps)
    check_number("setup_filter", "gain", gain)
    if gain < 0:
        raise ValueError(
            f"pygan.ops.setup_filter: `gain` is {gain}; it must be at least 0, since each axis "
            "takes its root."
        )
    taps = taps * gain ** (taps.ndim / 2)
    return paddle.to_tensor(np.ascontiguousarray(taps, dtype=np.float32))


def to_numpy(f: object) -> np.ndarray:
    """The taps in float32, or in the dtype of an array or a float64 tensor."""
    if isinstance(f, paddle.Tensor):
        return (f if f.dtype == paddle.float64 else f.astype("float32")).numpy()
    return np.asarray(f)


def is_constant_of_graph(f: object) -> bool:
    """Whether ``f`` is a tensor with values, met while a static graph is being built."""
    return isinstance(f, paddle.Tensor) and not paddle.in_dynamic_mode()


def to_tensor(f: Union[paddle.Tensor, np.ndarray]) -> paddle.Tensor:
    """The taps as the operators take them: float32, or float64 where they are given so."""
    if is_tensor(f) and not is_constant_of_graph(f):
        return f if f.dtype in (paddle.float32, paddle.float64) else f.astype("float32")
    taps = to_numpy(f)
    return paddle.to_tensor(taps if taps.dtype == np.float64 else taps.astype(np.float32))


def check_filter(op: str, f: object, name: str = "f") -> Union[paddle.Tensor, np.ndarray]:
    """A legal filter: ``f``, or the identity where it is None."""
    if f is None:
        return np.ones(1, np.float32)
    if not (is_tensor(f) or isinstance(f, np.ndarray)):
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is {type(f).__name__}; make a filter with "
            "pygan.ops.setup_filter(f), or pass None for no filter."
        )
    kind = str(f.dtype).replace("paddle.", "")
    if kind not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(
            f"pygan.ops.{op}: `{name}` holds {kind}; the taps of a filter are floating-point "
            "numbers, as pygan.ops.setup_filter(f) makes them."
        )
    if f.ndim not in (1, 2) or 0 in f.shape:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(f.shape)}; it must hold at least one tap, "
            "as [k] (separable) or [kh, kw]."
        )
    if is_tensor(f) and not f.stop_gradient:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` requires a gradient (stop_gradient is False), but the "
            "filter is a constant of this operator; pass f.detach()."
        )
    return f
