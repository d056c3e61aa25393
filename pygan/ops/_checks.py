"""Argument checks that several operators share; errors say what came and what is legal."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
import paddle

if TYPE_CHECKING:
    from typing import TypeGuard  # Python 3.10

# What csrc/ counts pixels and steps of one axis with.
LARGEST = 2**31 - 1
FLOATING = (paddle.float32, paddle.float64, paddle.float16, paddle.bfloat16)


def is_tensor(x: Any) -> TypeGuard[paddle.Tensor]:
    """Whether x is a tensor: eager, or of the static graph that is being built."""
    return hasattr(x, "stop_gradient")


def check_tensor(op: str, name: str, x: paddle.Tensor, ndim: int, dims: str) -> None:
    """Require a floating tensor of rank ``ndim``, whose axes are described by ``dims``."""
    if not is_tensor(x):
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


def check_images(op: str, x: paddle.Tensor, dims: str, name: str = "x") -> None:
    """`check_tensor` for [N, C, H, W], of which a static graph may leave only N open."""
    check_tensor(op, name, x, 4, dims)
    if min(x.shape[1:]) < 0:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(x.shape)} in this static graph; all but the "
            "first axis must be known. Give them in paddle.static.InputSpec."
        )


def check_constant(op: str, name: str, x: paddle.Tensor, ndim: int, dims: str) -> None:
    """Require finite float64 numbers of rank ``ndim`` that want no gradient.

    Whether they are finite is seen only where no device has to be waited for.
    """
    if is_tensor(x) and x.dtype in FLOATING and x.dtype != paddle.float64:
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is {x.dtype}; it must be float64. Convert it with "
            ".astype('float64'), or better, compute it in float64."
        )
    check_tensor(op, name, x, ndim, dims)
    if not x.stop_gradient:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` requires a gradient (stop_gradient is False), but it is a "
            f"constant of this operator; pass {name}.detach()."
        )
    if paddle.in_dynamic_mode() and x.place.is_cpu_place() and not np.isfinite(x.numpy()).all():
        raise ValueError(
            f"pygan.ops.{op}: `{name}` holds numbers that are not finite, first for sample "
            f"{int(np.argmin(np.isfinite(x.numpy()).all(axis=1)))}."
        )


def same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes agree, where -1 is a size that a static graph leaves open."""
    return len(a) == len(b) and all(i == j or -1 in (i, j) for i, j in zip(a, b))


def check_shape(op: str, name: str, x: paddle.Tensor, shape: Sequence[int], why: str) -> None:
    """Require an exact shape, explained by ``why``."""
    if not same_shape(x.shape, shape):
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(x.shape)}; it must be {list(shape)}, {why}."
        )


def check_one_of(
    op: str, name: str, x: paddle.Tensor, legal: Sequence[Sequence[int]], why: str
) -> None:
    """Require a tensor of one of the ``legal`` shapes, explained by ``why``."""
    if not is_tensor(x):
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is a {type(x).__name__}; it must be a paddle.Tensor of "
            f"shape {' or '.join(map(str, legal))}, or None."
        )
    shape = list(x.shape)
    if not any(same_shape(shape, other) for other in legal):
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {shape}; it must be "
            f"{' or '.join(map(str, legal))}, {why}."
        )


def integers(value: object) -> Optional[list[int]]:
    """The integers in a number or a sequence, or None where there is anything else."""
    items: list[Any] = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]
    if all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in items):
        return [int(i) for i in items] if all(abs(int(i)) <= LARGEST for i in items) else None
    return None


def integer(op: str, name: str, value: int, minimum: int) -> int:
    """An integer of at least ``minimum``."""
    items = integers(value)
    if items is None or np.ndim(value) or items[0] < minimum:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` is {value!r}; it must be an integer >= {minimum}"
            f"{_and_small(value)}."
        )
    return items[0]


def pair(
    op: str,
    name: str,
    value: Union[int, Sequence[int]],
    minimum: int,
    axes: str = "[vertical, horizontal]",
) -> tuple[int, int]:
    """An integer, or two of them in the order that ``axes`` names, as two."""
    items = integers(value)
    if items is None or len(items) not in (1, 2) or min(items) < minimum:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` is {value!r}; it must be an integer >= {minimum} or two of "
            f"them, {axes}{_and_small(value)}."
        )
    return items[0], items[-1]


def sides(op: str, value: Union[int, Sequence[int]]) -> list[int]:
    """Padding given as an integer, [x, y] or [x0, x1, y0, y1], as the last of these."""
    items = integers(value)
    if items is None or len(items) not in (1, 2, 4):
        raise ValueError(
            f"pygan.ops.{op}: `padding` is {value!r}; it must be an integer, [x, y] or "
            f"[x0, x1, y0, y1]{_and_small(value)}."
        )
    if len(items) == 4:
        return items
    return [items[0], items[0], items[-1], items[-1]]


def check_number(op: str, name: str, value: object) -> None:
    """Require a real number: a tensor would lose its gradient without a word."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is a {type(value).__name__}; it must be a number (no "
            f"gradient flows to it)."
        )


def check_extent(op: str, what: str, *extents: int) -> None:
    """Require sizes that the operators can count."""
    if max(extents) > LARGEST:
        raise ValueError(
            f"pygan.ops.{op}: {what} is {'x'.join(map(str, extents))} pixels; each side must be "
            f"below 2**31."
        )


def check_groups(op: str, groups: int, ci: int, co: Optional[int] = None) -> int:
    """Require a number of groups that divides the numbers of channels."""
    items = integers(groups)
    if items is None or np.ndim(groups) or items[0] < 1 or any(c % items[0] for c in (ci, co or 0)):
        channels = f"{ci} input" if co is None else f"{ci} input and {co} output"
        raise ValueError(
            f"pygan.ops.{op}: `groups` is {groups!r}; it must be a positive integer that divides "
            f"the {channels} channels."
        )
    return items[0]


def check_kernel(op: str, name: str, w: paddle.Tensor) -> None:
    """Require a kernel that covers at least one pixel."""
    if 0 in w.shape[2:]:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(w.shape)}; its kernel must cover at least "
            f"1x1 pixels."
        )


def _and_small(value: object) -> str:
    """', below 2**31', where ``value`` is an integer that is not."""
    items = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]
    large = any(isinstance(i, (int, np.integer)) and abs(int(i)) > LARGEST for i in items)
    return ", below 2**31" if large else ""


def same_dtype(x: paddle.Tensor, like: paddle.Tensor) -> paddle.Tensor:
    """x in the dtype of ``like`` (a differentiable cast), or x itself."""
    return x if x.dtype == like.dtype else x.astype(like.dtype)


def optional_same_dtype(x: Optional[paddle.Tensor], like: paddle.Tensor) -> Optional[paddle.Tensor]:
    """`same_dtype` that passes None through."""
    return None if x is None else same_dtype(x, like)
