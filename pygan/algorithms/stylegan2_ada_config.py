"""Options of StyleGAN2-ADA.

Karras et al. 2020, "Training generative adversarial networks with limited data".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from pygan.algorithms.stylegan2_config import StyleGAN2Config
from pygan.nn.augment_settings import PRESETS, TRANSFORMS, AugmentSettings
from pygan.training import option
from pygan.training.augment_control import SIGNALS

_MODES = ("ada", "fixed", "noaug")
# Thousands of images in which p goes from 0 to 1: section 3.1 of the paper, and for transfer
# learning, where the discriminator overfits sooner.
_ADA_KIMG, _ADA_KIMG_TRANSFER = 500.0, 100.0
# The demonstration ends after 200 kimg.
_ADA_KIMG_DEMO = 100.0


@dataclass
class StyleGAN2ADAConfig(StyleGAN2Config):
    """Options of StyleGAN2-ADA."""

    aug: str = option(
        "ada",
        "augmentation: ada (as strong as overfitting demands), fixed (with probability p), noaug",
    )
    p: Optional[float] = option(
        None, "probability of augmentations; with ada, where it starts; null: 0"
    )
    p_max: float = option(
        0.8, "ada: upper limit of p; above about 0.8 augmentations leak into the samples"
    )
    target: float = option(0.6, "ada: value of the overfitting heuristic to keep")
    ada_kimg: float = option(_ADA_KIMG, "ada: kimg in which p may go from 0 to 1")
    ada_interval: int = option(4, "ada: iterations between changes of p")
    ada_signal: str = option(
        "rt", "ada: overfitting heuristic, rt (signs of D) or rv (needs --validation)"
    )
    augpipe: str = option("bgc", f"set of augmentations: {', '.join(PRESETS)}")
    aug_xflip: Optional[float] = option(
        None, "strength of mirroring: probability relative to p; null, here and below: by --augpipe"
    )
    aug_rotate90: Optional[float] = option(None, "strength of quarter turns")
    aug_xint: Optional[float] = option(None, "strength of shifts by whole pixels")
    aug_scale: Optional[float] = option(None, "strength of zooms")
    aug_rotate: Optional[float] = option(None, "strength of turns by any angle")
    aug_aniso: Optional[float] = option(None, "strength of stretches")
    aug_xfrac: Optional[float] = option(None, "strength of shifts by fractions of pixels")
    aug_brightness: Optional[float] = option(None, "strength of changes of brightness")
    aug_contrast: Optional[float] = option(None, "strength of changes of contrast")
    aug_lumaflip: Optional[float] = option(None, "strength of inverting the luma")
    aug_hue: Optional[float] = option(None, "strength of rotations of the hue")
    aug_saturation: Optional[float] = option(None, "strength of changes of saturation")
    aug_imgfilter: Optional[float] = option(None, "strength of gains of frequency bands")
    aug_noise: Optional[float] = option(None, "strength of noise")
    aug_cutout: Optional[float] = option(None, "strength of cut-outs")

    @property
    def augmentation(self) -> AugmentSettings:
        """The transforms in force."""
        given = {name: getattr(self, f"aug_{name}") for name in TRANSFORMS}
        strengths = {name: value for name, value in given.items() if value is not None}
        return AugmentSettings.preset(self.augpipe, strengths)

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        values = super().preset_values(preset, resolution, batch, processes)
        return {**values, "ada_kimg": _ADA_KIMG_DEMO} if preset == "demo" else values

    @classmethod
    def transfer_values(cls, source: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().transfer_values(source), "ada_kimg": _ADA_KIMG_TRANSFER}

    def validate(self) -> None:
        super().validate()
        self.require(self.aug in _MODES, "aug", ", ".join(_MODES))
        self.require(self.augpipe in PRESETS, "augpipe", f"one of {', '.join(PRESETS)}")
        self.require(self.ada_signal in SIGNALS, "ada_signal", " or ".join(SIGNALS))
        self.require(0 < self.p_max <= 1, "p_max", "above 0, and at most 1")
        self.require(self.ada_kimg > 0, "ada_kimg", "positive")
        self.require(self.ada_interval >= 1, "ada_interval", "at least 1")
        self.require(-1 <= self.target <= 1, "target", "from -1 to 1")
        for name in TRANSFORMS:
            value = getattr(self, f"aug_{name}")
            legal = value is None or 0 <= value < float("inf")
            self.require(legal, f"aug_{name}", "0 or more, or null")
        if self.aug == "noaug":
            self.require(self.p in (None, 0), "p", "left out with --aug noaug")
        elif self.aug == "fixed":
            legal = self.p is not None and 0 <= self.p <= 1
            self.require(legal, "p", "given, from 0 to 1, with --aug fixed")
        else:
            legal = self.p is None or 0 <= self.p <= self.p_max
            self.require(legal, "p", f"from 0 to --p-max, {self.p_max:g}")
            if self.ada_signal == "rv":
                self.require(self.validation > 0, "validation", "above 0 with --ada-signal rv")
