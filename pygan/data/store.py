"""Access to the files of a dataset, in a folder or in a zip archive.

Stores read bytes and know nothing of datasets. They may be used from several threads, copied to
another process by pickling, and survive a fork: every process opens its own file handle.
"""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .errors import DataError, ImageError

LABELS_FILE = "dataset.json"

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga",
})
# fmt: on

MAX_FILE_BYTES = 1 << 29
"""Largest accepted file. Guards against zip bombs; a 100-megapixel PNG stays below it."""

# RuntimeError and NotImplementedError: encrypted members and unknown compression methods.
_READ_ERRORS = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Store(ABC):
    """Image files under one root, by relative name with '/' separators."""

    path: Path

    @abstractmethod
    def image_names(self) -> list[str]:
        """Names of all image files, sorted; hidden files and __MACOSX are left out."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Opens a file, to read its beginning. Raises ImageError if it cannot be opened."""

    def read(self, name: str) -> bytes:
        """Content of a file. Raises ImageError if it cannot be read."""
        try:
            with self.open(name) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except _READ_ERRORS as error:
            raise ImageError(self.label(name), f"cannot be read ({error})") from error
        if len(data) > MAX_FILE_BYTES:
            raise ImageError(self.label(name), f"is larger than {MAX_FILE_BYTES >> 20} MiB")
        return data

    @abstractmethod
    def checksum(self, name: str) -> tuple[int, int]:
        """(size, CRC-32) of a file's content."""

    @abstractmethod
    def label(self, name: str) -> str:
        """How messages call the file."""

    def describe(self) -> dict[str, Any]:
        """Kind and place as JSON values: what :func:`open_store` needs in another process."""
        kind = "zip" if isinstance(self, ZipStore) else "folder"
        return {"kind": kind, "path": os.path.abspath(self.path)}


class FolderStore(Store):
    """Files below a folder, symbolic links followed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def image_names(self) -> list[str]:
        names: list[str] = []
        seen: set[str] = set()
        for folder, folders, files in os.walk(self.path, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:  # a symbolic link that leads back up
                folders.clear()
                continue
            seen.add(real)
            prefix = PurePosixPath(Path(folder).relative_to(self.path).as_posix())
            names.extend(name for file in files if _is_image(name := str(prefix / file)))
        return sorted(names)

    def exists(self, name: str) -> bool:
        return (self.path / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        try:
            return open(self.path / name, "rb")
        except OSError as error:
            raise ImageError(self.label(name), f"cannot be read ({error.strerror})") from error

    def checksum(self, name: str) -> tuple[int, int]:
        data = self.read(name)
        return len(data), zlib.crc32(data)

    def label(self, name: str) -> str:
        return str(self.path / name)


class ZipStore(Store):
    """Members of a zip archive."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._zip: zipfile.ZipFile | None = None
        self._pid = -1

    def image_names(self) -> list[str]:
        return sorted(name for name in self._archive().namelist() if _is_image(name))

    def exists(self, name: str) -> bool:
        return name in self._archive().NameToInfo

    def open(self, name: str) -> IO[bytes]:
        try:
            return self._archive().open(name)
        except KeyError:
            raise ImageError(self.label(name), "is not in the archive") from None
        except _READ_ERRORS as error:
            raise ImageError(self.label(name), f"cannot be read ({error})") from error

    def checksum(self, name: str) -> tuple[int, int]:
        info = self._archive().getinfo(name)
        return info.file_size, info.CRC

    def label(self, name: str) -> str:
        return f"{self.path}:{name}"

    def close(self) -> None:
        """Closes the archive; the next access opens it again."""
        with self._lock:
            if self._zip is not None and self._pid == os.getpid():
                self._zip.close()
            self._zip = None

    def _archive(self) -> zipfile.ZipFile:
        with self._lock:
            # A forked child shares its parent's file position, so it must open its own handle.
            if self._zip is None or self._pid != os.getpid():
                try:
                    self._zip = zipfile.ZipFile(self.path)
                except zipfile.BadZipFile as error:
                    raise DataError(
                        f"{self.path} is not a readable zip archive ({error})"
                    ) from None
                self._pid = os.getpid()
            return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


def open_store(source: dict[str, Any]) -> Store:
    """The store that ``describe`` described."""
    return (ZipStore if source["kind"] == "zip" else FolderStore)(source["path"])


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
