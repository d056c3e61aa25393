"""From counts to bounds: what limits a launch on a GPU, and how much of what it must move.

The floor of a launch is the largest of its times by six resources, each at the rate of the
datasheet (devices.py). It is modelled, not measured: nothing runs at those rates, and latencies,
launch overheads and the order of accesses are left out.

    DRAM    modelled bytes / bandwidth; see `dram_bytes`
    L2      32 bytes per sector requested / (bytes per clock * clock): no hits in L1 are assumed
    issue   warp instructions / (4 per clock and SM), on the SM with the most blocks. These are of
            PTX; machine code has fewer (moves, addresses) or more (divisions). Estimated from line
            tables, that of upfirdn2d for sm_80 lay within a sixth of them
    shared  wavefronts / (1 per clock and SM), likewise
    fp32    flops without tensor cores / rate, likewise
    tensor  flops of tensor cores / rate, likewise

"Likewise": blocks count as equal, and an SM has ceil(blocks / SMs) of them at the least.

The bytes that must come from DRAM lie between two exact counts. At least those of every sector
touched, once ("unique"); at most those of every sector requested. The model takes the lower where
the re-requests find their sector in L2: where all that the launch touches fits into L2, or where
all that the blocks resident at one time request does (halos are shared by blocks of neighbouring
indices, which run at the same time). Otherwise it takes the upper. Every launch starts with an
empty L2, so what one launch wrote and the next reads counts twice.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from benchmarks.gpu_model.counts import Launch
from benchmarks.gpu_model.devices import Device
from benchmarks.gpu_model.occupancy import Occupancy, occupancy

_FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Floor:
    """Seconds that each resource needs at least; None: its rate is not published."""

    launch: Launch
    seconds: dict[str, float]

    @property
    def limiter(self) -> str:
        return max(self.seconds, key=lambda name: self.seconds[name])

    @property
    def bound(self) -> float:
        return self.seconds[self.limiter]


def registers_of(launch: Launch, arch: int) -> Optional[int]:
    """Of the table that resources.py keeps; None where it lacks the kernel."""
    for path in sorted(_FOLDER.glob("resources-*.json")):
        for kernel, by_arch in json.loads(path.read_text(encoding="utf-8")).items():
            if kernel.partition(": ")[2] == launch.name and str(arch) in by_arch:
                return int(by_arch[str(arch)][0])
    return None


def residency(launch: Launch, arch: int) -> Occupancy:
    """Blocks per SM; without a table of registers, as if registers did not limit them."""
    return occupancy(arch, registers_of(launch, arch) or 0, launch.shared, launch.threads)


def dram_bytes(launch: Launch, device: Device) -> int:
    """Modelled as the header says."""
    resident = min(launch.blocks, residency(launch, device.arch).blocks * device.sms)
    at_one_time = launch.requested * resident // max(launch.blocks, 1)
    fits = min(launch.unique, at_one_time) <= device.l2_bytes
    return launch.unique if fits else launch.requested


def floor(launch: Launch, device: Device, product: str) -> Floor:
    """``product``: what the tensor instructions multiply, as `Device.tensor_rate` calls it."""
    per_clock = device.sms * device.clock
    # The busiest SM's share of the work, over an even share.
    uneven = -(-launch.blocks // device.sms) * device.sms / launch.blocks
    seconds = {
        "DRAM": dram_bytes(launch, device) / device.dram,
        "issue": uneven * launch.instructions / (device.issue * per_clock),
        "shared": uneven * launch.wavefronts / per_clock,
        "fp32": uneven * launch.flops / device.fp32,
    }
    if device.l2_rate is not None:
        seconds["L2"] = launch.requested / (device.l2_rate * device.clock)
    rate = device.tensor_rate(product)
    if rate is not None:
        seconds["tensor"] = uneven * launch.tensor_flops / rate
    return Floor(launch, seconds)


@dataclasses.dataclass(frozen=True)
class Operator:
    """The launches of one call of an operator, and the bytes that any implementation must move:
    every input read once and every output written once, without intermediate results."""

    launches: Sequence[Launch]
    compulsory: int
    product: str = "float16"

    @property
    def requested(self) -> int:
        return sum(launch.requested for launch in self.launches)

    @property
    def unique(self) -> int:
        return sum(launch.unique for launch in self.launches)

    @property
    def load_efficiency(self) -> float:
        sectors = sum(launch.load_sectors for launch in self.launches)
        useful = sum(launch.load_sectors * launch.load_efficiency for launch in self.launches)
        return useful / sectors if sectors else 1.0

    @property
    def store_efficiency(self) -> float:
        sectors = sum(launch.store_sectors for launch in self.launches)
        useful = sum(launch.store_sectors * launch.store_efficiency for launch in self.launches)
        return useful / sectors if sectors else 1.0

    @property
    def conflicts(self) -> float:
        ideal = sum(launch.ideal_wavefronts for launch in self.launches)
        return sum(launch.wavefronts for launch in self.launches) / ideal - 1 if ideal else 0.0

    @property
    def tensor_launch(self) -> Launch:
        """The one with the most work for tensor cores.

        Raises:
            ValueError: there is none.
        """
        launch = max(self.launches, key=lambda each: each.tensor_flops)
        if launch.loop is None:
            raise ValueError("no launch of this operator uses tensor cores")
        return launch

    def dram(self, device: Device) -> int:
        return sum(dram_bytes(launch, device) for launch in self.launches)

    def floors(self, device: Device) -> list[Floor]:
        return [floor(launch, device, self.product) for launch in self.launches]

    def limiter(self, device: Device) -> tuple[str, float]:
        """The resource that limits the launches that make up the most of the operator's floor, and
        the share of it that they make up."""
        floors = self.floors(device)
        total = sum(each.bound for each in floors)
        shares: dict[str, float] = {}
        for each in floors:
            shares[each.limiter] = shares.get(each.limiter, 0.0) + each.bound / total
        name = max(shares, key=lambda key: shares[key])
        return name, shares[name]
