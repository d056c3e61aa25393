"""Argument checks that several operators share; errors say what came and what is legal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import paddle

FLOATING = (paddle.float32, paddle.float64, paddle.float16, paddle.bfloat16)


def check_tensor(op: str, name: str, x: paddle.Tensor, ndim: int, dims: str) -> None:
    """Require a floating tensor of rank ``ndim``, whose axes are described by ``dims``."""
    if not isinstance(x, paddle.Tensor):
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is a {type(x).__name__}; it must be a paddle.Tensor {dims}."
        )
    if x.ndim != ndim:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(x.shape)}; it must have {ndim} axes, {dims}."
        )
    if x.dtype not in FLOATING:
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is {x.dtype}; it must be float32, float64, float16 or "
            f"bfloat16. Convert it with .astype('float32')."
        )


def check_shape(op: str, name: str, x: paddle.Tensor, shape: Sequence[int], why: str) -> None:
    """Require an exact shape, explained by ``why``."""
    if list(x.shape) != list(shape):
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(x.shape)}; it must be {list(shape)}, {why}."
        )


def pair(op: str, name: str, value: Union[int, Sequence[int]], minimum: int) -> tuple[int, int]:
    """An int or [y, x] pair as (y, x)."""
    values = [value, value] if isinstance(value, int) else list(value)
    if len(values) != 2 or any(not isinstance(v, int) or v < minimum for v in values):
        raise ValueError(
            f"pygan.ops.{op}: `{name}` is {value!r}; it must be an integer >= {minimum} or two of "
            f"them [vertical, horizontal]."
        )
    return values[0], values[1]


def same_dtype(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    """x in the dtype of ``like`` (a differentiable cast), or x itself."""
    return x if x.dtype == like.dtype else x.astype(like.dtype)


def optional_same_dtype(x: Optional[paddle.Tensor], like: paddle.Tensor) -> Optional[paddle.Tensor]:
    """`same_dtype` that passes None through."""
    return None if x is None else same_dtype(x, like)
