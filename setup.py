"""Builds the Python package and, through CMake, the compiled operators in it (pygan/_C.so).

The operators are built against the Paddle of the running Python, so pip must not hide it:

    pip install --no-build-isolation -e .      # or without -e

With a Paddle for GPUs their CUDA kernels are built too, by the nvcc that NVCC names or that is in
CUDA_HOME or on the PATH, of the CUDA that Paddle was built with; PYGAN_CUDA=0 leaves them out.

PYGAN_PURE_PYTHON=1 leaves the operators out; everything then runs on the slow references.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    text = (ROOT / "pygan" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "([^"]+)"', text)
    assert match is not None
    return match.group(1)


def require(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"pygan: error: {message}")


def cuda_options(paddle: ModuleType) -> list[str]:
    """CMake's options for the kernels of GPUs; none where Paddle has no use for them."""
    if os.environ.get("PYGAN_CUDA") == "0" or not paddle.is_compiled_with_cuda():
        return []
    places = [Path(p, "bin") for p in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if p]
    nvcc = os.environ.get("NVCC") or shutil.which(
        "nvcc", path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")])
    )
    wanted = paddle.version.cuda()
    how = (
        f"Install CUDA {wanted}, or fetch its compiler with scripts/cuda_toolchain.sh, and name it "
        "with NVCC=/path/to/nvcc (and its g++ with NVCC_CCBIN); or set PYGAN_CUDA=0 to do without "
        "kernels for GPUs."
    )
    require(nvcc is not None, f"this Paddle is for GPUs, and there is no nvcc. {how}")
    assert nvcc is not None
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    release = re.search(r"release (\d+)\.", text)
    require(release is not None, f"{nvcc} does not run as nvcc. {how}")
    assert release is not None
    require(
        release[1] == wanted.split(".")[0],
        f"{nvcc} is of CUDA {release[1]}, and this Paddle was built with CUDA {wanted}. {how}",
    )
    options = ["-DPYGAN_CUDA=ON", f"-DPYGAN_NVCC={nvcc}"]
    for variable in ("NVCC_CCBIN", "CUDA_ARCHS"):
        value = os.environ.get(variable)
        if value:
            name = {"NVCC_CCBIN": "PYGAN_NVCC_HOST", "CUDA_ARCHS": "PYGAN_CUDA_ARCHS"}[variable]
            options.append(f"-D{name}={value}")
    return options


class CMakeBuild(build_ext):
    """Runs CMake; the library lands in the package (in place for editable installs)."""

    def run(self) -> None:
        try:
            import paddle
        except ImportError as error:
            raise SystemExit(
                "pygan: error: the compiled operators are built against Paddle, which this Python "
                f"cannot import ({error}). Install it (pip install paddlepaddle==3.3.1), then run "
                "pip with --no-build-isolation; or set PYGAN_PURE_PYTHON=1 to do without them."
            ) from None
        require(shutil.which("cmake") is not None, "CMake is missing: pip install cmake")
        # The compilers that CMake looks for; CXX may carry arguments.
        compilers = os.environ.get("CXX", "").split()[:1] or ["c++", "g++", "clang++"]
        require(
            any(shutil.which(compiler) for compiler in compilers),
            f"a C++ compiler ({', '.join(compilers)}) is missing: sudo apt-get install g++",
        )
        package = ROOT / "pygan" if self.inplace else Path(self.build_lib).resolve() / "pygan"
        build = ROOT / "build" / f"native-{paddle.__version__}"
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build),
            *generator,
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DPYGAN_OUTPUT_DIR={package}",
            *cuda_options(paddle),
        ]
        if subprocess.run(configure).returncode != 0:
            # Its memory of the failure (compiler, generator) would outlive the cure.
            (build / "CMakeCache.txt").unlink(missing_ok=True)
            raise SystemExit("pygan: error: CMake cannot configure the build; it says why above.")
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
        compiled = subprocess.run(["cmake", "--build", str(build), "--parallel", jobs])
        require(compiled.returncode == 0, "the operators do not compile; the compiler says why.")

    def get_outputs(self) -> list:
        return []


pure_python = os.environ.get("PYGAN_PURE_PYTHON") == "1"

setup(
    name="pygan",
    version=read_version(),
    description="Fast, twice-differentiable operators and GANs for PaddlePaddle",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["pygan", "pygan.*"]),
    package_data={"pygan": ["data/assets/*", "py.typed"]},
    ext_modules=[] if pure_python else [Extension("pygan._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
    python_requires=">=3.9",
    # Paddle itself is not listed: it comes as paddlepaddle or as paddlepaddle-gpu.
    install_requires=["jsonargparse>=4.35", "numpy", "pillow", "safetensors", "tqdm"],
    extras_require={
        "data": ["fonttools"],
        "visualdl": ["visualdl"],
        "test": ["pytest", "pytest-xdist", "hypothesis", "scipy"],
        "benchmark": ["pytest-benchmark"],
        "lint": ["ruff==0.17.6", "mypy==2.4.1", "clang-format==23.1.5"],
    },
    entry_points={"console_scripts": ["pygan = pygan.cli:main"]},
    zip_safe=False,
)
