"""What the stand-in CUDA runtime has seen of this process' launches (csrc/ptx/cudart/cudart.h).

For tests and reports that run operators with `pygan.ops.emulated()`:

    with emulated(), record_launches() as launches:
        modulated_conv2d(...)
    print([launch["kernel"] for launch in launches])
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BUILT = Path(__file__).resolve().parents[2] / "build" / "emulated"


@functools.lru_cache(maxsize=1)
def stand_in() -> ctypes.CDLL:
    """The stand-in libcudart of the emulated build.

    Raises:
        RuntimeError: there is none.
    """
    folder = Path(os.environ.get("PYGAN_EMULATED_DIR", _BUILT))
    found = sorted(folder.glob("libcudart.so.*"))
    if not found:
        raise RuntimeError(f"{folder} has no stand-in for CUDA's runtime. Run: make emulator")
    loaded = ctypes.CDLL(str(found[0]))
    loaded.ptxemu_runtime_calls.restype = ctypes.c_char_p
    loaded.ptxemu_recorded_launches.restype = ctypes.c_char_p
    return loaded


def reset() -> None:
    """Forget the calls and launches seen so far."""
    stand_in().ptxemu_runtime_reset()


def runtime_calls() -> dict[str, int]:
    """How often each function of the runtime was called since the last `reset`."""
    return dict(json.loads(stand_in().ptxemu_runtime_calls().decode()))


@contextlib.contextmanager
def record_launches(per_instruction: bool = False) -> Iterator[list[dict[str, Any]]]:
    """Fill the list, when the block ends, with one entry for each launch in it.

    An entry has 'kernel' (mangled), 'name' (as in the source), 'grid', 'block', 'shared' (bytes of
    dynamic shared memory) and 'stats', the counters that csrc/ptx/ptxemu.py documents.
    """
    launches: list[dict[str, Any]] = []
    reset()
    stand_in().ptxemu_record_launches(1, int(per_instruction))
    try:
        yield launches
    finally:
        launches.extend(json.loads(stand_in().ptxemu_recorded_launches().decode()))
        stand_in().ptxemu_record_launches(0, 0)
        for launch in launches:
            launch["name"] = readable_name(launch["kernel"])


@functools.cache
def readable_name(mangled: str) -> str:
    """'f<float, 4>' for the mangled name of a kernel in pygan's namespaces."""
    run = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True)
    return simplified(run.stdout.strip())


def simplified(signature: str) -> str:
    """'void pygan::(anonymous namespace)::f<float, 4>(float*)' -> 'f<float, 4>'."""
    text = re.sub(r"\(anonymous namespace\)::|_GLOBAL__N__\w+::|pygan::", "", signature)
    depth = 0
    for i, c in enumerate(text):
        if c == "<":
            depth += 1
        elif c == ">":
            depth -= 1
        elif c == "(" and depth == 0:
            text = text[:i]
            break
    # A template's signature begins with its result type.
    head, _, tail = text.partition(" ")
    return tail if head == "void" else text
