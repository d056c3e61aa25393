"""Whole steps of a tiny StyleGAN2 on the GPU against the CPU, losses and all gradients.

The losses of Karras et al. 2020 ("Analyzing and Improving the Image Quality of StyleGAN"):
non-saturating for G and D, R1 for D and path length for G, both of which differentiate twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan import ops
from pygan.gpu_check.checks import Check, compare, describe
from pygan.gpu_check.device import Machine
from pygan.models.stylegan2 import Discriminator, Generator

# Of the largest gradient of a parameter: float32 through two orders and some twenty layers.
TOLERANCE = 2e-3
_Z = 16


class Pair:
    """G and D with the batch that they are stepped on, on the current device.

    Args:
        resolution: of the images.
        width: channels of every layer.
        batch: images.
        state: weights by network and name; None for new ones.
    """

    def __init__(self, resolution: int, width: int, batch: int, state: Any = None) -> None:
        size: dict[str, Any] = {"resolution": resolution, "channel_max": width}
        size["channel_base"] = width * resolution
        self.g = Generator(z_dim=_Z, w_dim=_Z, mapping_layers=2, **size)
        self.d = Discriminator(mbstd_group_size=2, **size)
        if state is not None:
            for network, values in zip((self.g, self.d), state):
                network.set_state_dict({k: paddle.to_tensor(v) for k, v in values.items()})
        rng = np.random.default_rng(0)
        self.z = paddle.to_tensor(rng.standard_normal((batch, _Z)).astype("float32"))
        shape = (batch, 3, resolution, resolution)
        self.real = paddle.to_tensor(rng.uniform(-1, 1, shape).astype("float32"))
        noise = rng.standard_normal(shape).astype("float32")
        self.y = paddle.to_tensor(noise / math.sqrt(resolution * resolution))

    def state(self) -> list[dict[str, np.ndarray]]:
        """Weights that another pair takes."""
        return [{k: v.numpy() for k, v in n.state_dict().items()} for n in (self.g, self.d)]

    def g_main(self) -> tuple[nn.Layer, paddle.Tensor]:
        return self.g, F.softplus(-self.d(self.g(self.z, noise="const"))).mean()

    def g_path_length(self) -> tuple[nn.Layer, paddle.Tensor]:
        ws = self.g.mapping(self.z)
        images = self.g.synthesis(ws, noise="const")
        with ops.no_weight_gradients():
            (g,) = paddle.grad([(images * self.y).sum()], [ws], create_graph=True)
        lengths = paddle.sqrt(paddle.square(g).sum(axis=2).mean(axis=1))
        return self.g, paddle.square(lengths - 0.1).mean()

    def d_main(self) -> tuple[nn.Layer, paddle.Tensor]:
        with paddle.no_grad():
            fakes = self.g(self.z, noise="const")
        return self.d, F.softplus(self.d(fakes)).mean() + F.softplus(-self.d(self.real)).mean()

    def d_r1(self) -> tuple[nn.Layer, paddle.Tensor]:
        images = self.real.detach()
        images.stop_gradient = False
        with ops.no_weight_gradients():
            (g,) = paddle.grad([self.d(images).sum()], [images], create_graph=True)
        return self.d, paddle.square(g).sum(axis=[1, 2, 3]).mean()


PHASES: dict[str, Callable[[Pair], tuple[nn.Layer, paddle.Tensor]]] = {
    "G": Pair.g_main,
    "G path length": Pair.g_path_length,
    "D": Pair.d_main,
    "D R1": Pair.d_r1,
}


def run_networks(machine: Machine) -> Iterator[Check]:
    """The four phases; much smaller in the emulator."""
    resolution, width, batch = (8, 4, 2) if machine.emulated else (32, 32, 4)
    size: tuple[int, int, int] = (resolution, width, batch)
    state = None
    paddle.seed(0)
    for name, phase in PHASES.items():
        check = Check(f"StyleGAN2 {resolution}x{resolution}: {name}", "float32")
        check.tolerance = TOLERANCE
        try:
            with machine.on_cpu():
                on_cpu = Pair(*size, state=state)
                state = on_cpu.state()
                expected = gradients(on_cpu, phase)
            with machine.on_gpu():
                actual = gradients(Pair(*size, state=state), phase)
            compare(check, actual, expected)
        except Exception as error:
            check.message = describe(error)
        yield check


def gradients(
    pair: Pair, phase: Callable[[Pair], tuple[nn.Layer, paddle.Tensor]]
) -> dict[str, np.ndarray]:
    """The loss of a phase and the gradients of the parameters that it trains."""
    network, loss = phase(pair)
    loss.backward()
    found = {"loss": loss.numpy()}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            found[f"gradient of {name}"] = parameter.grad.numpy()
    return found
