"""The stand-in for CUDA's runtime refuses the launches that a GPU refuses."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest

from csrc.ptx.runtime import stand_in
from tests.ptx.ptx_text import kernel

STATIC = 1024
LIMIT = 48 * 1024  # of static and dynamic shared memory together
OPTIN = 163 * 1024  # the same on sm_80, for kernels that ask
MOST_SHARED = 8  # cudaFuncAttributeMaxDynamicSharedMemorySize
TEXT = kernel("", f"  .shared .align 4 .b8 tile[{STATIC}];\n  mov.u32 %r1, tile;")


class Dim3(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


class Wrapper(ctypes.Structure):
    """What nvcc hands to __cudaRegisterFatBinary."""

    _fields_ = [
        ("magic", ctypes.c_int),
        ("version", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("unused", ctypes.c_void_p),
    ]


class Registered:
    """The kernel `k` of a text of PTX, as a host object of nvcc's registers it."""

    def __init__(self, text: str) -> None:
        payload = text.encode() + b"\0"
        entry = struct.pack("<HHIQIIHHI", 1, 0, 32, len(payload), 0, 0, 0, 0, 80)
        body = entry + payload
        binary = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body
        self._data = ctypes.create_string_buffer(binary, len(binary))
        self._wrapper = Wrapper(0x466243B1, 1, ctypes.addressof(self._data), None)
        self._runtime: Any = stand_in()
        # As attributes, names that begin with two underscores would be the class's.
        register_binary = self._runtime["__cudaRegisterFatBinary"]
        register_binary.restype = ctypes.c_void_p
        handle = register_binary(ctypes.byref(self._wrapper))
        self.function = ctypes.create_string_buffer(1)  # its address stands for the kernel
        nothing = [ctypes.c_void_p()] * 5
        self._runtime["__cudaRegisterFunction"](
            ctypes.c_void_p(handle), self.function, None, b"k", -1, *nothing
        )

    def launch(self, shared: int, grid: tuple[int, int, int] = (1, 1, 1)) -> int:
        block = Dim3(32, 1, 1)
        size = ctypes.c_size_t(shared)
        error = self._runtime.cudaLaunchKernel(
            self.function, Dim3(*grid), block, None, size, ctypes.c_void_p()
        )
        assert self._runtime.cudaGetLastError() == error
        return int(error)

    def allow(self, shared: int) -> int:
        error = int(self._runtime.cudaFuncSetAttribute(self.function, MOST_SHARED, shared))
        assert self._runtime.cudaGetLastError() == error
        return error


@pytest.fixture
def registered() -> Registered:
    return Registered(TEXT)


def test_static_and_dynamic_shared_memory_count_together(registered: Registered) -> None:
    assert registered.launch(LIMIT - STATIC) == 0
    assert registered.launch(LIMIT - STATIC + 1) == 1
    assert registered.launch(LIMIT) == 1


def test_more_must_be_asked_for_and_be_there(registered: Registered) -> None:
    assert registered.allow(OPTIN - STATIC + 1) == 1
    assert registered.launch(LIMIT) == 1
    assert registered.allow(OPTIN - STATIC) == 0
    assert registered.launch(OPTIN - STATIC) == 0
    assert registered.allow(LIMIT) == 0
    assert registered.launch(LIMIT) == 0
    assert registered.launch(LIMIT + 1) == 1


@pytest.mark.parametrize("grid", [(0, 1, 1), (1, 0, 1), (1, 65536, 1), (1, 1, 65536)])
def test_grids_that_no_gpu_has(registered: Registered, grid: tuple[int, int, int]) -> None:
    assert registered.launch(0, grid) == 9


def test_texts_that_are_no_ptx_are_refused_at_the_launch() -> None:
    assert Registered("//\n.version 7.8\n.target sm_80\nnonsense").launch(0) == 98
