"""What this installation has, and what to run if something is missing."""

from __future__ import annotations

import importlib.util
import os
import platform

import numpy as np
import paddle

import pygan
from pygan.runtime import available_cores


def describe() -> list[str]:
    """Lines for people: versions, operators, threads, GPU, optional packages."""
    lines = [
        _row("pygan", f"{pygan.__version__} ({os.path.dirname(os.path.abspath(pygan.__file__))})"),
        _row("paddle", f"{paddle.__version__}{_cuda()}"),
        _row("python", f"{platform.python_version()}, numpy {np.__version__}"),
        _row("system", f"{platform.platform()}, {platform.machine()}"),
    ]
    lines += _operators()
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    lines.append(
        _row("threads", f"{threads} (OMP_NUM_THREADS) of {available_cores()} available cores")
    )
    lines.append(_row("gpu", _gpu()))
    for package, use in (("visualdl", "--visualdl"), ("tqdm", "the progress bar")):
        there = importlib.util.find_spec(package) is not None
        missing = f"not installed; for {use}: pip install {package}"
        lines.append(_row(package, "installed" if there else missing))
    return lines


def _operators() -> list[str]:
    from pygan import ops

    info = dict(ops.native_info())
    if not info.pop("available", False):
        return [_row("operators", f"reference only, slow: {info.get('reason', 'unknown reason')}")]
    path, names = info.pop("path"), info.pop("operators")
    facts = ", ".join(f"{key} {value}" for key, value in info.items())
    return [_row("operators", f"native: {', '.join(names)}"), _row("", f"{path}: {facts}")]


def _cuda() -> str:
    return f", CUDA {paddle.version.cuda()}" if paddle.is_compiled_with_cuda() else ", without CUDA"


def _gpu() -> str:
    if not paddle.is_compiled_with_cuda():
        return "this Paddle has no CUDA; with a GPU: pip install paddlepaddle-gpu"
    count = paddle.device.cuda.device_count()
    if count == 0:
        return "none visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)"
    names = {paddle.device.cuda.get_device_name(i) for i in range(count)}
    return f"{count} x {', '.join(sorted(names))}"


def _row(name: str, text: str) -> str:
    return f"{name:<10} {text}"
