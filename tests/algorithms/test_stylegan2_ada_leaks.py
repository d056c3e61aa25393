"""Augmentations stay out of the generated images, up to p = 0.8.

The images have a bright top, and are augmented by turns of random multiples of 90 degrees. With
p = 0.8 the discriminator sees 40 % of them upright and 20 % in each other orientation: only a
generator of upright images looks like that. With p = 1 all orientations are equally frequent
whatever the generator does, and nothing tells it which one is right (Karras et al. 2020, "Training
generative adversarial networks with limited data", section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.algorithms.stylegan2_ada import StyleGAN2ADA
from pygan.algorithms.stylegan2_ada_config import StyleGAN2ADAConfig
from pygan.training import StepRandom, Trainer

OPTIONS: dict[str, Any] = {
    "batch": 16,
    "mbstd_group": 4,
    "channel_base": 128,
    "channel_max": 16,
    "z_dim": 8,
    "w_dim": 16,
    "mapping_layers": 1,
    "pl_weight": 0.0,
    "mixing": 0.0,
    "gamma": 1.0,
    "r1_interval": 8,
    "g_lr": 0.004,
    "d_lr": 0.004,
    "ema_kimg": 0.5,
    "workers": 0,
    "grid": "2x2",
    "tick": 100.0,
    "seed": 3,
    "kimg": 3.0,
    "augpipe": "blit",
    "aug_xflip": 0.0,
    "aug_xint": 0.0,
}
# p rises from 0 to 0.8 within the first third, whatever the discriminator says.
RISING: dict[str, Any] = {"target": -1.0, "ada_kimg": 1.25, "ada_interval": 1, "p_max": 0.8}


class BrightTop:
    """Images [1, 8, 8]: dark, with two or three bright rows at the top."""

    cached = True
    num_classes = 0
    labels = None
    image_shape = (1, 8, 8)
    fingerprint = "bright top"

    def __init__(self) -> None:
        random = np.random.RandomState(0)
        self._images = np.full((256, *self.image_shape), 40, dtype=np.uint8)
        for image in self._images:
            image[0, : random.randint(2, 4)] = random.randint(160, 250)

    def __len__(self) -> int:
        return len(self._images)

    def load(self, indices: Sequence[int]) -> tuple[np.ndarray, None]:
        return self._images[list(indices)], None


def orientations(images: np.ndarray) -> np.ndarray:
    """Shares of the images whose bright side is the top, left, bottom and right one."""
    sides = (images[:, 0, :2], images[:, 0, :, :2], images[:, 0, -2:], images[:, 0, :, -2:])
    brightness = np.stack([side.mean(axis=(1, 2)) for side in sides], axis=1)
    return np.bincount(brightness.argmax(axis=1), minlength=4) / len(images)


def train(out: Path, algorithm: type[StyleGAN2ADA] = StyleGAN2ADA, **options: Any) -> np.ndarray:
    """Orientations of the images that a generator draws after training."""
    config = StyleGAN2ADAConfig(out=str(out), **{**OPTIONS, **options})
    config.validate()
    trainer = Trainer(config, algorithm, BrightTop())
    trainer.run()
    assert trainer.algorithm.p == (config.p or config.p_max)  # type: ignore[attr-defined]
    images = StyleGAN2ADA.sample(trainer.averages, config, range(200), None).numpy()
    assert images.std() > 0.3  # it draws something
    return orientations(images)


class RealsOnly(StyleGAN2ADA):
    """A broken pipe: generated images reach the discriminator as they are."""

    def augment(self, images: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
        real = random._scope in ("D_main/real", "D_reg")
        return super().augment(images, random) if real else images


def test_the_measure_tells_orientations() -> None:
    images = BrightTop().load(range(256))[0]
    for turns in range(4):
        found = orientations(np.rot90(images, turns, axes=(2, 3)))
        np.testing.assert_array_equal(found, np.arange(4) == turns)


def test_quarter_turns_do_not_leak_up_to_p_0_8(tmp_path: Path) -> None:
    upright = train(tmp_path / "run", **RISING)[0]
    assert upright > 0.95


def test_quarter_turns_leak_from_a_broken_pipe(tmp_path: Path) -> None:
    upright = train(tmp_path / "run", RealsOnly, **RISING)[0]
    assert upright < 0.8


@pytest.mark.parametrize(("p", "upright"), [(0.5, True), (1.0, False)])
def test_quarter_turns_leak_at_p_1_but_not_at_half(p: float, upright: bool, tmp_path: Path) -> None:
    """Of one seed, whose images come upside down or sideways where nothing says which way is up."""
    share = train(tmp_path / "run", aug="fixed", p=p)[0]
    assert share > 0.95 if upright else share < 0.5
