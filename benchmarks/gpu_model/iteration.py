"""Launches and waits of a StyleGAN2 training iteration: pygan, and Paddle's operators composed.

Both sides train the same networks on 16² pixels, where the number of launches is that of a large
network with as many layers. Launches are counted, per phase:

    pygan        launches of its kernels on the emulator, and Paddle's kernels around them; all that
                 the training engine does in a step is in it (random numbers, checks, averages)
    composition  Paddle's kernels in the losses, gradients and optimisers of
                 benchmarks/peers/paddle_training.py

Of Paddle's kernels each is one launch at the least (paddle_counts.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from benchmarks.gpu_model.counts import count_calls
from benchmarks.gpu_model.paddle_counts import PaddleCounts, count_paddle
from benchmarks.peers import paddle_training
from benchmarks.workloads import pygan_networks

RESOLUTION, BATCH, CHANNEL_BASE = 16, 4, 256
# CUDA's calls that make the host wait, or hand out memory.
_WAITS = ("Synchronize", "cudaMalloc", "cudaFree", "cudaMemcpy", "Query")


@dataclasses.dataclass(frozen=True)
class Phase:
    """Of one phase, or of the average of the generator's weights ("EMA")."""

    name: str
    kernels: int  # launches of pygan's kernels
    paddle: int  # Paddle's kernels
    waits: int  # calls of the runtime that wait or allocate, in the host code of pygan's kernels
    reads: int  # of tensors by the host, in Python

    @property
    def launches(self) -> int:
        return self.kernels + self.paddle


def _measure(name: str, body: Callable[[], object]) -> tuple[Phase, int]:
    """The phase without the average of weights, which is what Paddle's lerp is used for, and the
    launches of that."""
    paddle_counts = PaddleCounts()

    def counted() -> None:
        with count_paddle() as seen:
            body()
        paddle_counts.kernels.update(seen.kernels)
        paddle_counts.reads += seen.reads

    calls = count_calls(counted)
    waits = sum(n for call, n in calls.items() if any(word in call for word in _WAITS))
    average = paddle_counts.kernels.pop("lerp", 0)
    kernels = calls.get("cudaLaunchKernel", 0)
    return Phase(name, kernels, paddle_counts.launches, waits, paddle_counts.reads), average


def _phases(bodies: Mapping[str, Callable[[], object]]) -> list[Phase]:
    measured = [_measure(name, body) for name, body in bodies.items()]
    phases = [phase for phase, _ in measured if phase.name != "EMA"]
    return [*phases, Phase("EMA", 0, max(average for _, average in measured), 0, 0)]


def pygan() -> list[Phase]:
    return _phases(pygan_networks.iteration(RESOLUTION, BATCH, CHANNEL_BASE))


def composition() -> list[Phase]:
    return _phases(paddle_training.Trainer(RESOLUTION, BATCH, CHANNEL_BASE).phases())
