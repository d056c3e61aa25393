// See demodulation.h.
#include "common/cuda_launch.cuh"
#include "modulated_conv2d/demodulation.h"
#include "modulated_conv2d/row_sums.cuh"

namespace pygan {
namespace {

// A block computes one output channel: e[o, :] and d[:, o], some samples at a time. A thread reads
// back only the energies that it wrote.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    demodulate(T* d, T* e, const T* w, const T* s, int64_t samples, int64_t outputs, int64_t inputs,
               int64_t taps) {
  __shared__ T staged[kStaged];
  __shared__ T of_warps[kSamples][kOfWarps];
  const int thread = threadIdx.x;
  const int64_t o = blockIdx.x;
  const int rows = rows_per_block(taps);
  int64_t first = 0;
  do {
    T sums[kSamples] = {};
    for (int64_t begin = 0; begin < inputs; begin += rows) {
      const int count = static_cast<int>(begin + rows < inputs ? rows : inputs - begin);
      const int64_t i = begin + thread;
      T energy = 0;
      if (first == 0) {
        const T* row = w + (o * inputs + begin) * taps;
        energy = row_sum(count, taps, staged, [&](int64_t k) { return row[k] * row[k]; });
        if (thread < count) e[o * inputs + i] = energy;
      } else if (thread < count) {
        energy = e[o * inputs + i];
      }
      if (thread < count) {
#pragma unroll
        for (int k = 0; k < kSamples; ++k) {
          if (first + k >= samples) continue;
          const T style = s[(first + k) * inputs + i];
          sums[k] += style * style * energy;
        }
      }
    }
    const T total = block_join(sums, of_warps, [](T a, T b) { return a + b; });
    if (thread < kSamples && first + thread < samples) {
      d[(first + thread) * outputs + o] = T(1) / sqrt(total + static_cast<T>(kEpsilon));
    }
    first += kSamples;
  } while (first < samples);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    tap_dot(T* e, const T* a, const T* b, T factor, int64_t rows, int64_t taps) {
  __shared__ T staged[kStaged];
  const int block_rows = rows_per_block(taps);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * block_rows;
  const int count = static_cast<int>(begin + block_rows < rows ? block_rows : rows - begin);
  const int64_t at = begin * taps;
  const T sum = row_sum(count, taps, staged, [&](int64_t k) { return a[at + k] * b[at + k]; });
  if (threadIdx.x < count) e[begin + threadIdx.x] = factor * sum;
}

// Each block takes kPerThread elements per thread, so that an element's row is one 64-bit division
// per block and one of 32 bits per element.
constexpr int kPerThread = 4;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    tap_scale(T* out, const T* w, const T* e, T factor, int64_t count, int64_t taps) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * (kThreads * kPerThread);
  const int64_t row = begin / taps, tap = begin - row * taps;
  const bool narrow = taps < (int64_t{1} << 31);
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    const int at = k * kThreads + threadIdx.x;
    if (begin + at >= count) return;
    const int64_t within = tap + at;
    const int64_t of = row + (narrow ? static_cast<unsigned>(within) / static_cast<unsigned>(taps)
                                     : within / taps);
    out[begin + at] = factor * e[of] * w[begin + at];
  }
}

unsigned grid_of(int64_t blocks, const char* kernel) {
  if (blocks > kMaxGridX) {
    throw std::runtime_error(std::string("CUDA: ") + kernel + " would need " +
                             std::to_string(blocks) + " blocks, and a grid holds 2147483647.");
  }
  return static_cast<unsigned>(blocks);
}

// Calls body(T{}) with float or double.
template <typename Body>
void dispatch(Storage storage, const char* what, Body&& body) {
  if (storage == Storage::float32) return body(float{});
  if (storage == Storage::float64) return body(double{});
  throw std::runtime_error(std::string("CUDA: ") + what +
                           " takes float32 or float64, and came with a half type: widen the "
                           "tensors to float32.");
}

}  // namespace

void demodulation_cuda(void* d, void* e, const void* w, const void* s, int64_t samples,
                       int64_t outputs, int64_t inputs, int64_t taps, Storage storage,
                       const CudaContext& context) {
  if (outputs == 0) return;
  dispatch(storage, "demodulation", [&](auto zero) {
    using T = decltype(zero);
    demodulate<T><<<grid_of(outputs, "demodulate"), kThreads, 0, stream_of(context)>>>(
        static_cast<T*>(d), static_cast<T*>(e), static_cast<const T*>(w), static_cast<const T*>(s),
        samples, outputs, inputs, taps);
    check_launch("demodulate");
  });
}

void tap_dot_cuda(void* e, const void* a, const void* b, double factor, int64_t rows, int64_t taps,
                  Storage storage, const CudaContext& context) {
  if (rows == 0) return;
  dispatch(storage, "tap_dot", [&](auto zero) {
    using T = decltype(zero);
    tap_dot<T><<<grid_of(ceil_div(rows, rows_per_block(taps)), "tap_dot"), kThreads, 0,
                 stream_of(context)>>>(static_cast<T*>(e), static_cast<const T*>(a),
                                       static_cast<const T*>(b), static_cast<T>(factor), rows,
                                       taps);
    check_launch("tap_dot");
  });
}

void tap_scale_cuda(void* out, const void* w, const void* e, double factor, int64_t rows,
                    int64_t taps, Storage storage, const CudaContext& context) {
  const int64_t count = rows * taps;
  if (count == 0) return;
  dispatch(storage, "tap_scale", [&](auto zero) {
    using T = decltype(zero);
    tap_scale<T><<<grid_of(ceil_div(count, kThreads * kPerThread), "tap_scale"), kThreads, 0,
                   stream_of(context)>>>(static_cast<T*>(out), static_cast<const T*>(w),
                                         static_cast<const T*>(e), static_cast<T>(factor), count,
                                         taps);
    check_launch("tap_scale");
  });
}

}  // namespace pygan
