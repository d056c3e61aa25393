"""Run by the launcher in two processes: one synchronised norm, and the whole batch in one.

Writes what each computed to a folder: 0.npz, 1.npz and whole.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import numpy as np
import paddle

from pygan.nn import BatchNorm


def results(rank: Optional[int]) -> dict[str, np.ndarray]:
    """One layer's output and derivatives, on this process' part of the batch or the whole."""
    rng = np.random.default_rng(0)
    x, r, v = (10.0 * (i == 0) + rng.standard_normal([4, 3, 5, 4]) for i in range(3))
    if rank is not None:
        x, r, v = (np.split(a, 2)[rank] for a in (x, r, v))
    layer = BatchNorm(3, affine=False, kind="batch" if rank is None else "sync", activation="lrelu")
    t = paddle.to_tensor(x, stop_gradient=False)
    y = layer(t)
    loss = (y * paddle.to_tensor(r)).sum() + (y**3).sum()
    (dx,) = paddle.grad([loss], [t], create_graph=True)
    (second,) = paddle.grad([(dx * paddle.to_tensor(v)).sum()], [t])
    tensors = {"y": y, "dx": dx, "second": second}
    tensors |= {"mean": layer.running_mean, "variance": layer.running_var}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    paddle.distributed.init_parallel_env()
    rank = paddle.distributed.get_rank()
    np.savez(folder / f"{rank}.npz", **results(rank))
    if rank == 0:
        np.savez(folder / "whole.npz", **results(None))
