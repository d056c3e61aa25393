"""The native kernels as a ctypes library, for tests that need no Paddle operator."""

import ctypes
from pathlib import Path

import paddle  # noqa: F401  the library needs those that Paddle loads
import pytest

_EXTENSION = Path(__file__).resolve().parents[2] / "pygan" / "_C.so"


@pytest.fixture(scope="session")
def native_path() -> Path:
    """Path of the built library, which exports the kernels as ``pygan_test_*``."""
    if not _EXTENSION.exists():
        pytest.fail(f"{_EXTENSION} is missing: make build")
    return _EXTENSION


@pytest.fixture(scope="session")
def native_lib(native_path: Path) -> ctypes.CDLL:
    """The library of ``native_path``, loaded."""
    return ctypes.CDLL(str(native_path))
