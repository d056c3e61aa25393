"""What one launch of a kernel did, as the emulator of csrc/ptx counted it.

All numbers are exact counts of the PTX that nvcc emits: nothing here is a time, and none of it
depends on the machine that counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Optional

from csrc.ptx.runtime import record_launches, reset, runtime_calls
from pygan.ops import emulated

SECTOR = 32  # bytes: what an L1 cache asks L2 for

# The emulator's classes of instructions (csrc/ptx/program.h).
_LOADS = ("ld.global", "cp.async")
_STORES = ("st.global",)
_SHARED = ("ld.shared", "st.shared", "ldmatrix")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One PTX instruction, over all warps of the launch."""

    line: int  # of the CUDA source
    category: str
    loop_depth: int
    executions: int  # by warps, whether or not a lane was active
    transactions: int  # sectors (global memory) or wavefronts (shared memory)
    ideal: int  # bytes asked for (global memory) or conflict-free wavefronts (shared memory)

    @property
    def is_tensor(self) -> bool:
        return self.category == "mma"


@dataclasses.dataclass(frozen=True)
class Loop:
    """The instructions of a kernel's main loop."""

    instructions: tuple[Instruction, ...]

    @property
    def executions(self) -> int:
        return sum(i.executions for i in self.instructions)

    @property
    def tensor_share(self) -> float:
        """Tensor instructions among the warp instructions issued."""
        return sum(i.executions for i in self.instructions if i.is_tensor) / self.executions

    @property
    def conflicts(self) -> float:
        """Wavefronts of shared memory beyond the ideal, of which they are a share."""
        shared = [i for i in self.instructions if i.category in _SHARED]
        ideal = sum(i.ideal for i in shared)
        return sum(i.transactions for i in shared) / ideal - 1 if ideal else 0.0


@dataclasses.dataclass(frozen=True)
class Launch:
    """Bytes are those of sectors: whole ones, each of 32 bytes."""

    name: str
    blocks: int
    threads: int  # per block
    shared: int  # bytes of shared memory per block, static and dynamic
    unique_read: int  # bytes read, each counted once
    unique_written: int
    load_sectors: int  # asked for, again and again where so
    store_sectors: int
    load_efficiency: float  # of the bytes of those sectors, the share that a thread wanted
    store_efficiency: float
    wavefronts: int  # of shared memory
    ideal_wavefronts: int  # without bank conflicts
    instructions: int  # issued, by warps
    flops: int  # without those of tensor cores
    tensor_flops: int
    mix: dict[str, int]  # warp instructions by class
    loop: Optional[Loop]  # around the tensor instructions, where there are any

    @property
    def unique(self) -> int:
        return self.unique_read + self.unique_written

    @property
    def requested(self) -> int:
        return SECTOR * (self.load_sectors + self.store_sectors)

    @property
    def conflicts(self) -> float:
        return self.wavefronts / self.ideal_wavefronts - 1 if self.ideal_wavefronts else 0.0


def instructions_of(stats: dict[str, Any]) -> list[Instruction]:
    """In the order of the program, those that were executed."""
    names = [field.name for field in dataclasses.fields(Instruction)]
    return [Instruction(**{name: entry[name] for name in names}) for entry in stats["profile"]]


def efficiency(instructions: Iterable[Instruction], categories: tuple[str, ...]) -> float:
    """Bytes asked for over those of the sectors that hold them, and no instruction above one: lanes
    that read the same bytes do not make up for sectors of which others use little."""
    useful = moved = 0
    for i in instructions:
        if i.category in categories:
            moved += SECTOR * i.transactions
            useful += min(i.ideal, SECTOR * i.transactions)
    return useful / moved if moved else 1.0


def main_loop(instructions: list[Instruction]) -> Optional[Loop]:
    """The innermost loop around the tensor instruction that is executed most often: the run of
    instructions, in the order of the program, that are no less deep in loops than it."""
    tensor = [k for k, i in enumerate(instructions) if i.is_tensor]
    if not tensor:
        return None
    first = last = max(tensor, key=lambda k: instructions[k].executions)
    depth = instructions[first].loop_depth
    while first > 0 and instructions[first - 1].loop_depth >= depth:
        first -= 1
    while last + 1 < len(instructions) and instructions[last + 1].loop_depth >= depth:
        last += 1
    return Loop(tuple(instructions[first : last + 1]))


def launch_of(recorded: dict[str, Any]) -> Launch:
    """From an entry of `record_launches`.

    Raises:
        RuntimeError: the emulator saw a race, a read of memory that nothing had written, or a
            barrier that not all threads reached: the counts would be of a wrong program.
    """
    stats = recorded["stats"]
    if stats["races"] or stats["uninitialised_shared_reads"] or stats["divergent_barriers"]:
        raise RuntimeError(f"{recorded['name']}: {stats['first_hazard']}")
    instructions = instructions_of(stats)
    return Launch(
        name=recorded["name"],
        blocks=stats["blocks"],
        threads=stats["threads_per_block"],
        shared=stats["shared_bytes"],
        unique_read=stats["unique_read_bytes"],
        unique_written=stats["unique_write_bytes"],
        load_sectors=stats["global_load"]["sectors"],
        store_sectors=stats["global_store"]["sectors"] + stats["global_atomic_sectors"],
        load_efficiency=efficiency(instructions, _LOADS),
        store_efficiency=efficiency(instructions, _STORES),
        wavefronts=sum(i.transactions for i in instructions if i.category in _SHARED),
        ideal_wavefronts=sum(i.ideal for i in instructions if i.category in _SHARED),
        instructions=stats["warp_instructions"],
        flops=stats["flops"] - stats["mma_flops"],
        tensor_flops=stats["mma_flops"],
        mix=stats["mix"],
        loop=main_loop(instructions),
    )


def count(body: Callable[[], object]) -> list[Launch]:
    """The launches of ``body`` on the emulator."""
    with emulated(), record_launches(per_instruction=True) as recorded:
        body()
    return [launch_of(each) for each in recorded]


def count_calls(body: Callable[[], object]) -> dict[str, int]:
    """How often ``body``, on the emulator, calls each function of CUDA's runtime."""
    with emulated():
        reset()
        body()
        return runtime_calls()
