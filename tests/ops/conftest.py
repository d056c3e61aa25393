"""Fixtures that tests of several operators use."""

from __future__ import annotations

import pytest

from pygan.ops._native import unavailable_reason


@pytest.fixture
def needs_native(request: pytest.FixtureRequest) -> None:
    """Skip without the native library, unless the test is of impl='ref'."""
    callspec = getattr(request.node, "callspec", None)
    impl = callspec.params.get("impl") if callspec else "native"
    if impl != "ref" and unavailable_reason() is not None:
        pytest.skip(f"no native operators: {unavailable_reason()}")
