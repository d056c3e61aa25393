"""What an image is made from: a label map, with or without instances, or another image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np
import paddle


@dataclass(frozen=True)
class Condition:
    """The conditional input of N images; None for what there is not.

    Attributes:
        labelmaps: classes of pixels, int32 [N, H, W].
        instances: objects of pixels, int32 [N, H, W]; only equality within one map means anything.
        sources: images to translate, float32 [N, C, H, W] in [-1, 1].
    """

    labelmaps: Optional[paddle.Tensor] = None
    instances: Optional[paddle.Tensor] = None
    sources: Optional[paddle.Tensor] = None

    def __len__(self) -> int:
        given = [t for t in (self.labelmaps, self.instances, self.sources) if t is not None]
        return int(given[0].shape[0]) if given else 0

    def __getitem__(self, rows: slice) -> Condition:
        """The condition of some of the images."""
        return Condition(
            *(
                None if t is None else t[rows]
                for t in (self.labelmaps, self.instances, self.sources)
            )
        )


def make_condition(
    labelmaps: Optional[np.ndarray] = None,
    instances: Optional[np.ndarray] = None,
    sources: Optional[np.ndarray] = None,
) -> Condition:
    """The condition of integer maps [N, H, W] and uint8 images [N, C, H, W] of 0 ... 255."""
    return Condition(
        None if labelmaps is None else paddle.to_tensor(labelmaps.astype(np.int32)),
        None if instances is None else paddle.to_tensor(instances.astype(np.int32)),
        None if sources is None else to_tensor(sources),
    )


def to_tensor(pixels: np.ndarray) -> paddle.Tensor:
    """Pixels uint8 as float32 in [-1, 1]."""
    return paddle.to_tensor(pixels.astype(np.float32) / 127.5 - 1)


def describe(label_count: int, instances: bool, source_channels: int) -> str:
    """The kind of condition for people; empty without."""
    parts: Sequence[str] = [
        f"label maps of {label_count} classes" if label_count else "",
        "instances" if instances else "",
        f"source images of {source_channels} channels" if source_channels else "",
    ]
    return ", ".join(part for part in parts if part)
