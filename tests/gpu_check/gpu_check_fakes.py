"""Stand-ins for a GPU, a clock and operators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np
import paddle

from pygan import ops
from pygan.gpu_check.cases import Case
from pygan.gpu_check.device import Machine
from pygan.gpu_check.workloads import Workload


class CpuMachine(Machine):
    """The native operators of the CPU in the GPU's place."""

    def __init__(self) -> None:
        super().__init__(emulated=True)

    @contextlib.contextmanager
    def on_gpu(self) -> Iterator[None]:
        yield


class FakeStopwatch:
    """Says what it is told, and calls once."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)
        self.asked = 0

    def milliseconds(self, body: Callable[[], object], calls: int) -> float:
        body()
        self.asked += 1
        return calls * self.times[(self.asked - 1) % len(self.times)]


def emulator() -> bool:
    try:
        with ops.emulated():
            return True
    except RuntimeError:
        return False


def cubic(wrong: Callable[[paddle.Tensor], paddle.Tensor]) -> Case:
    """x³, natively computed by ``wrong``."""
    x = np.array([0.5, 1.0, 1.5])
    return Case(
        "x^3",
        {"x": x},
        lambda t, impl: (wrong if impl == "native" else pow3)(t["x"]),
        dtypes=("float32", "float64"),
    )


def pow3(x: paddle.Tensor) -> paddle.Tensor:
    return x * x * x


def tiny(op: str = "bias_act", **changes: Any) -> Workload:
    settings: dict[str, Any] = {
        **{"op": op, "batch": 2, "channels": 4, "size": 8},
        **{"dtype": "float32", "tf32": False, "backward": False},
    }
    return Workload(**{**settings, **changes})
