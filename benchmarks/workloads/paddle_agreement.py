"""What pygan and the Paddle peer compute from given weights, for `benchmarks.agreement`."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from benchmarks.peers import augment_numbers, paddle_augment
from pygan import ops


def networks(owner: str, resolution: int, channel_base: int) -> tuple[nn.Layer, nn.Layer]:
    """Generator and discriminator of 'pygan' or of the 'peer'."""
    models: Any
    if owner == "pygan":
        from pygan.models import stylegan2 as models
    else:
        from benchmarks.peers import paddle_stylegan2 as models
    sizes = {"resolution": resolution, "channel_base": channel_base}
    return models.Generator(**sizes), models.Discriminator(**sizes)


def make_inputs(target: str, resolution: int, channel_base: int, batch: int = 4) -> None:
    """Write random weights, with noise and biases that matter, and inputs to an npz file."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for prefix, network in zip("GD", networks("peer", resolution, channel_base)):
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            array = tensor.numpy()
            if name.endswith(("bias", "noise_strength")):
                array = array + 0.1 * random.standard_normal(array.shape).astype(np.float32)
            arrays[f"{prefix}.{name}"] = array
    shape = (batch, 3, resolution, resolution)
    arrays["z"] = random.standard_normal((batch, 512), dtype=np.float32)
    arrays["real"] = random.uniform(-1, 1, shape).astype(np.float32)
    arrays["direction"] = random.standard_normal(shape, dtype=np.float32) / resolution
    np.savez(target, **arrays)


def load(network: nn.Layer, prefix: str, arrays: dict[str, np.ndarray]) -> None:
    for name, parameter in network.named_parameters():
        parameter.set_value(arrays[f"{prefix}.{name}"].reshape(parameter.shape))
    for name, buffer in network.named_buffers():
        if name.rpartition(".")[2] == "noise_const":
            buffer.set_value(arrays[f"{prefix}.{name}"].reshape(buffer.shape))


def evaluate(owner: str, source: str, target: str, resolution: int, channel_base: int) -> None:
    """Read weights and inputs from the npz file `source`, write images, logits and the gradients of
    the path-length and R1 penalties to `target`."""
    arrays = dict(np.load(source))
    g, d = networks(owner, resolution, channel_base)
    load(g, "G", arrays)
    load(d, "D", arrays)
    results = {}
    z, real = paddle.to_tensor(arrays["z"]), paddle.to_tensor(arrays["real"])
    direction = paddle.to_tensor(arrays["direction"])

    if owner == "pygan":
        ws, order = g.mapping(z), {}
    else:
        ws, order = g.mapping(z).unsqueeze(1).expand([-1, g.num_ws, -1]), {"second_order": True}
        with paddle.no_grad():  # the formulation for first order is another one
            results["images"] = g.synthesis(ws, noise="const")
    images = g.synthesis(ws, noise="const", **order)
    results.setdefault("images", images)
    (gradient,) = paddle.grad([(images * direction).sum()], [ws], create_graph=True)
    lengths = paddle.sqrt((gradient * gradient).sum(axis=2).mean(axis=1))
    results["path lengths"] = lengths
    paddle.square(lengths - 1).mean().backward()
    results |= gradients("path length, G", g)

    real.stop_gradient = False
    logits = d(real)
    results["logits"] = logits
    (gradient,) = paddle.grad([logits.sum()], [real], create_graph=True)
    paddle.square(gradient).sum(axis=[1, 2, 3]).mean().backward()
    results |= gradients("R1, D", d)
    np.savez(target, **{k: v.numpy() for k, v in results.items()})


def gradients(prefix: str, network: nn.Layer) -> dict[str, paddle.Tensor]:
    return {
        f"{prefix}.{name}": parameter.grad
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }


def make_images(target: str, height: int, width: int, batch: int = 12) -> None:
    """Write images, the numbers of an augmentation and a gradient to an npz file.

    The compositions filter every image and reflect it once: the quarter turns and far shifts that
    pygan alone treats otherwise are left out.
    """
    random = np.random.default_rng(0)
    matrices, rows = augment_numbers.draw(8 * batch, height, width, p=0.9)
    near = np.abs(matrices[:, [2, 5]] / [width, height]).max(1) < 0.2
    slanted = np.abs(matrices[:, [0, 1]]).min(1) > 1e-3
    chosen = np.flatnonzero(near & slanted)[:batch]
    shape = (len(chosen), 3, height, width)
    arrays = {"images": random.standard_normal(shape), "direction": random.standard_normal(shape)}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    np.savez(target, matrices=matrices[chosen], rows=rows[chosen], **arrays)


def augment(owner: str, source: str, target: str) -> None:
    """Read what `make_images` wrote, write the augmented images and the images' gradient."""
    arrays = dict(np.load(source))
    x = paddle.to_tensor(arrays["images"], stop_gradient=False)
    if owner == "pygan":
        matrices, rows = paddle.to_tensor(arrays["matrices"]), paddle.to_tensor(arrays["rows"])
        y = ops.color_transform(ops.warp(x, matrices), rows)
    else:
        plan = augment_numbers.plan(arrays["matrices"], *x.shape[2:])
        y = paddle_augment.color(paddle_augment.warp(x, plan), arrays["rows"])
    (gradient,) = paddle.grad([y], [x], [paddle.to_tensor(arrays["direction"])])
    np.savez(target, augmented=y.numpy(), gradient=gradient.numpy())
