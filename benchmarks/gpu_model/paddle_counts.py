"""How many of Paddle's own kernels a piece of code runs, and how often the host reads a tensor.

Paddle's profiler notes every kernel that its operators launch, by name, on the CPU as on a GPU. On
a GPU each of them is at least one CUDA kernel, save those that only make a view. A read of a tensor
by the host (`numpy()`, `item()`, `float(t)`, `if t`) waits for the GPU there.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paddle
from paddle import profiler

# Kernels of Paddle that allocate, or change shapes and strides alone: nothing runs on a GPU.
_NOTHING = frozenset(("empty", "empty_like", "detach", "view_shape", "view_dtype"))
_VIEWS = ("reshape", "squeeze", "unsqueeze", "flatten")
_READS = ("numpy", "item", "tolist", "__float__", "__int__", "__bool__", "__index__")


@dataclasses.dataclass
class PaddleCounts:
    kernels: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    reads: int = 0

    @property
    def launches(self) -> int:
        """Kernels that a GPU would run, at least."""
        return sum(self.run().values())

    def run(self) -> dict[str, int]:
        """Those kernels, by name."""
        return {name: n for name, n in self.kernels.items() if not _is_nothing(name)}


def _is_nothing(kernel: str) -> bool:
    base = kernel.removesuffix("_grad").removesuffix("_double")
    return kernel in _NOTHING or base in _VIEWS


def _kernel_name(event: dict[str, Any]) -> str:
    return str(event["name"]).partition(" kernel launch")[0].removesuffix("_raw")


@contextlib.contextmanager
def count_paddle() -> Iterator[PaddleCounts]:
    """Fills what it yields when the block ends."""
    counts = PaddleCounts()
    depth = 0

    def counted(read: Any) -> Any:
        def wrapper(self: paddle.Tensor, *args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            if depth == 0:  # some of these are made of others
                counts.reads += 1
            depth += 1
            try:
                return read(self, *args, **kwargs)
            finally:
                depth -= 1

        return wrapper

    originals = {name: getattr(paddle.Tensor, name) for name in _READS}
    for name, read in originals.items():
        setattr(paddle.Tensor, name, counted(read))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        recorder = profiler.Profiler(
            targets=[profiler.ProfilerTarget.CPU],
            on_trace_ready=lambda trace: trace.export(str(path), "json"),
        )
        recorder.start()
        try:
            yield counts
        finally:
            recorder.stop()
            for name, read in originals.items():
                setattr(paddle.Tensor, name, read)
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    counts.kernels.update(
        _kernel_name(e) for e in events if "kernel launch" in str(e.get("name", ""))
    )
