"""The native kernels as a ctypes library, for tests that need no Paddle operator.

``native_lib`` is the built extension (``pygan/_C*.so``) where it exports the test entry points and
is newer than the kernels' sources; otherwise those sources compiled with g++ into a temporary
folder that later runs reuse until a source changes.
"""

import ctypes
import glob
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
COMMON_FLAGS = [
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fopenmp",
    f"-I{CSRC}",
]
X86_LEVELS = {
    "baseline": ["-march=x86-64-v2", "-DPYGAN_VECTOR_BYTES=16"],
    "avx2": ["-march=x86-64-v3", "-DPYGAN_VECTOR_BYTES=32"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512", "-DPYGAN_VECTOR_BYTES=64"],
}


def _sources() -> list[Path]:
    return sorted(s for s in CSRC.glob("*/*.cpp") if s.parent.name != "paddle")


def _openmp_runtime() -> list[str]:
    """Paddle's own OpenMP runtime, so that the process has one pool of threads."""
    try:
        import paddle
    except ImportError:
        return ["-fopenmp"]
    library = Path(paddle.__file__).parent / "libs" / "libiomp5.so"
    if not library.exists():
        return ["-fopenmp"]
    return [str(library), f"-Wl,-rpath,{library.parent}"]


def _compile(compiler: str, target: Path) -> None:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    levels = X86_LEVELS if x86 else {"baseline": ["-DPYGAN_VECTOR_BYTES=16"]}
    define = ["-DPYGAN_HAVE_X86_LEVELS"] if x86 else []
    with tempfile.TemporaryDirectory() as folder:
        commands, objects = [], []
        for source in _sources():
            variants = levels if source.stem.endswith("_kernels") else {"": []}
            for level, flags in variants.items():
                out = f"{folder}/{source.parent.name}_{source.stem}_{level}.o"
                isa = [f"-DPYGAN_ISA={level}"] if level else (["-march=x86-64-v2"] if x86 else [])
                commands.append(
                    [compiler, *COMMON_FLAGS, *define, *flags, *isa, "-c", str(source), "-o", out]
                )
                objects.append(out)
        with ThreadPoolExecutor(2) as pool:
            for done in pool.map(
                lambda c: subprocess.run(c, capture_output=True, text=True), commands
            ):
                assert done.returncode == 0, done.stderr
        built = f"{folder}/native.so"
        subprocess.run(
            [compiler, "-shared", "-o", built, *objects, *_openmp_runtime(), "-ldl"], check=True
        )
        part = f"{target}.{os.getpid()}"
        shutil.copy(built, part)
        os.replace(part, target)


def _extension() -> Path | None:
    """The built extension, unless a kernel source is newer or it lacks the test entry points."""
    newest = max(f.stat().st_mtime for f in CSRC.rglob("*") if f.is_file())
    for name in glob.glob(str(ROOT / "pygan" / "_C*.so")):
        if Path(name).stat().st_mtime < newest:
            continue
        try:
            import paddle  # noqa: F401  the extension needs its libraries
        except ImportError:
            return None
        if hasattr(ctypes.CDLL(name), "pygan_test_conv"):
            return Path(name)
    return None


@pytest.fixture(scope="session")
def native_path() -> Path:
    """Path of a shared library with the kernels and their ``pygan_test_*`` entry points."""
    extension = _extension()
    if extension is not None:
        return extension
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("neither a built extension nor a C++ compiler")
    digest = hashlib.sha256(repr(COMMON_FLAGS).encode())
    for file in sorted(f for f in CSRC.rglob("*") if f.suffix in (".cpp", ".h")):
        digest.update(str(file.relative_to(CSRC)).encode() + file.read_bytes())
    target = (
        Path(tempfile.gettempdir()) / f"pygan-native-{os.getuid()}-{digest.hexdigest()[:16]}.so"
    )
    if not target.exists():
        _compile(compiler, target)
    return target


@pytest.fixture(scope="session")
def native_lib(native_path: Path) -> ctypes.CDLL:
    """The library of ``native_path``, loaded."""
    return ctypes.CDLL(str(native_path))
