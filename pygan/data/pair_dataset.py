"""The dataset of an archive of pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from .dataset import CACHE_BYTES, ImageDataset
from .errors import DataError
from .pairs import INSTANCE, LABEL, SOURCE, PairLayout, PairReader, Pairs, check_frame, companion
from .store import Store


class PairedDataset(ImageDataset):
    """Images of one size with what each is made from. Made by open_dataset.

    To those who want images only it is an ImageDataset, whose images are the middle of the frame;
    ``pairs`` are the samples with all their planes.

    Attributes:
        layout: what a sample consists of, and its frame.
        label_count: classes of the label maps, 0 without; don't care, if it is one, is the last.
        dont_care: its id, or None.
        instances: whether there are instance maps.
        source_channels: of the images to translate, 0 without.
        label_names: of the classes of pixels, or None.
    """

    def __init__(
        self,
        store: Store,
        names: list[str],
        layout: PairLayout,
        info: dict[str, Any],
        mirror: bool = False,
        cache: bool | str = "auto",
    ) -> None:
        check_frame(layout)
        channels, _, _ = layout.image_shape
        super().__init__(store, names, (channels, *layout.framed), None, info, mirror)
        self.layout = layout
        self.label_count = layout.label_count
        self.dont_care: int | None = info.get("dont_care")
        self.instances = layout.instances
        self.source_channels = layout.source_channels
        self.label_names: list[str] | None = info.get("label_names")
        self._wanted_cache = cache

    @property
    def cached(self) -> bool:
        """Whether loaded images stay in memory."""
        return self._keep(self.layout.images_only)

    @cached_property
    def pairs(self) -> Pairs:
        """The samples with all their planes, for the loader."""
        return self._open(self.layout)

    @cached_property
    def _images(self) -> Pairs:
        return self._open(self.layout.images_only)

    def framed(
        self,
        load_size: tuple[int, int] | None = None,
        crop: tuple[int, int] | None = None,
        mirror: bool | None = None,
    ) -> PairedDataset:
        """The same samples, resized to `load_size` and cropped to `crop`, each (H, W).

        Images are resized by bicubic interpolation, ids by their nearest neighbour. None means the
        stored size, no crop, and mirroring as it is.

        Raises:
            DataError: the crop is larger than the samples.
        """
        layout = replace(self.layout, load_size=load_size, crop=crop)
        flips = self.mirror if mirror is None else mirror
        info = dict(self.info)
        return PairedDataset(self._store, self._names, layout, info, flips, self._wanted_cache)

    def take(self, positions: Sequence[int]) -> PairedDataset:
        """A dataset of some of the images (0 to originals - 1), in this order."""
        names = [self._names[position] for position in positions]
        info = dict(self.info)
        return PairedDataset(self._store, names, self.layout, info, self.mirror, self._wanted_cache)

    def load(self, indices: Sequence[int]) -> tuple[np.ndarray, None]:
        """Images [B, C, H, W] uint8 in this order, and None for classes of whole images."""
        return self._images.load([self._images.centred(index) for index in indices]).images, None

    @cached_property
    def fingerprint(self) -> str:
        """Hash as of an ImageDataset, of the files of all planes, and of the frame."""
        digest = hashlib.sha256(super().fingerprint.encode())
        digest.update(repr((self.layout.load_size, self.layout.crop)).encode())
        kinds = [kind for kind in (SOURCE, LABEL, INSTANCE) if kind in self.layout.planes]
        for name in self._names:
            for kind in kinds:
                size, checksum = self._store.checksum(companion(name, kind))
                digest.update(f"{kind} {size} {checksum};".encode())
        return digest.hexdigest()

    def worker_source(self) -> dict[str, Any]:
        return self._images.worker_source()

    def worker_request(self, indices: Sequence[int]) -> list[Any]:
        return self._images.worker_request([self._images.centred(index) for index in indices])

    def assemble(
        self, answer: np.ndarray, indices: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        return answer.reshape(len(indices), *self.image_shape), None

    def answer_shape(self, count: int) -> tuple[int, ...]:
        return self._images.answer_shape(count)

    def _open(self, layout: PairLayout) -> Pairs:
        reader = PairReader(self._store, layout)
        return Pairs(reader, self._names, self.mirror, self._keep(layout))

    def _keep(self, layout: PairLayout) -> bool:
        if self._wanted_cache == "auto":
            return len(self._names) * layout.row_bytes(layout.loaded) <= CACHE_BYTES
        return bool(self._wanted_cache)


def paired_layout(info: dict[str, Any], where: str) -> PairLayout:
    """What dataset.json says of the samples.

    Raises:
        DataError: it says nothing usable.
    """
    try:
        channels, height, width = (int(number) for number in info["image_shape"])
        layout = PairLayout(
            (channels, height, width),
            int(info["label_count"]),
            bool(info["instances"]),
            int(info["source_channels"]),
        )
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{where} does not describe pairs; build it again") from None
    if not layout.label_count and not layout.source_channels:
        raise DataError(f"{where} has neither label maps nor source images; build it again")
    return layout
