"""label_conv2d: the convolution of a label map, without its one-hot planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import paddle

from pygan.ops import _conv_ref, _native
from pygan.ops._checks import (
    check_extent,
    check_kernel,
    check_shape,
    check_tensor,
    optional_same_dtype,
    pair,
)
from pygan.ops._labels import KIND_CONVOLUTION, check_map, check_range

_IntPair = Union[int, Sequence[int]]


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def label_conv2d(
    labels: paddle.Tensor,
    weight: paddle.Tensor,
    bias: Optional[paddle.Tensor] = None,
    *,
    stride: _IntPair = 1,
    padding: _IntPair = 0,
    impl: str = "auto",
) -> paddle.Tensor:
    r"""2-D cross-correlation of a label map's one-hot planes, which are never made.

    .. math:: y_{n,o,i,j} = b_o + \sum_{u,v} w_{o,\,l(u, v),\,u,\,v}, \qquad
              l(u, v) = labels_{n,\;i\,stride + u - pad,\;j\,stride + v - pad}

    where taps beyond the border, and those that meet -1, add nothing. It equals
    ``conv2d(one_hot(labels), weight, bias, stride, padding)``, borders included, but reads one
    column of the weight per tap instead of multiplying all of them.

    The operator is linear in ``weight`` and ``bias``, which have gradients; labels have none.
    The gradient of the weight is summed in an order that does not depend on the number of threads.

    Args:
        labels: integers ``[N, H, W]`` (int32, int64, uint8, int16 or int8), from 0 to L - 1, or -1
            for no label: a pixel of zeros.
        weight: ``[O, L, kh, kw]``, as the dense convolution's; float32, float64, float16 or
            bfloat16 (the latter two are summed in float32).
        bias: ``[O]``, cast to the weight's dtype, or None.
        stride, padding: an integer or [vertical, horizontal]; the padding has no label. For
            another kind pad the labels themselves.
        impl: 'auto', 'native' (compiled, exact to second order; a third is silently incomplete) or
            'ref' (a composition of Paddle operators that makes the one-hot planes, exact to any).

    Returns:
        ``[N, O, H', W']`` of the weight's dtype, H' = (H + 2·padding - kh) // stride + 1.

    Raises:
        TypeError: ``labels`` are not integers, or ``weight`` or ``bias`` not floating.
        ValueError: a shape does not fit, or a label is out of range. That is seen where no device
            has to be waited for; on a GPU such a label counts as none.

    Source: the first convolution of a SPADE block (Park et al. 2019, "Semantic Image Synthesis with
    Spatially-Adaptive Normalization", section 3), rewritten as a sum of columns.
    """
    op = "label_conv2d"
    labels = check_map(op, "labels", labels)
    check_tensor(op, "weight", weight, 4, "[O, L, kh, kw]")
    check_kernel(op, "weight", weight)
    if weight.shape[1] == 0:
        raise ValueError(
            f"pygan.ops.{op}: `weight` has shape {list(weight.shape)}; there must be at least one "
            "label."
        )
    if bias is not None:
        check_tensor(op, "bias", bias, 1, "[O]")
        check_shape(op, "bias", bias, [weight.shape[0]], "one number per output channel")
    stride, padding = pair(op, "stride", stride, 1), pair(op, "padding", padding, 0)
    size = [side + 2 * p for side, p in zip(labels.shape[1:], padding)]
    check_extent(op, "the padded label map", *size)
    if any(side < k for side, k in zip(size, weight.shape[2:])):
        raise ValueError(
            f"pygan.ops.{op}: the kernel covers {weight.shape[2]}x{weight.shape[3]} pixels, but "
            f"the padded label map has only {size[0]}x{size[1]}; use a larger map or more padding."
        )
    check_range(op, "labels", labels, weight.shape[1])
    bias = optional_same_dtype(bias, weight)
    use_native = _native.use_native(impl, op, weight, "label", cuda=False)
    if 0 in (labels.shape[0], weight.shape[0]):  # Paddle 2 has no kernels for empty tensors
        size = [(a - k) // s + 1 for a, k, s in zip(size, weight.shape[2:], stride)]
        return paddle.zeros([labels.shape[0], weight.shape[0], *size], weight.dtype)
    if use_native:
        # Which gradients will be wanted, since Paddle does not tell the gradient kernels.
        needs = [int(t is not None and not t.stop_gradient) for t in (weight, bias)]
        geometry = [*weight.shape, *stride, *padding]
        spec = [KIND_CONVOLUTION, *geometry, *needs, int(bias is not None)]
        return _native.call("pg_label", weight, labels, bias, spec)
    return _label_conv2d_ref(labels, weight, bias, stride, padding)


def _label_conv2d_ref(
    labels: paddle.Tensor,
    weight: paddle.Tensor,
    bias: Optional[paddle.Tensor],
    stride: Sequence[int],
    padding: Sequence[int],
) -> paddle.Tensor:
    """The one-hot planes, correlated."""
    dtype = paddle.float64 if weight.dtype == paddle.float64 else paddle.float32
    n, height, width = labels.shape
    count = weight.shape[1]
    w = weight if weight.dtype == dtype else weight.astype(dtype)
    every = paddle.arange(count).astype(labels.dtype).reshape([1, count, 1, 1])
    one_hot = paddle.equal(labels.reshape([n, 1, height, width]), every).astype(dtype)
    y = _conv_ref.correlate(one_hot, w, stride, [padding[1], padding[1], padding[0], padding[0]])
    if bias is not None:
        y = y + bias.astype(dtype).reshape([1, -1, 1, 1])
    return y if y.dtype == weight.dtype else y.astype(weight.dtype)
