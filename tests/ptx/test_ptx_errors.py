"""What the emulator refuses: text that is not PTX, other architectures, impossible launches."""

from __future__ import annotations

import contextlib
import random
import re

import numpy as np
import pytest
from ptx_text import HEADER, kernel, launch

from csrc.ptx import ptxemu

VALID = kernel(
    ".u64 x, .u32 n",
    """
  .shared .align 16 .b8 tile[256];
  .local .b32 slot[4];
  ld.param.u64 %rd1, [x]; ld.param.u32 %r9, [n];
  mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2;
  ld.global.u32 %r2, [%rd1]; mov.u32 %r3, tile; shl.b32 %r4, %r1, 2; add.u32 %r3, %r3, %r4;
  st.shared.u32 [%r3], %r2; bar.sync 0;
  ld.shared.v4.u32 {%r5, %r6, %r7, %r8}, [tile+16];
  setp.gt.u32 %p1, %r9, 100; @%p1 bra low;
  shfl.sync.idx.b32 %r2|%p2, %r5, 0, 31, -1;
low:
  { .reg .f32 %f<3>; cvt.rn.f32.u32 %f1, %r2; fma.rn.f32 %f2, %f1, 0f3F800000, %f1; }
  st.local.u32 [slot], %r5; ld.local.u32 %r5, [slot];
  atom.global.add.u32 %r6, [%rd1], 1;
  mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f10, %f11, %f12, %f13}, {%r5, %r6}, {%r7},
    {%f10, %f11, %f12, %f13};
  st.global.u32 [%rd1], %r5;""",
    head=".global .align 4 .b32 table[4] = {1, 2, 3, 4};\n",
)


@pytest.mark.parametrize("length", range(0, len(VALID), 41))
def test_truncated_text_is_an_error_or_has_no_kernel(length):
    text = VALID[:length] + "\n"
    if length < VALID.index(".visible"):  # only whole declarations, or half a line
        with contextlib.suppress(ptxemu.PtxError):
            assert not ptxemu.Module(text).kernels
    else:
        with pytest.raises(ptxemu.PtxError, match="PTX line"):
            ptxemu.Module(text)


def change_character(text: str, rng: random.Random) -> str:
    i = rng.randrange(len(text))
    return text[:i] + chr(rng.randrange(32, 127)) + text[i + 1 :]


def change_number(text: str, rng: random.Random) -> str:
    i = rng.choice([k for k, c in enumerate(text) if c.isdigit()])
    return text[:i] + str(rng.choice([0, 1, 3, 7, 31, 64, 2**31, 2**63])) + text[i + 1 :]


def change_word(text: str, rng: random.Random) -> str:
    words = re.findall(r"[%.\w]+", text)
    return text.replace(rng.choice(words), rng.choice(words), 1)


def change_statements(text: str, rng: random.Random) -> str:
    """One is missing, repeated or elsewhere."""
    statements = text.split(";")
    taken = statements.pop(rng.randrange(len(statements) - 1))
    for _ in range(rng.randrange(3)):
        statements.insert(rng.randrange(len(statements)), taken)
    return ";".join(statements)


def mutate(text: str, rng: random.Random) -> str:
    changes = [change_character, change_number, change_number, change_word, change_statements]
    for _ in range(rng.randint(1, 3)):
        text = rng.choice(changes)(text, rng)
    return text


def test_the_text_that_is_mutated_runs():
    x = ptxemu.aligned(32, np.uint32, 1)
    stats = launch(VALID, x, 5)
    assert stats["races"] == stats["uninitialised_shared_reads"] == 0
    np.testing.assert_array_equal(x, 1)


@pytest.mark.parametrize("batch", range(8))
def test_mutated_text_never_crashes(batch):
    """It loads and runs, or it is a PtxError; nothing else happens."""
    ptxemu.set_instruction_limit(100_000)
    outcomes = {"ran": 0, "refused": 0}
    for seed in range(50):
        text = mutate(VALID, random.Random(1000 * batch + seed))
        x = ptxemu.aligned(32, np.uint32, 1)
        try:
            module = ptxemu.Module(text + "\n")
            for name, parameters in module.kernels.items():
                arguments = [x if p.size == 8 else 5 for p in parameters]
                module.launch(name, 1, 32, *arguments, threads=1)
            outcomes["ran"] += 1
        except (ptxemu.PtxError, OverflowError):
            outcomes["refused"] += 1
    assert outcomes["ran"] + outcomes["refused"] == 50
    assert min(outcomes.values()) > 5


def test_garbage_is_refused():
    for text in (
        "",
        "hello\n",
        "\x01\x02\n",
        "{" * 1000 + "\n",
        ".entry\n",
        ".visible .entry k(\n",
    ):
        if text.strip():
            with pytest.raises(ptxemu.PtxError):
                ptxemu.Module(text + "\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("add.u32 %r1, %r2;", "missing operand"),
        ("add.u32 %r1, %r2, %rd3;", "register %rd3 has 64 bits, 32 are needed"),
        ("add.f32 %f1, %f2, %nothing;", "unknown name %nothing"),
        ("mov.u32 %r1, %p1;", "predicate %p1 used as a value"),
        ("bra nowhere;", "unknown label nowhere"),
        ("@%p99 exit;", "unknown predicate %p99"),
        ("ld.global.v4.u32 {%r1, %r2}, [%rd1];", "wrong number of elements"),
        ("ld.global.u32 %r1, %rd1;", "an address operand is needed"),
        (".reg .b32 %x<0>;", "between 1 and"),
        (".shared .align 3 .b8 s[4];", "power of two"),
        (".shared .b64 s[9999999999];", "1 GiB"),
        ("mov.u32 %r1, 0xZZ;", "malformed number"),
    ],
)
def test_errors_name_the_line(body, message):
    with pytest.raises(ptxemu.PtxError, match=message) as error:
        ptxemu.Module(kernel("", body))
    assert "PTX line" in str(error.value)


@pytest.mark.parametrize(
    "opcode",
    [
        "wgmma.fence.sync.aligned;",
        "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r1], {%r2};",
        "cp.async.bulk.commit_group;",
        "mbarrier.init.shared.b64 [%r1], 1;",
        "tex.2d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [%rd1, {%r1, %r2}];",
        "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.xor.popc {%r1}, {%r2}, {%r3}, {%r4};",
        "frobnicate.u32 %r1, %r2;",
    ],
)
def test_unsupported_instructions_fail_only_when_executed(opcode):
    skipped = kernel("", f"  setp.eq.u32 %p1, 0, 1;\n  @%p1 {opcode}")
    launch(skipped)
    executed = kernel("", f"  .loc 1 77 1\n  {opcode}", head='.file 1 "k.cu"\n')
    with pytest.raises(ptxemu.PtxError) as error:
        launch(executed)
    for part in ("unsupported instruction", opcode.split()[0].rstrip(";"), "k.cu:77", "kernel k"):
        assert part in str(error.value)


# ---- architectures

NEEDS = [
    ("cp.async.commit_group;", 80, 75),
    ("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r2];", 75, 70),
    ("redux.sync.add.u32 %r1, %r2, -1;", 80, 75),
    ("cvt.rn.bf16.f32 %h1, %f1;", 80, 75),
    ("tanh.approx.f32 %f1, %f2;", 75, 70),
    (
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, "
        "{%r1, %r2, %r3, %r4}, {%r5, %r6}, {%f1, %f2, %f3, %f4};",
        80,
        75,
    ),
    ("add.bf16 %h1, %h2, %h3;", 90, 80),
]


@pytest.mark.parametrize(("opcode", "needed", "target"), NEEDS)
def test_instructions_newer_than_their_target_are_refused(opcode, needed, target):
    ptxemu.set_device(90)
    guarded = f"  setp.eq.u32 %p1, 0, 1;\n  @%p1 {opcode}"
    launch(kernel("", guarded, target=needed))
    with pytest.raises(ptxemu.PtxError, match=f"needs sm_{needed}, the module targets sm_{target}"):
        launch(kernel("", guarded, target=target))


def test_modules_for_a_newer_device_are_refused():
    ptxemu.set_device(75)
    launch(kernel("", "", target=75))
    with pytest.raises(ptxemu.PtxError, match="targets sm_80, the device is sm_75"):
        launch(kernel("", "", target=80))
    with pytest.raises(ptxemu.PtxError, match="unknown architecture 61"):
        ptxemu.set_device(61)


OPT_IN = {70: 96, 75: 64, 80: 163, 86: 99, 89: 99, 90: 227}


@pytest.mark.parametrize("arch", OPT_IN)
def test_limits_of_shared_memory(arch):
    ptxemu.set_device(arch)
    text = kernel("", "", target=70)
    limit = OPT_IN[arch] * 1024
    launch(text, smem=limit)
    with pytest.raises(ptxemu.PtxError, match=f"sm_{arch} has at most {limit}"):
        launch(text, smem=limit + 1)
    assert ptxemu.device_attribute(97) == limit
    assert 10 * ptxemu.device_attribute(75) + ptxemu.device_attribute(76) == arch
    assert ptxemu.device_attribute(10) == 32
    assert ptxemu.device_attribute(12345) == -1


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((0,), (32,), "have 1 to"),
        ((1,), (0,), "have threads"),
        ((1, 65536), (32,), "have 1 to"),
        ((1,), (1025,), "at most 1024 threads"),
        ((1,), (32, 33), "at most 1024 threads"),
        ((1,), (1, 1, 65), "64 in z"),
    ],
)
def test_limits_of_grids_and_blocks(grid, block, message):
    with pytest.raises(ptxemu.PtxError, match=message):
        launch(kernel("", ""), grid=grid, block=block)


def test_launch_bounds():
    bounded = kernel("", "", directives=".maxntid 128, 1, 1\n.minnctapersm 2\n.maxnreg 64")
    bounds = launch(bounded, block=128)["launch_bounds"]
    assert bounds == {"max_threads": 128, "min_blocks": 2, "max_registers": 64}
    with pytest.raises(ptxemu.PtxError, match=r"at most 128 threads \(.maxntid\)"):
        launch(bounded, block=160)
    required = kernel("", "", directives=".reqntid 64, 2")
    launch(required, block=(64, 2))
    with pytest.raises(ptxemu.PtxError, match="reqntid"):
        launch(required, block=128)


def test_static_shared_memory_is_limited_to_48_kib():
    text = kernel("", "  .shared .b8 big[49153];")
    with pytest.raises(ptxemu.PtxError, match="static shared memory: at most 49152"):
        launch(text)


def test_unknown_kernels_and_wrong_arguments():
    module = ptxemu.Module(VALID)
    assert [(p.offset, p.size, p.kind) for p in module.kernels["k"]] == [(0, 8, "i"), (8, 4, "i")]
    with pytest.raises(ptxemu.PtxError, match="no kernel missing: there are k"):
        module.launch("missing", 1, 1)
    with pytest.raises(TypeError, match="takes 2 arguments, not 1"):
        module.launch("k", 1, 1, 5)
    with pytest.raises(ValueError, match="not contiguous"):
        module.launch("k", 1, 1, np.zeros((4, 4), np.uint32)[:, 1], 4)


def test_both_toolkits_headers_are_understood():
    for version in ("7.8", "9.0"):
        text = kernel("", "").replace("7.8", version)
        text += '\n.section .debug_str { info_string0:\n.b8 95,90,0 }\n.pragma "nounroll";\n'
        launch(text)
    assert HEADER.startswith(".version 7.8")
