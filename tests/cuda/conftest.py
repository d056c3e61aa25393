"""Operators of Paddle on the CUDA kernels of csrc/, run by the emulator of csrc/ptx."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pygan.ops import emulated


def _unavailable() -> str:
    try:
        with emulated():
            return ""
    except RuntimeError as error:
        return str(error)


_REASON = _unavailable()


@pytest.fixture(autouse=True)
def _needs_emulator() -> None:
    """Skip without the emulated build, unless it must be there (`make test` builds it)."""
    if not _REASON:
        return
    if os.environ.get("PYGAN_REQUIRE_EMULATOR") == "1":
        pytest.fail(_REASON)
    pytest.skip(_REASON)


@pytest.fixture
def on_emulator() -> Iterator[None]:
    """The whole test runs on the CUDA kernels."""
    with emulated():
        yield
