"""Exceptions raised by :mod:`pygan.data`."""

from __future__ import annotations


class DataError(ValueError):
    """A source, a dataset or an option is not usable; the message says what to do."""


class ImageError(DataError):
    """One image cannot be used.

    Args:
        name: the image as the user knows it (a path, or ``archive.zip:member``).
        reason: what is wrong with it, as the end of a sentence that starts with the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class WorkerError(RuntimeError):
    """A loader's worker process ended unexpectedly."""
