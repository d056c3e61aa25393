"""Builds the Python package and, through CMake, the compiled operators in it (pygan/_C.so).

The operators are built against the Paddle of the running Python, so pip must not hide it:

    pip install --no-build-isolation -e .      # or without -e

PYGAN_PURE_PYTHON=1 leaves the operators out; everything then runs on the slow references.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
