"""Stopping on SIGINT and SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any, Optional


class Interrupted(Exception):
    """A signal came during work that may be given up."""


class StopSignals:
    """Remembers SIGINT and SIGTERM while in use, so that the current step can be finished.

    A second SIGINT ends the process at once, without saving.

    Args:
        launched: this is one of several processes of a launcher. Paddle's launcher does not pass on
            a SIGTERM; it dies, which then counts as one.
    """

    def __init__(self, launched: bool = False) -> None:
        self._received: Optional[int] = None
        self._parent = os.getppid() if launched else None
        self._previous: dict[int, Any] = {}
        self._breakable = False

    @property
    def received(self) -> Optional[int]:
        """The number of the signal that came, if any."""
        if self._received is None and self._parent not in (None, os.getppid()):
            self._handle(signal.SIGTERM, None)
        return self._received

    @contextlib.contextmanager
    def breakable(self) -> Iterator[None]:
        """Within it, a signal ends the work at once by raising Interrupted."""
        if self._received is not None:
            raise Interrupted
        self._breakable = True
        try:
            yield
        finally:
            self._breakable = False

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if number == signal.SIGINT and self._received == signal.SIGINT:
            os.write(2, b"\npygan: stopped at once; the last checkpoint stands\n")
            os._exit(128 + number)
        if self._received is None:
            name = signal.Signals(number).name
            what = (
                "stopping; all is saved" if self._breakable else "finishing this step, then saving"
            )
            os.write(2, f"\npygan: {name}: {what}\n".encode())
        self._received = number
        if self._breakable:
            self._breakable = False
            raise Interrupted
