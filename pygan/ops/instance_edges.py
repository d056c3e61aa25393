"""instance_edges: where instances meet."""

from __future__ import annotations

import paddle

from pygan.ops import _native
from pygan.ops._labels import EDGES_SPEC, check_map


@paddle.jit.not_to_static  # its checks are of Python's, not of the program
def instance_edges(instances: paddle.Tensor, *, impl: str = "auto") -> paddle.Tensor:
    """Mark the pixels that have a neighbour of another instance.

    A pixel is 1 if its id differs from that of the pixel above, below, left or right of it, and 0
    elsewhere; what lies beyond the border is no neighbour.

    Args:
        instances: integers ``[N, H, W]`` (int32, int64, uint8, int16 or int8) of any value.
        impl: 'auto', 'native' or 'ref'.

    Returns:
        float32 ``[N, 1, H, W]``, without a gradient.

    Raises:
        TypeError: ``instances`` are not integers.
        ValueError: they are not ``[N, H, W]``.

    Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
    Conditional GANs", section 3.3, the boundary map of instances.
    """
    op = "instance_edges"
    instances = check_map(op, "instances", instances)
    use_native = _native.use_native(impl, op, instances, "label", cuda=False)
    if 0 in instances.shape:  # Paddle 2 has no kernels for empty tensors
        n, height, width = instances.shape
        return paddle.zeros([n, 1, height, width], "float32")
    if use_native:
        return _native.call("pg_label", instances, instances, None, EDGES_SPEC)
    return _instance_edges_ref(instances)


def _instance_edges_ref(instances: paddle.Tensor) -> paddle.Tensor:
    """Differences along either axis, each of which marks the pixels on both sides."""
    n, height, width = instances.shape
    edges = paddle.zeros_like(instances).astype("bool")
    if width > 1:
        changes = paddle.not_equal(instances[:, :, 1:], instances[:, :, :-1])
        none = edges[:, :, :1]
        for parts in ([changes, none], [none, changes]):
            edges = paddle.logical_or(edges, paddle.concat(parts, 2))
    if height > 1:
        changes = paddle.not_equal(instances[:, 1:], instances[:, :-1])
        none = paddle.zeros_like(instances[:, :1]).astype("bool")
        for parts in ([changes, none], [none, changes]):
            edges = paddle.logical_or(edges, paddle.concat(parts, 1))
    return edges.astype("float32").reshape([n, 1, height, width])
