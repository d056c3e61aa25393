"""StyleGAN2 in numpy and scipy, one sample and one channel at a time, for comparison.

It shares no code and no algorithm with the library: modulation scales each sample's kernels,
upsampling writes zeros between pixels, every convolution is ``scipy.signal.correlate2d``.
"""

import numpy as np
from scipy.signal import convolve2d, correlate2d

SQRT2 = np.sqrt(2.0)


class Weights:
    """A view of a state dict below a prefix: ``w.b8.conv0['bias']``."""

    def __init__(self, arrays, prefix=""):
        self.arrays, self.prefix = arrays, prefix

    def __getattr__(self, name):
        return Weights(self.arrays, f"{self.prefix}{name}.")

    def __getitem__(self, name):
        return self.arrays[self.prefix + name]

    def __contains__(self, name):
        return any(key.startswith(self.prefix + name) for key in self.arrays)


def lrelu(x):
    return np.where(x > 0, x, 0.2 * x) * SQRT2


def normalize(x):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def dense(p, x, act=None, lr=1.0):
    y = x @ (p["weight"] * lr / np.sqrt(x.shape[1])).T + p["bias"] * lr
    return y if act is None else act(y)


def fir(x, taps, up=1, down=1, margin=(0, 0), gain=1.0):
    """Zero insertion, padding, true convolution with the outer product of taps, decimation."""
    taps = np.asarray(taps, np.float64) / np.sum(taps)
    kernel = np.outer(taps, taps) * gain
    n, c, h, w = x.shape
    z = np.zeros((n, c, h * up, w * up))
    z[:, :, ::up, ::up] = x
    z = np.pad(z, ((0, 0), (0, 0), margin, margin))
    return np.array([[convolve2d(m, kernel, "valid")[::down, ::down] for m in s] for s in z])


def correlate(x, weight):
    """Valid correlation; x [N, I, H, W], weight [O, I, k, k] or one per sample."""
    out = []
    for n, sample in enumerate(x):
        kernels = weight if weight.ndim == 4 else weight[n]
        out.append([sum(correlate2d(m, k, "valid") for m, k in zip(sample, ks)) for ks in kernels])
    return np.array(out)


def pad(x, amount):
    return np.pad(x, ((0, 0), (0, 0), (amount, amount), (amount, amount)))


def conv(p, x, taps, up=1, down=1, act=None, gain=1.0):
    weight = p["weight"] / np.sqrt(np.prod(p["weight"].shape[1:]))
    half = weight.shape[2] // 2
    f = len(taps)
    if up == 2:
        x = fir(x, taps, up=2, margin=(half + (f + 1) // 2, half + (f - 2) // 2), gain=4)
        weight = weight[:, :, ::-1, ::-1]
    elif down == 2:
        x = fir(x, taps, margin=(half + (f - 1) // 2, half + (f - 2) // 2))
    else:
        x = pad(x, half)
    y = correlate(x, weight)[:, :, ::down, ::down]
    if "bias" in p:
        y = y + p["bias"][:, None, None]
    return (y if act is None else act(y)) * gain


def styled_conv(p, x, w, noise, taps, up=1, gain=1.0):
    style = dense(p.affine, w)
    kernels = p["weight"][None] * style[:, None, :, None, None]
    kernels = kernels / np.sqrt((kernels**2).sum(axis=(2, 3, 4), keepdims=True) + 1e-8)
    if up == 2:
        f = len(taps)
        x = fir(x, taps, up=2, margin=(1 + (f + 1) // 2, 1 + (f - 2) // 2), gain=4)
        kernels = kernels[..., ::-1, ::-1]
    else:
        x = pad(x, 1)
    y = correlate(x, kernels)
    if noise is not None:
        y = y + noise * p["noise_strength"]
    return lrelu(y + p["bias"][:, None, None]) * gain


def to_rgb(p, x, w):
    style = dense(p.affine, w) / np.sqrt(x.shape[1])
    kernels = p["weight"][None] * style[:, None, :, None, None]
    return correlate(x, kernels) + p["bias"][:, None, None]


def mapping(p, z, c=None, layers=8):
    parts = [] if z is None else [normalize(z)]
    if c is not None:
        parts.append(normalize(dense(p.embed, c)))
    x = np.concatenate(parts, axis=1)
    for i in range(layers):
        x = dense(getattr(p, f"fc{i}"), x, lrelu, lr=0.01)
    return x


def synthesis(p, ws, noises, blocks, architecture, taps):
    """ws [N, L, D]; noises: one map or None per convolution; blocks: names from the base up."""
    f = len(taps)
    first = getattr(p, blocks[0])
    x = np.repeat(first["const"][None], len(ws), axis=0)
    x = styled_conv(first.conv1, x, ws[:, 0], noises[0], taps)
    img = to_rgb(first.torgb, x, ws[:, 1]) if architecture == "skip" else None
    for i, name in enumerate(blocks[1:]):
        block, layer = getattr(p, name), 2 * i + 1
        last = name == blocks[-1]
        y = styled_conv(block.conv0, x, ws[:, layer], noises[layer], taps, up=2)
        y = styled_conv(block.conv1, y, ws[:, layer + 1], noises[layer + 1], taps)
        if architecture == "resnet":
            y = (y + conv(block.skip, x, taps, up=2)) / SQRT2
        x = y
        if architecture == "skip":
            img = fir(img, taps, up=2, margin=((f + 1) // 2, (f - 2) // 2), gain=4)
            img = img + to_rgb(block.torgb, x, ws[:, layer + 2])
        elif last:
            img = to_rgb(block.torgb, x, ws[:, layer + 2])
    return img


def stddev_channel(x, group):
    """One statistic per group; the group of sample n is all m with m = n mod (N / G)."""
    n = len(x)
    group = min(group, n)
    out = np.zeros((n, 1, *x.shape[2:]))
    for i in range(n):
        members = np.array([x[m] for m in range(n) if m % (n // group) == i % (n // group)])
        out[i] = np.sqrt(members.var(axis=0) + 1e-8).mean()
    return out


def discriminator(p, images, blocks, architecture, taps, group=4, c=None, mapping_layers=8):
    """blocks: names from the full resolution down; the last one is the epilogue."""
    f = len(taps)
    x, img = None, images
    for name in blocks[:-1]:
        block = getattr(p, name)
        if x is None:
            x = conv(block.fromrgb, img, taps, act=lrelu)
        elif architecture == "skip":
            x = x + conv(block.fromrgb, img, taps, act=lrelu)
        if architecture == "skip":
            img = fir(img, taps, down=2, margin=((f - 1) // 2, (f - 2) // 2))
        y = conv(block.conv0, x, taps, act=lrelu)
        y = conv(block.conv1, y, taps, down=2, act=lrelu)
        if architecture == "resnet":
            y = (y + conv(block.skip, x, taps, down=2)) / SQRT2
        x = y
    last = getattr(p, blocks[-1])
    if architecture == "skip":
        x = x + conv(last.fromrgb, img, taps, act=lrelu)
    x = np.concatenate([x, stddev_channel(x, group)], axis=1)
    x = conv(last.conv, x, taps, act=lrelu)
    x = dense(last.out, dense(last.fc, x.reshape(len(x), -1), lrelu))
    if c is None:
        return x
    code = mapping(p.mapping, None, c, mapping_layers)
    return (x * code).sum(axis=1, keepdims=True) / np.sqrt(code.shape[1])
