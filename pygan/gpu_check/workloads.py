"""What is timed: operators at the shapes of StyleGAN2 (config F), by pygan and by Paddle alone.

A workload is plain data, so that the worker in PyTorch's process can build the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import paddle

from pygan import ops
from pygan.ops import _native

Body = Callable[[], object]

# Memory-bound operators are related to the copy ceiling, the others to matrix products.
_MEMORY_BOUND = ("bias_act", "upfirdn2d up", "upfirdn2d down")
OPERATORS = (
    *_MEMORY_BOUND,
    "conv2d",
    "conv2d_resample down",
    "modulated_conv2d",
    "modulated_conv2d up",
)
_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Workload:
    """One operator on ``[batch, channels, size, size]``, 3x3 kernels, as many channels out.

    Attributes:
        op: of `OPERATORS`.
        backward: with the gradients of all inputs; otherwise without a graph.
    """

    op: str
    batch: int
    channels: int
    size: int
    dtype: Any
    tf32: bool
    backward: bool

    @property
    def shape(self) -> list[int]:
        return [self.batch, self.channels, self.size, self.size]

    @property
    def ceiling(self) -> str:
        """The key of the ceiling that bounds this workload; see ceilings.py."""
        if self.op in _MEMORY_BOUND:
            return "copy_gbps"
        return "tf32_tflops" if self.tf32 else f"{self.dtype}_tflops"

    def work(self) -> float:
        """Bytes to move, or operations to do, at least: the unit is that of `ceiling`, per ms."""
        inputs = float(self.batch * self.channels * self.size**2)
        outputs = inputs * {"up": 4.0, "down": 0.25}.get(self.op.rpartition(" ")[2], 1.0)
        if self.op == "bias_act":
            # Forward reads x and writes y; backward reads x and dy and writes dx.
            values = inputs * (5 if self.backward else 2)
        elif self.op in _MEMORY_BOUND:
            values = (inputs + outputs) * (2 if self.backward else 1)
        else:
            # ×up has as many products as pixels that come in, ×down as many as go out.
            flops = 2 * 9 * self.channels * min(inputs, outputs) * (3 if self.backward else 1)
            return flops / 1e9
        return values * _BYTES[self.dtype] / 1e6

    def to_dict(self) -> dict[str, Any]:
        """For the worker's process."""
        return asdict(self)


def workloads(quick: bool) -> list[Workload]:
    """64² to 256² at the widths of config F, in float32 with and without TF32 and float16."""
    sizes = [(128, 256)] if quick else [(64, 512), (128, 256), (256, 128)]
    types = [("float32", False), ("float32", True), ("float16", False)]
    return [
        Workload(op, 8, channels, size, dtype, tf32, backward)
        for size, channels in sizes
        for op in OPERATORS
        for dtype, tf32 in types
        if not (tf32 and op in _MEMORY_BOUND)
        for backward in (False, True)
    ]


def build(load: Workload, framework: str) -> Body:
    """A call of the workload on the current device, by 'pygan' or by 'paddle' alone."""
    impl = {"pygan": "native", "paddle": _native.COMPOSED}[framework]
    n, c, size, dtype = load.batch, load.channels, load.size, load.dtype

    def tensor(*shape: int) -> paddle.Tensor:
        # Any numbers do; the generator is asked for float32, which it has everywhere.
        made = paddle.randn(list(shape)).astype(dtype)
        made.stop_gradient = not load.backward
        return made

    x, b = tensor(n, c, size, size), tensor(c)
    f = ops.setup_filter([1, 3, 3, 1])
    act: dict[str, Any] = {"act": "lrelu", "impl": impl}
    if load.op == "bias_act":
        return _timed(lambda: ops.bias_act(x, b, **act), [x, b], load)
    if load.op == "upfirdn2d up":
        return _timed(lambda: ops.upsample2d(x, f, impl=impl), [x], load)
    if load.op == "upfirdn2d down":
        return _timed(lambda: ops.downsample2d(x, f, impl=impl), [x], load)
    w = tensor(c, c, 3, 3)
    if load.op == "conv2d":
        return _timed(lambda: ops.conv2d(x, w, padding=1, impl=impl), [x, w], load)
    if load.op == "conv2d_resample down":
        resample: dict[str, Any] = {"down": 2, "padding": 1, "bias": b, **act}
        return _timed(lambda: ops.conv2d_resample(x, w, f, **resample), [x, w, b], load)
    up = 2 if load.op.endswith("up") else 1
    styles, strength, noise = tensor(n, c), tensor(1), tensor(n, 1, size * up, size * up)
    noise.stop_gradient = True
    layer: dict[str, Any] = {"up": up, "padding": 1, "resample_filter": f, "bias": b, **act}
    return _timed(
        lambda: ops.modulated_conv2d(x, w, styles, noise, noise_strength=strength, **layer),
        [x, w, styles, strength, b],
        load,
    )


def _timed(
    forward: Callable[[], paddle.Tensor], inputs: list[paddle.Tensor], load: Workload
) -> Body:
    if not load.backward:

        def infer() -> paddle.Tensor:
            with paddle.no_grad():
                return forward()

        return infer
    with paddle.no_grad():
        seed = paddle.ones_like(forward())
    return lambda: paddle.grad([forward()], inputs, [seed])
