"""Branches, loops, calls, barriers."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import elementwise, kernel, launch

from csrc.ptx import ptxemu


def test_nested_divergent_loops():
    """Steps of the Collatz sequence: every lane leaves its loop at another time."""
    x = np.arange(1, 129, dtype=np.uint32)
    got = elementwise(
        """  mov.u32 %y0, 0; mov.u32 %r1, %x0;
loop:
  setp.eq.u32 %p1, %r1, 1; @%p1 bra done;
  and.b32 %r2, %r1, 1; setp.eq.u32 %p2, %r2, 0; @%p2 bra even;
  mad.lo.u32 %r1, %r1, 3, 1; bra next;
even:
  shr.u32 %r1, %r1, 1;
next:
  add.u32 %y0, %y0, 1; bra loop;
done:""",
        [x],
        [np.uint32],
    )

    def steps(n: int) -> int:
        return 0 if n == 1 else 1 + steps(n // 2 if n % 2 == 0 else 3 * n + 1)

    np.testing.assert_array_equal(got, [steps(int(n)) for n in x])


def test_early_exit_and_predication():
    body = """
  ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2;
  setp.lt.u32 %p1, %r1, 5; @%p1 exit;
  setp.gt.u32 %p2, %r1, 40; @%p2 bra last;
  st.global.u32 [%rd1], 1; ret;
last:
  @!%p2 trap;
  st.global.u32 [%rd1], 2;"""
    y = ptxemu.aligned(64, "uint32", 0)
    launch(kernel(".u64 y", body), y, block=64)
    lane = np.arange(64)
    np.testing.assert_array_equal(y, np.where(lane < 5, 0, np.where(lane > 40, 2, 1)))


def test_indexed_branch():
    x = (np.arange(32) % 3).astype(np.uint32)
    got = elementwise(
        """  ts: .branchtargets A, B, C;
  mov.u32 %y0, 0; brx.idx %x0, ts;
A: mov.u32 %y0, 10; bra join;
B: mov.u32 %y0, 20; bra join;
C: mov.u32 %y0, 30;
join: add.u32 %y0, %y0, 1;""",
        [x],
        [np.uint32],
    )
    np.testing.assert_array_equal(got, 10 * (x + 1) + 1)


FUNCTIONS = """
.func (.param .b32 result) halve(.param .b32 value) {
  .reg .b32 %a; .reg .pred %q;
  ld.param.u32 %a, [value];
  setp.gt.u32 %q, %a, 1000; @%q bra big;
  shr.u32 %a, %a, 1; st.param.u32 [result], %a; ret;
big:
  st.param.u32 [result], 7; ret;
}
.func (.param .align 8 .b8 pair[16]) twice(.param .b32 value, .param .b64 add) {
  .reg .b32 %a; .reg .b64 %b, %c;
  ld.param.u32 %a, [value]; ld.param.u64 %b, [add];
  { .param .b32 p; st.param.b32 [p], %a; .param .b32 r;
    call.uni (r), halve, (p); ld.param.b32 %a, [r]; }
  { .param .b32 p; st.param.b32 [p], %a; .param .b32 r;
    call.uni (r), halve, (p); ld.param.b32 %a, [r]; }
  cvt.u64.u32 %c, %a; add.s64 %b, %b, %c;
  st.param.v2.b64 [pair], {%c, %b}; ret;
}
"""
CALL = """
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; mov.u32 %r1, %tid.x; cvt.u64.u32 %rd3, %r1;
  mad.lo.u64 %rd4, %rd3, 4, %rd1; ld.global.u32 %r2, [%rd4]; mov.u64 %rd5, 0;
  mad.lo.u64 %rd7, %rd3, 8, %rd2;
  setp.eq.u32 %p1, %r1, 3; @%p1 bra over;
  { .param .b32 v; st.param.b32 [v], %r2; .param .b64 w; st.param.b64 [w], 100;
    .param .align 8 .b8 back[16];
    call.uni (back), twice, (v, w); ld.param.v2.b64 {%rd5, %rd6}, [back]; }
  add.s64 %rd5, %rd5, %rd6;
over:
  st.global.u64 [%rd7], %rd5;"""


def test_calls_of_device_functions_diverge_and_return():
    x = ptxemu.aligned(32, "uint32", np.arange(32) * 100)
    y = ptxemu.aligned(32, "uint64", 0)
    stats = launch(kernel(".u64 x, .u64 y", CALL, head=FUNCTIONS), x, y)

    def halve(v: int) -> int:
        return 7 if v > 1000 else v // 2

    want = [0 if i == 3 else 2 * halve(halve(100 * i)) + 100 for i in range(32)]
    np.testing.assert_array_equal(y, want)
    assert stats["uninitialised_local_reads"] == 0


def test_recursion_and_indirect_calls_are_refused_when_executed():
    loop = ".func again() { call.uni again; ret; }\n"
    with pytest.raises(ptxemu.PtxError, match="recursive call"):
        launch(kernel("", "  call.uni again;", head=loop))
    with pytest.raises(ptxemu.PtxError, match="indirect call"):
        launch(kernel("", "  mov.u64 %rd1, 0; call.uni %rd1, proto;"))
    with pytest.raises(ptxemu.PtxError, match="vprintf"):
        launch(kernel("", "  call.uni vprintf;"))


def test_barriers_order_warps():
    """Warps hand a value on through shared memory, one barrier per step."""
    body = """
  .shared .b32 cell[8];
  ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; shr.u32 %r2, %r1, 5; shl.b32 %r3, %r2, 2;
  mov.u32 %r4, cell; add.u32 %r4, %r4, %r3; and.b32 %r5, %r1, 31; setp.eq.u32 %p1, %r5, 0;
  @%p1 st.shared.u32 [%r4], %r2;
  mov.u32 %r6, 0;
loop:
  bar.sync 0;
  xor.b32 %r7, %r4, 4; @%p1 ld.shared.u32 %r8, [%r7];
  bar.sync 0;
  @%p1 st.shared.u32 [%r4], %r8;
  add.u32 %r6, %r6, 1; setp.lt.u32 %p2, %r6, 3; @%p2 bra loop;
  mul.wide.u32 %rd2, %r2, 4; add.s64 %rd1, %rd1, %rd2; @%p1 st.global.u32 [%rd1], %r8;"""
    y = ptxemu.aligned(4, "uint32", 0)
    stats = launch(kernel(".u64 y", body), y, block=128)
    np.testing.assert_array_equal(y, [1, 0, 3, 2])
    assert stats["races"] == 0


def test_barrier_reductions():
    body = """
  ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 40;
  bar.red.popc.u32 %r2, 0, %p1; bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, 64, !%p1;
  selp.u32 %r3, 100, 0, %p2; selp.u32 %r4, 1000, 0, %p3; add.u32 %r2, %r2, %r3;
  add.u32 %r2, %r2, %r4; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2;
  st.global.u32 [%rd1], %r2;"""
    y = ptxemu.aligned(64, "uint32", 0)
    launch(kernel(".u64 y", body), y, block=64)
    np.testing.assert_array_equal(y, 1040)


def test_named_barriers_synchronise_producers_with_consumers():
    """Warp 0 arrives without waiting, warp 1 waits: ordered one way, and no race."""
    body = """
  .shared .b32 cell[32];
  ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; and.b32 %r2, %r1, 31; shl.b32 %r3, %r2, 2;
  mov.u32 %r4, cell; add.u32 %r4, %r4, %r3; setp.lt.u32 %p1, %r1, 32; @!%p1 bra consumer;
  st.shared.u32 [%r4], %r1; bar.arrive 3, 64; ret;
consumer:
  bar.sync 3, 64; ld.shared.u32 %r5, [%r4];
  cvt.u64.u32 %rd2, %r3; add.s64 %rd1, %rd1, %rd2; st.global.u32 [%rd1], %r5;"""
    y = ptxemu.aligned(32, "uint32", 99)
    stats = launch(kernel(".u64 y", body), y, block=64)
    np.testing.assert_array_equal(y, np.arange(32))
    assert stats["races"] == 0


def test_warps_may_spin_on_one_another():
    body = """
  .shared .u32 flag;
  mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0; @%p1 st.volatile.shared.u32 [flag], 0; bar.sync 0;
  setp.ge.u32 %p1, %r1, 32; @%p1 bra setter;
wait:
  ld.volatile.shared.u32 %r2, [flag]; setp.eq.u32 %p2, %r2, 0; @%p2 bra wait; ret;
setter:
  st.volatile.shared.u32 [flag], 1;"""
    stats = launch(kernel("", body), block=64)
    assert stats["races"] == 0


def test_an_endless_loop_is_an_error():
    ptxemu.set_instruction_limit(3_000_000)
    with pytest.raises(ptxemu.PtxError, match="endless"):
        launch(kernel("", "forever: bra forever;"), block=1)


def test_the_clock_advances():
    body = """
  ld.param.u64 %rd1, [y]; mov.u32 %r1, %clock; nanosleep.u32 20; membar.gl; fence.acq_rel.gpu;
  mov.u64 %rd2, %clock64; mov.u32 %r3, %clock_hi; cvt.u32.u64 %r2, %rd2; sub.u32 %r2, %r2, %r1;
  add.u32 %r2, %r2, %r3; st.global.u32 [%rd1], %r2;"""
    y = ptxemu.aligned(1, "uint32", 0)
    launch(kernel(".u64 y", body), y, block=1)
    assert y[0] == 4
