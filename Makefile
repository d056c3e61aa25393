# make demo    a virtual environment, the compiled operators, and minutes of StyleGAN2
# make test    the whole test suite
# make emulator   the CUDA kernels for machines without a GPU (fetches a CUDA compiler)
# make gpu-build  what can be proven of the build for GPUs without one (Debian 12)
# make lint    formatters, linters and type checks
# make bench   the speed tables (installs PyTorch into an environment of its own)
PYTHON ?= python3
PADDLE ?= paddlepaddle==3.3.1
VENV := .venv
BIN := $(VENV)/bin
# The CUDA compiler: fetched, unless NVCC names one.
CUDA := build/cuda-13
NVCC ?= $(CUDA)/bin/nvcc
JOBS ?= 2
# CMake and Ninja come with the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

# A virtual environment that was left unfinished is made anew.
.DELETE_ON_ERROR:
.PHONY: demo test emulator gpu-build lint format bench build clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

# Each missing tool is named with the command that installs it.
$(BIN)/python:
	@sh scripts/check_machine.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# Installed once; `make build` after editing C++ rebuilds what changed.
$(VENV)/.installed: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PADDLE) cmake ninja "setuptools>=64" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation -e .
	@touch $@

$(VENV)/.test-tools: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e ".[test,lint,data,benchmark]" --no-build-isolation
	@touch $@

build: $(VENV)/.installed
	$(BIN)/python setup.py --quiet build_ext --inplace

demo: $(VENV)/.installed
	$(BIN)/pygan demo --out demo --overwrite

$(CUDA)/bin/nvcc: scripts/cuda_toolchain.sh | $(BIN)/python
	PYTHON=$(BIN)/python scripts/cuda_toolchain.sh 13 $(CUDA)
	@touch $@

emulator: $(VENV)/.installed $(NVCC)
	@cmake -S . -B build/emulator -G Ninja -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -DPYGAN_CUDA=EMULATED -DPYGAN_NVCC=$(NVCC) >build/emulator.log || (cat build/emulator.log; exit 1)
	cmake --build build/emulator --target pygan_emulated -j $(JOBS)

test: $(VENV)/.test-tools build emulator
	PYGAN_REQUIRE_EMULATOR=1 PTXEMU_THREADS=1 $(BIN)/python -m pytest tests -n $(JOBS) --dist loadfile
	PYGAN_BACKEND=emulate PTXEMU_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist load \
	  $(addprefix tests/ops/test_,bias_act.py conv2d.py modulated_conv2d.py upfirdn2d_values.py \
	  upfirdn2d_gradients.py)

gpu-build: $(VENV)/.test-tools
	JOBS=$(JOBS) scripts/check_gpu_build.sh

lint: $(VENV)/.test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cc' 'csrc/*.cu' 'csrc/*.cuh')

format: $(VENV)/.test-tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cc' 'csrc/*.cu' 'csrc/*.cuh')

$(VENV)-torch/bin/python:
	$(PYTHON) -m venv $(VENV)-torch
	$@ -m pip install --quiet torch==2.13.0 numpy

bench: $(VENV)/.test-tools build $(VENV)-torch/bin/python
	$(BIN)/python -m benchmarks.report --torch-python $(VENV)-torch/bin/python \
	  --threads 1 2 --output docs/benchmarks.md

clean:
	rm -rf build pygan/_C.so pygan/_C.json
