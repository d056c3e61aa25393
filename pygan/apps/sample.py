"""Images from a trained generator."""

from __future__ import annotations

import math
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
        self.check_label(label)
        images = []
        for i in range(0, len(seeds), batch):
            part = seeds[i : i + batch]
            labels = None if label is None else np.full(len(part), label, dtype=np.int64)
            drawn = self.algorithm.sample(
                self.networks, self.config, part, labels, truncation=truncation, noise=noise
            )
            images.append(to_pixels(drawn.numpy()))
        return np.concatenate(images)

    def check_label(self, label: Optional[int]) -> None:
        """Raises InputError unless the model knows this class, or None if it has no classes."""
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
    return parse_numbers(text, "--seeds")


def parse_numbers(text: str, option: str, alternative: str = "") -> list[int]:
    """Numbers below 2³² from a list of numbers and ranges, such as ``0-63`` or ``3,8,10-12``.

    Args:
        text: the list.
        option: name of the command's option, for errors.
        alternative: what else the option takes, for errors.

    Raises:
        InputError: it is no such list.
    """
    numbers: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last >= 2**32:
            expected = " ".join(["numbers and ranges such as 0-63 or 3,8,10-12", alternative])
            raise InputError(f"{option}: expected {expected.strip()}, got {text!r}")
        numbers.extend(range(first, last + 1))
    return numbers


def parse_truncations(text: str) -> list[float]:
    """One or more psi, such as ``0.7`` or ``-1,0,1``."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise InputError(f"--trunc: expected numbers such as 0.7 or -1,0,1, got {text!r}")
    return values


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
    names = [f"seed{seed:04d}" for seed in seeds]
    return write_pictures(pixels, names if singles else [], out, columns)


def write_truncations(
    source: Path, seeds: Sequence[int], truncations: Sequence[float], out: Path, **options: Any
) -> Path:
    """Writes ``truncation.png``: a row per seed, a column per psi of the truncation trick.

    Args:
        source: see ``load_model``.
        seeds: of the rows.
        truncations: of the columns.
        out: folder to write to.
        options: see ``TrainedModel.sample``.
    """
    model = load_model(source)
    columns = [model.sample(seeds, truncation=psi, **options) for psi in truncations]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "truncation.png"
    pixels = np.stack(columns, axis=1)
    save_png(tile(pixels.reshape(-1, *pixels.shape[2:]), len(columns)), path)
    return path


def write_pictures(
    pixels: np.ndarray, names: Sequence[str], out: Path, columns: Optional[int] = None
) -> list[Path]:
    """Writes images [N, C, H, W] as ``<name>.png``, and all of them as ``grid.png``.

    Args:
        pixels: the images.
        names: of the single images; none for the grid only.
        out: folder to write to.
        columns: of the grid; None chooses.

    Returns:
        The files written; the grid comes last.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, image in zip(names, pixels):
        paths.append(out / f"{name}.png")
        save_png(image.transpose(1, 2, 0), paths[-1])
    paths.append(out / "grid.png")
    save_png(tile(pixels, columns or max(1, round(len(pixels) ** 0.5))), paths[-1])
    return paths


def _find_checkpoint(folder: Path) -> checkpoints.Checkpoint:
    if (folder / "manifest.json").is_file():
        return checkpoints.load(folder)
    found = checkpoints.newest(folder / "checkpoints", lambda text: print(text, file=sys.stderr))
    if found is None:
        raise InputError(f"{folder} is neither a run with a checkpoint nor a checkpoint")
    return found
