// See demodulation.h.
#include "common/cuda_launch.cuh"
#include "modulated_conv2d/demodulation.h"
#include "modulated_conv2d/layer_staging.cuh"
#include "modulated_conv2d/row_sums.cuh"

namespace pygan {
namespace {

struct DemodulationShape {
  int64_t samples, outputs, inputs, taps;
};

// One output channel: e[o, :] and d[:, o], some samples at a time. A thread reads back only the
// energies that it wrote. read(begin, count) is called where `staged` holds the weights of the
// inputs [begin, begin + count).
template <typename T, typename Read>
__device__ __forceinline__ void demodulate_channel(T* d, T* e, const T* w, const T* s,
                                                   const DemodulationShape& shape, T* staged,
                                                   Read&& read) {
  __shared__ T of_warps[kSamples][kOfWarps];
  const int thread = threadIdx.x;
  const int64_t o = blockIdx.x, inputs = shape.inputs, samples = shape.samples;
  const int rows = rows_per_block(shape.taps);
  int64_t first = 0;
  do {
    T sums[kSamples] = {};
    for (int64_t begin = 0; begin < inputs; begin += rows) {
      const int count = static_cast<int>(begin + rows < inputs ? rows : inputs - begin);
      const int64_t i = begin + thread;
      T energy = 0;
      if (first == 0) {
        const T* row = w + (o * inputs + begin) * shape.taps;
        energy = row_sum(
            count, shape.taps, staged, [&](int64_t k) { return row[k]; },
            [](T v) { return v * v; });
        read(begin, count);
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
      d[(first + thread) * shape.outputs + o] = T(1) / sqrt(total + static_cast<T>(kEpsilon));
    }
    first += kSamples;
  } while (first < samples);
}

// A block per output channel.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    demodulate(T* d, T* e, const T* w, const T* s, const DemodulationShape shape) {
  __shared__ T staged[kStaged];
  demodulate_channel(d, e, w, s, shape, staged, [](int64_t, int) {});
}

// And the operands of the layer's convolution (layer_staging.cuh).
template <Product kProduct, typename T>
__global__ void __launch_bounds__(kThreads, 4)
    demodulate_and_stage(T* d, T* e, const T* w, const T* s, const DemodulationShape shape,
                         const StagedRows<Staged<kProduct, T>> out_w, Staged<kProduct, T>* out_x,
                         const T* x, const StagingGeometry geometry) {
  extern __shared__ uint4 shared[];
  T* const values = reinterpret_cast<T*>(shared);
  const int64_t o = blockIdx.x;
  if (o < shape.outputs) {
    demodulate_channel(d, e, w, s, shape, values, [&](int64_t begin, int count) {
      out_w.write(o, begin, count, values, [](T v) { return to_staged<kProduct, T>(v); });
    });
  } else if (o < out_w.padded_rows) {
    out_w.zeros(o);
  } else {
    stage_images<kProduct, T>(out_x, x, TensorScales<T>{s}, geometry,
                              static_cast<uint32_t>(o - out_w.padded_rows), values);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    tap_dot(T* e, const T* a, const T* b, T factor, int64_t rows, int64_t taps) {
  __shared__ T staged[kStaged];
  const int block_rows = rows_per_block(taps);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * block_rows;
  const int count = static_cast<int>(begin + block_rows < rows ? block_rows : rows - begin);
  const int64_t at = begin * taps;
  const T sum = row_sum(
      count, taps, staged, [&](int64_t k) { return a[at + k] * b[at + k]; }, [](T v) { return v; });
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

[[noreturn]] void refuse_half(const char* what) {
  throw std::runtime_error(std::string("CUDA: ") + what +
                           " takes float32 or float64, and came with a half type: widen the "
                           "tensors to float32.");
}

// Calls body(T{}) with float or double.
template <typename Body>
void dispatch(Storage storage, const char* what, Body&& body) {
  if (storage == Storage::float32) return body(float{});
  if (storage == Storage::float64) return body(double{});
  refuse_half(what);
}

}  // namespace

void demodulation_cuda(void* d, void* e, const void* w, const void* s, int64_t samples,
                       int64_t outputs, int64_t inputs, int64_t taps, Storage storage,
                       const StagedLayer& stage, const CudaContext& context) {
  const DemodulationShape shape{samples, outputs, inputs, taps};
  if (stage.layer == nullptr) {
    if (outputs == 0) return;
    return dispatch(storage, "demodulation", [&](auto zero) {
      using T = decltype(zero);
      demodulate<T><<<grid_of(outputs, "demodulate"), kThreads, 0, stream_of(context)>>>(
          static_cast<T*>(d), static_cast<T*>(e), static_cast<const T*>(w),
          static_cast<const T*>(s), shape);
      check_launch("demodulate");
    });
  }
  const LayerStaging staging(*stage.layer, stage.x, stage.staged,
                             storage == Storage::float64 ? 8 : 4);
  dispatch_product(storage, staging.call.product, [&](auto zero, auto tag) {
    using T = decltype(zero);
    constexpr Product kProduct = decltype(tag)::value;
    using S = Staged<kProduct, T>;
    if constexpr (std::is_same<T, Compute<T>>::value && sizeof(S) == sizeof(T)) {
      demodulate_and_stage<kProduct, T>
          <<<grid_of(staging.blocks, "demodulate_and_stage"), kThreads, staging.shared_bytes,
             stream_of(context)>>>(static_cast<T*>(d), static_cast<T*>(e), static_cast<const T*>(w),
                                   static_cast<const T*>(s), shape, staging.rows<S>(),
                                   static_cast<S*>(staging.operands.images.data),
                                   static_cast<const T*>(stage.x), staging.plan.geometry);
      check_launch("demodulate_and_stage");
    } else {
      refuse_half("demodulation");
    }
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
