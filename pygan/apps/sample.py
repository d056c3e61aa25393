"""Images from a trained generator."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
from paddle import nn

from pygan.algorithms import find_algorithm
from pygan.errors import InputError
from pygan.training import checkpoint as checkpoints
from pygan.training.algorithm import Algorithm, DataSpec
from pygan.training.config import TrainConfig
from pygan.training.grid import save_png, tile, to_pixels
from pygan.training.state import load_arrays


@dataclass
class TrainedModel:
    """The averaged networks of a checkpoint, ready for sampling.

    Attributes:
        algorithm: class of the algorithm.
        config: its options.
        data: what it was trained on.
        networks: by name.
        nimg: images it was trained on.
    """

    algorithm: type[Algorithm]
    config: TrainConfig
    data: DataSpec
    networks: dict[str, nn.Layer]
    nimg: int

    @paddle.no_grad()
    def sample(
        self,
        seeds: Sequence[int],
        *,
        label: Optional[int] = None,
        truncation: float = 1.0,
        noise: str = "const",
        batch: int = 8,
    ) -> np.ndarray:
        """Images [N, C, H, W] uint8, one per seed.

        Args:
            seeds: a seed gives the same image everywhere.
            label: class; required of conditional models, not accepted by others.
            truncation: psi of the truncation trick; 1 for none.
            noise: 'const', 'random' or 'none'.
            batch: images per forward pass.
        """
        self._check_label(label)
        images = []
        for i in range(0, len(seeds), batch):
            part = seeds[i : i + batch]
            labels = None if label is None else np.full(len(part), label, dtype=np.int64)
            drawn = self.algorithm.sample(
                self.networks, self.config, part, labels, truncation=truncation, noise=noise
            )
            images.append(to_pixels(drawn.numpy()))
        return np.concatenate(images)

    def _check_label(self, label: Optional[int]) -> None:
        count = self.data.num_classes
        if count == 0 and label is not None:
            raise InputError("--class: the model was trained without labels; leave it out")
        if count > 0 and label is None:
            raise InputError(f"--class is required by this model: a number from 0 to {count - 1}")
        if label is not None and not 0 <= label < count:
            raise InputError(f"--class: must be from 0 to {count - 1}, got {label}")


def load_model(source: Path) -> TrainedModel:
    """Loads the networks that images are drawn from.

    Args:
        source: a run (its newest intact checkpoint is used), a checkpoint, or the file of one
            averaged network, such as ``G_ema.safetensors``.

    Raises:
        InputError: it is none of these, or damaged.
    """
    if source.is_file():
        arrays, manifest = checkpoints.read_weights(source)
        weights = {str(manifest["file"]): arrays}
    elif source.is_dir():
        saved = _find_checkpoint(source)
        manifest = saved.manifest
        names = find_algorithm(manifest["algorithm"]).averaged
        weights = {f"{name}_ema": saved.arrays(f"{name}_ema") for name in names}
    else:
        raise InputError(f"{source} does not exist")
    algorithm = find_algorithm(manifest["algorithm"])
    config = algorithm.Config.from_dict(manifest["config"])
    data = DataSpec.from_dict(manifest["data"])
    networks: dict[str, nn.Layer] = {}
    for name in algorithm.averaged:
        if f"{name}_ema" not in weights:
            raise InputError(f"{source}: images need the weights of {name}_ema")
        networks[name] = algorithm.build(name, config, data)
        load_arrays(networks[name], weights[f"{name}_ema"], source)
        networks[name].eval()
    return TrainedModel(algorithm, config, data, networks, int(manifest["nimg"]))


def parse_seeds(text: str) -> list[int]:
    """Seeds from a list of numbers and ranges, such as ``0-63`` or ``3,8,10-12``."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last >= 2**32:
            raise InputError(
                f"--seeds: expected numbers and ranges such as 0-63 or 3,8,10-12, got {text!r}"
            )
        seeds.extend(range(first, last + 1))
    return seeds


def write_samples(
    source: Path,
    seeds: Sequence[int],
    out: Path,
    *,
    columns: Optional[int] = None,
    singles: bool = True,
    **options: Any,
) -> list[Path]:
    """Writes ``seed<number>.png`` for every seed and all of them as ``grid.png``.

    Args:
        source: see ``load_model``.
        seeds: one image each.
        out: folder to write to.
        columns: of the grid; None chooses.
        singles: whether to write the single images, too.
        options: see ``TrainedModel.sample``.

    Returns:
        The files written; the grid comes last.
    """
    pixels = load_model(source).sample(seeds, **options)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    if singles:
        for seed, image in zip(seeds, pixels):
            paths.append(out / f"seed{seed:04d}.png")
            save_png(image.transpose(1, 2, 0), paths[-1])
    paths.append(out / "grid.png")
    save_png(tile(pixels, columns or max(1, round(len(seeds) ** 0.5))), paths[-1])
    return paths


def _find_checkpoint(folder: Path) -> checkpoints.Checkpoint:
    if (folder / "manifest.json").is_file():
        return checkpoints.load(folder)
    found = checkpoints.newest(folder / "checkpoints", lambda text: print(text, file=sys.stderr))
    if found is None:
        raise InputError(f"{folder} is neither a run with a checkpoint nor a checkpoint")
    return found
