"""The arithmetic of benchmarks/gpu_model: occupancy, ceilings, counts and floors."""

from __future__ import annotations

import dataclasses
import math

import pytest

from benchmarks.gpu_model import report
from benchmarks.gpu_model.counts import Instruction, Launch, Loop, efficiency, main_loop
from benchmarks.gpu_model.devices import (
    A100_40,
    A100_80,
    DEVICES,
    H100,
    RTX_4090,
    T4,
    V100,
    Device,
)
from benchmarks.gpu_model.golden import worse
from benchmarks.gpu_model.model import Operator, dram_bytes, floor
from benchmarks.gpu_model.occupancy import occupancy


# What cuda_occupancy.h of CUDA 13.0 computes: architecture, registers, shared memory, threads.
@pytest.mark.parametrize(
    ("arch", "registers", "shared", "threads", "blocks"),
    [
        (70, 32, 0, 1024, 2),
        (70, 33, 0, 1024, 1),
        (70, 24, 97 * 1024, 64, 0),
        (75, 64, 32 * 1024, 256, 2),
        (80, 168, 49152, 128, 3),
        (80, 32, 0, 32, 32),
        (80, 255, 0, 256, 1),
        (80, 255, 0, 288, 0),
        (86, 40, 16 * 1024, 128, 5),
        (89, 40, 1024, 64, 24),
        (90, 128, 98304, 256, 2),
        (90, 96, 227 * 1024, 128, 1),
        (90, 96, 227 * 1024 + 1, 128, 0),
    ],
)
def test_blocks_per_sm(arch: int, registers: int, shared: int, threads: int, blocks: int) -> None:
    assert occupancy(arch, registers, shared, threads).blocks == blocks


def test_occupancy_names_the_limit() -> None:
    assert occupancy(80, 168, 0, 128).limit == "registers"
    assert occupancy(80, 32, 49152, 128).limit == "shared memory"
    half = occupancy(80, 64, 0, 256)
    assert half.warps == 32
    assert half.share == 0.5


def test_occupancy_refuses_what_is_no_block() -> None:
    with pytest.raises(ValueError, match="1025"):
        occupancy(80, 32, 0, 1025)


# FP32 units and multiply-adds of tensor cores (FP16) per SM and clock; the tensor cores' clock.
@pytest.mark.parametrize(
    ("device", "units", "tensor", "clock"),
    [
        (V100, 64, 512, 1.53e9),
        (T4, 64, 512, 1.59e9),
        (A100_40, 64, 1024, 1.41e9),
        (A100_80, 64, 1024, 1.41e9),
        (RTX_4090, 128, 256, 2.52e9),
        (H100, 128, 2048, 1.83e9),
    ],
)
def test_peak_rates_are_units_times_clock(
    device: Device, units: int, tensor: int, clock: float
) -> None:
    assert math.isclose(device.fp32, device.sms * units * 2 * device.clock, rel_tol=0.006)
    assert math.isclose(device.fp16, device.sms * tensor * 2 * clock, rel_tol=0.006)
    if device.tf32 is not None:
        assert math.isclose(device.tf32, device.fp16 / 2, rel_tol=1e-3)


def instruction(category: str, executions: int, depth: int = 0, **counts: int) -> Instruction:
    return Instruction(
        1, category, depth, executions, counts.get("transactions", 0), counts.get("ideal", 0)
    )


def test_the_main_loop_is_the_innermost_one_around_the_tensor_instructions() -> None:
    program = [
        instruction("int", 8),
        instruction("int", 80, 1),
        instruction("ldmatrix", 640, 2, transactions=960, ideal=640),
        instruction("int", 320, 3),  # conditional, in a loop of its own
        instruction("mma", 640, 2),
        instruction("branch", 640, 2),
        instruction("mma", 80, 1),
        instruction("exit", 8),
    ]
    loop = main_loop(program)
    assert loop is not None
    assert loop.instructions == tuple(program[2:6])
    assert loop.tensor_share == 640 / (3 * 640 + 320)
    assert loop.conflicts == 0.5
    assert main_loop(program[:2]) is None


def test_lanes_that_share_bytes_do_not_hide_unused_sectors() -> None:
    broadcast = instruction("ld.global", 1, transactions=1, ideal=128)
    strided = instruction("ld.global", 1, transactions=32, ideal=128)
    assert efficiency([broadcast], ("ld.global",)) == 1
    assert efficiency([broadcast, strided], ("ld.global",)) == (32 + 128) / (33 * 32)
    assert efficiency([strided], ("st.global",)) == 1


LAUNCH = Launch(
    name="kernel",
    blocks=108,
    threads=256,
    shared=0,
    unique_read=1 << 20,
    unique_written=0,
    load_sectors=1 << 16,
    store_sectors=0,
    load_efficiency=1.0,
    store_efficiency=1.0,
    wavefronts=0,
    ideal_wavefronts=0,
    instructions=108 * 4 * 1000,
    flops=0,
    tensor_flops=0,
    mix={},
    loop=None,
)


def test_floors() -> None:
    seconds = floor(LAUNCH, A100_40, "float16").seconds
    assert math.isclose(seconds["issue"], 1000 / A100_40.clock)
    assert math.isclose(seconds["DRAM"], (1 << 20) / 1555e9)
    assert math.isclose(seconds["L2"], (1 << 21) / (5120 * 1.41e9))
    assert "L2" not in floor(LAUNCH, T4, "float16").seconds
    assert "tensor" not in floor(LAUNCH, V100, "tf32").seconds


def test_the_busiest_processor_sets_the_floor() -> None:
    uneven = dataclasses.replace(LAUNCH, blocks=109)
    even = floor(LAUNCH, A100_40, "float16").seconds
    assert math.isclose(
        floor(uneven, A100_40, "float16").seconds["issue"], even["issue"] * 216 / 109
    )
    assert floor(uneven, A100_40, "float16").seconds["DRAM"] == even["DRAM"]


def test_repeated_requests_hit_in_l2_only_where_they_fit() -> None:
    big = dataclasses.replace(LAUNCH, unique_read=1 << 30, load_sectors=1 << 27, blocks=1 << 20)
    assert dram_bytes(big, A100_40) == 1 << 30  # 4 KB per block, 8 blocks per processor
    few = dataclasses.replace(big, blocks=108)
    assert dram_bytes(few, A100_40) == 1 << 32  # all blocks at one time, each with its own share


def test_the_limiter_is_that_of_the_most_time() -> None:
    moved = dataclasses.replace(LAUNCH, unique_read=1 << 27)
    operator = Operator([LAUNCH, LAUNCH, moved], 1 << 20)
    name, share = operator.limiter(A100_40)
    assert name == "DRAM"
    assert share > 0.9


def test_worse_counts_are_named() -> None:
    golden = {"case": {"launches": 2, "bytes requested": 100, "tensor share": 0.5}}
    assert worse(golden, golden) == []
    better = {"case": {"launches": 1, "bytes requested": 100, "tensor share": 0.6}}
    assert worse(better, golden) == []
    bad = {"case": {"launches": 2, "bytes requested": 101, "tensor share": 0.4}}
    complaints = worse(bad, golden)
    assert len(complaints) == 2
    assert "bytes requested is 101, and was 100" in complaints[0]
    assert len(worse({}, golden)) == 1
    assert len(worse({**golden, "new": {}}, golden)) == 1
    assert len(worse({"case": {}}, golden)) == 3


def test_tables_replace_what_lies_between_the_marks(tmp_path) -> None:
    path = tmp_path / "gpu.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.write_into(path, "new")
    expected = f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert path.read_text(encoding="utf-8") == expected
    path.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the lines"):
        report.write_into(path, "new")


def test_ceilings_of_all_devices_are_in_the_table() -> None:
    text = report.device_table()
    assert all(device.name in text for device in DEVICES)


def test_a_loop_without_shared_memory_has_no_conflicts() -> None:
    assert Loop((instruction("mma", 4, 1),)).conflicts == 0
