"""Races, uninitialised reads and barriers that do not fit: found, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import kernel, launch

from csrc.ptx import ptxemu

# Thread t has the address of word t in %r3, its neighbour's in %r4, that of the next warp in %r5.
SHARED = """
  .shared .align 16 .b8 words[512];
  mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; mov.u32 %r6, words; add.u32 %r3, %r6, %r2;
  xor.b32 %r4, %r2, 4; add.u32 %r4, %r4, %r6; xor.b32 %r5, %r2, 128; add.u32 %r5, %r5, %r6;
"""


def hazards(body: str, block: int = 64, **options) -> dict:
    return launch(kernel("", SHARED + body), block=block, **options)


def test_read_after_write_between_warps():
    body = "  st.shared.u32 [%r3], %r1; {0} ld.shared.u32 %r7, [%r5];"
    stats = hazards(body.format(""))
    assert stats["shared_races"] + stats["uninitialised_shared_reads"] > 0
    assert stats["shared_races"] > 0
    for part in ("read-after-write", "kernel k", "block (0,0,0)", "thread 32 (32,0,0)", "PTX line"):
        assert part in stats["first_hazard"] or "uninitialised" in stats["first_hazard"]
    assert hazards(body.format("bar.sync 0;"))["races"] == 0


def test_write_after_read_and_write_after_write_between_warps():
    read = """  setp.lt.u32 %p1, %r1, 32; st.shared.u32 [%r3], %r1; bar.sync 0;
  @%p1 ld.shared.u32 %r7, [%r5]; {0} @!%p1 st.shared.u32 [%r3], 1;"""
    stats = hazards(read.format(""))
    assert stats["shared_races"] == 32
    assert "write-after-read hazard at byte 128 with warp 0" in stats["first_hazard"]
    assert hazards(read.format("bar.sync 0;"))["races"] == 0
    write = "  st.shared.u32 [%r3], %r1; {0} st.shared.u32 [%r5], %r1;"
    assert "write-write" in hazards(write.format(""))["first_hazard"]
    assert hazards(write.format("bar.sync 0;"))["races"] == 0


@pytest.mark.parametrize("sync", ["bar.warp.sync -1;", "bar.sync 0;"])
def test_lanes_of_a_warp_need_synchronisation_too(sync):
    read = "  st.shared.u32 [%r3], %r1; {0} ld.shared.u32 %r7, [%r4];"
    stats = hazards(read.format(""), block=32)
    assert stats["warp_races"] == 32
    assert stats["shared_races"] == 0
    assert "same warp" in stats["first_hazard"]
    assert hazards(read.format(sync), block=32)["races"] == 0
    write = f"""  st.shared.u32 [%r3], %r1; {sync} ld.shared.u32 %r7, [%r4];
  {{0}} st.shared.u32 [%r3], 1;"""
    assert hazards(write.format(""), block=32)["warp_races"] == 32
    assert hazards(write.format(sync), block=32)["races"] == 0


@pytest.mark.parametrize(
    "exchange",
    [
        "shfl.sync.bfly.b32 %r8, %r1, 1, 31, -1;",
        "setp.eq.u32 %p1, 0, 0; vote.sync.ballot.b32 %r8, %p1, -1;",
        "match.any.sync.b32 %r8, %r1, -1;",
        "redux.sync.add.u32 %r8, %r1, -1;",
    ],
)
def test_lanes_that_wait_for_each_other_do_not_see_each_others_writes(exchange):
    """CUDA's programming guide promises no ordering of memory for any of these."""
    body = f"  st.shared.u32 [%r3], %r1; {exchange} ld.shared.u32 %r7, [%r4];"
    stats = hazards(body, block=32)
    assert stats["warp_races"] == 32
    assert "read-after-write" in stats["first_hazard"]


def test_a_thread_may_read_what_it_wrote_itself():
    body = """  st.shared.u32 [%r3], %r1; ld.shared.u32 %r7, [%r3]; st.shared.u32 [%r3], %r7;
  ld.shared.v2.u16 {%h1, %h2}, [%r3];"""
    assert hazards(body)["races"] == 0


def test_halves_of_a_word_belong_to_their_own_threads():
    body = """  shl.b32 %r7, %r1, 1; add.u32 %r7, %r7, %r6; cvt.u16.u32 %h1, %r1;
  st.shared.u16 [%r7], %h1; ld.shared.u16 %h2, [%r7]; st.shared.u8 [%r7], %h2;"""
    assert hazards(body)["races"] == 0


@pytest.mark.parametrize(("value", "races"), [("%r1", 31), ("7", 0)])
def test_lanes_that_store_to_one_place_at_once(value, races):
    stats = hazards(f"  st.shared.u32 [words], {value};", block=32)
    assert stats["warp_races"] == races
    y = ptxemu.aligned(1, "uint32", 0)
    body = f"  ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; st.global.u32 [%rd1], {value};"
    assert launch(kernel(".u64 y", body), y)["warp_races"] == races


def test_atomics_do_not_race_with_each_other_but_with_plain_accesses():
    body = """  setp.eq.u32 %p1, %r1, 0; @%p1 st.shared.u32 [words], 0; {0}
  atom.shared.add.u32 %r7, [words], 1; {1} ld.shared.u32 %r8, [words];"""
    assert hazards(body.format("bar.sync 0;", "bar.sync 0;"))["races"] == 0
    assert hazards(body.format("", "bar.sync 0;"))["races"] > 0
    assert hazards(body.format("bar.sync 0;", ""))["races"] > 0


def test_uninitialised_shared_and_local_reads():
    stats = hazards("  ld.shared.u32 %r7, [%r3];", block=32)
    assert stats["uninitialised_shared_reads"] == 32
    assert "uninitialised shared read at byte 0" in stats["first_hazard"]
    body = "  .local .align 8 .b8 slot[16]; {0} ld.local.u32 %r7, [slot+4];"
    assert launch(kernel("", body.format("")), block=1)["uninitialised_local_reads"] == 1
    written = body.format("st.local.u32 [slot+4], 1;")
    assert launch(kernel("", written), block=1)["uninitialised_local_reads"] == 0


def test_uninitialised_global_reads_of_fresh_memory():
    body = """
  ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2;
  setp.lt.u32 %p1, %r1, 20; @%p1 st.global.u32 [%rd1], %r1; ld.global.u32 %r2, [%rd1];"""
    x = ptxemu.aligned(32, "uint32", 0)
    stats = launch(kernel(".u64 x", body), x, fresh=[0])
    assert stats["uninitialised_global_reads"] == 12
    assert "'arg0' of 128 bytes, offset 80" in stats["first_hazard"]
    assert launch(kernel(".u64 x", body), x)["uninitialised_global_reads"] == 0


GLOBAL = """
  ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x;
  mad.lo.u32 %r3, %r2, 32, %r1; mul.wide.u32 %rd2, %r3, 4; add.s64 %rd2, %rd1, %rd2;
  mul.wide.u32 %rd3, %r1, 4; add.s64 %rd3, %rd1, %rd3;
"""


@pytest.mark.parametrize(
    ("body", "races"),
    [
        ("  st.global.u32 [%rd2], 1; ld.global.u32 %r4, [%rd2];", False),
        ("  ld.global.u32 %r4, [%rd3];", False),
        ("  red.global.add.u32 [%rd3], 1;", False),
        ("  st.global.u32 [%rd3], %r2;", True),
        ("  st.global.u32 [%rd2], 1; ld.global.u32 %r4, [%rd3];", True),
        ("  red.global.add.u32 [%rd3], 1; ld.global.u32 %r4, [%rd3];", True),
    ],
)
def test_races_between_blocks(body, races):
    x = ptxemu.aligned(128, "uint32", 0)
    text = kernel(".u64 x", GLOBAL + body)
    assert launch(text, x, grid=4)["races"] == 0  # not looked for
    ptxemu.set_global_races(True)
    stats = launch(text, x, grid=4)
    assert (stats["global_races"] > 0) == races
    if races:
        assert "global-memory" in stats["first_hazard"]
        assert "'arg0'" in stats["first_hazard"]


def test_a_fence_and_an_atomic_order_blocks():
    """The last block to finish reads what all have written."""
    body = (
        GLOBAL
        + """
  setp.lt.u32 %p3, %r1, 1; @%p3 st.global.u32 [%rd2], %r3; {0} bar.sync 0;
  @!%p3 ret;
  atom.global.add.u32 %r4, [%rd1+1024], 1; {0}
  setp.ne.u32 %p1, %r4, 3; @%p1 ret;
  ld.global.u32 %r5, [%rd1]; ld.global.u32 %r6, [%rd1+128];"""
    )
    ptxemu.set_global_races(True)
    x = ptxemu.aligned(300, "uint32", 0)
    assert launch(kernel(".u64 x", body.format("membar.gl;")), x, grid=4)["races"] == 0
    x[...] = 0
    assert launch(kernel(".u64 x", body.format("")), x, grid=4)["global_races"] == 2


def test_divergent_barriers_and_deadlocks():
    body = "  setp.lt.u32 %p1, %r1, 16; @%p1 bar.sync 0;"
    stats = hazards(body, block=32)
    assert stats["divergent_barriers"] == 1
    assert "0xffff" in stats["first_hazard"]
    with pytest.raises(ptxemu.PtxError, match="deadlock: warp 0 at barrier 1, warp 1 at ba"):
        hazards("  shr.u32 %r7, %r1, 5; add.u32 %r7, %r7, 1; bar.sync %r7, 64;")


def test_strict_mode_turns_hazards_into_errors():
    text = kernel("", SHARED + "  ld.shared.u32 %r7, [%r3];")
    launch(text)
    ptxemu.set_strict(True)
    with pytest.raises(ptxemu.PtxError, match="uninitialised shared read at byte 0: kernel k"):
        launch(text)


@pytest.mark.parametrize("offset", [-4, 128, 4000])
@pytest.mark.parametrize(("access", "verb"), [("ld.global.u32 %r2,", "read"), ("st", "write")])
def test_accesses_out_of_bounds_name_their_place(access, verb, offset):
    operation = f"{access} [%rd1+{offset}];"
    if verb == "write":
        operation = f"st.global.u32 [%rd1+{offset}], 1;"
    body = f"""
  .loc 1 42 7
  ld.param.u64 %rd1, [x]; mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 5; @%p1 {operation}"""
    text = kernel(".u64 x", body, head='.file 1 "/src/filter.cu"\n')
    x = ptxemu.aligned(32, "uint32", 0)
    with pytest.raises(ptxemu.PtxError) as error:
        launch(text, x, grid=(1, 2), block=(8, 2))
    for part in (
        f"out-of-bounds global {verb} of 4 bytes",
        "'arg0' of 128 bytes",
        f"offset {offset}",
        "kernel k",
        "block (0,0,0)",
        "thread 5 (5,0,0)",
        "filter.cu:42",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("ld.param.u64 %rd1, [x]; ld.global.u32 %r1, [%rd1+2];", "misaligned 4-byte global"),
        (".shared .b32 s[4]; ld.shared.u32 %r1, [s+2];", "misaligned 4-byte shared"),
        (".shared .b32 s[4]; st.shared.u32 [s+16], 1;", "out-of-bounds shared .* offset 16 of 16"),
        (".local .b32 s[4]; st.local.u32 [s+16], 1;", "out-of-bounds local .* offset 16 of 16"),
        (".local .b32 s[4]; ld.local.u64 %rd1, [s+4];", "misaligned 8-byte local"),
        ("mov.u64 %rd1, -8; ld.global.u64 %rd2, [%rd1];", "out-of-bounds global read"),
        ("mov.u64 %rd1, 0; ld.u32 %r1, [%rd1];", "out-of-bounds global read"),
        ("mov.u64 %rd1, 0; red.global.add.u32 [%rd1], 1;", "out-of-bounds global atomic"),
        ("bar.sync 16;", "barriers 0 to 15"),
        ("bar.sync 1, 33;", "multiple of 32"),
        ("trap;", "trap executed"),
    ],
)
def test_faults(body, message):
    x = ptxemu.aligned(8, "uint32", 0)
    with pytest.raises(ptxemu.PtxError, match=message):
        launch(kernel(".u64 x", body), x, block=1)


def test_memory_stays_registered_until_unregistered_as_often():
    """The same array, and a part of it, may be arguments of one launch."""
    x = ptxemu.aligned(64, "uint32", 0)
    body = """
  ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y]; ld.param.u64 %rd3, [z];
  st.global.u32 [%rd1+252], 1; st.global.u32 [%rd2], 2; st.global.u32 [%rd3+4], 3;"""
    text = kernel(".u64 x, .u64 y, .u64 z", body)
    launch(text, x, x, x[8:16], block=1)
    np.testing.assert_array_equal(np.flatnonzero(x), [0, 9, 63])
    with pytest.raises(ptxemu.PtxError, match="out-of-bounds"):
        launch(text, x[:8], x[:8], x[8:16], block=1)
