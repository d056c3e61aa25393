"""The emulator is optional: its tests are skipped where `make emulator` has not built it."""

from __future__ import annotations

import importlib

import pytest

try:
    importlib.import_module("csrc.ptx.ptxemu")
    _missing = ""
except ImportError as error:
    _missing = str(error)

collect_ignore_glob = ["test_*.py"] if _missing else []


def pytest_report_header() -> str:
    return f"PTX emulator: {_missing or 'built'}"


@pytest.fixture(autouse=True)
def _default_settings():
    """Every test starts, and leaves the next one, with the default device and no strictness."""
    yield
    if not _missing:
        from csrc.ptx import ptxemu

        ptxemu.set_device(80)
        ptxemu.set_strict(False)
        ptxemu.set_global_races(False)
        ptxemu.set_instruction_limit(0)
