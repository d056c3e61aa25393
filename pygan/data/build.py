"""Building a dataset: every image of a source, brought to one size, in one archive."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from .archive import ArchiveWriter, PixelHash, atomic_file
from .building import BuildReport, Progress, ahead, archive_path, collect, take_options
from .errors import DataError
from .imaging import ENCODINGS, encode, parse_colour, to_array, to_channels
from .source import SourceImage
from .sources import LABEL_RULES, SPLITS, open_source
from .transforms import check_options, parse_size, transform


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
    options = take_options(BuildOptions, options, settings)
    dest = archive_path(dest)

    started = time.monotonic()
    opened = open_source(source, options.labels, options.split)
    channels = options.channels or opened.channels
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

        def add(item: SourceImage, result: _Processed) -> None:
            writer.add(result.data, item.label, item.stem)
            pixel_hash.add(result.digest, item.label)
            if item.label is not None:
                labels.add(item.label)

        collect(results, writer, add, report, options, opened.count, progress, source=source)
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
