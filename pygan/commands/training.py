"""What the commands that train share."""

from __future__ import annotations

from typing import Any

from pygan.commands.parser import first_line
from pygan.errors import InputError


def open_data(path: str, mirror: bool) -> Any:
    """The dataset that ``--data`` names."""
    from pygan.data import DataError, open_dataset

    try:
        return open_dataset(path, mirror=mirror)
    except (DataError, OSError) as error:
        raise InputError(f"--data: {first_line(error)}") from None


def exit_code(outcome: Any) -> int:
    """Of a training that ended so."""
    return 128 + outcome.signal if outcome.reason == "signal" else 0
