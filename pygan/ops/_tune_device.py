"""What the tuner asks of the machine."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
from collections.abc import Callable
from typing import Optional, Protocol

import paddle

from pygan.ops import _native


class Device(Protocol):
    """What the tuner asks of the machine."""

    def holds(self, x: paddle.Tensor) -> bool:
        """Whether ``x`` is an eager tensor in the memory of a GPU that pygan has kernels for."""

    def unusable(self, x: paddle.Tensor) -> Optional[str]:
        """Why there are no native kernels for ``x``; None where there are."""

    def identity(self) -> dict[str, str]:
        """What decisions depend on; the name of the cache file follows from it."""

    def paddle_tf32(self) -> bool:
        """Whether Paddle multiplies float32 in TF32."""

    def is_capturing(self) -> bool:
        """Whether a CUDA graph is being captured."""

    def is_autocasting(self) -> bool:
        """Whether Paddle casts its operators' inputs (automatic mixed precision)."""

    def synchronize(self) -> None:
        """Wait for what was launched."""

    def release(self) -> None:
        """Give back the memory that timing took."""


class PaddleDevice:
    """The current GPU of Paddle."""

    def __init__(self) -> None:
        # Paddle 2 has no switches: its TF32 is on.
        core = paddle.base.core
        self._cublas: Callable[[], bool] = getattr(core, "get_cublas_switch", lambda: True)
        self._cudnn: Callable[[], bool] = getattr(core, "get_cudnn_switch", lambda: True)
        self._has_tf32: Optional[bool] = None

    def holds(self, x: paddle.Tensor) -> bool:
        return paddle.in_dynamic_mode() and x.place.is_gpu_place()

    def unusable(self, x: paddle.Tensor) -> Optional[str]:
        return _native.unavailable_reason() or _native._no_kernel_for(x)

    def identity(self) -> dict[str, str]:
        import pygan

        major, minor = paddle.device.cuda.get_device_capability()
        return {
            "gpu": str(paddle.device.cuda.get_device_name()),
            "capability": f"{major}.{minor}",
            "driver": driver_version(),
            "paddle": f"{paddle.__version__}, CUDA {paddle.version.cuda()}",
            "cudnn": cudnn_version(),
            "pygan": f"{pygan.__version__}, {library_digest()}",
        }

    def paddle_tf32(self) -> bool:
        if self._has_tf32 is None:
            try:
                old = paddle.device.cuda.get_device_capability()[0] < 8
            except OSError:  # a Paddle for GPUs on a machine without one
                old = True
            self._has_tf32 = not old and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0"
        return self._has_tf32 and (self._cublas() or self._cudnn())

    def is_capturing(self) -> bool:
        asked = getattr(paddle.base.core, "is_cuda_graph_capturing", None)
        return bool(asked and asked())

    def is_autocasting(self) -> bool:
        level = paddle.base.framework._dygraph_tracer()._amp_level
        return level != paddle.base.core.AmpLevel.O0

    def synchronize(self) -> None:
        paddle.device.cuda.synchronize()

    def release(self) -> None:
        paddle.device.cuda.empty_cache()


def library_digest() -> str:
    """Tells builds of pygan's kernels apart; two versions of a checkout share their number."""
    try:
        with _native.library_path().open("rb") as library:
            digest = hashlib.blake2b(digest_size=6)
            for block in iter(lambda: library.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return "no library"
    return digest.hexdigest()


def cudnn_version() -> str:
    """The version of cuDNN; 'none' without it, for which Paddle says None at first, then -1."""
    version = paddle.device.get_cudnn_version()
    return "none" if version is None or version < 0 else str(version)


@functools.cache
def driver_version() -> str:
    """The version of NVIDIA's driver; 'unknown' where it does not tell."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        text = ctypes.create_string_buffer(96)
        if nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, 96) == 0:
            return text.value.decode()
    except (OSError, AttributeError):
        pass
    return "unknown"
