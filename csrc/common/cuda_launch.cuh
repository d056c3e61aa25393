// What every .cu file needs: error checks, the device's limits, element types and vectors.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

// Throws what went wrong, with the name of the kernel or call.
inline void cuda_check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: ") + what + " failed: " + cudaGetErrorString(error) +
                           " (" + cudaGetErrorName(error) + ").");
}
// After a launch: what it reported, which does not include what happens while the kernel runs.
inline void check_launch(const char* kernel) { cuda_check(cudaGetLastError(), kernel); }

inline cudaStream_t stream_of(const CudaContext& context) {
  return static_cast<cudaStream_t>(context.stream);
}

// Limits of the current device, asked for once per device.
struct DeviceLimits {
  int arch = 0;          // 10 * major + minor of the compute capability
  int processors = 0;    // SMs
  int shared_optin = 0;  // bytes of shared memory that a block may ask for
};
const DeviceLimits& device_limits();  // cuda_launch.cu

// Lets a kernel use more than 48 KB of dynamic shared memory.
template <typename Kernel>
void allow_shared_memory(Kernel kernel, int bytes, const char* name) {
  if (bytes <= 48 * 1024) return;
  cuda_check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
             name);
}

// The grid's first axis holds 2^31 - 1 blocks, the other two 65,535.
constexpr int64_t kMaxGridX = 2147483647;
constexpr int64_t kMaxGridYZ = 65535;

template <typename A, typename B>
__host__ __device__ constexpr int64_t ceil_div(A a, B b) {
  return (int64_t{a} + int64_t{b} - 1) / int64_t{b};
}

// ---- Element types: T in memory, Compute<T> in registers.

template <typename T>
struct ComputeType {
  using type = float;
};
template <>
struct ComputeType<double> {
  using type = double;
};
template <typename T>
using Compute = typename ComputeType<T>::type;

__device__ __forceinline__ float load_value(float v) { return v; }
__device__ __forceinline__ double load_value(double v) { return v; }
__device__ __forceinline__ float load_value(__half v) { return __half2float(v); }
__device__ __forceinline__ float load_value(__nv_bfloat16 v) { return __bfloat162float(v); }

template <typename T>
__device__ __forceinline__ T store_value(Compute<T> v);
template <>
__device__ __forceinline__ float store_value<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ double store_value<double>(double v) {
  return v;
}
template <>
__device__ __forceinline__ __half store_value<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ __forceinline__ __nv_bfloat16 store_value<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

// N elements that are loaded and stored at once; N * sizeof(T) is 2, 4, 8 or 16.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

template <typename T>
inline bool is_aligned(const void* p, int elements) {
  return reinterpret_cast<uintptr_t>(p) % (sizeof(T) * elements) == 0;
}

// Calls body(T{}) with the device type of `storage`.
template <typename Body>
void dispatch_storage(Storage storage, Body&& body) {
  switch (storage) {
    case Storage::float32:
      return body(float{});
    case Storage::float64:
      return body(double{});
    case Storage::float16:
      return body(__half{});
    default:
      return body(__nv_bfloat16{});
  }
}

}  // namespace pygan
