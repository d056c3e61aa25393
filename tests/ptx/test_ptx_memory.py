"""Loads, stores and atomics in every state space."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import TYPES, elementwise, kernel, launch

from csrc.ptx import ptxemu


def random_array(dtype: str, count: int, seed: int = 0) -> np.ndarray:
    bits = np.random.default_rng(seed).integers(0, 256, count * np.dtype(dtype).itemsize, np.uint8)
    return ptxemu.aligned(count, dtype, bits.view(dtype))


@pytest.mark.parametrize("cache", ["", ".nc", ".ca", ".cg", ".cs", ".lu", ".cv", ".nc.L2::128B"])
def test_cache_operators_change_nothing(cache):
    x, y = random_array("uint32", 32), ptxemu.aligned(32, "uint32", 0)
    body = f"""
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
  mov.u32 %r1, %tid.x; mul.wide.u32 %rd3, %r1, 4;
  add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;
  ld.global{cache}.u32 %r2, [%rd1];
  st.global.wb.u32 [%rd2], %r2;"""
    launch(kernel(".u64 x, .u64 y", body), x, y)
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("space", ["global", "shared", "local", "generic"])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "uint32", "float32", "uint64"])
def test_vectors_pass_through_every_space(dtype, lanes, space):
    if np.dtype(dtype).itemsize * lanes > 16:
        pytest.skip("128 bits at most")
    register, memory = TYPES[dtype]
    x = random_array(dtype, 32 * lanes)
    x[...] = np.nan_to_num(x) if dtype == "float32" else x
    y = ptxemu.aligned(x.shape, dtype, 0)
    step = x.itemsize * lanes
    vector = "" if lanes == 1 else f".v{lanes}"
    names = ", ".join(f"%v{i}" for i in range(lanes))
    names = f"{{{names}}}" if lanes > 1 else names
    through = {
        "global": "",
        "shared": f"""
  mov.u32 %r2, buffer; mad.lo.u32 %r2, %r1, {step}, %r2;
  st.shared{vector}.{memory} [%r2], {names}; ld.shared{vector}.{memory} {names}, [%r2];""",
        "local": f"""
  st.local{vector}.{memory} [slot+16], {names}; ld.local{vector}.{memory} {names}, [slot+16];""",
        "generic": f"""
  mov.u64 %rd5, buffer; cvta.shared.u64 %rd5, %rd5; mad.lo.u64 %rd5, %rd4, {step}, %rd5;
  isspacep.shared %p1, %rd5; @!%p1 trap;
  isspacep.global %p1, %rd1; @!%p1 trap;
  st{vector}.{memory} [%rd5], {names};
  mov.u64 %rd6, slot; cvta.local.u64 %rd6, %rd6;
  ld{vector}.{memory} {names}, [%rd5]; st{vector}.{memory} [%rd6], {names};
  ld{vector}.{memory} {names}, [%rd6];""",
    }[space]
    body = f"""
  .reg {register} %v<{lanes}>;
  .shared .align 16 .b8 buffer[{32 * step}];
  .local .align 16 .b8 slot[64];
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
  mov.u32 %r1, %tid.x; cvt.u64.u32 %rd4, %r1; mul.lo.u64 %rd3, %rd4, {step};
  add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;
  ld.global{vector}.{memory} {names}, [%rd1];{through}
  st.global{vector}.{memory} [%rd2], {names};"""
    launch(kernel(".u64 x, .u64 y", body), x, y)
    np.testing.assert_array_equal(x.view("u1"), y.view("u1"))


def test_narrow_loads_extend_into_wide_registers():
    x = random_array("uint8", 32)
    text = kernel(
        ".u64 x, .u64 y",
        """
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];
  mov.u32 %r1, %tid.x; cvt.u64.u32 %rd3, %r1; add.s64 %rd1, %rd1, %rd3;
  mad.lo.u64 %rd2, %rd3, 16, %rd2;
  ld.global.s8 %r2, [%rd1]; ld.global.u8 %rd5, [%rd1];
  cvt.s64.s32 %rd4, %r2; st.global.v2.u64 [%rd2], {%rd4, %rd5};""",
    )
    y = ptxemu.aligned((32, 2), "int64", 0)
    launch(text, x, y)
    np.testing.assert_array_equal(y[:, 0], x.view("i1"))
    np.testing.assert_array_equal(y[:, 1], x)


def test_constants_globals_and_parameters():
    head = """
.const .align 4 .f32 table[4] = {0f3F800000, 2.0, 0f40400000, -4.5};
.global .align 8 .u64 counter = 40;
.global .u64 pointer = generic(counter);
"""
    body = """
  ld.param.u64 %rd1, [y]; ld.param.f64 %fd1, [scale]; ld.param.u16 %h1, [n];
  mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 3; mul.wide.u32 %rd2, %r2, 4;
  mov.u64 %rd3, table; add.s64 %rd3, %rd3, %rd2; ld.const.f32 %f1, [%rd3];
  ld.const.f32 %f2, [table+4];
  ld.global.u64 %rd4, [pointer]; ld.u64 %rd5, [%rd4]; cvt.rn.f32.u64 %f3, %rd5;
  cvt.rn.f32.f64 %f4, %fd1; cvt.rn.f32.u16 %f5, %h1;
  add.f32 %f1, %f1, %f2; add.f32 %f1, %f1, %f3; add.f32 %f1, %f1, %f4; add.f32 %f1, %f1, %f5;
  mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2; st.global.f32 [%rd1], %f1;"""
    y = ptxemu.aligned(32, "float32", 0)
    launch(kernel(".u64 y, .u16 n, .f64 scale", body, head=head), y, 7, 0.25)
    table = np.resize(np.array([1, 2, 3, -4.5], np.float32), 32)
    np.testing.assert_array_equal(y, table + 2 + 40 + 0.25 + 7)


def test_structures_as_parameters():
    body = """
  ld.param.u64 %rd1, [y]; ld.param.v2.u32 {%r1, %r2}, [s+8]; ld.param.s8 %r3, [s+1];
  add.u32 %r1, %r1, %r2; add.s32 %r1, %r1, %r3; st.global.u32 [%rd1], %r1;"""
    y = ptxemu.aligned(1, "int32", 0)
    structure = np.array([0, 0xFD, *[0] * 6, 5, 0, 0, 0, 9, 0, 0, 0], np.uint8).tobytes()
    launch(kernel(".u64 y, .align 8 .b8 s[16]", body), y, structure, block=1)
    assert y[0] == 5 + 9 - 3


ATOMICS = {
    "add": lambda m, v: m + v,
    "min": min,
    "max": max,
    "and": lambda m, v: m & v,
    "or": lambda m, v: m | v,
    "xor": lambda m, v: m ^ v,
    "exch": lambda m, v: v,
    "inc": lambda m, v: 0 if m >= v else m + 1,
    "dec": lambda m, v: v if m == 0 or m > v else m - 1,
}


@pytest.mark.parametrize("space", ["global", "shared"])
@pytest.mark.parametrize("name", ["u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("operation", ATOMICS)
def test_atomics_of_integers(operation, name, space):
    if operation in ("inc", "dec") and name != "u32":
        pytest.skip("defined for u32")
    bits = name[1:]
    dtype = name.replace("s", "i").replace("32", "4").replace("64", "8")
    kind = f"b{bits}" if operation in ("and", "or", "xor", "exch") else name
    register = "%r" if bits == "32" else "%rd"
    size = int(bits) // 8
    body = f"""
  .shared .align 8 .b8 cell[8];
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.u64 %rd3, [m];
  mov.u32 %r1, %tid.x; cvt.u64.u32 %rd4, %r1; mul.lo.u64 %rd4, %rd4, {size};
  add.s64 %rd5, %rd1, %rd4; add.s64 %rd6, %rd2, %rd4; ld.global.{name} {register}20, [%rd5];
  setp.eq.u32 %p1, %r1, 0;
  @%p1 ld.global.{name} {register}21, [%rd3]; @%p1 st.shared.{name} [cell], {register}21;
  bar.sync 0;
  atom.{space}.{operation}.{kind} {register}22, [{"%rd3" if space == "global" else "cell"}], \
{register}20;
  bar.sync 0;
  st.global.{name} [%rd6], {register}22;
  @%p1 ld.shared.{name} {register}21, [cell];
"""
    if space == "shared":
        body += f"  @%p1 st.global.{name} [%rd3], {register}21;"
    x, y = random_array(dtype, 32), ptxemu.aligned(32, dtype, 0)
    x[::2] = np.abs(x[::2]) % 7
    memory = ptxemu.aligned(1, dtype, 5)
    launch(kernel(".u64 x, .u64 y, .u64 m", body), x, y, memory)
    value = 5
    for lane in range(32):  # lanes take effect in order
        assert int(y[lane]) == value
        value = ATOMICS[operation](value, int(x[lane]))
        if operation == "add":
            value = int(np.array(value % 2 ** int(bits), f"u{size}").view(dtype))
    assert int(memory[0]) == value


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_compare_and_swap(bits):
    register = {16: "%h", 32: "%r", 64: "%rd"}[bits]
    body = f"""
  ld.param.u64 %rd1, [m]; mov.u32 %r1, %tid.x; cvt.u{bits}.u32 {register}20, %r1;
  add.u{bits} {register}21, {register}20, 1;
  atom.global.cas.b{bits} {register}22, [%rd1], {register}20, {register}21;"""
    memory = ptxemu.aligned(1, f"u{bits // 8}", 0)
    launch(kernel(".u64 m", body), memory)
    assert memory[0] == 32  # each lane found what the one before had left


@pytest.mark.parametrize("name", ["f32", "f64", "f16x2", "f16", "bf16x2", "bf16"])
def test_atomic_sums_of_floats(name):
    register = {"f32": "%f", "f64": "%fd", "f16": "%h", "bf16": "%h"}.get(name, "%r")
    dtype = {"f32": "f4", "f64": "f8", "f16": "f2", "bf16": "u2", "f16x2": "f2"}.get(name, "u2")
    one = {"f32": "0f3F800000", "f64": "0d3FF0000000000000", "f16": "0x3C00", "bf16": "0x3F80"}
    one.update({"f16x2": "0x40003C00", "bf16x2": "0x40003F80"})
    move = "mov.b16" if register == "%h" else "mov.b32" if register == "%r" else f"mov.{name}"
    noftz = ".noftz" if "f16" in name else ""
    body = f"""
  ld.param.u64 %rd1, [m]; {move} {register}20, {one[name]};
  red.global.add{noftz}.{name} [%rd1], {register}20;"""
    target = 90 if "bf16" in name else 80
    ptxemu.set_device(target)
    memory = ptxemu.aligned(2, dtype, 0)
    launch(kernel(".u64 m", body, target=target), memory)
    got = memory if dtype != "u2" else (memory.astype("u4") << 16).view("f4")
    np.testing.assert_array_equal(got, [32, 64 if "x2" in name else 0])


def test_atomics_of_many_blocks_and_host_threads_exclude_each_other():
    body = """
  ld.param.u64 %rd1, [m]; atom.global.add.u32 %r1, [%rd1], 1;
  red.global.add.f32 [%rd1+4], 0f3F800000;"""
    memory = ptxemu.aligned(2, "uint32", 0)
    module = ptxemu.Module(kernel(".u64 m", body))
    module.launch("k", 64, 128, memory, threads=2)
    assert memory[0] == 64 * 128
    assert memory.view("f4")[1] == 64 * 128


def test_mov_packs_and_unpacks():
    x = random_array("uint64", 32)
    low, high, swapped = elementwise(
        """  .reg .b32 %lo, %hi;
  mov.b64 {%lo, %hi}, %x0; mov.u32 %y0, %lo; mov.b64 {_, %y1}, %x0;
  .reg .b16 %q<4>; mov.b64 {%q0, %q1, %q2, %q3}, %x0; mov.b64 %y2, {%q3, %q2, %q1, %q0};""",
        [x],
        [np.uint32, np.uint32, np.uint64],
    )
    np.testing.assert_array_equal(low, (x & 0xFFFFFFFF).astype("u4"))
    np.testing.assert_array_equal(high, (x >> np.uint64(32)).astype("u4"))
    np.testing.assert_array_equal(swapped.view("u2").reshape(-1, 4)[:, ::-1].ravel(), x.view("u2"))
