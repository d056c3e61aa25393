"""Fixtures that tests of several operators use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pygan.ops import native_info
from pygan.ops._native import unavailable_reason
from pygan.runtime import set_num_threads
from tests.ops.tuner_bench import Bench


@pytest.fixture
def needs_native(request: pytest.FixtureRequest) -> None:
    """Skip without the native library, unless the test is of impl='ref'."""
    callspec = getattr(request.node, "callspec", None)
    impl = callspec.params.get("impl") if callspec else "native"
    if impl != "ref" and unavailable_reason() is not None:
        pytest.skip(f"no native operators: {unavailable_reason()}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "tune")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With PYGAN_BACKEND=emulate, leave out what only the CPU's kernels have."""
    if os.environ.get("PYGAN_BACKEND") != "emulate":
        return
    for item in items:
        mark = item.get_closest_marker("cpu_kernels")
        if mark is not None:
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = native_info()["threads"]
    yield
    set_num_threads(before)
