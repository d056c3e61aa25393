"""Builds pygan_cuda.so, the library of emulated kernels, with one bug seeded into its sources."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from tests.cuda.mutations import Mutation, Run

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "emulator"
OBJECTS = BUILD / "pygan_emulated_kernels"
EMULATED = Path(os.environ.get("PYGAN_EMULATED_DIR", ROOT / "build" / "emulated"))

_DEVICE_TYPES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}

# Mutants are compiled without what no call of mutant_calls.py needs (other types, filters and
# factors), which halves the compiler's work: [files, text, what takes its place]. A text that is
# not there any more costs time alone.
_OTHER_TYPES = {
    "float64": [("common/cuda_launch.cuh", "return body(double{});", "return;")],
    "float32": [("modulated_conv2d/weight_grad.cu", "return run_exact<kRows>(call);", "return;")],
    "float16": [
        ("common/cuda_launch.cuh", "return body(__half{});", "return;"),
        ("modulated_conv2d/staging.cuh", "return call(ProductTag<Product::float16>{});", "return;"),
        (
            "modulated_conv2d/weight_grad.cu",
            "return run_half<Product::float16, kRows>(call, arch < 80);",
            "return;",
        ),
    ],
    "bfloat16": [
        ("common/cuda_launch.cuh", "return body(__nv_bfloat16{});", "return;"),
        (
            "modulated_conv2d/staging.cuh",
            "return call(ProductTag<Product::bfloat16>{});",
            "return;",
        ),
        (
            "modulated_conv2d/weight_grad.cu",
            "return run_half<Product::bfloat16, kRows>(call, false);",
            "return;",
        ),
    ],
}
_LEFT_OUT = [
    ("modulated_conv2d/weight_grad.cu", "return run_tf32<kRows>(call);", "return;"),
    ("upfirdn2d/strip*.cuh", "launch_strip_factors<T, 4, true>(l, args, up, down);", ";"),
    ("upfirdn2d/strip*.cuh", "launch_strip_factors<T, 4, false>(l, args, up, down);", ";"),
    ("upfirdn2d/strip*.cuh", "launch(strip_kernel<T, 1, 2, kTaps, kSeparable, kEpilogue>);", ";"),
    ("upfirdn2d/strip*.cuh", "launch(strip_kernel<T, 1, 1, kTaps, kSeparable, kEpilogue>);", ";"),
    (
        "bias_act/sweep.cuh",
        "const auto launch = [&](auto act, auto rows, auto elements) {      ",
        "const auto launch = [&](auto act, auto rows, auto elements) {"
        " if constexpr (std::is_same<T, {type}>::value)",
    ),
]


def edit(csrc: Path, files: str, before: str, after: str) -> Path:
    """Replaces a text that must occur once in these files; returns the one that had it.

    Lines keep their numbers.
    """
    found = [path for path in sorted(csrc.glob(files)) if before in path.read_text()]
    assert len(found) == 1, f"{files}: {len(found)} files, not one, have: {before}"
    text = found[0].read_text()
    assert text.count(before) == 1, f"{found[0]}: {text.count(before)} times, not once: {before}"
    lines = before.count("\n") - after.count("\n")
    assert lines >= 0, f"more lines than before: {after}"
    found[0].write_text(text.replace(before, after + "\n" * lines))
    return found[0]


def mutated_sources(mutation: Mutation, csrc: Path) -> Path:
    """Makes a copy of csrc with the bug; returns the file that has it."""
    ignored = shutil.ignore_patterns("ptx", "paddle", "*.cpp")
    shutil.copytree(ROOT / "csrc", csrc, ignore=ignored)
    others = [edits for dtype, edits in _OTHER_TYPES.items() if dtype != mutation.dtype]
    for files, before, after in [*itertools.chain(*others), *_LEFT_OUT]:
        after = after.replace("{type}", _DEVICE_TYPES[mutation.dtype])
        for path in csrc.glob(files):
            path.write_text(path.read_text().replace(before, after))
    return edit(csrc, mutation.file, mutation.before, mutation.after)


def cached(name: str) -> str:
    """A path that the emulated build was configured with."""
    found = re.search(rf"^{name}:\w+=(.+)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return str(ROOT / found[1]) if found else ""


def unavailable() -> Optional[str]:
    """Why no mutant can be built, if so."""
    if not (BUILD / "CMakeCache.txt").exists() or not list(OBJECTS.glob("*/*.o")):
        return f"{OBJECTS} has no kernels of the emulated build. Run: make emulator"
    if not Path(cached("PYGAN_NVCC")).is_file():
        return f"{cached('PYGAN_NVCC')}, which built the emulated kernels, is gone."
    return None


def run(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(mutation: Mutation, folder: Path) -> Path:
    """Fills the folder with csrc/, as compiled, and the three libraries of the emulated build.

    Returns the file of csrc/ that has the bug.
    """
    edited = mutated_sources(mutation, folder / "csrc")
    source = folder / "csrc" / mutation.unit
    made = folder / "mutant.o"
    # As cmake/CudaKernels.cmake and cmake/Emulator.cmake do it, without optimising host code.
    host = cached("PYGAN_NVCC_HOST")
    run(
        [
            cached("PYGAN_NVCC"),
            *("-std=c++17", "-cudart", "shared", "-Xcompiler", "-fPIC,-fvisibility=hidden"),
            *("-I", str(folder / "csrc"), "-lineinfo", "-Xfatbin", "-compress=false"),
            *("-gencode", f"arch=compute_{mutation.arch},code=compute_{mutation.arch}"),
            *(("-ccbin", host) if host else ()),
            *("-c", str(source), "-o", str(made)),
        ]
    )
    replaced_object = OBJECTS / f"{mutation.unit}.o"
    others = [o for o in sorted(OBJECTS.glob("*/*.o")) if o != replaced_object]
    assert replaced_object.exists(), f"{replaced_object} is not an object of the build"
    libraries = [EMULATED / "libptxemu.so", *EMULATED.glob("libcudart.so.*")]
    for library in libraries:
        (folder / library.name).symlink_to(library)
    run(
        [
            *("g++", "-shared", "-o", str(folder / "pygan_cuda.so"), str(made)),
            *(str(path) for path in others),
            *("-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN"),
            *(str(folder / library.name) for library in libraries),
        ]
    )
    made.unlink()
    return edited


class Caller:
    """A process of tests.cuda.mutant_calls, which one thread at a time may ask."""

    def __init__(self) -> None:
        settings = {"OMP_NUM_THREADS": "1", "PTXEMU_THREADS": "1", "PYGAN_BACKEND": "emulate"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cuda.mutant_calls"],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def verdicts(self, libraries: Path, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """What comes of these runs, all of one architecture, on the kernels in a folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        (arch,) = {run.arch for run in runs}
        calls = [[run.call, run.dtype] for run in runs]
        request = {"libraries": str(libraries), "arch": arch, "calls": calls}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '"no answer"')
        assert isinstance(answer, list), f"{libraries}: the process that ran {runs}: {answer}"
        return answer

    def close(self) -> None:
        self._process.communicate()
