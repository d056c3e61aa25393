// What the kernel of sweep.cuh is made of: loads of packs, and sums over lanes and over columns.
#pragma once

#include "common/store_pack.cuh"

namespace pygan {
namespace device {

constexpr int kSweepThreads = 128;
constexpr int kWarp = 32;

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}

// The sum over the `width` (a power of two) neighbouring lanes that a lane belongs to.
template <typename C>
__device__ __forceinline__ C sum_lanes(C v, int width) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    if (offset < width) v += __shfl_xor_sync(0xffffffffu, v, offset);
  }
  return v;
}

template <typename T>
__device__ __forceinline__ Compute<T> value_or(const T* p, int64_t i, Compute<T> otherwise) {
  return p != nullptr ? load_value(p[i]) : otherwise;
}

// Adds up the columns of the threads that hold the same ones, and writes those below `columns`: the
// slot u of the thread is at (u * blockDim.x + threadIdx.x) * N.
template <typename C, int N, int U>
__device__ __forceinline__ void store_columns(C (&column)[U][N], C* to, int columns) {
  __shared__ C shared[kSweepThreads * U * N];
  const int width = blockDim.x, threads = width * blockDim.y;
  const int thread = threadIdx.y * width + threadIdx.x;
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y >= half && threadIdx.y < 2 * half) {
#pragma unroll
      for (int e = 0; e < U * N; ++e) shared[e * threads + thread] = column[e / N][e % N];
    }
    __syncthreads();
    if (threadIdx.y < half) {
#pragma unroll
      for (int e = 0; e < U * N; ++e) {
        column[e / N][e % N] += shared[e * threads + thread + half * width];
      }
    }
    __syncthreads();
  }
  if (threadIdx.y > 0) return;
  constexpr int kPart = N == 1 ? 1 : 16 / static_cast<int>(sizeof(C));
#pragma unroll
  for (int u = 0; u < U; ++u) {
    const int i = (u * width + threadIdx.x) * N;
    if (i >= columns) break;
#pragma unroll
    for (int j = 0; j < N; j += kPart) {
      Pack<C, kPart> part;
#pragma unroll
      for (int k = 0; k < kPart; ++k) part.v[k] = column[u][j + k];
      store_pack(to + i + j, part);
    }
  }
}

}  // namespace device
}  // namespace pygan
