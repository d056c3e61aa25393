"""Images to measure: those of a folder, an archive or a dataset, and those that a generator draws.

All arrive as uint8 RGB or grey; transparent ones are put on white.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from pygan.errors import InputError
from pygan.training.algorithm import DataSpec
from pygan.training.rng import StepRandom, stream

Record = dict[str, Any]


@dataclass(frozen=True)
class RealImages:
    """Images from files.

    Attributes:
        count: of them.
        key: hash of their files and of which were chosen.
        labels: int64 [count], or None.
        record: where they are from, for results.
        images: yields each, uint8 [1 or 3, H, W], in the order of the labels. Sizes may differ.
    """

    count: int
    key: str
    labels: Optional[np.ndarray]
    record: Record
    images: Callable[[], Iterator[np.ndarray]]

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Images [n, C, H, W], n <= size; neighbours of one shape are together."""
        group: list[np.ndarray] = []
        for image in self.images():
            if group and (len(group) == size or group[0].shape != image.shape):
                yield np.stack(group)
                group = []
            group.append(image)
        if group:
            yield np.stack(group)


@dataclass(frozen=True)
class GeneratedImages:
    """Images that a generator draws.

    Attributes:
        count: of them.
        seed: of the images: other seeds draw others.
        draw: maps seeds and labels [N] (None if unconditional) to images [N, C, H, W] in [-1, 1].
        data: labels follow its distribution.
        record: of the generator, for results.
        generator: the network, for metrics of the latent space; None if it has none.
    """

    count: int
    seed: int
    draw: Callable[[Sequence[int], Optional[np.ndarray]], Any]
    data: DataSpec
    record: Record
    generator: Optional[Any] = None

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Images [n, C, H, W] uint8. Each is a function of its number and the seed alone."""
        # Away from the seeds that people look at, and other ones for every seed.
        first = int(stream(self.seed, "metrics").random_raw() & 0xFFFFFFFF)
        for start in range(0, self.count, size):
            numbers = range(start, min(start + size, self.count))
            random = StepRandom(self.seed, "metrics", 0, numbers)
            labels = self.data.random_labels(random)
            seeds = [(first + number) % 2**32 for number in numbers]
            drawn = self.draw(seeds, None if labels is None else labels.numpy())
            yield to_uint8(drawn)


Images = Union[RealImages, GeneratedImages]


def to_uint8(images: Any) -> np.ndarray:
    """Images [N, C, H, W] in [-1, 1], of numpy or Paddle, as RGB or grey pixels."""
    from pygan.training.grid import to_pixels

    array = np.asarray(images.numpy() if hasattr(images, "numpy") else images, dtype=np.float32)
    if not np.isfinite(array).all():
        raise InputError("the generator draws NaN or infinity: there is nothing to measure")
    return on_white(to_pixels(array))


def on_white(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., C, H, W] with C of 1, 3 or 4; of RGBA, what is seen of it on white."""
    channels = pixels.shape[-3]
    if channels in (1, 3):
        return pixels
    if channels != 4:
        raise InputError(f"images must have 1, 3 or 4 channels, got {channels}")
    colour, alpha = pixels[..., :3, :, :].astype(np.uint32), pixels[..., 3:, :, :].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def choose(total: int, limit: Optional[int], seed: int) -> np.ndarray:
    """Which of so many images to take: all, or `limit` of them chosen by the seed, in order."""
    if limit is not None and limit < 1:
        raise InputError(f"at least one real image is needed, got a limit of {limit}")
    if limit is None or limit >= total:
        return np.arange(total)
    keys = stream(seed, "real").random_raw(total)
    return np.sort(np.argsort(keys, kind="stable")[:limit])


def open_images(path: Union[str, Path], limit: Optional[int] = None, seed: int = 0) -> RealImages:
    """The images of a folder or a zip, of any sizes, or of what else ``pygan data`` can read.

    Args:
        path: see :func:`pygan.data.open_dataset` and :func:`pygan.data.sources.open_source`;
            'emoji' is the dataset of this name.
        limit: take so many, chosen by the seed; None for all.
        seed: see `limit`.

    Raises:
        InputError: nothing is there, or no images are.
    """
    from pygan.data import DataError
    from pygan.data.dataset import EMBEDDED
    from pygan.data.imaging import to_array, to_channels
    from pygan.data.sources import open_source

    file = Path(path)
    if str(path) in EMBEDDED:
        file = Path(str(resources.files("pygan.data").joinpath(EMBEDDED[str(path)])))
    try:
        source = open_source(file)
        content = _content(file)
    except (DataError, OSError) as error:
        raise InputError(f"{path}: {error}") from None
    chosen = choose(source.count, limit, seed)
    wanted = set(chosen.tolist())

    def images() -> Iterator[np.ndarray]:
        try:
            for number, image in enumerate(source.images()):
                if number in wanted:
                    opened = image.open()
                    yield to_array(to_channels(opened, 1 if opened.mode == "L" else 3))
        except DataError as error:
            raise InputError(str(error)) from None

    labels = [image.label for image in source.images()]
    known = None if None in labels else np.array(labels, dtype=np.int64)[chosen]
    record = {"images": str(path), **_counts(chosen, source.count, seed)}
    key = _key(content, chosen, source.count, seed)
    return RealImages(len(chosen), key, known, record, images)


def dataset_images(dataset: Any, limit: Optional[int] = None, seed: int = 0) -> RealImages:
    """The images of an ImageDataset, without their mirror images.

    Args:
        dataset: the dataset.
        limit: take so many, chosen by the seed; None for all.
        seed: see `limit`.
    """
    total = dataset.originals
    chosen = choose(total, limit, seed)

    def images() -> Iterator[np.ndarray]:
        for number in chosen:
            yield on_white(dataset.load([int(number)])[0][0])

    labels = None if dataset.labels is None else np.asarray(dataset.labels)[chosen]
    record = {"dataset": dataset.fingerprint, **_counts(chosen, total, seed)}
    key = _key(dataset.fingerprint, chosen, total, seed)
    return RealImages(len(chosen), key, labels, record, images)


def _counts(chosen: np.ndarray, total: int, seed: int) -> Record:
    """How many images of how many and, where some were left out, what chose them."""
    counts = {"count": len(chosen), "of": total}
    return counts if len(chosen) == total else {**counts, "seed": seed}


def _key(content: str, chosen: np.ndarray, total: int, seed: int) -> str:
    part = [] if len(chosen) == total else [len(chosen), seed]
    return hashlib.sha256(json.dumps([content, total, *part]).encode()).hexdigest()


def _content(path: Path) -> str:
    """Hash of the files that images are made from; of a zip, by the checksums it holds."""
    from pygan.data.idx import is_idx_folder
    from pygan.data.store import LABELS_FILE, FolderStore, Store, ZipStore

    digest = hashlib.sha256()
    store: Optional[Store] = None
    if path.is_dir() and not is_idx_folder(path):
        store = FolderStore(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        store = ZipStore(path)
    if store is not None:
        names = store.image_names() + ([LABELS_FILE] if store.exists(LABELS_FILE) else [])
        for name in names:
            digest.update(json.dumps([name, *store.checksum(name)]).encode())
        return digest.hexdigest()
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    for file in files:
        checksum = 0
        with file.open("rb") as opened:
            while part := opened.read(1 << 20):
                checksum = zlib.crc32(part, checksum)
        digest.update(json.dumps([file.name, file.stat().st_size, checksum]).encode())
    return digest.hexdigest()


def generated_images(
    algorithm: Any,
    networks: Mapping[str, Any],
    config: Any,
    data: DataSpec,
    count: int,
    *,
    seed: int = 0,
    truncation: float = 1.0,
    noise: str = "random",
    record: Optional[Record] = None,
) -> GeneratedImages:
    """Images of a trained or a training model.

    Args:
        algorithm: class of the algorithm.
        networks: its averaged networks, by name.
        config: its options.
        data: what it was trained on.
        count: images to draw.
        seed: of all of them.
        truncation: psi of the truncation trick, where there is one.
        noise: 'random', 'const' or 'none', where there are noise inputs.
        record: of the model, for results.

    Raises:
        InputError: the count is not positive.
    """
    if count < 1:
        raise InputError(f"at least one generated image is needed, got a count of {count}")

    def draw(seeds: Sequence[int], labels: Optional[np.ndarray]) -> Any:
        import paddle

        with paddle.no_grad():
            return algorithm.sample(
                networks, config, seeds, labels, truncation=truncation, noise=noise
            )

    generator = networks.get("G")
    synthesis = getattr(generator, "synthesis", None)
    has_w = hasattr(generator, "mapping") and hasattr(synthesis, "noise_shapes")
    known = {**(record or {}), "truncation": truncation, "noise": noise}
    return GeneratedImages(count, seed, draw, data, known, generator if has_w else None)
