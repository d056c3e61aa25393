"""StyleGAN2 in numpy on the names of rosinality's checkpoints, and random weights for it.

Written from the formulas: a kernel is multiplied by its style and normalised, sample by sample;
upsampling is a transposed convolution (each pixel adds a kernel) and a blur behind it. Nothing is
shared with the library.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FIR = np.outer([1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0]) / 64
Arrays = dict[str, np.ndarray]


def random_generator(
    random: np.random.RandomState, widths: list[int], z: int = 12, layers: int = 2
) -> Arrays:
    """Weights of a generator with these feature maps from 4 x 4 up."""
    arrays: Arrays = {"input.input": random.randn(1, widths[0], 4, 4)}
    for i in range(layers):
        arrays[f"style.{i + 1}.weight"] = random.randn(z, z) * 100
        arrays[f"style.{i + 1}.bias"] = random.randn(z) * 20

    def styled(name: str, channels: int, out: int, k: int) -> None:
        arrays[f"{name}.conv.weight"] = random.randn(1, out, channels, k, k)
        arrays[f"{name}.conv.modulation.weight"] = random.randn(channels, z)
        arrays[f"{name}.conv.modulation.bias"] = 1 + random.randn(channels) * 0.3

    def convolution(n: int, channels: int, out: int) -> None:
        name = f"convs.{n - 1}" if n else "conv1"
        styled(name, channels, out, 3)
        arrays[f"{name}.noise.weight"] = random.randn(1) * 0.5
        arrays[f"{name}.activate.bias"] = random.randn(out) * 0.3
        side = 4 << (n + 1) // 2
        arrays[f"noises.noise_{n}"] = random.randn(1, 1, side, side)
        if n % 2:
            arrays[f"{name}.conv.blur.kernel"] = FIR * 4

    convolution(0, widths[0], widths[0])
    for i, width in enumerate(widths):
        if i:
            convolution(2 * i - 1, widths[i - 1], width)
            convolution(2 * i, width, width)
        name = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        styled(name, width, 3, 1)
        arrays[f"{name}.bias"] = random.randn(1, 3, 1, 1)
        if i:
            arrays[f"{name}.upsample.kernel"] = FIR * 4
    return arrays


def random_discriminator(random: np.random.RandomState, widths: list[int]) -> Arrays:
    arrays: Arrays = {
        "convs.0.0.weight": random.randn(widths[-1], 3, 1, 1),
        "convs.0.1.bias": random.randn(widths[-1]) * 0.3,
    }
    for k, (width, below) in enumerate(zip(widths[:0:-1], widths[-2::-1]), 1):
        arrays[f"convs.{k}.conv1.0.weight"] = random.randn(width, width, 3, 3)
        arrays[f"convs.{k}.conv1.1.bias"] = random.randn(width) * 0.3
        arrays[f"convs.{k}.conv2.0.kernel"] = FIR
        arrays[f"convs.{k}.conv2.1.weight"] = random.randn(below, width, 3, 3)
        arrays[f"convs.{k}.conv2.2.bias"] = random.randn(below) * 0.3
        arrays[f"convs.{k}.skip.0.kernel"] = FIR
        arrays[f"convs.{k}.skip.1.weight"] = random.randn(below, width, 1, 1)
    base = widths[0]
    arrays["final_conv.0.weight"] = random.randn(base, base + 1, 3, 3)
    arrays["final_conv.1.bias"] = random.randn(base) * 0.3
    arrays["final_linear.0.weight"] = random.randn(base, base * 16)
    arrays["final_linear.0.bias"] = random.randn(base) * 0.3
    arrays["final_linear.1.weight"] = random.randn(1, base)
    arrays["final_linear.1.bias"] = random.randn(1) * 0.3
    return arrays


def random_checkpoint(seed: int, widths: list[int]) -> dict[str, Any]:
    random = np.random.RandomState(seed)
    return {
        "g": random_generator(random, widths),
        "d": random_discriminator(random, widths),
        "g_ema": random_generator(random, widths),
    }


def of_paddlegan(arrays: Arrays) -> Arrays:
    """The same as PaddleGAN has it: matrices are [in, out]."""
    matrices = ("style.", "modulation.weight", "final_linear.")
    return {
        key: array.T if array.ndim == 2 and any(part in key for part in matrices) else array
        for key, array in arrays.items()
    }


def lrelu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def correlate(x: np.ndarray, kernels: np.ndarray, stride: int = 1) -> np.ndarray:
    """Without padding; x [C, H, W], kernels [O, C, k, k]."""
    k = kernels.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", windows[:, ::stride, ::stride], kernels)


def blur(x: np.ndarray, before: int, after: int, gain: float = 1.0) -> np.ndarray:
    x = np.pad(x, ((0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), axis=(1, 2))
    return np.einsum("chwij,ij->chw", windows, FIR * gain)


def spread(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """Transposed convolution with stride 2: [C, H, W] -> [O, 2 H + 1, 2 W + 1]."""
    _, h, w = x.shape
    y = np.zeros((len(kernels), 2 * h + 1, 2 * w + 1))
    for a in range(3):
        for b in range(3):
            part = np.einsum("chw,oc->ohw", x, kernels[:, :, a, b])
            y[:, a : a + 2 * h : 2, b : b + 2 * w : 2] += part
    return y


def styled_kernels(p: Arrays, name: str, w: np.ndarray, demodulate: bool) -> np.ndarray:
    weight = p[f"{name}.conv.weight"][0]
    matrix = p[f"{name}.conv.modulation.weight"]
    style = matrix @ w / np.sqrt(matrix.shape[1]) + p[f"{name}.conv.modulation.bias"]
    kernels = weight / np.sqrt(weight[0].size) * style[:, None, None]
    if demodulate:
        kernels = kernels / np.sqrt((kernels**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    return kernels


def mapping(p: Arrays, z: np.ndarray) -> np.ndarray:
    x = z / np.sqrt((z**2).mean(axis=1, keepdims=True) + 1e-8)
    layer = 1
    while f"style.{layer}.weight" in p:
        weight = p[f"style.{layer}.weight"] * 0.01 / np.sqrt(x.shape[1])
        x = lrelu(x @ weight.T + p[f"style.{layer}.bias"] * 0.01)
        layer += 1
    return x


def generator(p: Arrays, z: np.ndarray) -> np.ndarray:
    """Images of the codes z [N, z_dim], with the noise maps of the file."""
    return np.array([synthesis(p, w) for w in mapping(p, z)])


def synthesis(p: Arrays, w: np.ndarray) -> np.ndarray:
    def convolution(x: np.ndarray, n: int) -> np.ndarray:
        name = f"convs.{n - 1}" if n else "conv1"
        kernels = styled_kernels(p, name, w, True)
        if n % 2:
            y = blur(spread(x, kernels), 1, 1, gain=4)
        else:
            y = correlate(np.pad(x, ((0, 0), (1, 1), (1, 1))), kernels)
        y = y + p[f"{name}.noise.weight"] * p[f"noises.noise_{n}"][0]
        return lrelu(y + p[f"{name}.activate.bias"][:, None, None])

    def to_rgb(x: np.ndarray, name: str) -> np.ndarray:
        return correlate(x, styled_kernels(p, name, w, False)) + p[f"{name}.bias"][0]

    x = convolution(p["input.input"][0], 0)
    image = to_rgb(x, "to_rgb1")
    i = 0
    while f"to_rgbs.{i}.bias" in p:
        x = convolution(convolution(x, 2 * i + 1), 2 * i + 2)
        wide = np.zeros((3, 2 * image.shape[1], 2 * image.shape[2]))
        wide[:, ::2, ::2] = image
        image = blur(wide, 2, 1, gain=4) + to_rgb(x, f"to_rgbs.{i}")
        i += 1
    return image


def discriminator(p: Arrays, images: np.ndarray, group: int = 4) -> np.ndarray:
    """Logits [N, 1]."""

    def scaled(name: str) -> np.ndarray:
        weight = p[f"{name}.weight"]
        return weight / np.sqrt(weight[0].size)

    def bias(name: str) -> np.ndarray:
        return p[f"{name}.bias"][:, None, None]

    def same(x: np.ndarray, name: str) -> np.ndarray:
        return correlate(np.pad(x, ((0, 0), (1, 1), (1, 1))), scaled(name))

    features = []
    for image in images:
        x = lrelu(correlate(image, scaled("convs.0.0")) + bias("convs.0.1"))
        k = 1
        while f"convs.{k}.skip.1.weight" in p:
            y = lrelu(same(x, f"convs.{k}.conv1.0") + bias(f"convs.{k}.conv1.1"))
            y = correlate(blur(y, 2, 2), scaled(f"convs.{k}.conv2.1"), stride=2)
            y = lrelu(y + bias(f"convs.{k}.conv2.2"))
            skip = correlate(blur(x, 1, 1), scaled(f"convs.{k}.skip.1"), stride=2)
            x = (y + skip) / np.sqrt(2)
            k += 1
        features.append(x)
    x = np.array(features)
    count = len(x)
    group = min(group, count)
    deviation = np.zeros((count, 1, 4, 4))
    for n in range(count):
        members = x[n % (count // group) :: count // group]
        deviation[n] = np.sqrt(members.var(axis=0) + 1e-8).mean()
    x = np.concatenate([x, deviation], axis=1)
    last = [lrelu(same(part, "final_conv.0") + bias("final_conv.1")).ravel() for part in x]
    y = lrelu(np.array(last) @ scaled("final_linear.0").T + p["final_linear.0.bias"])
    return y @ scaled("final_linear.1").T + p["final_linear.1.bias"]
