"""Stopping on SIGINT and SIGTERM."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Optional


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

    @property
    def received(self) -> Optional[int]:
        """The number of the signal that came, if any."""
        if self._received is None and self._parent not in (None, os.getppid()):
            self._handle(signal.SIGTERM, None)
        return self._received

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
            os.write(2, f"\npygan: {name}: finishing this step, then saving\n".encode())
        self._received = number
