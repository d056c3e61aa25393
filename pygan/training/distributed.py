"""The processes of a distributed run, started by ``python -m paddle.distributed.launch``.

Networks are plain layers: each phase ends with one all-reduce of its gradients. All else that
depends on the whole batch (running means, statistics, whether to stop) is averaged here as well.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import paddle


class World:
    """This process among ``size`` processes."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @classmethod
    def join(cls) -> World:
        """Joins the processes of the launcher, or stands alone if there is none."""
        size = world_size()
        if size == 1:
            return cls()
        paddle.distributed.init_parallel_env()
        return cls(paddle.distributed.get_rank(), size)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    @paddle.no_grad()
    def mean(self, tensor: paddle.Tensor) -> paddle.Tensor:
        """The mean of a tensor over all processes; without gradient."""
        tensor = tensor.detach()
        if self.size == 1:
            return tensor
        total = tensor.clone()
        paddle.distributed.all_reduce(total)
        return total * (1.0 / self.size)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of a float64 array over all processes."""
        if self.size == 1:
            return values
        total = paddle.to_tensor(values, dtype="float64")
        paddle.distributed.all_reduce(total)
        return total.numpy()

    def average_gradients(self, parameters: Sequence[paddle.Tensor]) -> None:
        """Replaces the gradients by their mean over all processes."""
        if self.size == 1:
            return
        from paddle.distributed.fleet.utils.hybrid_parallel_util import fused_allreduce_gradients

        fused_allreduce_gradients(list(parameters), None)

    def barrier(self) -> None:
        """Waits until all processes are here."""
        if self.size > 1:
            paddle.distributed.barrier()


def world_size() -> int:
    """Number of processes that the launcher started."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1") or "1")
