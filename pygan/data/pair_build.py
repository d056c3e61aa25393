"""Building a paired dataset: every pair of a source, brought to one size, in one archive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .archive import PAIRS_FORMAT, ArchiveWriter, PixelHash, atomic_file
from .building import BuildReport, Progress, ahead, archive_path, collect, take_options
from .errors import DataError, ImageError
from .idmaps import check_ids, compact_instances, encode_ids, ids_image
from .imaging import ENCODINGS, encode, to_array, to_channels
from .pair_source import Pair, PairSource, SourcePair
from .pairs import IMAGE, INSTANCE, LABEL, SOURCE
from .transforms import check_options, parse_size, transform

CROPS = ("none", "center", "stretch")
"""Crop modes for pairs: those that add no bars, whose pixels would have no class."""

MAX_LABELS = 65536


@dataclass
class PairOptions:
    """How a paired dataset is made from a source.

    Attributes:
        size: (width, height), 'WxH' or one number; None keeps the size, which must then be the
            same for all pairs.
        crop: 'none', 'center' or 'stretch'; see transforms.transform.
        filter: resampling of images; ids always take their nearest neighbour.
        channels: of images, 1, 3 or 4; None takes what is natural for the source.
        source_channels: of source images, likewise.
        background: colour behind transparent pixels.
        label_count: classes of the label maps, don't care not counted; None takes what the source
            says, or the largest id plus one, for which all maps are read once more.
        dont_care: id in the maps of pixels that nobody cares about, usually 255. It becomes one
            more class, the last.
        max_images: stop after so many pairs; None takes all.
        on_error: 'skip' leaves unusable pairs out and reports them, 'fail' stops at the first.
            Illegal ids always stop.
        encoding: of images, 'png' or 'webp' (lossless). Ids are always PNG.
        overwrite: replace an existing file.
        workers: threads that decode and encode; None uses all processors.
    """

    size: tuple[int, int] | str | int | None = None
    crop: str = "none"
    filter: str = "lanczos"
    channels: int | None = None
    source_channels: int | None = None
    background: str = "white"
    label_count: int | None = None
    dont_care: int | None = None
    max_images: int | None = None
    on_error: str = "skip"
    encoding: str = "png"
    overwrite: bool = False
    workers: int | None = None

    def check(self) -> None:
        """Raises DataError naming the first option with an illegal value."""
        if self.crop not in CROPS:
            raise DataError(f"crop must be one of {', '.join(CROPS)} for pairs, not {self.crop!r}")
        check_options(None if self.size is None else parse_size(self.size), self.crop, self.filter)
        for name in ("channels", "source_channels"):
            if getattr(self, name) not in (None, 1, 3, 4):
                raise DataError(f"{name} must be 1, 3 or 4, not {getattr(self, name)!r}")
        for name, legal in (("on_error", ("skip", "fail")), ("encoding", ENCODINGS)):
            if getattr(self, name) not in legal:
                raise DataError(
                    f"{name} must be one of {', '.join(legal)}, not {getattr(self, name)!r}"
                )
        for name in ("max_images", "workers", "label_count"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1, not {value}")
        if self.dont_care is not None and self.dont_care < 0:
            raise DataError(f"dont_care must be an id of at least 0, not {self.dont_care}")


@dataclass
class _Processed:
    """Files by kind, with (suffix, content); and what all of them are."""

    files: dict[str, tuple[str, bytes]]
    digest: bytes
    shape: tuple[int, int, int]
    upscaled: bool


@dataclass
class _Task:
    """What is done to each pair."""

    options: PairOptions
    source: PairSource
    label_count: int
    channels: int
    source_channels: int

    @property
    def classes(self) -> int:
        """Classes with don't care."""
        return self.label_count + (self.options.dont_care is not None)


def build_pairs(
    source: PairSource,
    dest: str | os.PathLike[str],
    options: PairOptions | None = None,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildReport:
    """Writes all pairs of `source` to the archive `dest` (.zip), which open_dataset opens.

    The archive appears complete or not at all. Equal sources and options give equal pixels, ids
    and `pixels_sha256`.

    Args:
        source: from pair_files.open_pairs, scenes, wesnoth, mri or edges.
        dest: file to write; refused if it exists, unless `overwrite`.
        options: see PairOptions; or its fields as keyword arguments.
        progress: called after every pair.

    Raises:
        DataError: unusable options; an id outside the legal range (as ImageError, which names file,
            pixel, id and range); with on_error='fail' the first unusable pair; or no usable pair.
        FileExistsError: about `dest`.
    """
    options = take_options(PairOptions, options, settings)
    dest = archive_path(dest)

    started = time.monotonic()
    report = BuildReport(dest)
    pixel_hash = PixelHash()
    with atomic_file(dest, options.overwrite) as file:
        task = _task(source, options)
        results = ahead(source.pairs(), partial(_process, task), options.workers)
        with (
            closing(results),
            closing(ArchiveWriter(file, options.encoding, PAIRS_FORMAT)) as writer,
        ):

            def add(item: SourcePair, result: _Processed) -> None:
                writer.add_pair(result.files, item.stem)
                pixel_hash.add(result.digest, None)

            collect(
                results,
                writer,
                add,
                report,
                options,
                source.count,
                progress,
                source=source.description,
                what="pair",
                fatal=(IllegalIdError,),
            )
            report.condition = _condition(task)
            report.pixels_sha256 = pixel_hash.hexdigest(report.image_shape)
            writer.finish({**_description(task, report), "pixels_sha256": report.pixels_sha256})
    report.bytes = dest.stat().st_size
    report.seconds = time.monotonic() - started
    return report


class IllegalIdError(ImageError):
    """A label map holds an id that is no class."""


def _task(source: PairSource, options: PairOptions) -> _Task:
    count = 0
    if source.has_labels:
        known = options.label_count or source.label_count
        count = known if known is not None else _largest_label(source, options) + 1
        extra = options.dont_care is not None
        if not 1 <= count <= MAX_LABELS - extra:
            raise DataError(f"label_count must be from 1 to {MAX_LABELS - extra}, not {count}")
    elif options.label_count is not None or options.dont_care is not None:
        raise DataError(f"{source.description} has no label maps: leave out label_count, dont_care")
    if options.dont_care is not None and options.dont_care < count:
        raise DataError(
            f"dont_care must not be a class: the classes are 0 to {count - 1}, it is "
            f"{options.dont_care}"
        )
    return _Task(
        options,
        source,
        count,
        options.channels or source.channels,
        0 if source.has_labels else options.source_channels or source.source_channels,
    )


def _largest_label(source: PairSource, options: PairOptions) -> int:
    """The largest id of all label maps that can be read, don't care left out."""
    largest = -1

    def find(item: SourcePair) -> int:
        labels = item.open().labels
        assert labels is not None
        if options.dont_care is not None:
            labels = labels[labels != options.dont_care]
        return int(labels.max()) if labels.size else -1

    taken = 0
    with closing(ahead(source.pairs(), find, options.workers)) as results:
        for _, future in results:
            try:
                largest = max(largest, future.result())
            except ImageError:  # the build itself reports it
                continue
            taken += 1
            if taken == options.max_images:
                break
    return max(largest, 0)


def _process(task: _Task, item: SourcePair) -> _Processed:
    options, pair = task.options, item.open()
    size = None if options.size is None else parse_size(options.size)
    digest = bytearray()
    files: dict[str, tuple[str, bytes]] = {}
    _check_sizes(pair, item)
    image, upscaled = transform(
        to_channels(pair.image, task.channels, options.background),
        item.name,
        size,
        options.crop,
        options.filter,
    )
    pixels = to_array(image)
    files[IMAGE] = options.encoding, encode(image, options.encoding)
    digest += pixels.tobytes()
    if pair.source is not None:
        source = to_channels(pair.source, task.source_channels, options.background)
        source, _ = transform(source, item.name, size, options.crop, options.filter)
        files[SOURCE] = options.encoding, encode(source, options.encoding)
        digest += to_array(source).tobytes()
    for kind, ids in ((LABEL, _labels(pair, item, task)), (INSTANCE, pair.instances)):
        if ids is not None:
            moved, _ = transform(ids_image(ids), item.name, size, options.crop, "nearest")
            values = np.asarray(moved)
            values = compact_instances(values) if kind == INSTANCE else values
            files[kind] = "png", encode_ids(values)
            digest += values.astype("<u2").tobytes()
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    return _Processed(files, PixelHash.digest(bytes(digest)), shape, upscaled)


def _labels(pair: Pair, item: SourcePair, task: _Task) -> np.ndarray | None:
    """The checked label map, don't care as the last class."""
    if pair.labels is None:
        return None
    dont_care = task.options.dont_care
    try:
        check_ids(pair.labels, item.label_file or item.name, task.label_count, dont_care)
    except ImageError as error:
        raise IllegalIdError(error.name, error.reason) from None
    if dont_care is None:
        return pair.labels
    return np.where(pair.labels == dont_care, task.label_count, pair.labels)


def _check_sizes(pair: Pair, item: SourcePair) -> None:
    width, height = pair.image.size
    others: Iterator[tuple[str, tuple[int, int]]] = (
        (what, size)
        for what, size in (
            ("source image", None if pair.source is None else pair.source.size),
            ("label map", None if pair.labels is None else pair.labels.shape[::-1]),
            ("instance map", None if pair.instances is None else pair.instances.shape[::-1]),
        )
        if size is not None
    )
    for what, size in others:
        if size != (width, height):
            raise ImageError(
                item.name,
                f"is {width}x{height}, but its {what} is {size[0]}x{size[1]}; both must have one "
                "size",
            )


def _condition(task: _Task) -> str:
    if not task.source.has_labels:
        return f"source images of {task.source_channels} channels"
    classes = f"label maps of {task.classes} classes"
    return classes + (" with instances" if task.source.has_instances else "")


def _description(task: _Task, report: BuildReport) -> dict[str, Any]:
    options, source = task.options, task.source
    names = source.label_names
    if names is not None and len(names) != task.label_count:
        names = None
    if names is not None and options.dont_care is not None:
        names = [*names, "don't care"]
    return {
        "source": source.description,
        "image_shape": report.image_shape,
        "size": None if options.size is None else parse_size(options.size),
        "crop": options.crop,
        "filter": options.filter,
        "background": options.background,
        "encoding": options.encoding,
        "label_count": task.classes if source.has_labels else 0,
        "dont_care": task.label_count if options.dont_care is not None else None,
        "label_names": names,
        "instances": source.has_instances,
        "source_channels": task.source_channels,
    }
