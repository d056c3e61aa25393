"""What building a dataset of images and one of pairs have in common: options, loop and report."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .archive import ArchiveWriter
from .errors import DataError, ImageError

Item = TypeVar("Item", bound="Named")
Result = TypeVar("Result")
Options = TypeVar("Options", bound="CommonOptions")

Progress = Callable[[int, int], None]
"""Called with (images done, images in all) after every image, skipped ones included."""


class Named(Protocol):
    """An item of a source."""

    @property
    def name(self) -> str: ...


class CommonOptions(Protocol):
    """Options that every build has."""

    max_images: int | None
    on_error: str

    def check(self) -> None: ...


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


def take_options(kind: type[Options], options: Options | None, settings: dict[str, Any]) -> Options:
    """Checked options, given as such or as keywords.

    Raises:
        TypeError: both are given, or an unknown keyword.
        DataError: an illegal value.
    """
    if options is not None and settings:
        raise TypeError(f"give build options either as {kind.__name__} or as keywords, not both")
    unknown = set(settings) - {item.name for item in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise TypeError(f"unknown build option {', '.join(sorted(unknown))}")
    options = options or kind(**settings)
    options.check()
    return options


def archive_path(dest: str | os.PathLike[str]) -> Path:
    """The path of the archive to write; raises DataError if it is none."""
    path = Path(dest)
    if path.suffix.lower() != ".zip":
        raise DataError(f"the dataset must be a .zip file, not {path}")
    return path


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


def collect(
    results: Iterable[tuple[Item, Future[Any]]],
    writer: ArchiveWriter,
    add: Callable[[Item, Any], None],
    report: BuildReport,
    options: CommonOptions,
    count: int,
    progress: Progress | None,
    *,
    source: object,
    what: str = "image",
    fatal: tuple[type[ImageError], ...] = (),
) -> None:
    """Adds usable results in order, and notes in the report what is left out.

    Args:
        results: items and what becomes of them, with `shape` (C, H, W) and `upscaled`.
        writer: that `add` writes to.
        add: takes an item and its result.
        count: items of the source.
        progress: called after every item.
        source, what: names for messages.
        fatal: errors that always end the build.

    Raises:
        DataError: there is no usable item.
        ImageError: the first unusable one with on_error='fail', or a fatal one.
    """
    total = count if options.max_images is None else min(count, options.max_images)
    for item, future in results:
        try:
            result = future.result()
            _check_shape(result.shape, item.name, report, what)
        except ImageError as error:
            if options.on_error == "fail" or isinstance(error, fatal):
                raise
            report.skipped.append((error.name, error.reason))
        else:
            add(item, result)
            report.upscaled += result.upscaled
        if progress is not None:
            progress(min(writer.count + len(report.skipped), total), total)
        if writer.count == options.max_images:
            break
    if writer.count == 0:
        name, reason = report.skipped[0]
        raise DataError(f"{source} has no usable {what}; the first one, {name}: {reason}")
    report.count = writer.count


def _check_shape(shape: tuple[int, int, int], name: str, report: BuildReport, what: str) -> None:
    if report.image_shape == (0, 0, 0):
        report.image_shape = shape
    elif shape != report.image_shape:
        raise ImageError(
            name,
            f"is {shape[2]}x{shape[1]}, but the first {what} is "
            f"{report.image_shape[2]}x{report.image_shape[1]}; give a size",
        )
