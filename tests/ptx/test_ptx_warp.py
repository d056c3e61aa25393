"""Exchange between lanes: shfl, vote, match, redux."""

from __future__ import annotations

import numpy as np
import pytest
from ptx_text import elementwise, kernel, launch

from csrc.ptx import ptxemu

LANES = np.arange(32)


def shuffled(mode: str, lane: int, step: int, last: int, segment: int) -> tuple[int, bool]:
    """The source lane, and whether it is inside the segment, as the PTX ISA defines shfl."""
    bound = (lane & segment) | (last & ~segment & 31)
    source = {
        "up": lane - step,
        "down": lane + step,
        "bfly": lane ^ step,
        "idx": (lane & segment) | (step & ~segment & 31),
    }[mode]
    inside = source >= bound if mode == "up" else source <= bound
    return (source if inside else lane), inside


@pytest.mark.parametrize("width", [32, 16, 8])
@pytest.mark.parametrize("step", [1, 3, 16])
@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
def test_shuffles(mode, step, width):
    x = np.random.default_rng(0).integers(0, 2**32, 32, np.uint32)
    segment = 32 - width
    last = 0 if mode == "up" else 31
    control = segment << 8 | last
    got, inside = elementwise(
        f"  shfl.sync.{mode}.b32 %y0|%p1, %x0, {step}, {control}, 0xffffffff;\n"
        "  selp.u32 %y1, 1, 0, %p1;",
        [x],
        [np.uint32] * 2,
    )
    want = [shuffled(mode, lane, step, last, segment) for lane in range(32)]
    np.testing.assert_array_equal(got, [x[source] for source, _ in want])
    np.testing.assert_array_equal(inside, [ok for _, ok in want])


def test_votes():
    x = np.random.default_rng(1).integers(0, 2, 32).astype(np.uint32)
    ballot, none, some, every = elementwise(
        """  setp.ne.u32 %p1, %x0, 0;
  vote.sync.ballot.b32 %y0, %p1, -1; vote.sync.ballot.b32 %y1, !%p1, -1;
  vote.sync.any.pred %p2, %p1, -1; selp.u32 %y2, 1, 0, %p2;
  vote.sync.all.pred %p2, %p1, -1; selp.u32 %y3, 1, 0, %p2;
  activemask.b32 %r1; setp.ne.u32 %p3, %r1, -1; @%p3 trap;""",
        [x],
        [np.uint32] * 4,
    )
    bits = int((x.astype(np.uint64) << LANES.astype(np.uint64)).sum())
    assert set(ballot) == {bits}
    assert set(none) == {bits ^ 0xFFFFFFFF}
    assert set(some) == {1}
    assert set(every) == {0}


def test_match():
    x = np.random.default_rng(2).integers(0, 5, 32).astype(np.uint64)
    same, everyone = elementwise(
        "  match.any.sync.b64 %y0, %x0, -1;\n  match.all.sync.b64 %y1|%p1, %x0, -1;\n  @%p1 trap;",
        [x],
        [np.uint32] * 2,
    )
    want = [sum(1 << j for j in range(32) if x[j] == x[i]) for i in range(32)]
    np.testing.assert_array_equal(same, want)
    np.testing.assert_array_equal(everyone, 0)


@pytest.mark.parametrize(
    ("operation", "apply"),
    [
        ("add.s32", lambda x: x.sum(dtype=np.int64)),
        ("min.s32", np.min),
        ("max.u32", lambda x: x.view(np.uint32).max()),
        ("and.b32", np.bitwise_and.reduce),
        ("or.b32", np.bitwise_or.reduce),
        ("xor.b32", np.bitwise_xor.reduce),
    ],
)
def test_redux(operation, apply):
    x = np.random.default_rng(3).integers(-(2**31), 2**31, 32).astype(np.int32)
    got = elementwise(f"  redux.sync.{operation} %y0, %x0, -1;", [x], [np.uint32])
    assert set(got) == {int(apply(x)) % 2**32}


def test_lane_identities():
    x = np.zeros(32, np.uint32)
    names = ["laneid", "lanemask_eq", "lanemask_lt", "lanemask_le", "lanemask_gt", "lanemask_ge"]
    body = "\n".join(f"  mov.u32 %y{i}, %{name};" for i, name in enumerate(names))
    got = elementwise(body, [x], [np.uint32] * len(names))
    bit = np.uint64(1) << LANES.astype(np.uint64)
    everything = np.uint64(2**32 - 1)
    want = [LANES, bit, bit - 1, 2 * bit - 1, everything ^ (2 * bit - 1), everything ^ (bit - 1)]
    for name, result, expected in zip(names, got, want):
        np.testing.assert_array_equal(result, expected, err_msg=name)


def test_a_shuffle_of_lanes_that_are_elsewhere_is_an_error():
    body = """
  mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 8; @%p1 bra skip;
  shfl.sync.down.b32 %r2, %r1, 1, 31, -1;
skip:"""
    with pytest.raises(ptxemu.PtxError, match=r"shfl.*0xffffffff.*0xffffff00.*PTX line"):
        launch(kernel("", body))


def test_a_vote_by_a_lane_outside_the_mask_is_an_error():
    body = "  setp.eq.u32 %p1, 0, 0; vote.sync.ballot.b32 %r2, %p1, 0xff;"
    with pytest.raises(ptxemu.PtxError, match="leaves out"):
        launch(kernel("", body))
