"""Choices that concern the whole process: threads and the memory allocator."""

from __future__ import annotations

import ctypes
import os
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 << 20


def available_cores() -> int:
    """Number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(count: int) -> None:
    """Use ``count`` threads in pygan's and Paddle's CPU operators from now on.

    Importing Paddle sets one thread unless OMP_NUM_THREADS says otherwise; pygan's operators use as
    many threads as Paddle does. The command line uses all cores.

    Raises:
        ValueError: if ``count`` is not a positive integer.
    """
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"pygan.set_num_threads: {count!r} threads; give a positive integer.")
    import paddle

    os.environ["OMP_NUM_THREADS"] = str(count)
    paddle.base.core.set_num_threads(count)
    libraries = os.path.join(os.path.dirname(paddle.__file__), "libs")
    openmp = ctypes.CDLL(os.path.join(libraries, "libiomp5.so"))
    openmp.omp_set_num_threads(count)


def tune_malloc() -> bool:
    """Let the C allocator keep large freed blocks instead of returning them to the kernel.

    Paddle's CPU allocator asks malloc for every tensor. By default glibc serves large blocks with
    ``mmap`` and gives them back at once, so every large output costs a page fault per 4 KB: up to
    four times the work of the operator that fills it. After this call the process keeps its freed
    memory for reuse: it is faster, and stays at its peak size. Linux with glibc only; affects the
    whole process, so a library should leave the choice to the program. The command line calls it.

    Returns:
        True if the allocator was tuned, False if there is no ``mallopt`` here.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    accepted = [
        mallopt(_M_MMAP_MAX, 0),
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES),
    ]
    return all(accepted)
