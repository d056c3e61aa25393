"""Published files of weights, written here with weights of our own; numpy's networks to compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
from torch_pickles import save_torch

VGG_LAYERS = (2, 2, 3, 3, 3)
VGG_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def write_pth(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """A state dict as PyTorch saves it."""
    path.write_bytes(save_torch(arrays))
    return path


def varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, value: Any) -> bytes:
    """A field of a protocol buffer: a number or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx_tensor(name: str, array: np.ndarray, packed: bool = True) -> bytes:
    dims = b"".join(map(varint, array.shape))
    shape = field(1, dims) if packed else b"".join(field(1, size) for size in array.shape)
    return shape + field(2, 1) + field(8, name.encode()) + field(9, array.astype("<f4").tobytes())


def onnx_file(tensors: list[bytes]) -> bytes:
    graph = field(2, b"graph") + b"".join(field(5, message) for message in tensors)
    return field(1, 8) + field(2, b"by hand") + field(7, graph)


def convolution(
    generator: np.random.Generator, fan_out: int, fan_in: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias that keep activations of order 1."""
    weight = generator.standard_normal([fan_out, fan_in, size, size], dtype=np.float32)
    weight *= np.sqrt(2 / (fan_in * size * size))
    return weight, generator.standard_normal(fan_out, dtype=np.float32) / 10


def batch_norm(name: str, width: int, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        f"{name}.weight": generator.normal(1, 0.2, width),
        f"{name}.bias": generator.normal(0, 1, width),
        f"{name}.running_mean": generator.normal(0, 1, width),
        f"{name}.running_var": generator.uniform(0.1, 2, width),
        f"{name}.num_batches_tracked": np.array(7.0),
    }


def conv2d(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int = 1, padding: int = 0
) -> np.ndarray:
    """A convolution in float64, as a sum of products of shifted images."""
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2])
    size = weight.shape[-1]
    rows = (x.shape[2] - size) // stride + 1
    columns = (x.shape[3] - size) // stride + 1
    y = np.zeros([len(x), len(weight), rows, columns])
    for i in range(size):
        for j in range(size):
            part = x[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
            y += np.einsum("nchw,oc->nohw", part, weight[:, :, i, j], optimize=True)
    return y + bias[:, None, None]


def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """[N, C, rows, columns, size, size]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))
    return view[:, :, ::stride, ::stride]


def max_pool(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    return windows(x, size, stride).max((4, 5))


def blur_down(x: np.ndarray) -> np.ndarray:
    """[1 2 1]² / 16, every other pixel, on an image mirrored by two."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    mirrored = np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)], mode="reflect")
    return (windows(mirrored, 3, 2) * kernel).sum((4, 5))


def lpips(
    ones: list[np.ndarray], others: list[np.ndarray], heads: Optional[list[np.ndarray]]
) -> np.ndarray:
    """Zhang et al.'s distance of activations, in float64."""
    total = np.zeros(len(ones[0]))
    for i, (one, other) in enumerate(zip(ones, others)):
        one = one / (np.linalg.norm(one, axis=1, keepdims=True) + 1e-10)
        other = other / (np.linalg.norm(other, axis=1, keepdims=True) + 1e-10)
        head = np.ones(one.shape[1]) if heads is None else heads[i]
        total += np.einsum("nchw,c->n", (one - other) ** 2, head) / np.prod(one.shape[2:])
    return total
