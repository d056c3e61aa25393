"""Building a dataset: every image of a source, brought to one size, in one archive."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .archive import ArchiveWriter, PixelHash, atomic_file
from .errors import DataError, ImageError
from .imaging import ENCODINGS, encode, parse_colour, to_array, to_channels
from .source import SourceImage
from .sources import LABEL_RULES, SPLITS, open_source
from .transforms import check_options, parse_size, transform

Item = TypeVar("Item")
Result = TypeVar("Result")

Progress = Callable[[int, int], None]
"""Called with (images done, images in all) after every image, skipped ones included."""


@dataclass
class BuildOptions:
    """How a dataset is made from a source.

    Attributes:
        size: (width, height), 'WxH' or one number; None keeps the size, which must then be the
            same for all images.
        crop: 'none', 'center', 'center-wide', 'fit', 'stretch' or 'pad'; see transforms.transform.
        filter: resampling: 'lanczos', 'box', 'bicubic', 'bilinear', 'hamming' or 'nearest'.
        channels: 1, 3 or 4; None takes what is natural for the source (1 for MNIST, else 3).
        background: colour behind transparent pixels and of added bars.
        labels: 'auto' (as the source has them), 'folders' (top-level sub-folders) or 'none'.
        split: 'train' or 'test', for MNIST and CIFAR sources.
        max_images: stop after so many images; None takes all.
        on_error: 'skip' leaves unusable images out and reports them, 'fail' stops at the first.
        encoding: 'png', or 'webp' (lossless; about half the size, slower to write).
        overwrite: replace an existing file.
        workers: threads that decode and encode; None uses all processors.
    """

    size: tuple[int, int] | str | int | None = None
    crop: str = "none"
    filter: str = "lanczos"
    channels: int | None = None
    background: str = "white"
    labels: str = "auto"
    split: str = "train"
    max_images: int | None = None
    on_error: str = "skip"
    encoding: str = "png"
    overwrite: bool = False
    workers: int | None = None

    def check(self) -> None:
        """Raises DataError naming the first option with an illegal value."""
        size = None if self.size is None else parse_size(self.size)
        check_options(size, self.crop, self.filter)
        parse_colour(self.background)
        if self.channels not in (None, 1, 3, 4):
            raise DataError(f"channels must be 1, 3 or 4, not {self.channels!r}")
        for name, legal in (
            ("labels", LABEL_RULES),
            ("split", SPLITS),
            ("on_error", ("skip", "fail")),
            ("encoding", ENCODINGS),
        ):
            if getattr(self, name) not in legal:
                raise DataError(
                    f"{name} must be one of {', '.join(legal)}, not {getattr(self, name)!r}"
                )
        for name in ("max_images", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1, not {value}")


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        dest: the file written.
        count: images written.
        image_shape: (C, H, W).
        num_classes: 0 if unlabelled.
        condition: what the images of pairs are made from, for people.
        skipped: (name, reason) of every image left out.
        upscaled: images smaller than the target, hence enlarged.
        pixels_sha256: hash of pixels and labels.
        bytes: size of the file.
        seconds: duration.
    """

    dest: Path
    count: int = 0
    image_shape: tuple[int, int, int] = (0, 0, 0)
    num_classes: int = 0
    condition: str = ""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    upscaled: int = 0
    pixels_sha256: str = ""
    bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        c, h, w = self.image_shape
        labels = f"{self.num_classes} classes" if self.num_classes else "unlabelled"
        lines = [
            f"{self.dest}: {self.count} images of {w}x{h}, {c} channel{'s' if c > 1 else ''}, "
            f"{self.condition or labels}, {self.bytes / 1e6:.1f} MB, {self.seconds:.1f} s"
        ]
        if self.upscaled:
            lines.append(f"images smaller than {w}x{h}, enlarged: {self.upscaled}")
        if self.skipped:
            lines.append(f"images skipped: {len(self.skipped)}")
            lines.extend(f"  {name}: {reason}" for name, reason in self.skipped)
        return "\n".join(lines)


@dataclass
class _Processed:
    data: bytes
    digest: bytes
    shape: tuple[int, int, int]
    upscaled: bool


def build_dataset(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    options: BuildOptions | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildReport:
    """Writes all images of `source` to the archive `dest` (.zip).

    The archive appears complete or not at all. Equal sources and options give equal pixels and
    an equal `pixels_sha256`; with the same versions of Pillow, equal files.

    Args:
        source: folder, zip, idx file or folder (MNIST), CIFAR tar.gz or Noto emoji font.
        dest: file to write; refused if it exists, unless `overwrite`.
        options: see BuildOptions; or its fields as keyword arguments.
        progress: called after every image.

    Raises:
        DataError: unusable source or options; with on_error='fail' (as ImageError) the first
            unusable image; or no usable image at all.
        FileExistsError, FileNotFoundError: about `dest`, `source`.
    """
    if options is not None and settings:
        raise TypeError("give build options either as BuildOptions or as keywords, not both")
    unknown = set(settings) - {item.name for item in fields(BuildOptions)}
    if unknown:
        raise TypeError(f"unknown build option {', '.join(sorted(unknown))}")
    options = options or BuildOptions(**settings)
    options.check()
    dest = Path(dest)
    if dest.suffix.lower() != ".zip":
        raise DataError(f"the dataset must be a .zip file, not {dest}")

    started = time.monotonic()
    opened = open_source(source, options.labels, options.split)
    channels = options.channels or opened.channels
    total = opened.count if options.max_images is None else min(opened.count, options.max_images)
    report = BuildReport(dest)
    pixel_hash = PixelHash()
    labels: set[int] = set()
    process = partial(_process, options=options, channels=channels)
    results = ahead(opened.images(), process, options.workers)
    with (
        atomic_file(dest, options.overwrite) as file,
        closing(results),
        closing(ArchiveWriter(file, options.encoding)) as writer,
    ):
        for item, future in results:
            try:
                result = future.result()
                _check_shape(result, item, report)
            except ImageError as error:
                if options.on_error == "fail":
                    raise
                report.skipped.append((error.name, error.reason))
            else:
                writer.add(result.data, item.label, item.stem)
                pixel_hash.add(result.digest, item.label)
                report.upscaled += result.upscaled
                if item.label is not None:
                    labels.add(item.label)
            if progress is not None:
                progress(min(writer.count + len(report.skipped), total), total)
            if writer.count == options.max_images:
                break
        if writer.count == 0:
            name, reason = report.skipped[0]
            raise DataError(f"{source} has no usable image; the first one, {name}: {reason}")
        report.count = writer.count
        report.num_classes = _num_classes(labels, opened.classes, source)
        report.pixels_sha256 = pixel_hash.hexdigest(report.image_shape)
        writer.finish(
            {
                "source": opened.description,
                "image_shape": report.image_shape,
                "size": None if options.size is None else parse_size(options.size),
                "channels": channels,
                "crop": options.crop,
                "filter": options.filter,
                "background": options.background,
                "encoding": options.encoding,
                "classes": opened.classes if labels else None,
                "pixels_sha256": report.pixels_sha256,
            }
        )
    report.bytes = dest.stat().st_size
    report.seconds = time.monotonic() - started
    return report


def _process(item: SourceImage, options: BuildOptions, channels: int) -> _Processed:
    image = to_channels(item.open(), channels, options.background)
    size = None if options.size is None else parse_size(options.size)
    image, upscaled = transform(
        image, item.name, size, options.crop, options.filter, options.background
    )
    pixels = to_array(image)
    data = encode(image, options.encoding)
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    return _Processed(data, PixelHash.digest(pixels.tobytes()), shape, upscaled)


def ahead(
    items: Iterator[Item], process: Callable[[Item], Result], workers: int | None
) -> Generator[tuple[Item, Future[Result]], None, None]:
    """Items in order, processed ahead by threads (Pillow and zlib release the interpreter)."""
    workers = workers or os.cpu_count() or 1
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, "pygan-build") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(process, item)))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _check_shape(result: _Processed, item: SourceImage, report: BuildReport) -> None:
    if report.image_shape == (0, 0, 0):
        report.image_shape = result.shape
    elif result.shape != report.image_shape:
        raise ImageError(
            item.name,
            f"is {result.shape[2]}x{result.shape[1]}, but the first image is "
            f"{report.image_shape[2]}x{report.image_shape[1]}; give a size",
        )


def _num_classes(
    labels: set[int], classes: list[str] | None, source: str | os.PathLike[str]
) -> int:
    if not labels:
        return 0
    if classes is None:
        return max(labels) + 1
    if max(labels) >= len(classes):
        raise DataError(f"{source} has label {max(labels)} but only {len(classes)} class names")
    return len(classes)
