// See modulation.h. A block makes one output channel: the largest weight, then the scaled weights,
// their energies and d. It reads its weights twice, the second time from the cache, and the styles
// of all samples, whose scales it finds for itself: they are few beside its weights, and another
// launch would take longer.
#include <cmath>

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/modulation.h"
#include "modulated_conv2d/row_sums.cuh"

namespace pygan {
namespace {

constexpr float kSmallest = 1e-8f;  // of what a line is divided by

// Elements in one of two types. All threads take the same branch.
template <typename Half>
struct Source {
  const void* data;
  bool is_half;
  __device__ __forceinline__ float operator[](int64_t i) const {
    return is_half ? load_value(static_cast<const Half*>(data)[i])
                   : static_cast<const float*>(data)[i];
  }
};

// Sample n is written by block n modulo the number of blocks. A thread reads back only the energies
// that it wrote. Two blocks per SM: with the registers of three the compiler spills some.
template <typename Half, typename Out>
__global__ void __launch_bounds__(kThreads, 2)
    modulate(Out* w_out, Out* s_out, Out* d, float* e, float* w_scale, float* s_scale,
             Source<Half> w, Source<Half> s, ModulationShape shape, float root_fan_in) {
  __shared__ float staged[kStaged];
  __shared__ float of_warps[kSamples][kOfWarps];
  __shared__ float largest_of_warps[kSamples + 1][kOfWarps];
  __shared__ float scales[kSamples + 1];  // of samples, then of the weights
  const int thread = threadIdx.x;
  const int64_t o = blockIdx.x, inputs = shape.inputs, taps = shape.taps, samples = shape.samples;
  const int rows = rows_per_block(taps);
  int64_t first = 0, own = o;  // samples: of those at work, and the next that this block writes
  do {
    float largest[kSamples + 1] = {};
    if (first == 0) {
      for (int64_t k = thread; k < inputs * taps; k += kThreads) {
        largest[kSamples] = fmaxf(largest[kSamples], fabsf(w[o * inputs * taps + k]));
      }
    }
    for (int64_t i = thread; i < inputs; i += kThreads) {
#pragma unroll
      for (int k = 0; k < kSamples; ++k) {
        if (first + k >= samples) continue;
        largest[k] = fmaxf(largest[k], fabsf(s[(first + k) * inputs + i]));
      }
    }
    unsigned owned = 0;
    for (; own < first + kSamples && own < samples; own += shape.outputs) {
      owned |= 1u << (own - first);
    }
    const float of_all =
        fmaxf(block_join(largest, largest_of_warps, [](float a, float b) { return fmaxf(a, b); }),
              kSmallest);
    if (thread < kSamples) {
      scales[thread] = 1 / of_all;
      if (owned >> thread & 1) s_scale[first + thread] = 1 / of_all;
    } else if (thread == kSamples && first == 0) {
      scales[kSamples] = 1 / (of_all * root_fan_in);
      w_scale[o] = scales[kSamples];
    }
    __syncthreads();

    float sums[kSamples] = {};
    for (int64_t begin = 0; begin < inputs; begin += rows) {
      const int count = static_cast<int>(begin + rows < inputs ? rows : inputs - begin);
      const int64_t i = begin + thread;
      float energy = 0;
      if (first == 0) {
        const float scale = scales[kSamples];
        const int64_t row = (o * inputs + begin) * taps;
        energy = row_sum(count, taps, staged, [&](int64_t k) {
          const float scaled = w[row + k] * scale;
          w_out[row + k] = store_value<Out>(scaled);
          return scaled * scaled;
        });
        if (thread < count) e[o * inputs + i] = energy;
      } else if (thread < count) {
        energy = e[o * inputs + i];
      }
      if (thread < count) {
#pragma unroll
        for (int k = 0; k < kSamples; ++k) {
          if (first + k >= samples) continue;
          const int64_t at = (first + k) * inputs + i;
          const float style = s[at] * scales[k];
          if (owned >> k & 1) s_out[at] = store_value<Out>(style);
          sums[k] += style * style * energy;
        }
      }
    }
    const float total = block_join(sums, of_warps, [](float a, float b) { return a + b; });
    if (thread < kSamples && first + thread < samples) {
      d[(first + thread) * shape.outputs + o] =
          store_value<Out>(1 / sqrtf(total + static_cast<float>(kEpsilon)));
    }
    first += kSamples;
  } while (first < samples);
}

// Each block takes kPerThread elements per thread, so that an element's place needs 64-bit
// divisions once per block only.
constexpr int kPerThread = 4;

template <typename Half, typename Out>
__global__ void __launch_bounds__(kThreads)
    modulation_gradient(Out* out, const Half* grad, const float* x, const float* r,
                        const float* scale, int64_t count, int64_t inputs, int64_t taps) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * (kThreads * kPerThread);
  const int64_t row = begin / taps, tap = begin - row * taps;
  const int64_t line = row / inputs, input = row - line * inputs;
  const bool narrow =
      taps < (int64_t{1} << 31) && inputs < (int64_t{1} << 31) - kThreads * kPerThread;
#pragma unroll
  for (int k = 0; k < kPerThread; ++k) {
    const int step = k * kThreads + threadIdx.x;
    const int64_t at = begin + step;
    if (at >= count) return;
    int64_t rows, lines;  // beyond those of the block's first element
    if (narrow) {
      const unsigned ahead = static_cast<unsigned>(tap + step) / static_cast<unsigned>(taps);
      rows = ahead;
      lines = (static_cast<unsigned>(input) + ahead) / static_cast<unsigned>(inputs);
    } else {
      rows = (tap + step) / taps;
      lines = (input + rows) / inputs;
    }
    float value = 2 * x[at] * r[row + rows];
    if (grad != nullptr) value += load_value(grad[at]);
    out[at] = store_value<Out>(scale[line + lines] * value);
  }
}

unsigned grid_of(int64_t blocks, const char* kernel) {
  if (blocks > kMaxGridX) {
    throw std::runtime_error(std::string("CUDA: ") + kernel + " would need " +
                             std::to_string(blocks) + " blocks, and a grid holds 2147483647.");
  }
  return static_cast<unsigned>(blocks);
}

// Calls body(Half{}, Out{}), Out being float or Half.
template <typename Body>
void dispatch(Storage half, Storage out, Body&& body) {
  if (half == Storage::float16) {
    return out == Storage::float32 ? body(__half{}, float{}) : body(__half{}, __half{});
  }
  if (half == Storage::bfloat16) {
    return out == Storage::float32 ? body(__nv_bfloat16{}, float{})
                                   : body(__nv_bfloat16{}, __nv_bfloat16{});
  }
  throw std::runtime_error("CUDA: modulation is for float16 and bfloat16.");
}

void check(Storage storage, Storage half) {
  if (storage == Storage::float32 || storage == half) return;
  throw std::runtime_error("CUDA: modulation's tensors are float32 or of its half type.");
}

}  // namespace

void modulation_cuda(const ModulationResults& results, const ModulationSource& w,
                     const ModulationSource& s, const ModulationShape& shape, Storage half,
                     const CudaContext& context) {
  if (shape.outputs == 0) return;
  for (const Storage storage : {results.storage, w.storage, s.storage}) check(storage, half);
  const float root = static_cast<float>(std::sqrt(static_cast<double>(shape.inputs * shape.taps)));
  dispatch(half, results.storage, [&](auto zero, auto out) {
    using Half = decltype(zero);
    using Out = decltype(out);
    modulate<Half, Out><<<grid_of(shape.outputs, "modulate"), kThreads, 0, stream_of(context)>>>(
        static_cast<Out*>(results.w), static_cast<Out*>(results.s), static_cast<Out*>(results.d),
        results.e, results.w_scale, results.s_scale,
        Source<Half>{w.data, w.storage != Storage::float32},
        Source<Half>{s.data, s.storage != Storage::float32}, shape, root);
    check_launch("modulate");
  });
}

void modulation_gradient_cuda(const ModulationGradient& gradient, Storage half,
                              const CudaContext& context) {
  const int64_t count = gradient.lines * gradient.inputs * gradient.taps;
  if (count == 0) return;
  check(gradient.storage, half);
  dispatch(half, gradient.storage, [&](auto zero, auto out) {
    using Half = decltype(zero);
    using Out = decltype(out);
    modulation_gradient<Half, Out>
        <<<grid_of(ceil_div(count, kThreads * kPerThread), "modulation_gradient"), kThreads, 0,
           stream_of(context)>>>(static_cast<Out*>(gradient.out),
                                 static_cast<const Half*>(gradient.grad), gradient.x, gradient.r,
                                 gradient.scale, count, gradient.inputs, gradient.taps);
    check_launch("modulation_gradient");
  });
}

}  // namespace pygan
