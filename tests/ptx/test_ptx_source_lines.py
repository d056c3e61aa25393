"""Where messages say that a kernel went wrong: `.loc`, through inlined functions."""

from __future__ import annotations

import pytest

from csrc.ptx import ptxemu
from tests.ptx.ptx_text import kernel, launch

HEAD = """
.file 1 "/project/kernel.cu"
.file 2 "/project/pieces.cuh"
.file 3 "/cuda/include/cuda_fp16.hpp"
"""
FAULT = "ld.global.u32 %r1, [%rd1];"  # of address 0
# A piece of a header, called in line 20 of pieces.cuh by what kernel.cu calls in line 50.
INLINED = """
  .loc 1 50 3
  .loc 2 20 5, function_name $outer, inlined_at 1 50 3
  .loc 3 9 7, function_name $inner+12, inlined_at 2 20 5
"""


def fault(locations: str) -> str:
    """What the message of a fault says from the place on."""
    with pytest.raises(ptxemu.PtxError) as error:
        launch(kernel("", f"  mov.u64 %rd1, 0;\n{locations}\n  {FAULT}", head=HEAD), block=1)
    message = str(error.value)
    return message.partition("thread 0 (0,0,0), ")[2]


def test_a_line_of_the_kernel_itself():
    assert fault("  .loc 1 50 3").startswith("kernel.cu:50: ld.global")


def test_an_inlined_function_is_followed_by_its_callers():
    message = fault(INLINED)
    assert message.startswith("cuda_fp16.hpp:9 (inlined at pieces.cuh:20, kernel.cu:50): ld.global")


def test_the_latest_of_several_calls_of_the_caller_counts():
    again = "  .loc 2 20 5, function_name $outer, inlined_at 1 60 3\n"
    last = "  .loc 3 9 7, function_name $inner, inlined_at 2 20 5\n"
    assert "(inlined at pieces.cuh:20, kernel.cu:60)" in fault(INLINED + again + last)


def test_a_call_in_the_same_line_is_told_apart_by_its_column():
    other = """
  .loc 2 20 30, function_name $outer, inlined_at 1 70 3
  .loc 3 9 7, function_name $inner, inlined_at 2 20 5
"""
    assert "(inlined at pieces.cuh:20, kernel.cu:50)" in fault(INLINED + other)


def test_a_call_that_no_loc_names_has_no_callers():
    alone = "  .loc 3 9 7, function_name $inner, inlined_at 2 21 5"
    assert fault(alone).startswith("cuda_fp16.hpp:9 (inlined at pieces.cuh:21): ld.global")


def test_calls_are_those_of_the_same_kernel():
    body = "  .loc 3 9 7, function_name $inner, inlined_at 2 20 5\n"
    first = kernel("", f"  mov.u64 %rd1, 0;\n{INLINED}\n  {FAULT}", head=HEAD)
    second = ".visible .entry other()\n{\n  .reg .b32 %r<2>;\n  .reg .b64 %rd<2>;\n"
    second += f"  mov.u64 %rd1, 0;\n{body}  {FAULT}\n  ret;\n}}\n"
    with pytest.raises(ptxemu.PtxError, match=r"\(inlined at pieces.cuh:20\): ld.global"):
        ptxemu.Module(first + second).launch("other", 1, 1)


def test_a_function_may_be_inlined_into_itself():
    recursive = """
  .loc 2 20 5, function_name $outer, inlined_at 1 50 3
  .loc 2 20 5, function_name $outer, inlined_at 2 20 5
"""
    assert "pieces.cuh:20 (inlined at pieces.cuh:20, kernel.cu:50)" in fault(recursive)


def test_code_of_the_compiler_has_a_line_of_the_ptx():
    assert fault("  .loc 1 50 3\n  .loc 1 0 3").startswith("PTX line ")


def test_instructions_after_the_directive_are_not_swallowed():
    body = "  .loc 1 50 3, function_name $f, inlined_at 1 60 3\n  mov.u64 %rd1, 0;\n  "
    with pytest.raises(ptxemu.PtxError, match=r"kernel.cu:50 \(inlined at kernel.cu:60\)"):
        launch(kernel("", body + FAULT, head=HEAD), block=1)
    malformed = "  .loc 1 50 3, function_name $f, inlined_at\n  mov.u64 %rd1, 0;\n  "
    with pytest.raises(ptxemu.PtxError, match="expected a number"):
        launch(kernel("", malformed + FAULT, head=HEAD), block=1)
