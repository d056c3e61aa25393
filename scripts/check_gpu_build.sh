#!/usr/bin/env bash
# What can be proven of the build for GPUs on a machine without one:
#
#   - with CUDA 11.8 and paddlepaddle-gpu 2.6.2 the wheel builds, installs, loads without a driver,
#     and its operators pass their tests on the CPU;
#   - with CUDA 13 and the headers of Paddle 3 everything compiles;
#   - on every architecture no kernel spills, and none needs more registers or shared memory than
#     benchmarks/gpu_model/resources-*.json says.
#
# Needs the environment of `make test` (.venv), and Debian 12 for the compilers of CUDA 11.8.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-2}
python=$PWD/.venv/bin/python
export PATH=$PWD/.venv/bin:$PATH CMAKE_BUILD_PARALLEL_LEVEL=$jobs

echo "== CUDA 11.8, paddlepaddle-gpu 2.6.2"
PYTHON=$python scripts/cuda_toolchain.sh 11.8 build/cuda-11.8
venv=$PWD/build/venv-gpu
if [ ! -e "$venv/.installed" ]; then
  rm -rf "$venv"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check paddlepaddle-gpu==2.6.2 \
    "numpy<2" "setuptools>=64" wheel cmake ninja jsonargparse pillow safetensors tqdm \
    pytest pytest-xdist hypothesis scipy
  touch "$venv/.installed"
fi
rm -rf build/wheel
PATH=$venv/bin:$PATH NVCC=$PWD/build/cuda-11.8/bin/nvcc NVCC_CCBIN=$PWD/build/cuda-11.8/host/bin/g++ \
  "$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
  --wheel-dir build/wheel .
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall \
  build/wheel/pygan-*.whl
# From elsewhere, so that the installed package is the one that is imported, also by the tests.
(cd build/wheel && "$venv/bin/python" -c '
from pygan.ops import native_info
info = native_info()
assert info["available"] and info["cuda"], info
print("loaded without a driver:", ", ".join(info["operators"]))')
cp -r tests pyproject.toml build/wheel/
(cd build/wheel && "$venv/bin/python" -m pytest -n "$jobs" --dist loadfile tests/ops)
"$python" -m benchmarks.gpu_model.resources --build build/native-2.6.2 --cuda 11.8

echo "== CUDA 13, headers of Paddle 3"
PYTHON=$python scripts/cuda_toolchain.sh 13 build/cuda-13
cmake -S . -B build/gpu-headers -G Ninja -DPython_EXECUTABLE="$python" -DPYGAN_CUDA=ON \
  -DPYGAN_NVCC=build/cuda-13/bin/nvcc -DPYGAN_OUTPUT_DIR="$PWD/build/gpu-headers/package" >build/gpu-headers.log ||
  { cat build/gpu-headers.log; exit 1; }
cmake --build build/gpu-headers --target pygan_bindings pygan_cuda_objects
"$python" -m benchmarks.gpu_model.resources --build build/gpu-headers --cuda 13.0
