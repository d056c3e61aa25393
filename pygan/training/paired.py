"""What paired datasets add to training: their options, their frame and where crops lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from pygan.errors import InputError
from pygan.training.config import TrainConfig, option
from pygan.training.rng import StepRandom


@dataclass
class PairedConfig(TrainConfig):
    """Options of algorithms that are trained on pairs."""

    load_size: str = option(
        "", "resize pairs to N or WIDTHxHEIGHT as they are read; empty: as they are stored"
    )
    crop: str = option("", "train on random crops of N or WIDTHxHEIGHT; empty: on whole pairs")

    def validate(self) -> None:
        super().validate()
        for name in ("load_size", "crop"):
            _size(name, getattr(self, name))


def framed(dataset: Any, options: Mapping[str, Any]) -> Any:
    """The dataset as ``load_size``, ``crop`` and ``mirror`` of the options frame it.

    Datasets that are not paired, and paired ones without these options, stay as they are.

    Raises:
        InputError: a size is none, or the crop does not fit.
    """
    load_size = _size("load_size", options.get("load_size", ""))
    crop = _size("crop", options.get("crop", ""))
    if not hasattr(dataset, "framed"):
        if load_size or crop:
            flag = "--load-size" if load_size else "--crop"
            raise InputError(f"{flag}: the dataset holds no pairs; make one with: pygan data pairs")
        return dataset
    from pygan.data import DataError

    try:
        return dataset.framed(load_size, crop, options.get("mirror"))
    except DataError as error:
        raise InputError(f"--crop: {error}") from None


def crop_corners(
    random: StepRandom, loaded: tuple[int, int], crop: tuple[int, int]
) -> list[tuple[int, int]]:
    """(top, left) of a crop for each sample, all places equally likely.

    Args:
        random: of the samples of one iteration, so that places do not depend on how they are split
            over processes, and resumed runs go on with the same ones.
        loaded: (H, W) of the whole.
        crop: (H, W) of the part.
    """
    if crop == loaded:
        return [(0, 0)] * len(random)
    corners = random.uniform("corner", (2,)) * [loaded[i] - crop[i] + 1 for i in (0, 1)]
    return [(int(top), int(left)) for top, left in corners]


def require_condition(
    name: str, wanted: Sequence[str], label_count: int, source_channels: int
) -> None:
    """Raises InputError unless the dataset has one of the conditions that an algorithm takes."""
    has = {"labelmaps": label_count > 0, "sources": source_channels > 0}
    if wanted and not any(has[kind] for kind in wanted):
        names = {"labelmaps": "label maps", "sources": "source images"}
        what = " or ".join(names[kind] for kind in wanted)
        raise InputError(
            f"--data: {name} makes images from {what}, which the dataset does not have; make one "
            "with: pygan data pairs, scenes, wesnoth, mri or edges"
        )


def _size(name: str, text: str) -> Optional[tuple[int, int]]:
    """(H, W) of an option; None if it is empty."""
    if not text:
        return None
    from pygan.data import DataError
    from pygan.data.transforms import parse_size

    try:
        width, height = parse_size(text)
    except DataError as error:
        raise InputError(f"--{name.replace('_', '-')}: {error}") from None
    return height, width
