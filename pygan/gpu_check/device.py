"""Where the checks run: facts about the GPU and the build, and what to do if there is none."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle

import pygan
from pygan import ops
from pygan.ops import _native, _tuner
from pygan.ops._tune_device import driver_version


class NothingToCheck(RuntimeError):
    """There is no GPU that pygan could use; the message says what to do."""


class Machine:
    """The two sides of every comparison: the CPU, and the GPU or its emulation.

    Args:
        emulated: CPU tensors run the CUDA kernels in the emulator.
    """

    def __init__(self, emulated: bool) -> None:
        self.emulated = emulated
        self.gpu = "cpu" if emulated else "gpu:0"

    @contextlib.contextmanager
    def on_cpu(self) -> Iterator[None]:
        """New tensors are the CPU's."""
        with _current("cpu"):
            yield

    @contextlib.contextmanager
    def on_gpu(self) -> Iterator[None]:
        """New tensors are the GPU's, and operators on them are native, whatever is faster."""
        tuner, _tuner.tuner = _tuner.tuner, None
        try:
            with _current(self.gpu), ops.emulated() if self.emulated else contextlib.nullcontext():
                yield
        finally:
            _tuner.tuner = tuner


@contextlib.contextmanager
def _current(device: str) -> Iterator[None]:
    previous = paddle.get_device()
    paddle.set_device(device)
    try:
        yield
    finally:
        paddle.set_device(previous)


def find(emulated: bool) -> Machine:
    """The machine to check.

    Raises:
        NothingToCheck: if there is none.
    """
    reason = _native.unavailable_reason()
    if reason is not None:
        raise NothingToCheck(reason)
    if emulated:
        try:
            with ops.emulated():
                return Machine(emulated=True)
        except RuntimeError as error:
            raise NothingToCheck(str(error)) from None
    without = "Without a GPU, --emulated checks the CUDA kernels in an emulator, in a checkout."
    if not paddle.is_compiled_with_cuda():
        raise NothingToCheck(
            f"This Paddle ({paddle.__version__}) is for the CPU alone. Install the one for GPUs "
            "(https://www.paddlepaddle.org.cn/install/quick), then build pygan again: "
            f"pip install --no-build-isolation -e . (in a pygan checkout). {without}"
        )
    if paddle.device.cuda.device_count() == 0:
        raise NothingToCheck(
            "Paddle sees no GPU. Check that nvidia-smi lists one, and that CUDA_VISIBLE_DEVICES "
            f"does not hide it. {without}"
        )
    if not ops.native_info()["cuda"]:
        raise NothingToCheck(
            "This build of pygan has no CUDA kernels. With nvcc on the PATH, build it again: "
            f"pip install --no-build-isolation -e . (in a pygan checkout; see docs/gpu.md). "
            f"{without}"
        )
    return Machine(emulated=False)


def facts(machine: Machine) -> dict[str, str]:
    """What a report has to say about where it comes from."""
    info = ops.native_info()
    found = {
        "pygan": pygan.__version__,
        "paddle": paddle.__version__,
        "python": f"{platform.python_version()}, numpy {np.__version__}",
        "system": f"{platform.platform()}, {platform.machine()}",
        "operators": ", ".join(info["operators"]),
        "architectures": architectures(Path(info["path"]).with_suffix(".json")),
    }
    if machine.emulated:
        return {"gpu": "none: the CUDA kernels run in the emulator", **found}
    cuda = paddle.device.cuda
    properties = cuda.get_device_properties()
    major, minor = cuda.get_device_capability()
    return {
        "gpu": str(cuda.get_device_name()),
        "capability": f"{major}.{minor}",
        "multiprocessors": str(properties.multi_processor_count),
        "memory": f"{properties.total_memory / 2**30:.1f} GiB",
        "driver": driver_version(),
        "cuda_runtime": f"{paddle.version.cuda()}, cuDNN {paddle.version.cudnn()}",
        **found,
    }


def architectures(stamp: Path) -> str:
    """The compute capabilities that the library was built for, as the build wrote them down."""
    try:
        return str(json.loads(stamp.read_text())["cuda"]).replace(";", " ") or "none"
    except (OSError, ValueError, KeyError):
        return "unknown"
