"""Options of Pix2Pix and its presets.

Isola et al. 2017, "Image-to-image translation with conditional adversarial networks", section 6.2
of the version of 2018 for the presets named after data. The authors published two programs; presets
``torch`` and ``pytorch`` are their defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from pygan.models.pix2pix import DROPOUTS
from pygan.models.pix2pix_blocks import NORMS
from pygan.training import PairedConfig, option

# Resized to 286 x 286, cropped to 256 x 256 and flipped: the paper's jitter and mirroring.
_JITTER = {"load_size": "286", "crop": "256", "mirror": True}
_TORCH = {"dropout_places": "torch", "lr_decay": 0.0}
_PRESETS: dict[str, dict[str, Any]] = {
    "auto": {"epochs": 200.0},
    "pytorch": {"epochs": 200.0, "dropout_places": "pytorch", **_JITTER},
    "torch": {"epochs": 200.0, **_TORCH, **_JITTER},
    "facades": {"epochs": 200.0, **_TORCH, **_JITTER},
    "cityscapes": {"epochs": 200.0, **_TORCH, **_JITTER},
    "maps": {"epochs": 200.0, **_TORCH, **_JITTER},
    "edges2shoes": {"epochs": 15.0, "batch": 4, **_TORCH},
    "edges2handbags": {"epochs": 15.0, "batch": 4, **_TORCH},
    "day2night": {"epochs": 17.0, "batch": 4, **_TORCH, **_JITTER},
    "colorization": {"epochs": 6.0, "batch": 4, **_TORCH, "mirror": True},
    # For minutes on a CPU, at 64 to 128 pixels.
    "demo": {
        "kimg": 20.0,
        "batch": 4,
        "channel_base": 32,
        "channel_max": 256,
        "d_channel_base": 32,
        "d_layers": 2,
        "mirror": True,
        "tick": 1.0,
    },
}

# What the shape of the networks follows from, besides the data.
_STRUCTURE = (
    "generator",
    "downs",
    "channel_base",
    "channel_max",
    "d_layers",
    "d_channel_base",
    "d_conditional",
    "norm",
    "dropout_places",
)


@dataclass
class Pix2PixConfig(PairedConfig):
    """Options of Pix2Pix."""

    presets: ClassVar[tuple[str, ...]] = tuple(_PRESETS)
    structure: ClassVar[tuple[str, ...]] = _STRUCTURE

    preset: str = option("auto", f"set of defaults: {', '.join(_PRESETS)}")
    batch: int = option(1, "images per step, over all processes")
    ema_kimg: float = option(0.0, "half-life of the averaged generator, in kimg; 0: no average")
    tick: float = option(1.0, "kimg between log lines and sample grids", resumable=True)
    direction: str = option("AtoB", "AtoB: image from source; BtoA: source from image")
    generator: str = option("unet", "generator: unet, resnet9 or resnet6")
    downs: Optional[int] = option(
        None, "halvings of the U-Net; null: as often as the size allows, 8 at most"
    )
    channel_base: int = option(64, "feature maps of the generator at full size; they double to ...")
    channel_max: int = option(512, "... channel_max, of the U-Net")
    d_layers: int = option(
        3, "strided layers of the discriminator: patches of 1, 16, 34, 70, 142, 286 for 0 to 5"
    )
    d_channel_base: int = option(64, "feature maps of the discriminator's first layer")
    d_conditional: bool = option(True, "the discriminator sees the source beside the image")
    norm: str = option("batch", "normalisation: batch or instance")
    pad: bool = option(False, "pad images of sizes that the generator does not take")
    gan: str = option("vanilla", "adversarial loss: vanilla (cross-entropy) or lsgan (squares)")
    gan_weight: float = option(1.0, "weight of the generator's adversarial loss; 0: without")
    l1_weight: float = option(100.0, "weight of the mean absolute difference")
    lr: float = option(0.0002, "learning rate of both networks")
    lr_decay: float = option(
        0.5, "part of the training, at its end, in which the learning rate falls linearly to 0"
    )
    beta1: float = option(0.5, "Adam: decay of the first moment")
    beta2: float = option(0.999, "Adam: decay of the second moment")
    epsilon: float = option(1e-8, "Adam: epsilon")
    dropout_places: str = option(
        "torch", "dropout of the generator: as in the torch or pytorch program, or none"
    )
    dropout: str = option("on", "dropout when images are made after training", resumable=True)
    norm_stats: str = option(
        "batch",
        "statistics of batch normalisation when images are made: batch, of the images themselves, "
        "or running, of training",
        resumable=True,
    )

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        return dict(cls.preset_of(_PRESETS, preset))

    def validate(self) -> None:
        super().validate()
        choices = {
            "direction": ("AtoB", "BtoA"),
            "generator": ("unet", "resnet9", "resnet6"),
            "norm": NORMS,
            "gan": ("vanilla", "lsgan"),
            "dropout_places": DROPOUTS,
            "dropout": ("on", "off"),
            "norm_stats": ("batch", "running"),
        }
        for name, legal in choices.items():
            self.require(getattr(self, name) in legal, name, " or ".join(legal))
        for name in ("channel_base", "channel_max", "d_channel_base"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        self.require(self.downs is None or self.downs >= 2, "downs", "at least 2, or null")
        self.require(0 <= self.d_layers <= 5, "d_layers", "from 0 to 5")
        for name in ("lr", "epsilon"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("gan_weight", "l1_weight"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(self.gan_weight + self.l1_weight > 0, "l1_weight", "positive without a GAN")
        self.require(0 <= self.lr_decay <= 1, "lr_decay", "from 0 to 1")
        for name in ("beta1", "beta2"):
            self.require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
