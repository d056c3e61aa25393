"""Pix2Pix's networks as nested as the published PyTorch program has them, on Paddle's functions.

Weights are numpy arrays under that program's names; ``published`` gives those of our networks.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F


class Oracle:
    """Args:
    weights: by published name.
    norm: 'batch' or 'instance'.
    running: whether batch normalisation takes its running statistics.
    """

    def __init__(self, weights, norm="batch", running=False):
        self.weights = {name: paddle.to_tensor(value) for name, value in weights.items()}
        self.norm = norm
        self.running = running
        self.read = set()

    def take(self, name):
        self.read.add(name)
        return self.weights.get(name)

    def conv(self, x, name, stride=1, padding=0):
        weight, bias = self.take(f"{name}.weight"), self.take(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride, padding)

    def up(self, x, name, padding=1, output_padding=0):
        weight, bias = self.take(f"{name}.weight"), self.take(f"{name}.bias")
        return F.conv2d_transpose(x, weight, bias, 2, padding, output_padding)

    def normal(self, x, name):
        if self.norm == "instance":
            mean, variance = x.mean([2, 3], keepdim=True), x.var([2, 3], False, keepdim=True)
            return (x - mean) / paddle.sqrt(variance + 1e-5)
        mean, variance = self.take(f"{name}.running_mean"), self.take(f"{name}.running_var")
        if not self.running:
            mean, variance = x.mean([0, 2, 3]), x.var([0, 2, 3], False)
        column = [1, -1, 1, 1]
        u = (x - mean.reshape(column)) / paddle.sqrt(variance.reshape(column) + 1e-5)
        gain, bias = self.take(f"{name}.weight"), self.take(f"{name}.bias")
        return u * gain.reshape(column) + bias.reshape(column)

    def unet(self, x, downs, masks=()):
        """masks: by stage, from the inside out; None where nothing is dropped."""
        masks = dict(enumerate(masks))

        def block(x, name, depth):
            down = self.conv(F.leaky_relu(x, 0.2), f"{name}.1", 2, 1)
            if depth == downs - 1:
                y = self.normal(self.up(F.relu(down), f"{name}.3"), f"{name}.4")
            else:
                below = block(self.normal(down, f"{name}.2"), f"{name}.3.model", depth + 1)
                y = self.normal(self.up(F.relu(below), f"{name}.5"), f"{name}.6")
            mask = masks.get(downs - 1 - depth)
            return paddle.concat([x, y if mask is None else y * mask], 1)

        x = block(self.conv(x, "model.model.0", 2, 1), "model.model.1.model", 1)
        return paddle.tanh(self.up(F.relu(x), "model.model.3"))

    def resnet(self, x, blocks, masks=None):
        def wide(x, name):
            return self.conv(F.pad(x, [3] * 4, mode="reflect"), name)

        x = F.relu(self.normal(wide(x, "model.1"), "model.2"))
        for place in (4, 7):
            down = self.conv(x, f"model.{place}", 2, 1)
            x = F.relu(self.normal(down, f"model.{place + 1}"))
        for index in range(blocks):
            name = f"model.{10 + index}.conv_block"
            second = 5 if masks is None else 6  # a module of dropout lies between
            y = self.conv(F.pad(x, [1] * 4, mode="reflect"), f"{name}.1")
            y = F.relu(self.normal(y, f"{name}.2"))
            y = y if masks is None else y * masks[index]
            y = self.conv(F.pad(y, [1] * 4, mode="reflect"), f"{name}.{second}")
            x = x + self.normal(y, f"{name}.{second + 1}")
        for place in (10 + blocks, 13 + blocks):
            x = F.relu(self.normal(self.up(x, f"model.{place}", 1, 1), f"model.{place + 1}"))
        return paddle.tanh(wide(x, f"model.{17 + blocks}"))

    def patches(self, x, layers):
        if layers == 0:
            x = F.leaky_relu(self.conv(x, "net.0"), 0.2)
            x = F.leaky_relu(self.normal(self.conv(x, "net.2"), "net.3"), 0.2)
            return self.conv(x, "net.5")
        x = F.leaky_relu(self.conv(x, "model.0", 2, 1), 0.2)
        for level in range(layers):
            stride = 1 if level == layers - 1 else 2
            x = self.conv(x, f"model.{2 + 3 * level}", stride, 1)
            x = F.leaky_relu(self.normal(x, f"model.{3 + 3 * level}"), 0.2)
        return self.conv(x, f"model.{2 + 3 * layers}", 1, 1)


def published(net):
    """Weights of one of our networks by published name, as numpy arrays."""
    kind = type(net).__name__
    names = {}
    if kind == "UNetGenerator":
        last = net.downs - 1
        names["encoder.0"] = "model.model.0"
        for level in range(1, net.downs):
            prefix = "model.model.1.model" + ".3.model" * (level - 1)
            names[f"encoder.{level}"] = f"{prefix}.1"
            names[f"encoder_norms.{level}"] = f"{prefix}.2"
            names[f"decoder.{last - level}"] = f"{prefix}.{3 if level == last else 5}"
            names[f"decoder_norms.{last - level}"] = f"{prefix}.{4 if level == last else 6}"
        names["to_image"] = "model.model.3"
    elif kind == "ResnetGenerator":
        count = len(net.blocks)
        for ours, theirs in zip(range(6), (1, 2, 4, 5, 7, 8)):
            names[f"encoder.{ours}"] = f"model.{theirs}"
        for index in range(count):
            prefix, second = f"model.{10 + index}.conv_block", 6 if net.drops else 5
            names[f"blocks.{index}.conv0"] = f"{prefix}.1"
            names[f"blocks.{index}.norm0"] = f"{prefix}.2"
            names[f"blocks.{index}.conv1"] = f"{prefix}.{second}"
            names[f"blocks.{index}.norm1"] = f"{prefix}.{second + 1}"
        for ours, theirs in zip(range(5), (10, 11, 13, 14, 17)):
            names[f"decoder.{ours}"] = f"model.{theirs + count}"
    else:
        layers = len(net.layers) // 2 - 1
        if net.receptive_field == 1:
            names = {f"layers.{i}": f"net.{j}" for i, j in enumerate((0, 2, 3, 5))}
        else:
            places = [
                0,
                *(j for n in range(layers) for j in (2 + 3 * n, 3 + 3 * n)),
                2 + 3 * layers,
            ]
            names = {f"layers.{i}": f"model.{j}" for i, j in enumerate(places)}
    found = {}
    for key, value in net.state_dict().items():
        layer, leaf = key.rsplit(".", 1)
        found[f"{names[layer]}.{leaf}"] = np.array(value)
    return found
