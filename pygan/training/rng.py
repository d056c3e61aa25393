"""Counter-based random numbers.

Every random number of a step is a pure function of (seed, purpose, iteration, sample), where
``sample`` counts the images of the whole batch. So results do not depend on how a batch is split
over processes and accumulation rounds, and a resumed run needs no generator state.

Philox-4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is keyed by the seed
and the purpose; sample and iteration are the high words of its counter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Union

import numpy as np
from numpy.random import Generator, Philox

Shape = Union[tuple[int, ...], list[int]]


@lru_cache(maxsize=1024)
def _purpose_key(purpose: str) -> int:
    return int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")


def stream(seed: int, purpose: str, iteration: int = 0, sample: int = 0) -> Philox:
    """The stream of random bits for one purpose, iteration and sample."""
    return Philox(
        key=np.array([seed, _purpose_key(purpose)], dtype=np.uint64),
        counter=np.array([0, 0, sample, iteration], dtype=np.uint64),
    )


class StepRandom:
    """The random numbers of some samples in one step.

    Args:
        seed: seed of the run.
        scope: prefix of all purposes, such as the phase's name.
        iteration: the step.
        samples: positions of the samples within the whole batch.
    """

    def __init__(self, seed: int, scope: str, iteration: int, samples: Sequence[int]) -> None:
        self._seed = seed
        self._scope = scope
        self._iteration = iteration
        self.samples = tuple(int(sample) for sample in samples)

    def __len__(self) -> int:
        return len(self.samples)

    def first(self, count: int) -> StepRandom:
        """The same numbers for the first ``count`` samples only."""
        return StepRandom(self._seed, self._scope, self._iteration, self.samples[:count])

    def scoped(self, name: str) -> StepRandom:
        """Other numbers for the same samples: all purposes get this prefix."""
        return StepRandom(self._seed, f"{self._scope}/{name}", self._iteration, self.samples)

    def shared(self, name: str) -> StepRandom:
        """Other numbers for the same samples: the same ones in all phases of the iteration."""
        return StepRandom(self._seed, name, self._iteration, self.samples)

    def _generators(self, purpose: str) -> list[Generator]:
        purpose = f"{self._scope}/{purpose}"
        return [
            Generator(stream(self._seed, purpose, self._iteration, sample))
            for sample in self.samples
        ]

    def normal(self, purpose: str, shape: Shape) -> np.ndarray:
        """Standard normal float32 numbers [N, *shape]."""
        return self.normals(purpose, [shape])[0]

    def normals(self, purpose: str, shapes: Sequence[Shape]) -> list[np.ndarray]:
        """Several arrays of standard normal float32 numbers [N, *shape], from one stream."""
        arrays = [np.empty((len(self), *shape), dtype=np.float32) for shape in shapes]
        for i, generator in enumerate(self._generators(purpose)):
            for array in arrays:
                generator.standard_normal(dtype=np.float32, out=array[i : i + 1])
        return arrays

    def coins(self, purpose: str, shapes: Sequence[Shape]) -> list[np.ndarray]:
        """Several arrays of float32 numbers [N, *shape], 0 or 1 with equal probability."""
        sizes = [math.prod(shape) for shape in shapes]
        words = -(-sum(sizes) // 64)
        rows = []
        for sample in self.samples:
            bits = stream(self._seed, f"{self._scope}/{purpose}", self._iteration, sample)
            octets = bits.random_raw(words).astype("<u8").view(np.uint8)
            rows.append(np.unpackbits(octets, count=sum(sizes), bitorder="little"))
        coins = np.array(rows, dtype=np.float32).reshape(len(self), sum(sizes))
        parts = np.split(coins, np.cumsum(sizes)[:-1], axis=1) if sizes else []
        return [part.reshape(len(self), *shape) for part, shape in zip(parts, shapes)]

    def uniform(self, purpose: str, shape: Shape = ()) -> np.ndarray:
        """Float64 numbers from [0, 1), [N, *shape]."""
        draws = [generator.random(tuple(shape)) for generator in self._generators(purpose)]
        return np.array(draws, dtype=np.float64).reshape(len(self), *shape)

    def integers(self, purpose: str, low: int, high: int) -> np.ndarray:
        """Integers from [low, high), one per sample."""
        return low + np.floor(self.uniform(purpose) * (high - low)).astype(np.int64)

    def global_seed(self) -> int:
        """A seed for a framework's own generator, where a layer (dropout) draws from that."""
        bits = stream(self._seed, f"{self._scope}/global", self._iteration, self.samples[0])
        return int(bits.random_raw() & 0x7FFFFFFF)
