#!/usr/bin/env bash
# Assembles a CUDA compiler in a folder of its own, for machines that have none. No GPU, no driver
# and no administrator's rights are needed, and no file of the system is touched.
#
#   scripts/cuda_toolchain.sh 13   PREFIX     sm_75 and newer; from Python's package index
#   scripts/cuda_toolchain.sh 11.8 PREFIX     sm_70 to sm_90, the CUDA of paddlepaddle-gpu 2.6.2;
#                                             compilers, and the g++ 11 that they need, from Debian
#                                             12's packages (with `non-free`), headers from Python's
#
# PREFIX/bin/nvcc is the compiler and PREFIX/host/bin/g++, where there is one, the host compiler
# that it must be given (-ccbin). PYTHON names the Python whose pip downloads. A finished PREFIX is
# left alone.
set -euo pipefail

fail() {
  echo "pygan: error: $1" >&2
  exit 2
}

[ $# -eq 2 ] || fail "usage: scripts/cuda_toolchain.sh 13|11.8 PREFIX"
version=$1
prefix=$2
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
python=${PYTHON:-python3}
[ "$(uname -m)" = x86_64 ] || fail "CUDA's compilers are fetched for x86_64, and this is $(uname -m)"

case $version in
  13)
    wheels="nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
            nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
            nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51"
    ;;
  11.8)
    wheels="nvidia-cuda-runtime-cu11==11.8.89 nvidia-cuda-nvcc-cu11==11.8.89
            nvidia-cuda-cccl-cu11==11.8.89.post1 nvidia-cuda-nvrtc-cu11==11.8.89"
    debs="nvidia-cuda-toolkit libnvvm4
          g++-11 gcc-11 cpp-11 gcc-11-base libgcc-11-dev libstdc++-11-dev"
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
      fail "CUDA 11.8 is taken from Debian's packages, and there is no apt-get here; use 13"
    ;;
  *) fail "CUDA $version is not known; say 13 or 11.8" ;;
esac

stamp=$(echo $version $wheels ${debs:-})
if [ "$(cat "$prefix/.complete" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

mkdir -p "$(dirname "$prefix")"
work=$(mktemp -d "$(dirname "$prefix")/toolchain.XXXXXX")
trap 'rm -rf "$work"' EXIT
new=$work/prefix
mkdir -p "$work/wheels" "$work/wheel" "$new/bin" "$new/include" "$new/lib64" "$new/nvvm"

echo "pygan: fetching CUDA $version into $prefix"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --dest "$work/wheels" $wheels >"$work/log" 2>&1 || {
  cat "$work/log" >&2
  fail "pip cannot fetch CUDA's packages; it says why above"
}
for wheel in "$work"/wheels/*.whl; do
  "$python" -m zipfile -e "$wheel" "$work/wheel"
done

if [ "$version" = 13 ]; then
  cuda=$work/wheel/nvidia/cu13
  cp -a "$cuda"/bin/. "$new/bin/"
  cp -a "$cuda"/include/. "$new/include/"
  cp -a "$cuda"/nvvm/. "$new/nvvm/"
  cp -a "$cuda"/lib/. "$new/lib64/"
else
  mkdir -p "$work"/{lists/partial,cache/archives/partial,parts,debs,deb}
  # The machine's own package sources, with the non-free components added.
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -E 's/\bmain\b.*/main contrib non-free/' >"$work/parts/extra.list" || true
  for source in /etc/apt/sources.list.d/*.sources; do
    [ -f "$source" ] || continue
    sed -E 's/^Components:.*/Components: main contrib non-free/' "$source" \
      >"$work/parts/$(basename "$source")"
  done
  options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update -qq >"$work/log" 2>&1 &&
    (cd "$work/debs" && apt-get "${options[@]}" download -qq $debs >>"$work/log" 2>&1) || {
    cat "$work/log" >&2
    fail "apt-get cannot fetch CUDA 11.8 (it is in Debian 12's non-free); it says why above"
  }
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/deb"
  done
  mkdir -p "$new/nvvm/bin" "$new/nvvm/lib64" "$new/host"
  for tool in ptxas cudafe++ fatbinary cuobjdump nvdisasm nvlink nvprune bin2c cu++filt \
    __nvcc_device_query; do
    cp -a "$work/deb/usr/bin/$tool" "$new/bin/"
  done
  cp -a "$work"/deb/usr/lib/nvidia-cuda-toolkit/bin/{nvcc,crt} "$new/bin/"
  cp -a "$work"/deb/usr/lib/nvidia-cuda-toolkit/bin/cicc "$new/nvvm/bin/"
  cp -a "$work"/deb/usr/lib/nvidia-cuda-toolkit/libdevice "$new/nvvm/"
  cp -aL "$work"/deb/usr/lib/x86_64-linux-gnu/libnvvm.so.4 "$new/nvvm/lib64/"
  for part in cuda_runtime cuda_nvcc cuda_cccl cuda_nvrtc; do
    cp -a "$work/wheel/nvidia/$part/include/." "$new/include/"
  done
  cp -a "$work"/wheel/nvidia/cuda_runtime/lib/libcudart.so.11.0 "$new/lib64/"
  # g++ 11 finds its own parts from where it lies, and the C library's where the system has them.
  mkdir -p "$new"/host/{bin,include,libexec}
  cp -a "$work"/deb/usr/bin/*-11 "$new/host/bin/"
  cp -a "$work"/deb/usr/include/. "$new/host/include/"
  mkdir -p "$new/host/lib/gcc"
  cp -a "$work"/deb/usr/lib/gcc/. "$new/host/lib/gcc/"
  [ -d "$work/deb/usr/libexec/gcc" ] && cp -a "$work/deb/usr/libexec/." "$new/host/libexec/"
  for tool in gcc g++; do
    ln -sf "x86_64-linux-gnu-$tool-11" "$new/host/bin/$tool"
  done
  ln -sf gcc "$new/host/bin/cc"
  ln -sf g++ "$new/host/bin/c++"
fi

ln -sf "$(basename "$(ls "$new"/lib64/libcudart.so.* | head -1)")" "$new/lib64/libcudart.so"
[ -e "$new/nvvm/libdevice/libdevice.10.bc" ] || fail "the fetched packages lack libdevice"
cat >"$new/bin/nvcc.profile" <<'PROFILE'
TOP              = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH            += $(TOP)/nvvm/bin:$(_HERE_):
INCLUDES        +=  "-I$(TOP)/include" "-I$(TOP)/include/cccl" $(_SPACE_)
LIBRARIES        =+ $(_SPACE_) "-L$(TOP)/lib64"
CUDAFE_FLAGS    +=
PTXAS_FLAGS     +=
PROFILE

chmod -R u+w "$new"
chmod +x "$new"/bin/* "$new"/nvvm/bin/* 2>/dev/null || true

# A kernel, compiled and linked, is the proof.
cat >"$work/proof.cu" <<'SOURCE'
#include <cuda_fp16.h>
#include <vector>
__global__ void proof(__half* x) { x[threadIdx.x] = __float2half(1.f); }
void launch(__half* x) { proof<<<1, 32>>>(x); }
SOURCE
host=()
[ -e "$new/host/bin/g++" ] && host=(-ccbin "$new/host/bin/g++")
"$new/bin/nvcc" "${host[@]}" -std=c++17 -arch=sm_80 -cudart shared -cudadevrt none -shared -Xcompiler -fPIC \
  -o "$work/proof.so" "$work/proof.cu" || fail "the assembled compiler does not work; it says why above"

rm -rf "$prefix"
mv "$new" "$prefix"
echo "$stamp" >"$prefix/.complete"
