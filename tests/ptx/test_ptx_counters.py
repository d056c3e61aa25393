"""What a launch executed: classes, sectors, bank conflicts, lanes, basic blocks."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import kernel, launch

from csrc.ptx import ptxemu

INDEX = """
  ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.lo.u32 %r2, %r1, {stride};
  cvt.u64.u32 %rd2, %r2; add.s64 %rd1, %rd1, %rd2; add.s64 %rd1, %rd1, {offset};
"""


@pytest.mark.parametrize(
    ("stride", "offset", "kind", "size", "sectors"),
    [
        (4, 0, "u32", 4, 4),
        (4, 16, "u32", 4, 5),  # not aligned to sectors
        (0, 0, "u32", 4, 1),
        (32, 0, "u32", 4, 32),
        (8, 0, "u64", 8, 8),
        (64, 0, "u8", 1, 32),
        (128, 0, "u32", 4, 32),
        (1, 0, "u8", 1, 1),
    ],
)
def test_sectors_of_global_loads(stride, offset, kind, size, sectors):
    register = {"u32": "%r3", "u64": "%rd3", "u8": "%h3"}[kind]
    x = ptxemu.aligned(8192, "uint8", 1)
    body = INDEX.format(stride=stride, offset=offset) + f"  ld.global.{kind} {register}, [%rd1];"
    stats = launch(kernel(".u64 x", body), x)
    load = stats["global_load"]
    assert load["requests"] == 1
    assert load["sectors"] == sectors
    assert load["bytes"] == 32 * size
    assert load["efficiency"] == pytest.approx(size / sectors, rel=1e-4)
    assert stats["unique_read_bytes"] == 32 * sectors
    assert stats["buffers"]["arg0"]["read_sectors"] == sectors


@pytest.mark.parametrize(
    ("stride", "vector", "wavefronts", "ideal"),
    [
        (4, 1, 1, 1),
        (8, 1, 2, 1),
        (128, 1, 32, 1),
        (132, 1, 1, 1),  # padded
        (0, 1, 1, 1),
        (16, 4, 4, 4),
        (32, 4, 8, 4),
        (8, 2, 2, 2),
    ],
)
def test_bank_conflicts_of_shared_stores(stride, vector, wavefronts, ideal):
    suffix = "" if vector == 1 else f".v{vector}"
    value = "%r1" if vector == 1 else "{" + ", ".join(["%r1"] * vector) + "}"
    body = f"""
  .shared .align 16 .b8 tile[8192];
  mov.u32 %r1, %tid.x; mov.u32 %r3, tile; mad.lo.u32 %r3, %r1, {stride}, %r3;
  st.shared{suffix}.u32 [%r3], {value};"""
    stats = launch(kernel("", body))
    assert stats["shared_store"] == {"requests": 1, "wavefronts": wavefronts, "ideal": ideal}


def test_instructions_flops_and_lanes():
    body = """
  mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 8; cvt.rn.f32.u32 %f1, %r1;
  @%p1 fma.rn.f32 %f2, %f1, %f1, %f1; add.f32 %f3, %f1, %f1; @!%p1 bra end;
  mul.f32 %f4, %f1, %f1;
end:"""
    stats = launch(kernel("", body), grid=3, block=64)
    # six warps, three of which multiply
    assert stats["mix"] == {"f32": 15, "branch": 12, "cvt": 6, "mov": 6, "setp/selp": 6}
    assert stats["blocks"] == 3
    assert stats["divergent_branches"] == 3
    # per block: 8 lanes of fma (2 flops) and mul, 64 of add
    assert stats["flops"] == 3 * (8 * 2 + 64 + 8)
    assert stats["lane_efficiency"] < 1


LOOP = """
  .loc 1 10 1
  mov.u32 %r1, 0; mov.u32 %r9, %tid.x; cvt.rn.f32.u32 %f1, %r9;
outer:
  .loc 1 20 1
  mov.u32 %r2, 0;
inner:
  .loc 1 30 1
  fma.rn.f32 %f1, %f1, %f1, %f1;
  add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, 50; @%p1 bra inner;
  .loc 1 40 1
  add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 3; @%p2 bra outer;
"""


def test_profile_finds_the_innermost_loop():
    text = kernel("", LOOP, head='.file 1 "loop.cu"\n')
    stats = launch(text, per_instruction=True)
    depths = {i["line"]: i["loop_depth"] for i in stats["profile"]}
    assert (depths[10], depths[20], depths[30]) == (0, 1, 2)
    fma = next(i for i in stats["profile"] if i["opcode"] == "fma.rn.f32")
    assert fma["executions"] == 150
    assert fma["file"] == "loop.cu"
    lines = {entry["line"]: entry["warp_instructions"] for entry in stats["lines"]}
    assert lines[30] == 4 * 150
    hot = ptxemu.hot_blocks(stats)
    assert hot["mix"] == {"f32": 150, "int": 150, "setp/selp": 150, "branch": 150}
    assert hot["share"] == pytest.approx(600 / stats["warp_instructions"])
    assert sum(i[3] for i in stats["instructions"]) == stats["warp_instructions"]


def test_host_threads_do_not_change_counts():
    body = (
        INDEX.format(stride=4, offset=0)
        + "  ld.global.u32 %r3, [%rd1]; red.global.add.u32 [%rd1], 1;"
    )
    x = ptxemu.aligned(32, "uint32", 0)
    module = ptxemu.Module(kernel(".u64 x", body))
    results = []
    for threads in (1, 2):
        stats = module.launch("k", 40, 32, x, threads=threads)
        results.append({k: v for k, v in stats.items() if "second" not in k})
    assert results[0] == results[1]
    assert results[0]["global_atomic_sectors"] == 40 * 4
    np.testing.assert_array_equal(x, 80)


def test_aligned_arrays():
    for shape, dtype in ((7, "float32"), ((3, 5), np.float16)):
        array = ptxemu.aligned(shape, dtype, 2)
        assert array.ctypes.data % 256 == 0
        assert (array == 2).all()
    assert ptxemu.aligned(0, "uint8").shape == (0,)
    copy = ptxemu.aligned((2, 2), "int32", [[1, 2], [3, 4]])
    np.testing.assert_array_equal(copy, [[1, 2], [3, 4]])
