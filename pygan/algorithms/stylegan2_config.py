"""Options of StyleGAN2 and its presets.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", and the set-ups of
Karras et al. 2020, "Training generative adversarial networks with limited data" (ADA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Optional

import paddle

from pygan.nn import HALF_TYPES
from pygan.training import TrainConfig, option

# Config F of the StyleGAN2 paper and the set-ups of the ADA paper's appendix C.
_COLUMNS = ("batch", "mbstd_group", "channel_base", "lr", "gamma", "ema_kimg")
_PRESETS: dict[str, tuple[float, ...]] = {
    "stylegan2": (32, 4, 32768, 0.002, 10.0, 10.0),
    "paper256": (64, 8, 16384, 0.0025, 1.0, 20.0),
    "paper512": (64, 8, 32768, 0.0025, 0.5, 20.0),
    "paper1024": (32, 4, 32768, 0.002, 2.0, 10.0),
    "cifar": (64, 32, 32768, 0.0025, 0.01, 500.0),
}
_CIFAR = {
    "kimg": 100000.0,
    "ema_rampup": 0.05,
    "mapping_layers": 2,
    "pl_weight": 0.0,
    "mixing": 0.0,
    "d_architecture": "orig",
}

# For a few minutes on a CPU: small networks, and what speeds up the first thousand steps.
_DEMO = {
    "kimg": 200.0,
    "batch": 16,
    "mbstd_group": 4,
    "z_dim": 64,
    "w_dim": 128,
    "mapping_layers": 2,
    "channel_base": 1024,
    "channel_max": 64,
    "g_lr": 0.0025,
    "d_lr": 0.0025,
    "gamma": 4.0,
    "pl_weight": 0.0,
    "ema_kimg": 1.0,
    "tick": 2.0,
}


# What the shape of the networks follows from, besides the data.
_STRUCTURE = (
    "z_dim",
    "w_dim",
    "mapping_layers",
    "d_mapping_layers",
    "channel_base",
    "channel_max",
    "g_architecture",
    "d_architecture",
)
_HALF_CLAMP = 256.0  # of activations in half precision, as in StyleGAN2-ADA


@dataclass
class StyleGAN2Config(TrainConfig):
    """Options of StyleGAN2."""

    presets: ClassVar[tuple[str, ...]] = ("auto", *_PRESETS, "demo")
    structure: ClassVar[tuple[str, ...]] = _STRUCTURE

    preset: str = option("auto", f"set of defaults: auto, {', '.join(_PRESETS)}, demo")
    z_dim: int = option(512, "size of the latent code z")
    w_dim: int = option(512, "size of the intermediate latent code w")
    mapping_layers: int = option(8, "layers of the mapping network")
    d_mapping_layers: int = option(8, "layers of a conditional discriminator's network of labels")
    channel_base: int = option(32768, "feature maps are channel_base / resolution, at most ...")
    channel_max: int = option(512, "... channel_max")
    g_architecture: str = option("skip", "generator: skip, resnet or orig")
    d_architecture: str = option("resnet", "discriminator: resnet, skip or orig")
    mbstd_group: int = option(4, "images per group of the minibatch deviation")
    g_lr: float = option(0.002, "learning rate of the generator")
    d_lr: float = option(0.002, "learning rate of the discriminator")
    beta1: float = option(0.0, "Adam: decay of the first moment")
    beta2: float = option(0.99, "Adam: decay of the second moment")
    epsilon: float = option(1e-8, "Adam: epsilon")
    gamma: float = option(10.0, "weight of R1; 0 leaves it out")
    r1_interval: int = option(16, "iterations between R1 steps")
    pl_weight: float = option(2.0, "weight of path length regularisation; 0 leaves it out")
    pl_interval: int = option(4, "iterations between path length steps")
    pl_decay: float = option(0.01, "speed of the running mean of path lengths")
    pl_batch_shrink: int = option(2, "path length steps use the batch divided by this")
    mixing: float = option(0.9, "probability of style mixing")
    freeze_d: int = option(0, "layers of the discriminator to freeze, from the highest resolution")
    precision: str = option(
        "auto", "float32, float16, bfloat16; auto: float16 on a GPU, float32 on a CPU"
    )
    fp16_res: int = option(4, "the highest resolutions, so many, run in half precision")
    conv_clamp: Optional[float] = option(
        None, "limit of activations; null: 256 with half precision, else none"
    )

    @property
    def half_type(self) -> Optional[str]:
        """'float16', 'bfloat16', or None for float32 everywhere."""
        if self.fp16_res == 0 or self.precision == "float32":
            return None
        if self.precision == "auto":
            return "float16" if paddle.get_device().startswith("gpu") else None
        return self.precision

    @property
    def clamp(self) -> Optional[float]:
        """The limit of activations in force."""
        if self.conv_clamp is None and self.half_type is not None:
            return _HALF_CLAMP
        return self.conv_clamp

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        if preset == "auto":
            return _auto_preset(resolution, batch, processes)
        if preset == "demo":
            return dict(_DEMO)
        values: dict[str, Any] = dict(zip(_COLUMNS, cls.preset_of(_PRESETS, preset)))
        rate = values.pop("lr")
        return {**values, "g_lr": rate, "d_lr": rate, **(_CIFAR if preset == "cifar" else {})}

    def validate(self) -> None:
        super().validate()
        architectures = ("orig", "skip", "resnet")
        for name in ("g_architecture", "d_architecture"):
            self.require(getattr(self, name) in architectures, name, " or ".join(architectures))
        for name in ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("mbstd_group", "r1_interval", "pl_interval", "pl_batch_shrink"):
            self.require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("g_lr", "d_lr", "epsilon"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("gamma", "pl_weight"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        for name in ("freeze_d", "fp16_res", "d_mapping_layers"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        precisions = ("auto", "float32", *HALF_TYPES)
        self.require(self.precision in precisions, "precision", " or ".join(precisions))
        clamp = self.conv_clamp
        self.require(clamp is None or clamp > 0, "conv_clamp", "positive or null")
        for name in ("beta1", "beta2"):
            self.require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("mixing", "pl_decay"):
            self.require(0 <= getattr(self, name) <= 1, name, "from 0 to 1")


def _auto_preset(resolution: int, batch: Optional[int], processes: int) -> dict[str, Any]:
    """ADA's heuristic for data of any size; what depends on the batch follows the one in force."""
    if batch is None:
        batch = max(min(processes * min(4096 // resolution, 32), 64), processes)
    per_process = max(batch // processes, 1)
    rate = 0.002 if resolution >= 1024 else 0.0025
    return {
        "batch": batch,
        "mbstd_group": max(group for group in range(1, 5) if per_process % group == 0),
        "channel_base": 32768 if resolution >= 512 else 16384,
        "g_lr": rate,
        "d_lr": rate,
        "gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "ema_rampup": 0.05,
        "mapping_layers": 2,
    }
