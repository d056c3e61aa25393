"""How many blocks of a kernel an SM holds at once, without a GPU.

What CUDA's `cudaOccupancyMaxActiveBlocksPerMultiprocessor` computes. Granularities and limits are
those of the header cuda_occupancy.h and of "CUDA C++ Programming Guide", table "Technical
Specifications per Compute Capability": registers are given to warps in units of 256 and lie in four
partitions; shared memory is given to blocks in units of 128 bytes (256 before sm_80), one kilobyte
more than asked for from sm_80 on.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one SM."""

    warps: int
    blocks: int
    shared: int  # bytes, the largest carve-out from L1
    shared_per_block: int  # bytes that a block may ask for (opt-in)


LIMITS = {
    70: Limits(64, 32, 96 << 10, 96 << 10),
    75: Limits(32, 16, 64 << 10, 64 << 10),
    80: Limits(64, 32, 164 << 10, 163 << 10),
    86: Limits(48, 16, 100 << 10, 99 << 10),
    89: Limits(48, 24, 100 << 10, 99 << 10),
    90: Limits(64, 32, 228 << 10, 227 << 10),
}
REGISTERS = 65536
PARTITIONS = 4
_REGISTER_UNIT = 256


@dataclasses.dataclass(frozen=True)
class Occupancy:
    blocks: int  # per SM; 0: cannot be launched
    warps: int  # per SM
    share: float  # of the warps that an SM can hold
    limit: str  # what allows no more: 'warps', 'blocks', 'registers' or 'shared memory'


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def occupancy(arch: int, registers: int, shared: int, threads: int) -> Occupancy:
    """Of blocks of ``threads``, with ``registers`` per thread and ``shared`` bytes in all.

    Raises:
        KeyError: for an architecture without an entry in `LIMITS`.
        ValueError: for no threads, or more than 1024.
    """
    limits = LIMITS[arch]
    if not 1 <= threads <= 1024:
        raise ValueError(f"`threads` is {threads}; a block has 1 to 1024 of them.")
    warps = -(-threads // 32)
    by = {"warps": limits.warps // warps, "blocks": limits.blocks}

    per_warp = _round_up(registers * 32, _REGISTER_UNIT)
    if per_warp > 0:
        # A launch is checked as if warps came in whole rounds of the partitions.
        fits = per_warp * _round_up(warps, PARTITIONS) <= REGISTERS and registers <= 255
        by["registers"] = REGISTERS // PARTITIONS // per_warp * PARTITIONS // warps if fits else 0

    reserved = 1024 if arch >= 80 else 0
    allocated = _round_up(shared + reserved, 128 if arch >= 80 else 256)
    if allocated > 0:
        by["shared memory"] = limits.shared // allocated if shared <= limits.shared_per_block else 0

    limit = min(by, key=lambda name: by[name])
    blocks = by[limit]
    return Occupancy(blocks, blocks * warps, blocks * warps / limits.warps, limit)
