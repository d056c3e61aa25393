// What demodulation.cu and modulation.cu share: sums over the taps of weights, and reductions over
// a block. Weights are read in the order in which they lie: rows of w are short (9 taps), so a
// block brings in many rows together and sums them from shared memory.
#pragma once

#include <cstdint>

namespace pygan {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
// Of shared memory for one number per warp: rows of it lie in banks of their own.
constexpr int kOfWarps = kWarps + 1;
// Values in shared memory. Rows longer than that are summed by one thread each: no kernel of a
// network has so many taps.
constexpr int kStaged = kThreads * 9;
// Rows that are brought in together are a multiple of this, if they are so many: what staged
// weights are a multiple of (staging.h).
constexpr int kRowGroup = 32;
// Samples whose sums a thread keeps in registers at once.
constexpr int kSamples = 8;
constexpr double kEpsilon = 1e-8;  // Karras et al. 2020, equation 3

__host__ __device__ inline int rows_per_block(int64_t taps) {
  if (taps > kStaged) return kThreads;
  const int rows = taps > 0 ? static_cast<int>(kStaged / taps) : kThreads;
  if (rows >= kThreads) return kThreads;
  return rows < kRowGroup ? rows : rows / kRowGroup * kRowGroup;
}

// The sum over the row `threadIdx.x` of `rows` of join(value), of which value(k), called once for
// each k, gives element k when rows lie one after the other; 0 beyond. Unless rows are longer than
// kStaged, their values are left in staged[rows * taps] until the next call. Every thread of the
// block must come here.
template <typename T, typename Value, typename Join>
__device__ __forceinline__ T row_sum(int rows, int64_t taps, T* staged, Value&& value,
                                     Join&& join) {
  const int thread = threadIdx.x;
  T sum = 0;
  if (taps > kStaged) {
    if (thread < rows) {
      for (int64_t k = 0; k < taps; ++k) sum += join(value(thread * taps + k));
    }
    return sum;
  }
  const int width = static_cast<int>(taps), count = rows * width;
  __syncthreads();  // with the sums of the rows before
#pragma unroll 4
  for (int k = thread; k < count; k += kThreads) staged[k] = value(k);
  __syncthreads();
  if (thread < rows) {
    for (int k = 0; k < width; ++k) sum += join(staged[thread * width + k]);
  }
  return sum;
}

// values[k] of all threads of the block, joined; thread k is given the result of k. Every thread of
// the block must come here.
template <int kCount, typename T, typename Join>
__device__ __forceinline__ T block_join(T (&values)[kCount], T (&of_warps)[kCount][kOfWarps],
                                        Join&& join) {
  const int thread = threadIdx.x;
  for (int offset = 16; offset > 0; offset /= 2) {
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
      values[k] = join(values[k], __shfl_xor_sync(0xffffffffu, values[k], offset));
    }
  }
  __syncthreads();  // with of_warps of the call before
  if (thread % 32 == 0) {
#pragma unroll
    for (int k = 0; k < kCount; ++k) of_warps[k][thread / 32] = values[k];
  }
  __syncthreads();
  T result = 0;
  if (thread < kCount) {
    result = of_warps[thread][0];
    for (int i = 1; i < kWarps; ++i) result = join(result, of_warps[thread][i]);
  }
  return result;
}

}  // namespace pygan
