"""The kernels as they are compiled for GPUs without asynchronous copies, TF32 and bfloat16."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = "(float16 and not bfloat16) or (test_layer_to_second_order and float32 and 33)"


def test_convolutions_on_sm_75() -> None:
    """In a process of its own, since an architecture is asked for once.

    float16 takes the tensor cores of Turing.
    """
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("tests/cuda/test_convolution_cuda.py", "-k", CASES),
        ],
        cwd=ROOT,
        env={**os.environ, "PTXEMU_ARCH": "75", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
