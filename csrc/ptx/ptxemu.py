"""Runs CUDA kernels without a GPU: PTX text, numpy arrays as device memory.

    from csrc.ptx import ptxemu

    module = ptxemu.Module("kernel.ptx")  # nvcc -arch=sm_80 -lineinfo -ptx -o kernel.ptx kernel.cu
    stats = module.launch("scale", grid=(4,), block=(256,), x, y, 1000, 2.0)

A numpy array becomes a device pointer to its memory; it must be contiguous. bfloat16 is uint16.
Out-of-bounds and misaligned accesses raise PtxError; races and reads of uninitialised memory are
counted in the statistics, or raise after ``set_strict(True)``.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

__all__ = [
    "Module",
    "Parameter",
    "PtxError",
    "aligned",
    "device_attribute",
    "hot_blocks",
    "set_device",
    "set_global_races",
    "set_instruction_limit",
    "set_strict",
]

Stats = dict[str, Any]


class PtxError(RuntimeError):
    """PTX that cannot be loaded, a launch that is refused, or a fault while a kernel ran."""


def _library_path() -> Path:
    folder = os.environ.get("PYGAN_EMULATED_DIR")
    if folder:
        return Path(folder) / "libptxemu.so"
    return Path(__file__).resolve().parents[2] / "build" / "emulated" / "libptxemu.so"


def _load_library() -> ctypes.CDLL:
    path = _library_path()
    if not path.exists():
        raise ImportError(
            f"{path} does not exist: build the PTX emulator with `make emulator`, or name its "
            "folder in PYGAN_EMULATED_DIR"
        )
    library = ctypes.CDLL(str(path))
    text, pointer, size = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "load": (pointer, [text]),
        "unload": (None, [pointer]),
        "error": (text, []),
        "kernels": (text, [pointer]),
        "register": (None, [pointer, size, text]),
        "register_fresh": (None, [pointer, size, text]),
        "mark_written": (None, [pointer, size]),
        "unregister": (None, [pointer]),
        "launch": (ctypes.c_int, [pointer, text, *[ctypes.c_uint] * 7, text, size, ctypes.c_int]),
        "stats": (text, [ctypes.c_int]),
        "set_strict": (None, [ctypes.c_int]),
        "set_global_races": (None, [ctypes.c_int]),
        "set_instruction_limit": (None, [ctypes.c_uint64]),
        "set_device": (ctypes.c_int, [ctypes.c_int]),
        "device_attribute": (ctypes.c_int, [ctypes.c_int]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, "ptxemu_" + name, None)
        if function is None:
            raise ImportError(f"{path} is out of date: build it again with `make emulator`")
        function.restype, function.argtypes = result, arguments
    return library


_library = _load_library()


def _last_error() -> PtxError:
    return PtxError(_library.ptxemu_error().decode())


@dataclass(frozen=True)
class Parameter:
    """Where a kernel expects an argument."""

    offset: int
    size: int
    kind: str  # "f": .f32 or .f64, "b": an array or structure, "i": everything else


def _parse_kernels(text: str) -> dict[str, list[Parameter]]:
    kernels = {}
    for entry in filter(None, text.split(";")):
        name, layout = entry.split(":")
        parameters = []
        for item in filter(None, layout.split(",")):
            offset, size = item.split("/")
            kind = size[-1] if size[-1] in "fb" else "i"
            parameters.append(Parameter(int(offset), int(size.rstrip("fb")), kind))
        kernels[name] = parameters
    return kernels


def _three(extent: Union[int, Sequence[int]]) -> tuple[int, int, int]:
    values = (extent,) if isinstance(extent, int) else tuple(int(e) for e in extent)
    if not 1 <= len(values) <= 3:
        raise ValueError(f"grid and block have 1 to 3 extents, not {values}")
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


class Module:
    """Kernels of one PTX text.

    Args:
        source: path of a PTX file, or the text itself.
    """

    def __init__(self, source: Union[str, os.PathLike[str]]) -> None:
        self._handle: Optional[int] = None
        is_text = isinstance(source, str) and "\n" in source
        text = str(source) if is_text else Path(source).read_text()
        self._handle = _library.ptxemu_load(text.encode())
        if not self._handle:
            raise _last_error()
        #: Names of the kernels, and the layout of their parameters.
        self.kernels = _parse_kernels(_library.ptxemu_kernels(self._handle).decode())

    def __del__(self) -> None:
        if self._handle:
            _library.ptxemu_unload(self._handle)
            self._handle = None

    def _pack(self, name: str, arguments: Sequence[Any]) -> tuple[bytes, list[np.ndarray]]:
        parameters = self.kernels[name]
        if len(parameters) != len(arguments):
            raise TypeError(f"{name} takes {len(parameters)} arguments, not {len(arguments)}")
        packed = bytearray(max((p.offset + p.size for p in parameters), default=0))
        arrays = []
        for parameter, argument in zip(parameters, arguments):
            begin, end = parameter.offset, parameter.offset + parameter.size
            if isinstance(argument, np.ndarray):
                if not argument.flags.c_contiguous:
                    raise ValueError(f"an argument of {name} is an array that is not contiguous")
                arrays.append(argument)
                packed[begin:end] = argument.ctypes.data.to_bytes(8, "little")
            elif isinstance(argument, bytes):
                packed[begin : begin + len(argument)] = argument
            elif argument is None:
                pass
            elif parameter.kind == "f":
                dtype = np.float32 if parameter.size == 4 else np.float64
                packed[begin:end] = dtype(argument).tobytes()
            else:
                value = int(argument)
                packed[begin:end] = value.to_bytes(parameter.size, "little", signed=value < 0)
        return bytes(packed), arrays

    def launch(
        self,
        name: str,
        grid: Union[int, Sequence[int]],
        block: Union[int, Sequence[int]],
        *arguments: Any,
        smem: int = 0,
        threads: int = 0,
        per_instruction: bool = False,
        fresh: Sequence[int] = (),
    ) -> Stats:
        """Runs a kernel and returns what it executed and which hazards it has.

        Args:
            name: of the kernel.
            grid, block: extents, up to three.
            arguments: numpy arrays (device pointers), numbers, bytes (structures) or None (null).
            smem: bytes of dynamic shared memory.
            threads: host threads to spread blocks over; 0: all.
            per_instruction: also list instructions, basic blocks and source lines.
            fresh: positions of arrays whose contents the kernel must not read before writing them.
        """
        if name not in self.kernels:
            raise PtxError(f"no kernel {name}: there are {', '.join(self.kernels) or 'none'}")
        packed, arrays = self._pack(name, arguments)
        grid3, block3 = _three(grid), _three(block)
        fresh_addresses = {arguments[i].ctypes.data for i in fresh}
        position = {id(a): i for i, a in enumerate(arguments)}
        for array in arrays:
            address = array.ctypes.data
            is_fresh = address in fresh_addresses
            register = _library.ptxemu_register_fresh if is_fresh else _library.ptxemu_register
            register(address, array.nbytes, f"arg{position[id(array)]}".encode())
        try:
            status = _library.ptxemu_launch(
                self._handle, name.encode(), *grid3, *block3, smem, packed, len(packed), threads
            )
        finally:
            for array in arrays:
                _library.ptxemu_unregister(array.ctypes.data)
        if status:
            raise _last_error()
        stats: Stats = json.loads(_library.ptxemu_stats(int(per_instruction)).decode())
        return stats


def aligned(shape: Union[int, Sequence[int]], dtype: Any, fill: Optional[Any] = None) -> np.ndarray:
    """An array that starts at a multiple of 256 bytes, as cudaMalloc's do.

    ``fill`` is a value, or an array of the same shape.
    """
    item = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * item.itemsize
    raw = np.empty(size + 256, np.uint8)
    offset = -raw.ctypes.data % 256
    array = raw[offset : offset + size].view(item).reshape(shape)
    if fill is not None:
        array[...] = fill
    return array


def hot_blocks(stats: Stats) -> Stats:
    """The innermost loops' share of a launch that ran with ``per_instruction=True``.

    Looks at the most-executed basic blocks: those that ran at least half as often as the hottest.
    Returns the numbers of those blocks, their warp instructions, their share of all, and the
    instructions in them by class.
    """
    most = max(block["executions"] for block in stats["blocks_executed"])
    hot = {b["block"] for b in stats["blocks_executed"] if 2 * b["executions"] >= most}
    mix: dict[str, int] = {}
    for instruction in stats["profile"]:
        if instruction["block"] in hot:
            category = instruction["category"]
            mix[category] = mix.get(category, 0) + instruction["executions"]
    total = sum(mix.values())
    return {
        "blocks": sorted(hot),
        "warp_instructions": total,
        "share": total / max(stats["warp_instructions"], 1),
        "mix": mix,
    }


def set_device(arch: int) -> None:
    """Emulates sm_70, 75, 80 (the default), 86, 89 or 90: its limits and its instructions."""
    if _library.ptxemu_set_device(arch):
        raise _last_error()


def device_attribute(attribute: int) -> int:
    """Value of a cudaDeviceAttr of the emulated device, -1 when it is not known."""
    return int(_library.ptxemu_device_attribute(attribute))


def set_strict(on: bool) -> None:
    """Whether races, reads of uninitialised memory and divergent barriers raise PtxError."""
    _library.ptxemu_set_strict(int(on))


def set_global_races(on: bool) -> None:
    """Whether races on global memory are looked for as well, which is slow."""
    _library.ptxemu_set_global_races(int(on))


def set_instruction_limit(instructions: int) -> None:
    """Warp instructions after which a block is taken for an endless loop; 0: the default."""
    _library.ptxemu_set_instruction_limit(instructions)
