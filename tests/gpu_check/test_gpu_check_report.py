"""The report in Markdown and JSON."""

from __future__ import annotations

import json
import math

import pytest

from pygan.gpu_check.checks import Check
from pygan.gpu_check.report import Report
from pygan.gpu_check.timing import Timing
from pygan.ops import _native
from tests.gpu_check.gpu_check_fakes import tiny

pytestmark = pytest.mark.skipif(
    _native.unavailable_reason() is not None, reason="no native operators"
)


def full_report() -> Report:
    return Report(
        "gpu",
        False,
        {"gpu": "Fake | 9000", "driver": "1.2"},
        [
            Check("conv2d [1]", "float32", False, True, 2e-6, 1e-4, "forward"),
            Check("conv2d [2]", "float32", False, False, math.inf, 1e-4, "gradient of w"),
            Check("conv2d [2]", "float32", True, False, None, 1e-2, "", "RuntimeError: no image"),
        ],
        {"copy_gbps": 1250.0, "tf32_tflops": None},
        [
            Timing(tiny(), 2.0, 3.0, 5.0, 0.5),
            Timing(tiny("conv2d", tf32=True), None, 1.0, message="pygan: RuntimeError: launch"),
        ],
        ["Note."],
        12.0,
    )


def test_markdown() -> None:
    text = full_report().to_markdown()
    assert "**2 of 3 comparisons with the CPU failed.**" in text
    assert "| conv2d [2] | float32 | not finite | 1.0e-04 | gradient of w |" in text
    assert "| conv2d [2] | TF32 | - | 1.0e-02 | RuntimeError: no image |" in text
    assert "| conv2d | float32 | 1/2 |" in text
    assert "| copy | 1250 GB/s |" in text
    assert "| product TF32 | - |" in text
    assert "| 2 | 3 (1.50x) | 5 (2.50x) | 50% of copy |" in text
    assert "pygan: RuntimeError: launch" in text
    assert "Fake \\| 9000" in text
    assert "- Note." in text
    for block in text.split("\n\n"):  # tables are rectangular
        rows = [line.replace("\\|", "").count("|") for line in block.splitlines() if "|" in line]
        if block.startswith("|"):
            assert len(set(rows)) == 1


def test_json() -> None:
    content = json.loads(json.dumps(full_report().to_json(), allow_nan=False))
    assert set(content) == {
        *("schema", "mode", "quick", "seconds", "device", "checks", "ceilings", "timings", "notes")
    }
    assert content["checks"][1]["error"] is None
    assert not content["checks"][1]["passed"]
    assert content["timings"][0] == {
        **{"op": "bias_act", "shape": [2, 4, 8, 8], "dtype": "float32", "tf32": False},
        **{"backward": False, "ceiling": "copy_gbps", "pygan_ms": 2.0, "paddle_ms": 3.0},
        **{"torch_ms": 5.0, "share": 0.5, "message": ""},
    }
