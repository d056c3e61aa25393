"""Finds, checks and loads the compiled operators (``pygan/_C*.so``), once per process.

The library is built for one version of Paddle (CMakeLists.txt writes it into ``_C.json`` beside the
library); loading it into another one is refused, because Paddle's C++ interface is not stable.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import paddle

_PACKAGE = Path(__file__).resolve().parent.parent
# The functions of csrc/paddle/module.cc that return text.
_TEXTS = (
    "paddle_version",
    "operators",
    "cpu_isa",
    "last_conv_path",
    "asked_conv_path",
    "onednn_status",
)
# For `impl`, between pygan's own functions: the composition of _composed.py.
COMPOSED = "composition of Paddle's operators, for inference"
# Whether float32 may multiply in TF32, as csrc/paddle/device.cc reads it; set by `allow_tf32`.
tf32 = os.environ.get("PYGAN_TF32", "").startswith("1")
_BUILD_HINT = "Build them with: pip install --no-build-isolation -e . (in a pygan checkout)"

# Whether tensors on the CPU are given to the emulator of GPUs.
_emulating = False

_lock = threading.Lock()
_loaded: Optional[ctypes.CDLL] = None
_reason: Optional[str] = None  # why there is no native library; None = not tried yet or loaded
_warned: set[str] = set()


def library_path() -> Path:
    """Where the compiled operators are, if there are any."""
    return _PACKAGE / "_C.so"


def _load() -> ctypes.CDLL:
    """Load and register, or raise RuntimeError with the reason and what to do."""
    library = library_path()
    stamp = _PACKAGE / "_C.json"
    if not library.exists():
        raise RuntimeError(f"pygan's compiled operators are not installed. {_BUILD_HINT}")
    try:
        built_for = json.loads(stamp.read_text())["paddle"]
    except (OSError, ValueError, KeyError):
        raise RuntimeError(
            f"{stamp} is missing or damaged, so it is unknown which Paddle "
            f"{library.name} was built for. {_BUILD_HINT}"
        ) from None
    if built_for != paddle.__version__:
        raise RuntimeError(
            f"pygan's operators were built for Paddle {built_for}, but this is Paddle "
            f"{paddle.__version__}. {_BUILD_HINT}"
        )
    try:
        paddle.utils.cpp_extension.load_op_meta_info_and_register_op(str(library))
        loaded = ctypes.CDLL(str(library))
    except Exception as error:
        raise RuntimeError(f"{library} could not be loaded: {error}. {_BUILD_HINT}") from None
    try:
        for text in _TEXTS:
            getattr(loaded, f"pygan_{text}").restype = ctypes.c_char_p
        loaded.pygan_scratch_bytes.restype = ctypes.c_uint64
        loaded.pygan_load_emulator.restype = ctypes.c_char_p
    except AttributeError as error:
        raise RuntimeError(
            f"{library} was built from another version of pygan ({error}). {_BUILD_HINT}"
        ) from None
    backend = os.environ.get("PYGAN_BACKEND", "")
    if backend == "emulate":
        _load_emulator(loaded)
    elif backend:
        raise RuntimeError(
            f"PYGAN_BACKEND is {backend!r}; it must be 'emulate' (run the CUDA kernels in the "
            "emulator) or unset."
        )
    return loaded


def _load_emulator(loaded: ctypes.CDLL) -> None:
    """Let the CUDA kernels compute on CPU tensors, in the emulator of csrc/ptx."""
    folder = os.environ.get("PYGAN_EMULATED_DIR", _PACKAGE.parent / "build" / "emulated")
    path = Path(folder) / "pygan_cuda.so"
    if not path.exists():
        raise RuntimeError(f"{path}, the emulated CUDA kernels, is missing. Run: make emulator")
    error = loaded.pygan_load_emulator(str(path).encode())
    if error is not None:
        raise RuntimeError(f"{path} could not be loaded: {error.decode()}. Run: make emulator")
    global _emulating
    _emulating = True


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """Inside the block, operators on CPU tensors run their CUDA kernels in the emulator.

    For tests and reports in a checkout where ``make emulator`` has been run. The environment
    variable PYGAN_BACKEND=emulate does the same for a whole process.

    Raises:
        RuntimeError: there are no native operators, or no emulated kernels.
    """
    lib = library()
    if lib is None:
        raise RuntimeError(f"pygan.ops.emulated: {_reason}")
    global _emulating
    previous = lib.pygan_set_emulated(1)
    try:
        if not previous:
            _load_emulator(lib)
        yield
    finally:
        lib.pygan_set_emulated(previous)
        _emulating = bool(previous)


def allow_tf32(allowed: bool) -> bool:
    """Whether float32 convolutions on a GPU may multiply in TF32, which has 10 bits of mantissa.

    TF32 runs on tensor cores from sm_80 on, several times as fast as float32; the error of a
    product is about 1e-3 of its size. Off unless the environment variable PYGAN_TF32 is 1. float16
    and bfloat16 tensors always use tensor cores.

    Returns:
        What was set before.

    Raises:
        RuntimeError: without native operators.
    """
    lib = library()
    if lib is None:
        raise RuntimeError(f"pygan.ops.allow_tf32: {_reason}")
    global tf32
    tf32 = bool(allowed)
    return bool(lib.pygan_set_tf32(int(tf32)))


def library() -> Optional[ctypes.CDLL]:
    """The loaded library, or None; `unavailable_reason` then says why."""
    global _loaded, _reason
    if _loaded is None and _reason is None:
        with _lock:
            if _loaded is None and _reason is None:
                try:
                    _loaded = _load()
                except RuntimeError as error:
                    _reason = str(error)
    return _loaded


def unavailable_reason() -> Optional[str]:
    """Why the native operators cannot be used, or None when they can."""
    library()
    return _reason


def use_native(
    impl: str, op: str, x: paddle.Tensor, registered: str = "", cuda: bool = True
) -> bool:
    """Resolve ``impl='auto'|'native'|'ref'`` for an operator called with ``x``.

    'auto' takes the compiled operator where there is one for x's device, and otherwise the
    reference, with one warning per operator that says why. 'native' raises instead of falling back.
    ``registered`` names an operator that a library built from an older checkout may lack; ``cuda``
    says whether the operator has CUDA kernels.
    """
    if impl == "ref" or impl == COMPOSED:
        return False
    if impl not in ("auto", "native"):
        raise ValueError(
            f"pygan.ops.{op}: `impl` is {impl!r}; it must be 'auto', 'native' or 'ref'."
        )
    reason = unavailable_reason()
    if reason is None and registered and registered not in _registered():
        reason = f"{library_path()} was built before there was pg_{registered}. {_BUILD_HINT}"
    if reason is None:
        reason = _no_kernel_for(x)
    if reason is None and not cuda and on_gpu(x):
        reason = "it has no CUDA kernels yet"
    if reason is None:
        return True
    if impl == "native":
        raise RuntimeError(f"pygan.ops.{op}: impl='native' is not possible: {reason}")
    if op not in _warned:
        _warned.add(op)
        warnings.warn(f"pygan.ops.{op} runs its slow reference composition: {reason}", stacklevel=4)
    return False


@functools.cache
def _registered() -> frozenset[str]:
    lib = library()
    return frozenset() if lib is None else frozenset(lib.pygan_operators().decode().split(","))


@functools.cache
def only_cpu() -> bool:
    """Whether this Paddle knows no other device, so that no tensor need be asked for its place.

    `to_static` cannot follow that question through its interpreter of Python.
    """
    return not (
        paddle.is_compiled_with_cuda()
        or paddle.is_compiled_with_xpu()
        or paddle.device.get_all_custom_device_type()
    )


def _with_cuda() -> bool:
    lib = library()
    return lib is not None and bool(lib.pygan_with_cuda())


def on_gpu(x: paddle.Tensor) -> bool:
    """Whether native operators compute on ``x`` with CUDA kernels."""
    if _emulating:
        return True
    if not _with_cuda():
        return False
    if paddle.in_dynamic_mode():
        return bool(x.place.is_gpu_place())
    return bool(paddle.get_device().startswith("gpu"))


def _no_kernel_for(x: paddle.Tensor) -> Optional[str]:
    """Why the loaded library cannot compute on ``x``, or None when it can."""
    if paddle.in_dynamic_mode():
        if not (only_cpu() or x.place.is_cpu_place() or (_with_cuda() and x.place.is_gpu_place())):
            return f"this build has no kernel for tensors on {x.place}"
    elif not hasattr(paddle._C_ops, "_run_custom_op"):
        return "the static graphs of Paddle 2 are not supported"
    elif not (  # a tensor of a graph has no place yet
        paddle.get_device() == "cpu" or (_with_cuda() and paddle.get_device().startswith("gpu"))
    ):
        return f"this build has no kernel for {paddle.get_device()}"
    return None


def double_bits(value: float) -> int:
    """The bits of a double as the int64 attribute that carries it (csrc/paddle/common.h)."""
    return struct.unpack("<q", struct.pack("<d", float(value)))[0]


def _eager_call() -> Any:
    if hasattr(paddle._C_ops, "_run_custom_op"):
        return paddle._C_ops._run_custom_op
    return paddle.base.core.eager._run_custom_op


_run: Any = None


def call(name: str, *arguments: Any) -> Any:
    """Run a registered operator: its inputs (None for an absent optional one), then attributes."""
    global _run
    if _run is None:
        _run = _eager_call()
    out = _run(name, *arguments)
    return out[0] if isinstance(out, (list, tuple)) and len(out) == 1 else out


@contextlib.contextmanager
def no_weight_gradients() -> Iterator[None]:
    """Leave out the gradients of convolution weights inside the block.

    For gradients that are wanted only with respect to images or latents, as in R1 and path length:

    >>> with no_weight_gradients():
    ...     (g,) = paddle.grad([d(x).sum()], [x], create_graph=True)

    Paddle gives kernels no word about which gradients are needed, so without this they compute all.
    Inside the block the first-order gradient of a weight reads as zeros; second-order gradients,
    and everything outside the block, are not affected.
    """
    with _weight_gradients(skip=True):
        yield


@contextlib.contextmanager
def all_gradients() -> Iterator[None]:
    """Undo `no_weight_gradients` inside the block."""
    with _weight_gradients(skip=False):
        yield


@contextlib.contextmanager
def _weight_gradients(skip: bool) -> Iterator[None]:
    lib = library()
    if lib is None:
        yield
        return
    previous = lib.pygan_set_skip_weight_gradients(int(skip))
    try:
        yield
    finally:
        lib.pygan_set_skip_weight_gradients(previous)


def last_conv_path() -> str:
    """The path that the last native convolution of this thread took.

    'winograd', 'onednn', 'direct' or 'pointwise'; empty before the first, or without native
    operators.
    """
    lib = library()
    return lib.pygan_last_conv_path().decode() if lib is not None else ""


def set_conv_path(path: str) -> str:
    """Ask for one path of the native float32 convolution where it is possible, on all threads.

    Args:
        path: 'auto' (the fastest by measurement), 'direct', 'winograd', 'onednn' or 'pointwise'.
            The environment variable PYGAN_CONV_PATH sets the initial choice.

    Returns:
        The previous choice.

    Raises:
        ValueError: for another name.
        RuntimeError: without native operators.
    """
    lib = library()
    if lib is None:
        raise RuntimeError(f"pygan.ops.set_conv_path: {_reason}")
    previous = lib.pygan_asked_conv_path().decode()
    if not lib.pygan_set_conv_path(str(path).encode()):
        raise ValueError(
            f"pygan.ops.set_conv_path: `path` is {path!r}; it must be 'auto', 'direct', "
            "'winograd', 'onednn' or 'pointwise'."
        )
    return previous


def native_info() -> dict[str, Any]:
    """What the compiled operators are: path, Paddle they were built for, instruction set, threads.

    'operators' are the names that the library has registered, on which the functions of `pygan.ops`
    are built: all convolutions are one operator, 'conv2d'.

    Key 'available' is False, and 'reason' says why, when there are none.
    """
    lib = library()
    if lib is None:
        return {"available": False, "reason": _reason}
    return {
        "available": True,
        "path": str(library_path()),
        "operators": lib.pygan_operators().decode().split(","),
        "paddle": lib.pygan_paddle_version().decode(),
        "cpu_isa": lib.pygan_cpu_isa().decode(),
        "threads": int(lib.pygan_max_threads()),
        "cuda": bool(lib.pygan_with_cuda()),
        "onednn": lib.pygan_onednn_status().decode(),
        "scratch_bytes": int(lib.pygan_scratch_bytes()),
    }
