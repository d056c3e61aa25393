"""PTX kernels for tests, written as text so that no CUDA compiler is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from csrc.ptx import ptxemu

COUNT = 256  # elements of the operands below

HEADER = """.version 7.8
.target sm_{target}
.address_size 64
"""

REGISTERS = """
  .reg .pred %p<16>;
  .reg .b16 %h<32>;
  .reg .b32 %r<64>;
  .reg .f32 %f<64>;
  .reg .b64 %rd<64>;
  .reg .f64 %fd<32>;
"""

# Register class and load/store type of a numpy type.
TYPES = {
    "uint8": (".b16", "u8"),
    "int8": (".b16", "s8"),
    "uint16": (".b16", "b16"),
    "int16": (".b16", "b16"),
    "float16": (".b16", "b16"),
    "uint32": (".b32", "b32"),
    "int32": (".b32", "b32"),
    "float32": (".f32", "f32"),
    "uint64": (".b64", "b64"),
    "int64": (".b64", "b64"),
    "float64": (".f64", "f64"),
}


def kernel(
    parameters: str, body: str, target: int = 80, head: str = "", directives: str = ""
) -> str:
    """A module with one kernel `k`. `parameters` lists types: ".u64 x, .u32 n"."""
    listed = ",\n".join("  .param " + p.strip() for p in parameters.split(",") if p.strip())
    return (
        HEADER.format(target=target)
        + head
        + f".visible .entry k(\n{listed}\n) {directives}\n{{{REGISTERS}{body}\n  ret;\n}}\n"
    )


def launch(text: str, *arguments: Any, grid: Any = 1, block: Any = 32, **options: Any) -> Any:
    return ptxemu.Module(text).launch("k", grid, block, *arguments, threads=1, **options)


def elementwise(body: str, inputs: list[np.ndarray], outputs: list[Any], target: int = 80) -> Any:
    """Runs `body` on each element: inputs are registers %x0, %x1, ...; outputs are %y0, ..."""
    count = len(inputs[0])
    lines = ["  .reg .b64 %base, %at, %index;", "  .reg .b32 %tid, %cta;"]
    lines += [
        "  mov.u32 %tid, %tid.x;",
        "  mov.u32 %cta, %ctaid.x;",
        "  mad.lo.u32 %tid, %cta, 32, %tid;",
        "  cvt.u64.u32 %index, %tid;",
    ]
    loads, stores = [], []
    for i, array in enumerate(inputs):
        register, memory = TYPES[array.dtype.name]
        lines.append(f"  .reg {register} %x{i};")
        loads += [
            f"  ld.param.u64 %base, [in{i}];",
            f"  mad.lo.u64 %at, %index, {array.dtype.itemsize}, %base;",
            f"  ld.global.{memory} %x{i}, [%at];",
        ]
    results = []
    for i, dtype in enumerate(outputs):
        array = ptxemu.aligned(count, dtype, 0)
        results.append(array)
        register, memory = TYPES[array.dtype.name]
        lines.append(f"  .reg {register} %y{i};")
        stores += [
            f"  ld.param.u64 %base, [out{i}];",
            f"  mad.lo.u64 %at, %index, {array.dtype.itemsize}, %base;",
            f"  st.global.{memory} [%at], %y{i};",
        ]
    assert count % 32 == 0, "whole warps only"
    names = [f"in{i}" for i in range(len(inputs))] + [f"out{i}" for i in range(len(outputs))]
    text = kernel(
        ", ".join(".u64 " + n for n in names), "\n".join([*lines, *loads, body, *stores]), target
    )
    arguments = [ptxemu.aligned(a.shape, a.dtype, a) for a in inputs]
    launch(text, *arguments, *results, grid=count // 32)
    return results[0] if len(results) == 1 else results


def dtype_of(name: str) -> np.dtype:
    return np.dtype({"u": "u", "s": "i"}[name[0]] + str(int(name[1:]) // 8))


def operands(name: str, number: int, seed: int = 0) -> list[np.ndarray]:
    """Random bits, small numbers and extremes."""
    rng = np.random.default_rng(seed)
    dtype = dtype_of(name)
    info = np.iinfo(dtype)
    arrays = []
    for _ in range(number):
        values = rng.integers(info.min, info.max, COUNT, dtype, endpoint=True)
        values[::4] = rng.integers(0, 10, COUNT // 4)
        values[1::16] = info.min
        values[2::16] = info.max
        arrays.append(values)
    return arrays
