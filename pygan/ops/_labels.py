"""What the operators on maps of integers share: checks, and what the kernels take."""

from __future__ import annotations

import numpy as np
import paddle

from pygan.ops import _native
from pygan.ops._checks import is_tensor

_INTEGERS = (paddle.int32, paddle.int64, paddle.uint8, paddle.int16, paddle.int8)
# The attribute `spec` of csrc/paddle/label.cc: the kind, then a convolution's numbers.
KIND_CONVOLUTION = 0
MEAN_SPEC = [1, *[1] * 6, *[0] * 5]
EDGES_SPEC = [2, *MEAN_SPEC[1:]]


def check_map(op: str, name: str, ids: paddle.Tensor) -> paddle.Tensor:
    """Require integers ``[N, H, W]``; they come back as int32 or int64."""
    if not is_tensor(ids):
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is a {type(ids).__name__}; it must be a paddle.Tensor of "
            "integers [N, H, W]."
        )
    if ids.dtype not in _INTEGERS:
        raise TypeError(
            f"pygan.ops.{op}: `{name}` is {ids.dtype}; it must hold integers: int32, int64, uint8, "
            "int16 or int8. Convert it with .astype('int32')."
        )
    if ids.ndim != 3:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(ids.shape)}; it must have 3 axes, "
            "[N, H, W], without one of channels."
        )
    if min(ids.shape[1:]) < 0:
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has shape {list(ids.shape)} in this static graph; all but "
            "the first axis must be known. Give them in paddle.static.InputSpec."
        )
    return ids if ids.dtype in (paddle.int32, paddle.int64) else ids.astype("int32")


def check_range(op: str, name: str, ids: paddle.Tensor, count: int) -> None:
    """Require ids from -1 to ``count`` - 1, where no device has to be waited for to see them."""
    if not paddle.in_dynamic_mode():
        return
    if (_native.only_cpu() or ids.place.is_cpu_place()) and not _legal(ids.numpy(), count):
        values = ids.numpy()
        sample, y, x = np.argwhere((values < -1) | (values >= count))[0]
        raise ValueError(
            f"pygan.ops.{op}: `{name}` has {values[sample, y, x]} at row {y}, column {x} of sample "
            f"{sample}; ids must be from 0 to {count - 1}, or -1 for no label. Map what the data "
            "set ignores (often 255) to -1 or to a label of its own."
        )


def _legal(values: np.ndarray, count: int) -> bool:
    return bool(values.size == 0 or (values.min() >= -1 and values.max() < count))
