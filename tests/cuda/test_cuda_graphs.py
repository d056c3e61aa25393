"""Everything that operators do on a GPU can be captured in a CUDA graph.

The stand-in runtime refuses, as CUDA does, calls that wait or allocate while a stream is captured,
and notes what was called.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stylegan2_step import PHASES, phase_results, tiny_model

from csrc.ptx import runtime
from pygan.ops import emulated

# What may be called while a stream is captured: launches, and questions about the device.
PERMITTED = {
    "cudaStreamBeginCapture",
    "cudaStreamEndCapture",
    "cudaLaunchKernel",
    "cudaFuncSetAttribute",
    "cudaDeviceGetAttribute",
    "cudaMemsetAsync",
}


@contextmanager
def captured() -> Iterator[None]:
    cuda = runtime.stand_in()
    runtime.reset()
    assert cuda.cudaStreamBeginCapture(None, 0) == 0
    try:
        yield
    finally:
        graph = ctypes.c_void_p()
        cuda.cudaStreamEndCapture(None, ctypes.byref(graph))


def test_the_runtime_refuses_to_wait_during_a_capture() -> None:
    cuda = runtime.stand_in()
    with captured():
        assert cuda.cudaDeviceSynchronize() == 900  # cudaErrorStreamCaptureUnsupported
        assert cuda.cudaMalloc(ctypes.byref(ctypes.c_void_p()), ctypes.c_size_t(64)) == 900
    assert cuda.cudaGetLastError() == 900
    assert cuda.cudaDeviceSynchronize() == 0


@pytest.mark.parametrize("phase", PHASES)
def test_a_training_step_makes_no_forbidden_call(phase: str) -> None:
    model = tiny_model()
    with emulated(), captured():
        phase_results(model, phase)
        calls = runtime.runtime_calls()
    assert calls["cudaLaunchKernel"] > 10
    assert set(calls) <= PERMITTED
