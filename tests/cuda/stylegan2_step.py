"""The four losses of a tiny StyleGAN2, with the gradients that its optimisers see."""

from __future__ import annotations

import numpy as np
import paddle

from pygan.algorithms.stylegan2 import StyleGAN2, StyleGAN2Config
from pygan.training import DataSpec, RealBatch, Step, StepRandom, World

SHAPE = (3, 16, 16)
PHASES = ("G_main", "G_reg", "D_main", "D_reg")


def tiny_model() -> StyleGAN2:
    """16² pixels, 8 channels; every part of the networks and of the losses is there."""
    paddle.seed(0)
    config = StyleGAN2Config(
        channel_base=128, channel_max=8, z_dim=8, w_dim=8, mapping_layers=2, batch=4, mbstd_group=2
    )
    return StyleGAN2(config, DataSpec(SHAPE))


def phase_results(model: StyleGAN2, name: str) -> dict[str, np.ndarray]:
    """The loss of a phase and the gradient of each parameter of its network."""
    phase = {p.name: p for p in model.phases()}[name]
    samples = range(4)
    images = np.random.RandomState(0).randint(0, 256, (4, *SHAPE)).astype(np.uint8)
    step = Step(StepRandom(0, name, 0, samples), RealBatch(images, np.zeros(4, int)), World(), 1)
    network = model.networks[phase.network]
    for each in model.networks.values():
        for parameter in each.parameters():
            parameter.clear_grad()
            parameter.stop_gradient = each is not network
    phase.begin([step])
    loss = phase.loss(step)
    loss.backward()
    results = {"loss": loss.numpy()}
    for key, parameter in network.named_parameters():
        if parameter.grad is not None:
            results[key] = parameter.grad.numpy()
    return results
