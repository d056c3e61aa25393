"""Options of GauGAN (SPADE) and its presets.

Park et al. 2019, "Semantic image synthesis with spatially-adaptive normalization".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from pygan.algorithms.translation import choose_perceptual
from pygan.algorithms.translation_config import TranslationConfig
from pygan.models.spade import DOUBLINGS
from pygan.nn.norm import KINDS
from pygan.training import option

# Appendix A: 200 epochs for Cityscapes and ADE20K, with falling rates in the second half; 100 at a
# constant rate for COCO-Stuff, which has 20 times as many images.
_PAPER = {"epochs": 200.0, "batch": 32, "lr_decay": 0.5}
_COCO = {"epochs": 100.0, "batch": 32, "lr_decay": 0.0}
# For an hour on a CPU: narrow networks and small batches.
_DEMO = {
    "kimg": 40.0,
    "batch": 4,
    "lr_decay": 0.5,
    "channel_base": 16,
    "d_channel_base": 32,
    "hidden": 32,
    "e_channel_base": 16,
    "z_dim": 64,
    "perceptual_weight": 2.5,
    "tick": 1.0,
}
# What the shape of the networks follows from, besides the data.
_STRUCTURE = (
    "channel_base",
    "d_channel_base",
    "e_channel_base",
    "hidden",
    "layers",
    "vae",
    "z_dim",
    "norm",
    "edges",
    "d_scales",
    "d_layers",
)


@dataclass
class SPADEConfig(TranslationConfig):
    """Options of GauGAN (SPADE)."""

    presets: ClassVar[tuple[str, ...]] = ("paper", "coco", "demo")
    structure: ClassVar[tuple[str, ...]] = _STRUCTURE

    preset: str = option("paper", "set of defaults: paper, coco, demo")
    batch: int = option(32, "images per step, over all processes")
    channel_base: int = option(64, "feature maps of the generator at full size; 16 times at first")
    layers: str = option("normal", "doublings of the generator: normal (5), more (6), most (7)")
    hidden: int = option(128, "feature maps of the label map in every norm")
    norm: str = option("sync", "norm within SPADE: sync (over all processes), batch, instance")
    vae: bool = option(False, "learn a code of style, by an encoder of images")
    z_dim: int = option(256, "with vae: size of the code")
    e_channel_base: int = option(64, "with vae: feature maps of the encoder's first layer")
    d_layers: int = option(4, "convolutions of a discriminator before the one to logits")
    g_lr: float = option(1e-4, "learning rate of generator and encoder")
    d_lr: float = option(4e-4, "learning rate of the discriminators")
    lr_decay: float = option(
        0.0, "part of the training, at its end, in which learning rates fall linearly to 0"
    )
    beta1: float = option(0.0, "Adam: decay of the first moment")
    beta2: float = option(0.9, "Adam: decay of the second moment")
    kl_weight: float = option(0.05, "with vae: weight of the divergence of codes")

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        known = {"paper": _PAPER, "coco": _COCO, "demo": _DEMO}
        # What is installed now, so that a run goes on with the same loss elsewhere.
        return {"perceptual": choose_perceptual("auto"), **cls.preset_of(known, preset)}

    def validate(self) -> None:
        super().validate()
        self.require(self.layers in DOUBLINGS, "layers", ", ".join(DOUBLINGS))
        self.require(self.norm in KINDS, "norm", ", ".join(KINDS))
        for name in (
            "channel_base",
            "d_channel_base",
            "e_channel_base",
            "hidden",
            "z_dim",
            "d_scales",
        ):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        self.require(self.d_layers >= 2, "d_layers", "at least 2")
        self.require(self.kl_weight >= 0, "kl_weight", "0 or more")
