"""The machine's limit for operators that only move memory: memcpy, measured with the C library."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

Body = Callable[[], object]


def memcpy(size: int) -> Body:
    """Copy `size` bytes, split over OMP_NUM_THREADS threads, between buffers already mapped."""
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    copy = ctypes.CDLL(None).memcpy
    copy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    copy.restype = ctypes.c_void_p
    source, target = np.ones(size, np.uint8), np.ones(size, np.uint8)
    edges = [size * i // threads for i in range(threads + 1)]
    if threads == 1:
        return lambda: copy(target.ctypes.data, source.ctypes.data, size)
    pool = ThreadPoolExecutor(threads)

    def part(i: int) -> None:
        start, length = edges[i], edges[i + 1] - edges[i]
        copy(target.ctypes.data + start, source.ctypes.data + start, length)

    return lambda: list(pool.map(part, range(threads)))
