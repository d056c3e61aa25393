"""StyleGAN2 in numpy on TensorFlow's names and layouts, random weights for it, and their pickle.

Written from the formulas: upsampling inserts zeros and filters before it convolves, modulation
scales the features before the convolution and demodulation those behind it. Nothing is shared with
the library.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch_pickles import Made, dumps

TAPS = np.array([1.0, 3.0, 3.0, 1.0]) / 8
Arrays = dict[str, np.ndarray]


def random_generator(
    random: np.random.RandomState,
    widths: list[int],
    architecture: str = "skip",
    classes: int = 0,
    z: int = 10,
    w: int = 12,
) -> Arrays:
    """Variables of a generator with these feature maps from 4 x 4 up."""
    p: Arrays = {"lod": np.float32(0), "dlatent_avg": random.randn(w) * 0.3}
    size = z
    if classes:
        p["LabelEmbed/weight"] = random.randn(classes, w)
        p["LabelEmbed/bias"] = random.randn(w)
        size = z + w
    for i in range(2):
        p[f"Dense{i}/weight"] = random.randn(w if i else size, w) * 100
        p[f"Dense{i}/bias"] = random.randn(w) * 20
    n = 0
    for i, width in enumerate(widths):
        side = 4 << i
        below = widths[i - 1]
        layers = [("Conv0_up", below, width, 3), ("Conv1", width, width, 3)]
        if i == 0:
            p["4x4/Const/const"] = random.randn(1, width, 4, 4)
            layers = [("Conv", width, width, 3)]
        for _ in layers:
            p[f"noise{n}"] = random.randn(1, 1, side, side)
            n += 1
        if architecture == "skip" or i == len(widths) - 1:
            layers.append(("ToRGB", width, 3, 1))
        for layer, channels, out, k in layers:
            scope = f"{side}x{side}/{layer}"
            p[f"{scope}/weight"] = random.randn(k, k, channels, out)
            p[f"{scope}/mod_weight"] = random.randn(w, channels)
            p[f"{scope}/mod_bias"] = random.randn(channels) * 0.3
            p[f"{scope}/bias"] = random.randn(out) * 0.3
            if k == 3:
                p[f"{scope}/noise_strength"] = np.float64(random.randn())
        if i and architecture == "resnet":
            p[f"{side}x{side}/Skip/weight"] = random.randn(1, 1, below, width)
    return {name: np.asarray(array, np.float32) for name, array in p.items()}


def random_discriminator(
    random: np.random.RandomState, widths: list[int], architecture: str = "resnet", classes: int = 0
) -> Arrays:
    p: Arrays = {}

    def layer(scope: str, shape: tuple[int, ...], bias: bool = True) -> None:
        p[f"{scope}/weight"] = random.randn(*shape)
        if bias:
            p[f"{scope}/bias"] = random.randn(shape[-1]) * 0.3

    for i in range(len(widths) - 1, 0, -1):
        scope, width, below = f"{4 << i}x{4 << i}", widths[i], widths[i - 1]
        if i == len(widths) - 1 or architecture == "skip":
            layer(f"{scope}/FromRGB", (1, 1, 3, width))
        layer(f"{scope}/Conv0", (3, 3, width, width))
        layer(f"{scope}/Conv1_down", (3, 3, width, below))
        if architecture == "resnet":
            layer(f"{scope}/Skip", (1, 1, width, below), bias=False)
    base = widths[0]
    if architecture == "skip":
        layer("4x4/FromRGB", (1, 1, 3, base))
    layer("4x4/Conv", (3, 3, base + 1, base))
    layer("4x4/Dense0", (base * 16, base))
    layer("Output", (base, base if classes else 1))
    return {name: np.asarray(array, np.float32) for name, array in p.items()}


def network(arrays: Arrays, arguments: dict[str, Any] | None = None, source: str = "") -> Made:
    """The object that a network pickles as; a generator keeps its layers in two parts."""
    mapping = {k: v for k, v in arrays.items() if k.startswith(("Dense", "Label"))}
    own = {k: v for k, v in arrays.items() if k in ("dlatent_avg",) or "Output/weight" in arrays}
    rest = {k: v for k, v in arrays.items() if k not in mapping and k not in own}

    def pack(part: Arrays, components: dict[str, Any], name: str) -> Made:
        state = {
            "version": 4,
            "name": name,
            "static_kwargs": {"label_size": 0, **(arguments or {})} if part is own else {},
            "components": components,
            "build_module_src": source,
            "build_func_name": name,
            "variables": list(part.items()),
        }
        return Made("dnnlib.tflib.network.Network", state)

    if "Output/weight" in arrays:
        own = arrays
        return pack(own, {}, "D_stylegan2")
    parts = {"mapping": pack(mapping, {}, "G_mapping"), "synthesis": pack(rest, {}, "G_synthesis")}
    return pack(own, parts, "G_main")


def save(g: Arrays, d: Arrays, gs: Arrays, **more: Any) -> bytes:
    return dumps((network(g, **more), network(d, **more), network(gs, **more)))


def lrelu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x) * np.sqrt(2)


def normalize(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def dense(p: Arrays, scope: str, x: np.ndarray, lrmul: float = 1.0) -> np.ndarray:
    weight = p[f"{scope}/weight"].astype(np.float64)
    return x @ weight * lrmul / np.sqrt(len(weight)) + p[f"{scope}/bias"] * lrmul


def fir(x: np.ndarray, before: int, after: int, gain: float = 1.0) -> np.ndarray:
    for axis in (2, 3):
        margin = [(0, 0)] * 4
        margin[axis] = (before, after)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, margin), 4, axis=axis)
        x = windows @ TAPS * np.sqrt(gain)
    return x


def upsample(x: np.ndarray, before: int, after: int) -> np.ndarray:
    n, c, h, w = x.shape
    y = np.zeros((n, c, 2 * h, 2 * w))
    y[:, :, ::2, ::2] = x
    return fir(y, before, after, gain=4)


def correlate(x: np.ndarray, kernel: np.ndarray, margin: int, stride: int = 1) -> np.ndarray:
    """kernel [k, k, in, out]."""
    k = len(kernel)
    x = np.pad(x, [(0, 0), (0, 0), (margin, margin), (margin, margin)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    return np.einsum("nchwij,ijco->nohw", windows[:, :, ::stride, ::stride], kernel)


def kernel_of(p: Arrays, scope: str) -> np.ndarray:
    kernel = p[f"{scope}/weight"].astype(np.float64)
    return kernel / np.sqrt(kernel[..., 0].size)


def bias_of(p: Arrays, scope: str) -> np.ndarray:
    return p[f"{scope}/bias"][:, None, None]


def modulated(
    p: Arrays, scope: str, x: np.ndarray, w: np.ndarray, up: bool = False, demodulate: bool = True
) -> np.ndarray:
    kernel = kernel_of(p, scope)
    matrix = p[f"{scope}/mod_weight"].astype(np.float64)
    style = w @ matrix / np.sqrt(len(matrix)) + p[f"{scope}/mod_bias"] + 1
    x = x * style[:, :, None, None]
    if up:
        # One margin on each side is the convolution's.
        y = correlate(upsample(x, 3, 2), kernel, 0)
    else:
        y = correlate(x, kernel, len(kernel) // 2)
    if demodulate:
        energy = np.einsum("ijco,nc->no", kernel**2, style**2)
        y = y / np.sqrt(energy + 1e-8)[:, :, None, None]
    return y


def mapping(p: Arrays, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    x = normalize(z)
    if labels is not None:
        x = np.concatenate([x, normalize(dense(p, "LabelEmbed", labels))], axis=1)
    for i in range(2):
        x = lrelu(dense(p, f"Dense{i}", x, 0.01))
    return x


def generator(
    p: Arrays, z: np.ndarray, labels: np.ndarray | None = None, psi: float = 1.0
) -> np.ndarray:
    mean = p["dlatent_avg"]
    w = mean + psi * (mapping(p, z, labels) - mean)
    n = 0

    def layer(scope: str, x: np.ndarray, up: bool = False) -> np.ndarray:
        nonlocal n
        y = modulated(p, scope, x, w, up) + p[f"noise{n}"] * p[f"{scope}/noise_strength"]
        n += 1
        return lrelu(y + bias_of(p, scope))

    x = layer("4x4/Conv", np.repeat(p["4x4/Const/const"], len(z), axis=0))
    image = np.zeros((len(z), 3, 2, 2))
    side = 4
    while True:
        scope = f"{side}x{side}"
        if side > 4:
            y = layer(f"{scope}/Conv1", layer(f"{scope}/Conv0_up", x, up=True))
            if f"{scope}/Skip/weight" in p:
                skip = correlate(upsample(x, 2, 1), kernel_of(p, f"{scope}/Skip"), 0)
                y = (y + skip) / np.sqrt(2)
            x = y
        image = upsample(image, 2, 1)
        if f"{scope}/ToRGB/weight" in p:
            rgb = modulated(p, f"{scope}/ToRGB", x, w, demodulate=False)
            image = image + rgb + bias_of(p, f"{scope}/ToRGB")
        side *= 2
        if f"{side}x{side}/Conv1/weight" not in p:
            return image


def discriminator(p: Arrays, images: np.ndarray, group: int = 4) -> np.ndarray:
    """Logits [N, 1]."""
    side = images.shape[2]
    x = np.zeros((len(images), 1, side, side))
    while side >= 4:
        scope = f"{side}x{side}"
        if f"{scope}/FromRGB/weight" in p:
            rgb = lrelu(
                correlate(images, kernel_of(p, f"{scope}/FromRGB"), 0)
                + bias_of(p, f"{scope}/FromRGB")
            )
            x = x + rgb
        if side > 4:
            y = correlate(x, kernel_of(p, f"{scope}/Conv0"), 1)
            y = lrelu(y + bias_of(p, f"{scope}/Conv0"))
            y = correlate(fir(y, 2, 2), kernel_of(p, f"{scope}/Conv1_down"), 0, stride=2)
            y = lrelu(y + bias_of(p, f"{scope}/Conv1_down"))
            if f"{scope}/Skip/weight" in p:
                skip = correlate(fir(x, 1, 1), kernel_of(p, f"{scope}/Skip"), 0, stride=2)
                y = (y + skip) / np.sqrt(2)
            x = y
            images = fir(images, 1, 1)[:, :, ::2, ::2]
        side //= 2
    count = len(x)
    groups = x.reshape(min(group, count), -1, *x.shape[1:])
    deviation = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))
    maps = np.tile(deviation, min(group, count))[:, None, None, None] * np.ones((1, 1, 4, 4))
    y = correlate(np.concatenate([x, maps], axis=1), kernel_of(p, "4x4/Conv"), 1)
    y = lrelu(y + bias_of(p, "4x4/Conv")).reshape(count, -1)
    return dense(p, "Output", lrelu(dense(p, "4x4/Dense0", y)))
