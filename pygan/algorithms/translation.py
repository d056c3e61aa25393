"""Losses of networks that make images from label maps or from other images.

Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs"
(Pix2PixHD), section 3.2; Park et al. 2019, "Semantic image synthesis with spatially-adaptive
normalization" (SPADE), appendix A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

import paddle
import paddle.nn.functional as F

from pygan.ops import instance_edges
from pygan.training import Condition

if TYPE_CHECKING:
    from pygan.metrics.extractors.lpips import Distance

#: How logits become losses of the discriminator and the generator.
GAN_MODES = ("hinge", "lsgan", "vanilla")
#: Networks whose features compare images, the best one first.
PERCEPTUAL = ("vgg19", "vgg16-torchvision", "vgg16")

Layers = Sequence[Sequence[paddle.Tensor]]


def discriminator_loss(mode: str, logits: paddle.Tensor, real: bool) -> paddle.Tensor:
    """What the discriminator makes of logits of real or of generated images, a mean.

    =======  =======================  =======================
    mode     real                     generated
    =======  =======================  =======================
    hinge    max(0, 1 - x)            max(0, 1 + x)
    lsgan    (x - 1)^2                x^2
    vanilla  softplus(-x)             softplus(x)
    =======  =======================  =======================

    Lim and Ye 2017, "Geometric GAN"; Mao et al. 2017, "Least squares generative adversarial
    networks"; Goodfellow et al. 2014.
    """
    if mode == "lsgan":
        return paddle.square(logits - 1 if real else logits).mean()
    signed = -logits if real else logits
    return F.relu(1 + signed).mean() if mode == "hinge" else F.softplus(signed).mean()


def generator_loss(mode: str, logits: paddle.Tensor) -> paddle.Tensor:
    """What the generator makes of logits of its images: -x, (x - 1)^2 or softplus(-x), a mean."""
    if mode == "hinge":
        return -logits.mean()
    return discriminator_loss(mode, logits, real=True)


def feature_matching(fake: Layers, real: Layers) -> paddle.Tensor:
    """The sum over scales and over layers but the last of mean |fake - real|.

    Args:
        fake: activations of every layer at every scale, for generated images.
        real: the same for the real ones; no gradient goes there.
    """
    terms = [
        (one - other.detach()).abs().mean()
        for fakes, reals in zip(fake, real)
        for one, other in zip(fakes[:-1], reals[:-1])
    ]
    return paddle.add_n(terms)


def divergence(mean: paddle.Tensor, log_variance: paddle.Tensor) -> paddle.Tensor:
    """KL divergence of N(mean, variance) from N(0, 1): a sum over the code, a mean over samples.

    ``-1/2 sum(1 + log variance - mean^2 - variance)`` (Kingma and Welling 2014, "Auto-encoding
    variational Bayes", appendix B).
    """
    terms = 1 + log_variance - paddle.square(mean) - paddle.exp(log_variance)
    return -0.5 * terms.sum(axis=1).mean()


def halves(layers: Layers) -> tuple[Layers, Layers]:
    """The activations of the first and of the second half of a batch."""
    split = [[paddle.split(layer, 2) for layer in scale] for scale in layers]
    first, second = ([[pair[i] for pair in scale] for scale in split] for i in range(2))
    return first, second


def network_input(
    condition: Condition, edges: bool
) -> tuple[Optional[paddle.Tensor], Optional[paddle.Tensor]]:
    """A condition as networks take it: labels [N, H, W] or None, dense maps [N, E, H, W] or None.

    Dense maps are the edges of the instances, if wanted, and the source image.
    """
    maps = []
    if edges and condition.instances is not None:
        maps.append(instance_edges(condition.instances))
    if condition.sources is not None:
        maps.append(condition.sources)
    return condition.labelmaps, join(*maps)


def join(*maps: Optional[paddle.Tensor]) -> Optional[paddle.Tensor]:
    """Maps one after another along the channels; None where there are none."""
    there = [m for m in maps if m is not None]
    if len(there) < 2:
        return there[0] if there else None
    return paddle.concat(there, axis=1)


def twice(x: Optional[paddle.Tensor]) -> Optional[paddle.Tensor]:
    """A batch after itself."""
    return None if x is None else paddle.concat([x, x])


def choose_perceptual(name: str) -> str:
    """'auto' as the first network of ``PERCEPTUAL`` that is installed, or 'none'."""
    if name != "auto":
        return name
    from pygan.metrics.extractors import installed

    there = installed()
    return next((network for network in PERCEPTUAL if network in there), "none")


def open_perceptual(name: str) -> Optional[Distance]:
    """The perceptual distance of this name, frozen; None for 'none'.

    Raises:
        InputError: its weights are not installed; the message tells how to install them.
    """
    name = choose_perceptual(name)
    if name == "none":
        return None
    from pygan.metrics.extractors import find_perceptual

    return find_perceptual(name)


def perceptual_loss(network: Distance, fakes: paddle.Tensor, reals: paddle.Tensor) -> paddle.Tensor:
    """The mean distance of generated and real images; of four channels, of the colours."""
    if fakes.shape[1] > 3:
        fakes, reals = fakes[:, :3], reals[:, :3]
    return network.distance(fakes, reals).mean()
