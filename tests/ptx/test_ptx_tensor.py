"""ldmatrix, mma and cp.async against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numbers_oracle import bfloat, unbfloat
from ptx_text import kernel, launch

from csrc.ptx import ptxemu

LANES = np.arange(32)


def registers(names: str, count: int) -> str:
    return "{" + ", ".join(f"{names}{i}" for i in range(count)) + "}"


@pytest.mark.parametrize("trans", ["", ".trans"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_ldmatrix(count, trans):
    matrices = np.random.default_rng(0).integers(0, 2**16, (count, 8, 8)).astype(np.uint16)
    x = ptxemu.aligned(matrices.shape, "uint16", matrices)
    y = ptxemu.aligned((32, count), "uint32", 0)
    words = count * 32
    body = f"""
  .shared .align 16 .b8 tile[{4 * words}];
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r1, %tid.x; mov.u32 %r2, tile;
  mov.u32 %r3, %r1;
copy:
  mul.wide.u32 %rd3, %r3, 4; add.s64 %rd3, %rd1, %rd3; ld.global.u32 %r4, [%rd3];
  shl.b32 %r5, %r3, 2; add.u32 %r5, %r5, %r2; st.shared.u32 [%r5], %r4;
  add.u32 %r3, %r3, 32; setp.lt.u32 %p1, %r3, {words}; @%p1 bra copy;
  bar.warp.sync -1;
  and.b32 %r6, %r1, {8 * count - 1}; shl.b32 %r6, %r6, 4; add.u32 %r6, %r6, %r2;
  ldmatrix.sync.aligned.m8n8.x{count}{trans}.shared.b16 {registers("%r2", count)}, [%r6];
  mul.wide.u32 %rd4, %r1, {4 * count}; add.s64 %rd2, %rd2, %rd4;
""" + "\n".join(f"  st.global.u32 [%rd2+{4 * i}], %r2{i};" for i in range(count))
    stats = launch(kernel(".u64 x, .u64 y", body), x, y)
    source = matrices.transpose(0, 2, 1) if trans else matrices
    pairs = np.ascontiguousarray(source).view(np.uint32).reshape(count, 32)
    np.testing.assert_array_equal(y, pairs.T)
    assert stats["ldmatrix"] == {"requests": 1, "wavefronts": count, "ideal": count}


# ---- mma: fragments as the PTX ISA lays them out, as (row, column) of each lane's elements

GROUP, THREAD = LANES >> 2, LANES & 3


def fragment_a(k: int, per_register: int) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Per register, per element in it: rows and columns of 32 lanes. 16 rows."""
    width = 4 * per_register
    return [
        [(GROUP + 8 * half, THREAD * per_register + e + width * part) for e in range(per_register)]
        for part in range(k // width)
        for half in range(2)
    ]


def fragment_b(k: int, per_register: int) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    width = 4 * per_register
    return [
        [(THREAD * per_register + e + width * part, GROUP) for e in range(per_register)]
        for part in range(k // width)
    ]


FRAGMENT_C = [(GROUP + 8 * (i >> 1), THREAD * 2 + (i & 1)) for i in range(4)]


def gather(matrix: np.ndarray, fragment: list, bits: int) -> np.ndarray:
    """Matrix elements (as bits) -> 32-bit registers, one row per register."""
    packed = []
    for elements in fragment:
        word = np.zeros(32, np.uint32)
        for i, place in enumerate(elements):
            word |= matrix[place].astype(np.uint32) << np.uint32(bits * i)
        packed.append(word)
    return np.array(packed)


def run_mma(opcode: str, a: np.ndarray, b: np.ndarray, c: np.ndarray, target: int = 80) -> list:
    """Loads registers of A, B and C (one row each), multiplies, stores D."""
    wide = c.dtype.itemsize == 8
    register, memory, size = ("%fd", "f64", 8) if wide else ("%r", "u32", 4)
    counts = [len(a), len(b), len(c)]
    results = 2 if wide else {"f16": 2}.get(opcode.split(".")[-4], 4)
    if "m8n8k4" in opcode and not wide:
        results = {"f16": 4}.get(opcode.split(".")[-4], 8)
    if "m8n8k16" in opcode:
        results = 2
    loads, next_register, offset = [], 10, 0
    names = []
    for count in counts:
        names.append("{" + ", ".join(f"{register}{next_register + i}" for i in range(count)) + "}")
        for i in range(count):
            loads.append(f"  ld.global.{memory} {register}{next_register + i}, [%rd1+{offset}];")
            offset += 32 * size
        next_register += count
    outputs = [f"{register}{next_register + i}" for i in range(results)]
    stores = [
        f"  st.global.{memory} [%rd2+{32 * size * i}], {name};" for i, name in enumerate(outputs)
    ]
    body = "\n".join(
        [
            "  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r1, %tid.x;",
            f"  mul.wide.u32 %rd3, %r1, {size};",
            "  add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;",
            *loads,
            f"  {opcode} {{{', '.join(outputs)}}}, {', '.join(names)};",
            *stores,
        ]
    )
    x = np.concatenate([a, b, c])
    y = ptxemu.aligned((results, 32), x.dtype, 0)
    ptxemu.set_device(target)
    stats = launch(kernel(".u64 x, .u64 y", body, target), ptxemu.aligned(x.shape, x.dtype, x), y)
    assert stats["mix"]["mma"] == 1
    return [y, stats]


SHAPES = [
    ("m16n8k8", "f16", 8, 75),
    ("m16n8k16", "f16", 16, 80),
    ("m16n8k8", "bf16", 8, 80),
    ("m16n8k16", "bf16", 16, 80),
    ("m16n8k4", "tf32", 4, 80),
    ("m16n8k8", "tf32", 8, 80),
]


@pytest.mark.parametrize(("shape", "kind", "k", "target"), SHAPES)
def test_mma_with_float_accumulators(shape, kind, k, target):
    rng = np.random.default_rng(k)
    a, b = rng.standard_normal((16, k)), rng.standard_normal((k, 8))
    c = rng.standard_normal((16, 8)).astype(np.float32)
    if kind == "f16":
        bits_a, bits_b = (m.astype(np.float16).view(np.uint16) for m in (a, b))
        a, b = a.astype(np.float16), b.astype(np.float16)
    elif kind == "bf16":
        bits_a, bits_b = bfloat(a), bfloat(b)
        a, b = unbfloat(bits_a), unbfloat(bits_b)
    else:  # tf32: the hardware ignores the lower 13 bits
        bits_a, bits_b = (m.astype(np.float32).view(np.uint32) for m in (a, b))
        a, b = ((m & 0xFFFFE000).view(np.float32) for m in (bits_a, bits_b))
    per_register, bits = (1, 32) if kind == "tf32" else (2, 16)
    y, stats = run_mma(
        f"mma.sync.aligned.{shape}.row.col.f32.{kind}.{kind}.f32",
        gather(bits_a, fragment_a(k, per_register), bits),
        gather(bits_b, fragment_b(k, per_register), bits),
        np.array([c.view(np.uint32)[place] for place in FRAGMENT_C]),
        target,
    )
    want = a.astype(np.float64) @ b.astype(np.float64) + c
    got = np.zeros((16, 8), np.float32)
    for place, row in zip(FRAGMENT_C, y.view(np.float32)):
        got[place] = row
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert stats["mma_flops"] == 2 * 16 * 8 * k


@pytest.mark.parametrize(("shape", "k", "target"), [("m16n8k8", 8, 75), ("m16n8k16", 16, 80)])
def test_mma_with_half_accumulators(shape, k, target):
    rng = np.random.default_rng(k)
    a, b, c = (rng.standard_normal(s).astype(np.float16) for s in ((16, k), (k, 8), (16, 8)))
    fragment = [[(GROUP + 8 * i, THREAD * 2 + e) for e in range(2)] for i in range(2)]
    y, _ = run_mma(
        f"mma.sync.aligned.{shape}.row.col.f16.f16.f16.f16",
        gather(a.view(np.uint16), fragment_a(k, 2), 16),
        gather(b.view(np.uint16), fragment_b(k, 2), 16),
        gather(c.view(np.uint16), fragment, 16),
        target,
    )
    want = (a.astype(np.float64) @ b.astype(np.float64) + c).astype(np.float16)
    np.testing.assert_array_equal(y, gather(want.view(np.uint16), fragment, 16))


@pytest.mark.parametrize(("a_kind", "b_kind"), [("s8", "s8"), ("u8", "s8"), ("u8", "u8")])
@pytest.mark.parametrize(("shape", "rows", "k"), [("m16n8k32", 16, 32), ("m16n8k16", 16, 16)])
def test_mma_of_bytes(shape, rows, k, a_kind, b_kind):
    rng = np.random.default_rng(k)
    a = rng.integers(0, 256, (rows, k)).astype(np.uint8)
    b = rng.integers(0, 256, (k, 8)).astype(np.uint8)
    c = rng.integers(-(2**20), 2**20, (rows, 8)).astype(np.int32)
    y, _ = run_mma(
        f"mma.sync.aligned.{shape}.row.col.s32.{a_kind}.{b_kind}.s32",
        gather(a, fragment_a(k, 4), 8),
        gather(b, fragment_b(k, 4), 8),
        np.array([c.view(np.uint32)[place] for place in FRAGMENT_C]),
    )
    signed = {"s8": np.int8, "u8": np.uint8}
    want = a.view(signed[a_kind]).astype(np.int64) @ b.view(signed[b_kind]).astype(np.int64) + c
    np.testing.assert_array_equal(y.view(np.int32), np.array([want[place] for place in FRAGMENT_C]))


def test_mma_of_doubles():
    rng = np.random.default_rng(1)
    a, b, c = (rng.standard_normal(s) for s in ((8, 4), (4, 8), (8, 8)))
    places = [(GROUP, THREAD * 2 + i) for i in range(2)]
    y, _ = run_mma(
        "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64",
        a[GROUP, THREAD][None],
        b[THREAD, GROUP][None],
        np.array([c[p] for p in places]),
    )
    want = a @ b + c
    np.testing.assert_allclose(y, np.array([want[p] for p in places]), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("layouts", ["row.col", "col.row", "row.row", "col.col"])
@pytest.mark.parametrize("accumulator", ["f32", "f16"])
def test_mma_of_quad_pairs(accumulator, layouts):
    """m8n8k4 of Volta: lanes 4q..4q+3 and 16 above them multiply their own matrices."""
    rng = np.random.default_rng(2)
    a = rng.standard_normal((4, 8, 4)).astype(np.float16)
    b = rng.standard_normal((4, 4, 8)).astype(np.float16)
    c = rng.standard_normal((4, 8, 8)).astype(np.float16)
    pair, upper, t = LANES >> 2 & 3, np.where(LANES < 16, 0, 4), LANES & 3
    row_a, col_b = layouts[:3] == "row", layouts[4:] == "col"

    def words(elements: list[np.ndarray]) -> np.ndarray:
        bits = [e.view(np.uint16).astype(np.uint32) for e in elements]
        return np.array([low | high << 16 for low, high in zip(bits[::2], bits[1::2])])

    in_a = [a[pair, t + upper, i] if row_a else a[pair, i + upper, t] for i in range(4)]
    in_b = [b[pair, i, t + upper] if col_b else b[pair, t, i + upper] for i in range(4)]
    if accumulator == "f16":
        places = [(pair, t + upper, np.full(32, i)) for i in range(8)]
        in_c = words([c[p] for p in places])
    else:
        places = [
            (pair, (LANES & 1) + (i & 2) + upper, (i & 4) + (LANES & 2) + (i & 1)) for i in range(8)
        ]
        in_c = np.array([c[p].astype(np.float32).view(np.uint32) for p in places])
    y, stats = run_mma(
        f"mma.sync.aligned.m8n8k4.{layouts}.{accumulator}.f16.f16.{accumulator}",
        words(in_a),
        words(in_b),
        in_c,
        70,
    )
    want = a.astype(np.float64) @ b.astype(np.float64) + c
    if accumulator == "f16":
        np.testing.assert_array_equal(y, words([want[p].astype(np.float16) for p in places]))
    else:
        got = y.view(np.float32)
        np.testing.assert_allclose(got, np.array([want[p] for p in places]), rtol=1e-6, atol=1e-6)
    assert stats["mma_flops"] == 4 * 2 * 8 * 8 * 4


# ---- cp.async

COPY = """
  .shared .align 16 .b8 tile[1024];
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r1, %tid.x; mov.u32 %r2, tile;
  shl.b32 %r3, %r1, 4; add.u32 %r4, %r2, %r3; cvt.u64.u32 %rd3, %r3;
  add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;
  {copy}
  {wait}
  ld.shared.v4.u32 {{%r10, %r11, %r12, %r13}}, [%r4];
  st.global.v4.u32 [%rd2], {{%r10, %r11, %r12, %r13}};
  ld.shared.v4.u32 {{%r10, %r11, %r12, %r13}}, [%r4+512];
  st.global.v4.u32 [%rd2+512], {{%r10, %r11, %r12, %r13}};"""
TWO_GROUPS = """cp.async.cg.shared.global [%r4], [%rd1], 16; cp.async.commit_group;
  cp.async.cg.shared.global [%r4+512], [%rd1+512], 16; cp.async.commit_group;"""


def copy_case(copy: str, wait: str) -> tuple[np.ndarray, np.ndarray, dict]:
    x = ptxemu.aligned(256, "uint32", np.random.default_rng(0).integers(1, 2**32, 256, np.uint32))
    y = ptxemu.aligned(256, "uint32", 0)
    stats = launch(kernel(".u64 x, .u64 y", COPY.format(copy=copy, wait=wait)), x, y)
    return x, y, stats


@pytest.mark.parametrize("wait", ["cp.async.wait_group 0;", "cp.async.wait_all;"])
def test_async_copies_arrive_when_waited_for(wait):
    x, y, stats = copy_case(TWO_GROUPS, wait)
    np.testing.assert_array_equal(x, y)
    assert stats["races"] == stats["uninitialised_shared_reads"] == 0
    assert stats["global_load"]["bytes"] == 1024
    assert stats["global_load"]["sectors"] == 32
    assert stats["global_load"]["efficiency"] == 1


def test_a_group_not_waited_for_is_stale_and_reported():
    x, y, stats = copy_case(TWO_GROUPS, "cp.async.wait_group 1;")
    np.testing.assert_array_equal(x[:128], y[:128])
    assert (x[128:] != y[128:]).all()
    assert stats["races"] == 128
    assert "cp.async" in stats["first_hazard"]


def test_partial_copies_fill_with_zeros_and_may_end_with_their_buffer():
    x = ptxemu.aligned(3, "uint32", [1, 2, 3])
    y = ptxemu.aligned(4, "uint32", 9)
    body = """
  .shared .align 16 .b8 tile[16];
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r2, tile; mov.u32 %r3, 12;
  cp.async.ca.shared.global [%r2], [%rd1], 16, %r3; cp.async.wait_all;
  ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [tile];
  st.global.v4.u32 [%rd2], {%r10, %r11, %r12, %r13};"""
    launch(kernel(".u64 x, .u64 y", body), x, y, block=1)
    np.testing.assert_array_equal(y, [1, 2, 3, 0])
    with pytest.raises(ptxemu.PtxError, match="out-of-bounds global read"):
        launch(kernel(".u64 x, .u64 y", body.replace("%r3, 12", "%r3, 13")), x, y, block=1)


def test_an_async_copy_over_data_still_being_read_is_a_race():
    """A pipeline without its second barrier: warp 1 may still read what warp 0 overwrites."""
    body = """
  .shared .align 16 .b8 tile[1024];
  ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mov.u32 %r2, tile; shl.b32 %r3, %r1, 4;
  add.u32 %r4, %r2, %r3; cvt.u64.u32 %rd3, %r3; add.s64 %rd1, %rd1, %rd3;
  cp.async.cg.shared.global [%r4], [%rd1], 16; cp.async.commit_group; cp.async.wait_group 0;
  bar.sync 0;
  xor.b32 %r5, %r3, 512; add.u32 %r5, %r5, %r2; setp.lt.u32 %p1, %r1, 32;
  @%p1 ld.shared.u32 %r6, [%r5];
  {barrier}
  @%p1 exit;
  cp.async.cg.shared.global [%r4], [%rd1], 16; cp.async.commit_group; cp.async.wait_group 0;"""
    x = ptxemu.aligned(1024, "uint8", 1)
    racing = launch(kernel(".u64 x", body.format(barrier="")), x, block=64)
    assert racing["shared_races"] > 0
    assert "write-after-read" in racing["first_hazard"]
    assert launch(kernel(".u64 x", body.format(barrier="bar.sync 0;")), x, block=64)["races"] == 0
