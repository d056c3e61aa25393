"""Registers, spills and shared memory of every CUDA kernel, against a table of what they were.

    python -m benchmarks.gpu_model.resources --build FOLDER --cuda 11.8|13.0 [--update]

Reads what nvcc said when it compiled csrc/*/*.cu in a build for GPUs and compares with
``benchmarks/gpu_model/resources-<CUDA>.json``. Exit code 1, with the kernels named, when one spills
to local memory or needs more registers or shared memory than the table says; ``--update`` writes
the table anew. These are facts of the compiler, not of a GPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

from csrc.ptx.runtime import simplified

ARCHITECTURES = {
    "11.8": (70, 75, 80, 86, 89, 90),
    "13.0": (75, 80, 86, 89, 90, 100, 120),
}


@dataclasses.dataclass(frozen=True)
class Resources:
    """What ptxas gives one kernel on one architecture."""

    registers: int
    shared: int  # bytes of static shared memory
    stack: int  # bytes of local memory per thread, spills included
    spills: int  # bytes stored and loaded

    def as_list(self) -> list[int]:
        return [self.registers, self.shared, self.stack, self.spills]


Table = dict[str, dict[str, Resources]]  # kernel -> architecture -> resources

_ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


def parse(log: str) -> list[tuple[str, str, Resources]]:
    """(mangled name, architecture, resources) of each kernel in what ``-Xptxas -v`` prints."""
    found = []
    name = arch = ""
    stack = spills = 0
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            name, arch = match.groups()
            stack = spills = 0
        elif match := _STACK.search(line):
            stack, spills = int(match[1]), int(match[2]) + int(match[3])
        elif (match := _USED.search(line)) and name:
            shared = _SHARED.search(line)
            resources = Resources(int(match[1]), int(shared[1]) if shared else 0, stack, spills)
            found.append((name, arch, resources))
            name = ""
    return found


def readable(mangled: Iterable[str]) -> dict[str, str]:
    """Kernel names as in the source, without the tags of anonymous namespaces and parameters."""
    names = sorted(set(mangled))
    out = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return {name: simplified(text) for name, text in zip(names, out)}


def measure(build: Path) -> Table:
    """Resources of every kernel, from the logs that CMake keeps beside the objects.

    Raises:
        RuntimeError: there are no logs, or one without kernels.
    """
    logs = sorted(build.glob("pygan_cuda_kernels/*/*.cu.o.log"))
    if not logs:
        raise RuntimeError(f"{build} is not a finished build with -DPYGAN_CUDA=ON.")
    rows = []
    for log in logs:
        stem = log.name.removesuffix(".cu.o.log")
        rows += [(stem, *row) for row in parse(log.read_text(encoding="utf-8"))]
    names = readable(mangled for _, mangled, _, _ in rows)
    table: Table = {}
    for stem, mangled, arch, resources in rows:
        table.setdefault(f"{stem}: {names[mangled]}", {})[arch] = resources
    return table


def read_table(path: Path) -> Table:
    content = json.loads(path.read_text(encoding="utf-8"))
    return {k: {a: Resources(*r) for a, r in v.items()} for k, v in content.items()}


def write_table(path: Path, table: Table) -> None:
    lines = [
        f"  {json.dumps(kernel)}: "
        + json.dumps({arch: table[kernel][arch].as_list() for arch in sorted(table[kernel])})
        for kernel in sorted(table)
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def worse(now: Table, golden: Table) -> list[str]:
    """One sentence for each kernel that spills, or needs more than the table says."""
    complaints = []
    for kernel, by_arch in sorted(now.items()):
        for arch, r in sorted(by_arch.items()):
            where = f"{kernel} on sm_{arch}"
            if r.spills:
                complaints.append(f"{where} spills {r.spills} bytes to local memory.")
            was = golden.get(kernel, {}).get(arch)
            if was is None:
                complaints.append(f"{where} is not in the table; run with --update.")
                continue
            for what, new, old in (
                ("registers", r.registers, was.registers),
                ("bytes of shared memory", r.shared, was.shared),
                ("bytes of stack", r.stack, was.stack),
            ):
                if new > old:
                    complaints.append(f"{where} needs {new} {what}; the table says {old}.")
    for kernel in sorted(set(golden) - set(now)):
        complaints.append(f"{kernel} is in the table and no longer in the code; run with --update.")
    return complaints


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="folder of CMake's build")
    parser.add_argument("--cuda", required=True, choices=sorted(ARCHITECTURES))
    parser.add_argument("--update", action="store_true", help="write the table anew")
    options = parser.parse_args(arguments)
    path = Path(__file__).with_name(f"resources-{options.cuda}.json")
    now = measure(options.build)
    missing = [
        str(a) for a in ARCHITECTURES[options.cuda] if not any(str(a) in r for r in now.values())
    ]
    if missing:
        print(f"{options.build} has no machine code for sm_{', sm_'.join(missing)}.")
        return 1
    count = sum(len(by_arch) for by_arch in now.values())
    if options.update:
        write_table(path, now)
        print(f"{path.name}: {len(now)} kernels, {count} entries.")
    golden = read_table(path) if path.exists() else {}
    complaints = worse(now, golden)
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(
            f"CUDA {options.cuda}: {len(now)} kernels on {count} entries: no spills, nothing grew."
        )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
