"""What a file of another project holds, in pygan's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Foreign:
    """Networks of another project.

    Attributes:
        format: whose file it is, for people.
        networks: arrays by network ('G', 'D', 'G_ema'), named as pygan names them. What pygan has
            no counterpart for keeps the name that it has in the file.
        config: options of pygan's algorithm that describe the networks.
        image_shape: (C, H, W) of the images.
        classes: of conditional networks; 0 if unconditional.
        notes: lines for the user about what was made up or left out.
        algorithm: the algorithm of pygan that has such networks.
        source_channels: of networks that translate images, the channels of these; for a
            discriminator alone, those of all that it sees.
    """

    format: str
    networks: Mapping[str, Arrays]
    config: Mapping[str, Any]
    image_shape: tuple[int, int, int]
    classes: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)
    algorithm: str = "stylegan2"
    source_channels: int = 0
