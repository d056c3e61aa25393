"""Ceilings of some GPUs, as NVIDIA publishes them: what the model's floors are divided by.

No rate of a datasheet is reached by a real kernel, so a floor is a bound from below on a time and
never a prediction of it.

Documents, and the tables in them by their titles:

    V100   "NVIDIA Tesla V100 GPU Architecture", WP-08608-001: [1] "Comparison of NVIDIA Tesla GPUs"
    T4     "NVIDIA Turing GPU Architecture", WP-09183-001: [2] "Comparison of the Pascal Tesla P4
           and the Turing Tesla T4"
    A100   "NVIDIA A100 Tensor Core GPU Architecture", v1.0: [3] "NVIDIA A100 Tensor Core GPU
           Performance Specs", [4] "Comparison of NVIDIA Data Center GPUs"; [5] the datasheet of the
           80 GB boards (the chip and its clocks are the same)
    4090   "NVIDIA Ada GPU Architecture", v2: [6] its appendix's table of the GeForce RTX 4090
    H100   "NVIDIA H100 Tensor Core GPU Architecture": [7] its comparison with A100; [8] the H100
           datasheet, whose rates are those of the final clocks
    L2     [9] "A100 L2 cache" of the A100 paper has the read bandwidths of V100 and A100. For H100
           NVIDIA publishes none; 5120 bytes/clock is what table 3 of
           doi:10.1016/j.ultsonch.2023.106546 comes to (8986 GB/s at 1755 MHz). T4 and Ada: nothing
           is published, and there is no floor.
    SM     [10] "CUDA C++ Programming Guide", compute capabilities: four warp schedulers, each of
           which issues an instruction per clock; 32 banks of shared memory, 4 bytes per clock each

Peak rates are units * 2 * clock; the test of this file holds them against that.
"""

from __future__ import annotations

import dataclasses
from typing import Optional


@dataclasses.dataclass(frozen=True)
class Device:
    """Rates per second and per clock at the boost clock; multiply-adds count as two operations."""

    name: str
    arch: int  # 10 * major + minor of the compute capability
    sms: int
    clock: float  # Hz, boost
    dram: float  # bytes/s
    l2_bytes: int  # capacity
    l2_rate: Optional[float]  # bytes per clock, reads of the whole chip; None: not published
    fp32: float  # FLOP/s without tensor cores
    fp64: float
    tf32: Optional[float]  # dense, on tensor cores; None: not in this architecture
    fp16: float  # dense, on tensor cores, summed in float32
    bf16: Optional[float]
    issue: int = 4  # warp instructions per clock and SM
    shared_rate: int = 128  # bytes of shared memory per clock and SM: one wavefront

    def tensor_rate(self, product: str) -> Optional[float]:
        """FLOP/s of 'float16', 'bfloat16' or 'tf32' products; None where there are none."""
        return {"float16": self.fp16, "bfloat16": self.bf16, "tf32": self.tf32}[product]


V100 = Device(
    name="V100 SXM2",
    arch=70,
    sms=80,  # [1]
    clock=1.530e9,  # [1]: GPU boost clock of the SXM2 module
    dram=900e9,  # [1]
    l2_bytes=6144 << 10,  # [1]
    l2_rate=2048,  # [9]
    fp32=15.7e12,  # [1]
    fp64=7.8e12,  # [1]
    tf32=None,
    fp16=125e12,  # [1], "peak tensor TFLOPS"
    bf16=None,
)

T4 = Device(
    name="T4",
    arch=75,
    sms=40,  # [2]
    clock=1.590e9,  # [2]
    dram=320e9,  # [2]
    l2_bytes=4096 << 10,  # [2]
    l2_rate=None,
    fp32=8.1e12,  # [2]
    # Two FP64 units per SM (Turing paper, "Turing TU102 GPU"): 1/32 of FP32.
    fp64=8.1e12 / 32,
    tf32=None,
    fp16=65e12,  # [2], "peak FP16 tensor TFLOPS with FP32 accumulate"
    bf16=None,
)

A100_40 = Device(
    name="A100 SXM4 40 GB",
    arch=80,
    sms=108,  # [4]
    clock=1.410e9,  # [4]
    dram=1555e9,  # [4]
    l2_bytes=40960 << 10,  # [4]
    l2_rate=5120,  # [9]
    fp32=19.5e12,  # [3]
    fp64=9.7e12,  # [3]
    tf32=156e12,  # [3]
    fp16=312e12,  # [3]
    bf16=312e12,  # [3]
)

A100_80 = dataclasses.replace(
    A100_40,
    name="A100 SXM4 80 GB",
    dram=2039e9,  # [5], the SXM board
)

RTX_4090 = Device(
    name="RTX 4090",
    arch=89,
    sms=128,  # [6]
    clock=2.520e9,  # [6]
    dram=1008e9,  # [6]
    l2_bytes=73728 << 10,  # [6]
    l2_rate=None,
    fp32=82.6e12,  # [6]
    fp64=82.6e12 / 64,  # "Ada AD102 GPU": two FP64 cores per SM, 1/64 of FP32
    tf32=82.6e12,  # [6], dense
    fp16=165.2e12,  # [6], "peak FP16 tensor TFLOPS with FP32 accumulate", dense
    bf16=165.2e12,  # [6], dense
)

H100 = Device(
    name="H100 SXM5",
    arch=90,
    sms=132,  # [7]
    clock=1.980e9,  # of everything but the tensor cores
    dram=3350e9,  # [8]
    l2_bytes=50 << 20,  # [7]
    l2_rate=5120,  # see above: not NVIDIA's
    fp32=66.9e12,  # [8], where it is rounded to 67
    fp64=33.5e12,  # [8], where it is rounded to 34
    # [8], half of what it says "with sparsity", at the tensor cores' own clock of 1.83 GHz. These
    # are rates of wgmma, which pygan does not use; mma.sync reaches about 63 % of them on Hopper
    # (arXiv:2402.13499), so that floors by tensor cores are low for this device.
    tf32=494.7e12,
    fp16=989.4e12,
    bf16=989.4e12,
)

DEVICES = (V100, T4, A100_40, A100_80, RTX_4090, H100)
