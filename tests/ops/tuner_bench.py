"""A tuner with a fake GPU, a fake clock and a fake operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import paddle

from pygan.ops._tune_cache import TuneCache
from pygan.ops._tuner import COMPOSED, NATIVE, REF, Tuner

GPU = {"gpu": "Fake 9000", "driver": "1", "paddle": "3", "pygan": "0"}


class FakeDevice:
    """A GPU whose memory is the CPU's."""

    def __init__(self) -> None:
        self.on_gpu = True
        self.reason: Optional[str] = None
        self.capturing = self.autocasting = self.tf32 = False
        self.released = 0
        self.facts = dict(GPU)

    def holds(self, x: paddle.Tensor) -> bool:
        return self.on_gpu

    def unusable(self, x: paddle.Tensor) -> Optional[str]:
        return self.reason

    def identity(self) -> dict[str, str]:
        return self.facts

    def paddle_tf32(self) -> bool:
        return self.tf32

    def is_capturing(self) -> bool:
        return self.capturing

    def is_autocasting(self) -> bool:
        return self.autocasting

    def synchronize(self) -> None:
        pass

    def release(self) -> None:
        self.released += 1


class Operator:
    """Takes the time, and fails, as it is told; counts its calls."""

    def __init__(self, native: float = 1e-3, composition: float = 2e-3) -> None:
        self.seconds = {NATIVE: native, REF: composition, COMPOSED: composition}
        self.now = 0.0
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}

    def clock(self) -> float:
        return self.now

    def __call__(self, impl: str, *tensors: Optional[paddle.Tensor]) -> paddle.Tensor:
        self.calls.append(impl)
        if impl in self.failing:
            raise self.failing[impl]
        self.now += self.seconds[impl]
        y = tensors[0] * 2
        return y if len(tensors) < 2 or tensors[1] is None else y + tensors[1]


class Bench:
    """A tuner with everything faked, and one operator to choose for."""

    def __init__(self, folder: Path, **seconds: float) -> None:
        self.folder = folder
        self.device = FakeDevice()
        self.operator = Operator(**seconds)
        self.tuner = self.fresh()

    def fresh(self, mode: str = "1") -> Tuner:
        """The tuner of the next process."""
        self.tuner = Tuner(self.device, TuneCache(self.folder), self.operator.clock, mode)
        return self.tuner

    def choose(
        self, *tensors: Optional[paddle.Tensor], op: str = "conv2d", attributes: tuple = (1, "a")
    ) -> str:
        return self.tuner.choose(op, tensors or (image(),), attributes, self.operator)

    def timed(self, *tensors: Optional[paddle.Tensor], **options: Any) -> bool:
        """Whether choosing called the operator."""
        before = len(self.operator.calls)
        self.choose(*tensors, **options)
        return len(self.operator.calls) > before


def image(shape: tuple[int, ...] = (2, 3, 4, 4), grad: bool = False, dtype: str = "float32") -> Any:
    x = paddle.ones(shape, dtype=dtype)
    x.stop_gradient = not grad
    return x
