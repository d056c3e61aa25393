"""Options that the algorithms on label maps share: Pix2PixHD and SPADE."""

from __future__ import annotations

from dataclasses import dataclass

from pygan.algorithms.translation import PERCEPTUAL
from pygan.training import PairedConfig, option


@dataclass
class TranslationConfig(PairedConfig):
    """Options of algorithms with feature matching and a perceptual loss.

    Learning rates and moments differ: an algorithm declares ``g_lr``, ``d_lr``, ``beta1`` and
    ``beta2`` with its own defaults; they are validated here.
    """

    ema_kimg: float = option(0.0, "half-life of the averaged generator, in kimg; 0: no average")
    edges: bool = option(True, "edges of instances as input, where the dataset has instances")
    d_channel_base: int = option(64, "feature maps of the discriminator's first layer")
    d_scales: int = option(2, "discriminators, each at half the size of the one before")
    lr_decay: float = option(
        0.5, "part of the training, at its end, in which learning rates fall linearly to 0"
    )
    epsilon: float = option(1e-8, "Adam: epsilon")
    fm_weight: float = option(10.0, "weight of feature matching")
    perceptual: str = option(
        "auto", "network of the perceptual loss: vgg19, vgg16, vgg16-torchvision, none, or auto"
    )
    perceptual_weight: float = option(10.0, "weight of the perceptual loss")

    def validate(self) -> None:
        super().validate()
        for name in ("g_lr", "d_lr", "epsilon"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("beta1", "beta2"):
            self.require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("fm_weight", "perceptual_weight"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(0 <= self.lr_decay <= 1, "lr_decay", "from 0 to 1")
        networks = ("auto", "none", *PERCEPTUAL)
        self.require(self.perceptual in networks, "perceptual", ", ".join(networks))
