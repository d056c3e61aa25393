"""Registers, spills and shared memory of every CUDA kernel, against a table of what they were.

    python -m benchmarks.gpu_model.resources --nvcc NVCC [--host-compiler GXX] [--update]

Compiles csrc/*/*.cu for all architectures of the compiler and compares with
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
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

from csrc.ptx.runtime import simplified

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = {
    "11.8": (70, 75, 80, 86, 89, 90),
    "13.0": (75, 80, 86, 89, 90, 100, 120),
}
# Registers beyond the table that are let pass: compilers of one release differ by less.
TOLERATED_REGISTERS = 0


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


def compile_file(
    source: Path, nvcc: str, host_compiler: Optional[str], archs: Sequence[int]
) -> list[tuple[str, str, Resources]]:
    """Compile one file for all architectures at once and read what ptxas says.

    Raises:
        RuntimeError: the compiler refuses it, with its words.
    """
    command = [nvcc, "-std=c++17", "-O3", "-I", str(ROOT / "csrc"), "-Xptxas", "-v"]
    if host_compiler:
        command += ["-ccbin", host_compiler]
    for arch in archs:
        command += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
    with tempfile.TemporaryDirectory() as folder:
        command += ["-c", str(source), "-o", str(Path(folder) / "kernel.o")]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{source.name} does not compile:\n{run.stderr}")
    return parse(run.stderr)


def cuda_release(nvcc: str) -> str:
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"release (\d+\.\d+)", text)
    if match is None:
        raise RuntimeError(f"{nvcc} --version names no release.")
    return match[1]


def measure(nvcc: str, host_compiler: Optional[str], jobs: int) -> Table:
    """Resources of every kernel of the project."""
    archs = ARCHITECTURES[cuda_release(nvcc)]
    sources = sorted((ROOT / "csrc").glob("*/*.cu"))
    with ThreadPoolExecutor(jobs) as pool:
        runs = pool.map(lambda s: (s, compile_file(s, nvcc, host_compiler, archs)), sources)
        rows = [(s.stem, *row) for s, found in runs for row in found]
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
                ("registers", r.registers, was.registers + TOLERATED_REGISTERS),
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
    parser.add_argument("--nvcc", required=True)
    parser.add_argument("--host-compiler")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--update", action="store_true", help="write the table anew")
    options = parser.parse_args(arguments)
    release = cuda_release(options.nvcc)
    if release not in ARCHITECTURES:
        print(f"CUDA {release} has no table; there are {', '.join(ARCHITECTURES)}.")
        return 2
    path = Path(__file__).with_name(f"resources-{release}.json")
    now = measure(options.nvcc, options.host_compiler, options.jobs)
    count = sum(len(by_arch) for by_arch in now.values())
    if options.update:
        write_table(path, now)
        print(f"{path.name}: {len(now)} kernels, {count} entries.")
    golden = read_table(path) if path.exists() else {}
    complaints = worse(now, golden)
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(f"CUDA {release}: {len(now)} kernels on {count} entries: no spills, nothing grew.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
