"""Options of Pix2PixHD and its presets.

Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs",
and the scripts that its authors published with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from pygan.algorithms.translation import GAN_MODES, choose_perceptual
from pygan.algorithms.translation_config import TranslationConfig
from pygan.training import option

_PRESETS: dict[str, dict[str, Any]] = {
    # The coarse network alone, for images of up to 1024 x 512.
    "global": {"epochs": 200.0, "lr_decay": 0.5},
    # On top of its weights, for 2048 x 1024: twice 50 epochs, ten of them with the coarse network
    # held, on whole images; and twice 100, 20 of them so, on crops.
    "local": {"enhancers": 1, "d_scales": 3, "epochs": 100.0, "hold_epochs": 10.0, "lr_decay": 0.5},
    "local-crops": {
        "enhancers": 1,
        "d_scales": 3,
        "epochs": 200.0,
        "hold_epochs": 20.0,
        "lr_decay": 0.5,
        "crop": "1024",
    },
    # For an hour on a CPU, at 64 to 128 pixels.
    "demo": {
        "kimg": 20.0,
        "batch": 4,
        "lr_decay": 0.5,
        "channel_base": 24,
        "downs": 3,
        "blocks": 4,
        "d_channel_base": 24,
        "mirror": True,
        "tick": 1.0,
    },
}
# What the shape of the networks follows from, besides the data. The number of enhancers may grow.
_STRUCTURE = (
    "channel_base",
    "downs",
    "blocks",
    "local_blocks",
    "features",
    "feature_channels",
    "e_channel_base",
    "edges",
    "d_channel_base",
    "d_layers",
)


@dataclass
class Pix2PixHDConfig(TranslationConfig):
    """Options of Pix2PixHD."""

    presets: ClassVar[tuple[str, ...]] = tuple(_PRESETS)
    structure: ClassVar[tuple[str, ...]] = _STRUCTURE

    preset: str = option("global", f"set of defaults: {', '.join(_PRESETS)}")
    batch: int = option(1, "images per step, over all processes")
    tick: float = option(1.0, "kimg between log lines and sample grids", resumable=True)
    channel_base: int = option(64, "feature maps of the coarse generator at its full size")
    downs: int = option(4, "halvings of the coarse generator")
    blocks: int = option(9, "residual blocks of the coarse generator")
    enhancers: int = option(0, "local enhancers, each of twice the size of what is before it")
    local_blocks: int = option(3, "residual blocks of an enhancer")
    hold_epochs: Optional[float] = option(
        None, "epochs at first in which only the last enhancer is trained; null: hold_kimg"
    )
    hold_kimg: float = option(0.0, "kimg at first in which only the last enhancer is trained")
    features: bool = option(False, "learn features of instances, by an encoder of images")
    feature_channels: int = option(3, "with features: numbers per instance")
    feature_clusters: int = option(10, "with features: most clusters of a class")
    e_channel_base: int = option(16, "with features: feature maps of the encoder at full size")
    d_layers: int = option(3, "strided layers of a discriminator")
    gan: str = option("lsgan", f"adversarial loss: {', '.join(GAN_MODES)}")
    g_lr: float = option(2e-4, "learning rate of generator and encoder")
    d_lr: float = option(2e-4, "learning rate of the discriminators")
    beta1: float = option(0.5, "Adam: decay of the first moment")
    beta2: float = option(0.999, "Adam: decay of the second moment")

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        # What is installed now, so that a run goes on with the same loss elsewhere.
        return {"perceptual": choose_perceptual("auto"), **cls.preset_of(_PRESETS, preset)}

    @property
    def hold_images(self) -> float:
        """Images at first in which only the last enhancer is trained."""
        if self.hold_epochs is None or self.epochs is None:
            return self.hold_kimg * 1000
        return self.kimg * 1000 * self.hold_epochs / self.epochs

    def validate(self) -> None:
        super().validate()
        for name in ("channel_base", "d_channel_base", "e_channel_base", "feature_channels"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("downs", "d_scales", "d_layers", "feature_clusters"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("blocks", "local_blocks", "enhancers", "hold_kimg"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        legal = self.channel_base % 2**self.enhancers == 0
        self.require(legal, "channel_base", "divisible by 2 for each of the --enhancers")
        held = self.hold_kimg > 0 or bool(self.hold_epochs)
        self.require(self.enhancers > 0 or not held, "hold_kimg", "0 without --enhancers")
        legal = self.hold_epochs is None or self.hold_epochs >= 0
        self.require(legal, "hold_epochs", "0 or more, or null")
        self.require(self.gan in GAN_MODES, "gan", ", ".join(GAN_MODES))
