"""Reading paired datasets: images with what they are made from, a label map or another image.

All planes of a sample - image, source image, label map, instance map - lie in one row of bytes.
Rows are what is cached, cropped, flipped and sent by worker processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .errors import DataError, ImageError
from .idmaps import check_ids, ids_image, read_ids
from .imaging import open_image, to_array, to_channels
from .store import Store

IMAGE, SOURCE, LABEL, INSTANCE = "image", "source", "label", "instance"
"""Kinds of planes, and the folders of an archive that hold them."""

Size = tuple[int, int]  # height, width


class Placed(NamedTuple):
    """A sample, by its index in the dataset, and where its crop begins."""

    sample: int
    top: int
    left: int


class PairBatch(NamedTuple):
    """Samples as they are stored; None for what the dataset does not have.

    Attributes:
        images: uint8 [B, C, H, W].
        labels: classes of whole images, int64 [B].
        labelmaps: classes of pixels, uint8 or uint16 [B, H, W].
        instances: objects of pixels, uint16 [B, H, W].
        sources: images to translate, uint8 [B, C', H, W].
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    labelmaps: np.ndarray | None = None
    instances: np.ndarray | None = None
    sources: np.ndarray | None = None


@dataclass(frozen=True)
class PairLayout:
    """What a sample consists of and how it is framed.

    Attributes:
        image_shape: (C, H, W) as stored.
        label_count: classes of the label maps, 0 without; a "don't care" class is the last one.
        instances: whether there are instance maps.
        source_channels: of the source images; 0 without.
        load_size: (H, W) that samples are resized to, or None.
        crop: (H, W) of the part that is used, or None for all of it.
    """

    image_shape: tuple[int, int, int]
    label_count: int = 0
    instances: bool = False
    source_channels: int = 0
    load_size: Size | None = None
    crop: Size | None = None

    @property
    def loaded(self) -> Size:
        """(H, W) before cropping."""
        return self.load_size or self.image_shape[1:]

    @property
    def framed(self) -> Size:
        """(H, W) after cropping."""
        return self.crop or self.loaded

    @property
    def images_only(self) -> PairLayout:
        """The same images without what they are made from."""
        return replace(self, label_count=0, instances=False, source_channels=0)

    @property
    def planes(self) -> dict[str, tuple[int, Any]]:
        """Channels and type by kind, in the order of a row."""
        planes: dict[str, tuple[int, Any]] = {IMAGE: (self.image_shape[0], np.uint8)}
        if self.source_channels:
            planes[SOURCE] = (self.source_channels, np.uint8)
        if self.label_count:
            planes[LABEL] = (1, np.uint8 if self.label_count <= 256 else np.uint16)
        if self.instances:
            planes[INSTANCE] = (1, np.uint16)
        return planes

    def row_bytes(self, size: Size) -> int:
        """Length of a row of planes of this size."""
        pixel = sum(count * np.dtype(kind).itemsize for count, kind in self.planes.values())
        return pixel * size[0] * size[1]

    def unpack(self, rows: np.ndarray, size: Size) -> dict[str, np.ndarray]:
        """Planes [..., channels, H, W] by kind, of rows uint8 [..., bytes]; they share memory."""
        found, start = {}, 0
        for kind, (count, dtype) in self.planes.items():
            end = start + count * size[0] * size[1] * np.dtype(dtype).itemsize
            plane = rows[..., start:end].view(dtype)
            found[kind] = plane.reshape(*rows.shape[:-1], count, *size)
            start = end
        return found

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PairLayout:
        """The inverse of ``to_dict``."""
        lists = ("image_shape", "load_size", "crop")
        tuples = {key: tuple(values[key]) for key in lists if values[key] is not None}
        return cls(**{**values, **tuples})


class PairReader:
    """Reads rows of samples from an archive or folder of pairs."""

    def __init__(self, store: Store, layout: PairLayout) -> None:
        self.store = store
        self.layout = layout

    def loaded_row(self, name: str) -> np.ndarray:
        """The whole sample at its loaded size, uint8 [bytes].

        Args:
            name: of the image, ``image/...``.

        Raises:
            ImageError: a file is missing, broken, of another size or, of label maps, holds an
                illegal id.
        """
        layout = self.layout
        row = np.empty(layout.row_bytes(layout.loaded), dtype=np.uint8)
        for kind, plane in layout.unpack(row, layout.loaded).items():
            plane[...] = self._plane(kind, name)
        return row

    def cut(self, loaded: np.ndarray, flip: bool, top: int, left: int) -> np.ndarray:
        """The crop that begins at (top, left) of a loaded row, flipped after that if asked."""
        layout = self.layout
        height, width = layout.framed
        if not flip and layout.framed == layout.loaded:
            return loaded
        row = np.empty(layout.row_bytes(layout.framed), dtype=np.uint8)
        planes = layout.unpack(loaded, layout.loaded)
        for kind, plane in layout.unpack(row, layout.framed).items():
            part = planes[kind][:, top : top + height, left : left + width]
            plane[...] = part[:, :, ::-1] if flip else part
        return row

    def row(self, name: str, flip: bool, top: int, left: int) -> np.ndarray:
        """A framed sample, uint8 [bytes]."""
        return self.cut(self.loaded_row(name), flip, top, left)

    def _plane(self, kind: str, name: str) -> np.ndarray:
        layout = self.layout
        file = companion(name, kind)
        label = self.store.label(file)
        data = self.store.read(file)
        height, width = layout.loaded
        if kind in (LABEL, INSTANCE):
            ids = read_ids(data, label)
            self._check_size(ids.shape[::-1], label)
            if kind == LABEL:
                check_ids(ids, label, layout.label_count)
            if layout.load_size is not None:
                resized = ids_image(ids).resize((width, height), Image.Resampling.NEAREST)
                ids = np.asarray(resized)
            return ids[np.newaxis]
        image = open_image(data, label)
        self._check_size(image.size, label)
        channels = layout.source_channels if kind == SOURCE else layout.image_shape[0]
        image = to_channels(image, channels)
        if layout.load_size is not None and image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        return to_array(image)

    def _check_size(self, found: tuple[int, ...], label: str) -> None:
        _, height, width = self.layout.image_shape
        if found != (width, height):
            raise ImageError(
                label, f"is {found[0]}x{found[1]}, but the dataset's images are {width}x{height}"
            )


class Pairs:
    """The samples of a paired dataset with all their planes: what the loader reads.

    Args:
        reader: of the files.
        names: of the images, without mirror images.
        mirror: whether indices from N to 2N-1 are flipped.
        cache: whether loaded samples are kept in memory.
    """

    def __init__(self, reader: PairReader, names: list[str], mirror: bool, cache: bool) -> None:
        self.layout = reader.layout
        self.cached = cache
        self._reader = reader
        self._names = names
        self._mirror = mirror
        if cache:
            # Untouched pages cost nothing: the array fills, and takes memory, as it is used.
            size = self.layout.row_bytes(self.layout.loaded)
            self._rows = np.empty((len(names), size), dtype=np.uint8)
            self._read = np.zeros(len(names), dtype=bool)

    def __len__(self) -> int:
        return len(self._names) * (2 if self._mirror else 1)

    def centred(self, index: int) -> Placed:
        """The sample with the crop in its middle."""
        (height, width), (crop_height, crop_width) = self.layout.loaded, self.layout.framed
        return Placed(index, (height - crop_height) // 2, (width - crop_width) // 2)

    def load(self, items: Sequence[Placed]) -> PairBatch:
        """Samples in this order.

        Raises:
            IndexError: an index or a crop outside.
            ImageError: a file is broken; the message names it.
        """
        rows = np.empty(self.answer_shape(len(items)), dtype=np.uint8)
        for row, item in enumerate(items):
            position, flip = self._locate(item)
            rows[row] = self._reader.cut(self._loaded(position), flip, item.top, item.left)
        return self.assemble(rows, items)

    def name(self, item: Placed) -> str:
        """File name of an image, as messages show it."""
        return self._reader.store.label(self._names[self._locate(item)[0]])

    def worker_source(self) -> dict[str, Any]:
        """What a loader's worker process needs to read these files, as JSON values."""
        return {**self._reader.store.describe(), "pairs": self.layout.to_dict()}

    def worker_request(self, items: Sequence[Placed]) -> list[tuple[str, bool, int, int]]:
        """(file name, flip, top, left) of each sample."""
        located = [(*self._locate(item), item) for item in items]
        return [
            (self._names[position], flip, int(item.top), int(item.left))
            for position, flip, item in located
        ]

    def answer_shape(self, count: int) -> tuple[int, ...]:
        """Shape of the bytes of so many samples."""
        return count, self.layout.row_bytes(self.layout.framed)

    def assemble(self, rows: np.ndarray, items: Sequence[Placed]) -> PairBatch:
        """The batch of rows [B, bytes]."""
        planes = {
            kind: np.ascontiguousarray(plane)
            for kind, plane in self.layout.unpack(rows, self.layout.framed).items()
        }
        labels, instances = planes.get(LABEL), planes.get(INSTANCE)
        return PairBatch(
            planes[IMAGE],
            None,
            None if labels is None else labels[:, 0],
            None if instances is None else instances[:, 0],
            planes.get(SOURCE),
        )

    def _locate(self, item: Placed) -> tuple[int, bool]:
        (height, width), (crop_height, crop_width) = self.layout.loaded, self.layout.framed
        if not 0 <= item.sample < len(self):
            raise IndexError(
                f"image index {item.sample} is outside the dataset's 0..{len(self) - 1}"
            )
        if not (0 <= item.top <= height - crop_height and 0 <= item.left <= width - crop_width):
            raise IndexError(
                f"a crop of {crop_width}x{crop_height} at x={item.left}, y={item.top} is outside "
                f"the {width}x{height} sample"
            )
        flip, position = divmod(int(item.sample), len(self._names))
        return position, bool(flip)

    def _loaded(self, position: int) -> np.ndarray:
        if not self.cached:
            return self._reader.loaded_row(self._names[position])
        if not self._read[position]:
            self._rows[position] = self._reader.loaded_row(self._names[position])
            self._read[position] = True
        return self._rows[position]


def companion(name: str, kind: str) -> str:
    """The file of another plane of the sample whose image is ``image/...``."""
    if kind == IMAGE:
        return name
    path = PurePosixPath(name)
    moved = PurePosixPath(kind, *path.parts[1:])
    return str(moved if kind == SOURCE else moved.with_suffix(".png"))


def check_frame(layout: PairLayout) -> None:
    """Raises DataError if the crop does not lie within the loaded size."""
    (height, width), (crop_height, crop_width) = layout.loaded, layout.framed
    if crop_height > height or crop_width > width:
        raise DataError(
            f"crop: {crop_width}x{crop_height} does not fit into pairs of {width}x{height}; legal "
            f"are widths of 1 to {width} and heights of 1 to {height}, or a larger load_size"
        )
