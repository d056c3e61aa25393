"""The Paddle peer computes what pygan computes, to second order; a benchmark of unequal work would
say nothing. The PyTorch peer joins if TORCH_PYTHON names an interpreter that has it."""

from __future__ import annotations

import os

import pytest

from benchmarks.agreement import compare, compare_augmentation
from benchmarks.harness import Interpreters

# float32 rounding through eleven layers; second-order gradients are small differences of large
# terms.
TOLERANCE = {"images": 1e-4, "logits": 1e-4, "path lengths": 1e-3, "path length": 1e-2, "R1": 1e-2}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, float]]:
    interpreters = Interpreters(torch=os.environ.get("TORCH_PYTHON"))
    return compare(interpreters, resolution=16, channel_base=256)


@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("framework", ["pygan-default", "torch"])
def test_agrees_with_paddle_composition(found, framework, kind):
    if framework not in found:
        pytest.skip("TORCH_PYTHON is not set")
    assert found[framework][kind] < TOLERANCE[kind]


@pytest.fixture(scope="module")
def augmented() -> dict[str, dict[str, float]]:
    interpreters = Interpreters(torch=os.environ.get("TORCH_PYTHON"))
    return compare_augmentation(interpreters, height=24, width=32)


@pytest.mark.parametrize("kind", ["augmented", "gradient"])
@pytest.mark.parametrize("framework", ["pygan-default", "torch"])
def test_augmentation_agrees_with_paddle_composition(augmented, framework, kind):
    if framework not in augmented:
        pytest.skip("TORCH_PYTHON is not set")
    assert augmented[framework][kind] < 1e-4
