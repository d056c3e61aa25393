"""instance_mean: every pixel becomes the mean of its instance."""

from __future__ import annotations

import paddle

from pygan.ops import _native
from pygan.ops._checks import check_images, check_shape
from pygan.ops._labels import MEAN_SPEC, check_map


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def instance_mean(
    x: paddle.Tensor, instances: paddle.Tensor, *, impl: str = "auto"
) -> paddle.Tensor:
    r"""Replace every pixel by the mean over the pixels of its instance, in its own sample.

    .. math:: y_{n,c,p} = \frac{1}{|S_{n,p}|} \sum_{q \in S_{n,p}} x_{n,c,q}, \qquad
              S_{n,p} = \{q : instances_{n,q} = instances_{n,p}\}

    A projection: it is linear in x, and its own transpose, so that the gradient of y is averaged in
    the same way. The order of its sums does not depend on the number of threads.

    Args:
        x: ``[N, C, H, W]``, float16, bfloat16, float32 or float64. The 16-bit types are summed in
            float32.
        instances: integers ``[N, H, W]`` (int32, int64, uint8, int16 or int8) of any value; pixels
            with equal ones are an instance, wherever they are.
        impl: 'auto', 'native' (compiled, exact to second order; a third is silently incomplete) or
            'ref' (a composition of Paddle operators, exact to any).

    Returns:
        ``[N, C, H, W]`` of the dtype of ``x``.

    Raises:
        TypeError: ``x`` is not a floating-point tensor, or ``instances`` are not integers.
        ValueError: a shape is not as above.

    Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
    Conditional GANs", section 3.4, instance-wise average pooling.
    """
    op = "instance_mean"
    check_images(op, x, "[N, C, H, W]")
    instances = check_map(op, "instances", instances)
    check_shape(op, "instances", instances, [x.shape[0], *x.shape[2:]], "an id for each pixel")
    use_native = _native.use_native(impl, op, x, "label", cuda=False)
    if 0 in x.shape:  # Paddle 2 has no kernels for empty tensors
        return x.reshape(x.shape)
    if use_native:
        return _native.call("pg_label", x, instances, None, MEAN_SPEC)
    return _instance_mean_ref(x, instances)


def _instance_mean_ref(x: paddle.Tensor, instances: paddle.Tensor) -> paddle.Tensor:
    """Products with the matrix that says which pixel is in which instance."""
    dtype = paddle.float64 if x.dtype == paddle.float64 else paddle.float32
    wide = x if x.dtype == dtype else x.astype(dtype)
    n, channels, height, width = x.shape
    ids = instances.reshape([n, 1, height * width])
    every: paddle.Tensor = paddle.unique(instances.flatten())  # type: ignore[assignment]
    every = every.astype(ids.dtype)
    member = paddle.equal(ids, every.reshape([1, -1, 1])).astype(dtype)  # [N, K, HW]
    count = paddle.clip(member.sum(2, keepdim=True), min=1)
    sums = paddle.matmul(wide.reshape([n, channels, height * width]), member, transpose_y=True)
    y = paddle.matmul(sums, member / count).reshape([n, channels, height, width])
    return y if y.dtype == x.dtype else y.astype(x.dtype)
