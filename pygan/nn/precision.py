"""Half precision inside networks whose weights, latent codes and images stay in float32.

Paddle has no addition of float16 or bfloat16 tensors on the CPU. Where two branches meet, in a sum
or, going backwards, in the gradient of a tensor that is used twice, they meet in float32 there.
"""

from __future__ import annotations

from typing import Any

import paddle

HALF_TYPES = ("float16", "bfloat16")


def is_half(x: paddle.Tensor) -> bool:
    """Whether a tensor is float16 or bfloat16."""
    return x.dtype in (paddle.float16, paddle.bfloat16)


def to_type(x: paddle.Tensor, dtype: Any) -> paddle.Tensor:
    """A tensor in a type, itself if it has that one already."""
    return x if x.dtype == dtype else x.astype(dtype)


def fork(x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    """A tensor for two branches."""
    if is_half(x) and x.place.is_cpu_place():
        wide = x.astype("float32")
        return wide.astype(x.dtype), wide.astype(x.dtype)
    return x, x


def join(a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
    """a + b, of one type."""
    if is_half(a) and a.place.is_cpu_place():
        return (a.astype("float32") + b.astype("float32")).astype(a.dtype)
    return a + b
