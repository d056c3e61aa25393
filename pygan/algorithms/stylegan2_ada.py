"""Training of StyleGAN2 with adaptive discriminator augmentation (ADA).

Karras et al. 2020, "Training generative adversarial networks with limited data". The networks,
losses and phases are those of :mod:`pygan.algorithms.stylegan2`; the discriminator sees nothing but
augmented images, real and generated ones with the same probability p:

* G_main: softplus(-D(A(G(z))));
* D_main: softplus(D(A(G(z)))) + softplus(-D(A(x)));
* D_reg: gamma / 2 * |dD(A(x)) / dx|^2, with respect to the image before augmentation.

A controller (:mod:`pygan.training.augment_control`) moves p as the discriminator's scores of D_main
and D_reg say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Optional

import paddle

from pygan.algorithms.stylegan2 import StyleGAN2
from pygan.algorithms.stylegan2_ada_config import StyleGAN2ADAConfig
from pygan.nn.augment import augment
from pygan.training import DataSpec, Phase, State, Step, StepRandom, TrainConfig
from pygan.training.augment_control import AugmentController

# Above this, turns and colours leak into what the generator draws (section 2.2 of the paper).
_SAFE_P = 0.8


class StyleGAN2ADA(StyleGAN2):
    """StyleGAN2 whose discriminator sees augmented images."""

    name: ClassVar[str] = "stylegan2-ada"
    Config: ClassVar[type[TrainConfig]] = StyleGAN2ADAConfig

    config: StyleGAN2ADAConfig

    def __init__(self, config: StyleGAN2ADAConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self._settings = config.augmentation
        self._warned: set[str] = set()
        self.controller: Optional[AugmentController] = None
        if config.aug == "ada":
            self.controller = AugmentController(
                config.ada_signal,
                config.target,
                config.ada_kimg,
                config.ada_interval,
                config.batch,
                config.p or 0.0,
                config.p_max,
            )

    @property
    def p(self) -> float:
        """The probability of augmentations."""
        return (self.config.p or 0.0) if self.controller is None else self.controller.p

    def augment(self, images: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
        return augment(images, self._settings, self.p, random)

    def phases(self) -> list[Phase]:
        ends = {"D_main": self._count_scores, "D_reg": self._count_signs}
        return [
            dataclasses.replace(phase, end=ends[phase.name]) if phase.name in ends else phase
            for phase in super().phases()
        ]

    def state(self) -> dict[str, State]:
        own = {} if self.controller is None else self.controller.state
        return {**super().state(), **own}

    def end_iteration(self, iteration: int) -> None:
        super().end_iteration(iteration)
        if self.controller is not None:
            self.controller.end_iteration(iteration)

    def _count_scores(self, steps: Sequence[Step]) -> None:
        """Tells the controller the scores of D_main, which are means over the whole batch."""
        self._count_signs(steps)
        means = steps[0].means
        if self.controller is not None and "scores/held_out" in means:
            self.controller.add_logits(
                means["scores/real"],
                means["scores/held_out"],
                means["scores/fake"],
                self.config.batch,
            )

    def _count_signs(self, steps: Sequence[Step]) -> None:
        if self.controller is not None:
            self.controller.add_signs(steps[0].means["signs/real"], self.config.batch)

    # Reports ----------------------------------------------------------------------------------

    def numbers(self) -> dict[str, float]:
        found = {name: float(value.mean()) for name, value in super().state().items()}
        found["augment/p"] = self.p
        if self.controller is not None:
            found["augment/r"] = self.controller.r
        return found

    def tick_text(self) -> str:
        r = "" if self.controller is None else f"  r {self.controller.r:.3f}"
        return f"p {self.p:.3f}{r}"

    def remarks(self) -> Sequence[str]:
        """Warnings that p is too high or ought to be higher, each once per process."""
        found = {}
        if self.controller is not None and self.controller.saturated:
            found["saturated"] = (
                f"p is at its limit, --p-max {self.config.p_max:g}, and the discriminator still "
                "overfits: the samples may get worse from some point on; keep the best checkpoint "
                "(--metrics), or add images"
            )
        if self.p > _SAFE_P:
            found["leaking"] = (
                f"p is above {_SAFE_P:g}: augmentations such as turned images may show up in the "
                "samples"
            )
        new = {name: text for name, text in found.items() if name not in self._warned}
        self._warned.update(new)
        return [f"warning: {text}" for text in new.values()]
