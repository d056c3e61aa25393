"""The order in which training sees the images: a pure function of the seed and the position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pygan.training.rng import stream


class ImageOrder:
    """A new permutation of the dataset in every epoch.

    Args:
        size: images in the dataset.
        seed: seed of the run.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    def __call__(self, positions: Sequence[int]) -> list[int]:
        """Image indices at these positions of the endless stream of real images."""
        indices = []
        for position in positions:
            epoch, offset = divmod(position, self._size)
            if epoch != self._epoch:
                # random_raw and a stable sort: the same order with every version of numpy.
                keys = stream(self._seed, "order", iteration=epoch).random_raw(self._size)
                self._permutation = np.argsort(keys, kind="stable")
                self._epoch = epoch
            indices.append(int(self._permutation[offset]))
        return indices


def strided_samples(batch: int, streams: int, index: int) -> range:
    """Positions within a batch that one micro-batch of one process works on.

    Sample j goes to stream j mod ``streams``: the minibatch-deviation groups {n : n = g mod N/G} of
    the whole batch then lie within one stream each, so splitting does not change them.
    """
    return range(index, batch, streams)
