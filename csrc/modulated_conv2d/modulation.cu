// See modulation.h. A block makes one output channel: the largest weight, then the scaled weights,
// their energies and d. It reads its weights twice, the second time from the cache, and the styles
// of all samples, whose scales it finds for itself: they are few beside its weights, and another
// launch would take longer.
#include <cmath>

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/layer_staging.cuh"
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

template <typename Out>
struct Modulated {
  Out *w, *s, *d;
  float *e, *w_scale, *s_scale;
};

// One output channel. Sample n is written by block n modulo the number of channels. A thread reads
// back only the energies that it wrote. read(begin, count) is called where `staged` holds the
// scaled weights of the inputs [begin, begin + count).
template <typename Half, typename Out, typename Read>
__device__ __forceinline__ void modulate_channel(const Modulated<Out>& out, const Source<Half>& w,
                                                 const Source<Half>& s,
                                                 const ModulationShape& shape, float root_fan_in,
                                                 float* staged, Read&& read) {
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
      if (owned >> thread & 1) out.s_scale[first + thread] = 1 / of_all;
    } else if (thread == kSamples && first == 0) {
      scales[kSamples] = 1 / (of_all * root_fan_in);
      out.w_scale[o] = scales[kSamples];
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
        energy = row_sum(
            count, taps, staged,
            [&](int64_t k) {
              const float scaled = w[row + k] * scale;
              out.w[row + k] = store_value<Out>(scaled);
              return scaled;
            },
            [](float v) { return v * v; });
        read(begin, count);
        if (thread < count) out.e[o * inputs + i] = energy;
      } else if (thread < count) {
        energy = out.e[o * inputs + i];
      }
      if (thread < count) {
#pragma unroll
        for (int k = 0; k < kSamples; ++k) {
          if (first + k >= samples) continue;
          const int64_t at = (first + k) * inputs + i;
          const float style = s[at] * scales[k];
          if (owned >> k & 1) out.s[at] = store_value<Out>(style);
          sums[k] += style * style * energy;
        }
      }
    }
    const float total = block_join(sums, of_warps, [](float a, float b) { return a + b; });
    if (thread < kSamples && first + thread < samples) {
      out.d[(first + thread) * shape.outputs + o] =
          store_value<Out>(1 / sqrtf(total + static_cast<float>(kEpsilon)));
    }
    first += kSamples;
  } while (first < samples);
}

// A block per output channel. Two blocks per SM: with the registers of three the compiler spills
// some.
template <typename Half, typename Out>
__global__ void __launch_bounds__(kThreads, 2)
    modulate(const Modulated<Out> out, const Source<Half> w, const Source<Half> s,
             const ModulationShape shape, float root_fan_in) {
  __shared__ float staged[kStaged];
  modulate_channel(out, w, s, shape, root_fan_in, staged, [](int64_t, int) {});
}

// cs of one sample, for all threads of the block.
template <typename Half>
__device__ __forceinline__ float scale_of_sample(const Source<Half>& s, int64_t sample,
                                                 int64_t inputs) {
  __shared__ float of_warps[1][kOfWarps];
  __shared__ float scale;
  float largest[1] = {};
  for (int64_t i = threadIdx.x; i < inputs; i += kThreads) {
    largest[0] = fmaxf(largest[0], fabsf(s[sample * inputs + i]));
  }
  const float of_all = block_join(largest, of_warps, [](float a, float b) { return fmaxf(a, b); });
  if (threadIdx.x == 0) scale = 1 / fmaxf(of_all, kSmallest);
  __syncthreads();
  return scale;
}

// And the operands of the layer's convolution (layer_staging.cuh), of w' and s' as they are
// rounded.
template <Product kProduct, typename Half>
__global__ void __launch_bounds__(kThreads, 2)
    modulate_and_stage(const Modulated<Half> out, const Source<Half> w, const Source<Half> s,
                       const ModulationShape shape, float root_fan_in,
                       const StagedRows<Staged<kProduct, Half>> out_w,
                       Staged<kProduct, Half>* out_x, const Half* x,
                       const StagingGeometry geometry) {
  extern __shared__ uint4 shared[];
  float* const values = reinterpret_cast<float*>(shared);
  const int64_t o = blockIdx.x;
  if (o < shape.outputs) {
    modulate_channel(out, w, s, shape, root_fan_in, values, [&](int64_t begin, int count) {
      out_w.write(o, begin, count, values, [](float v) {
        return to_staged<kProduct, Half>(load_value(store_value<Half>(v)));
      });
    });
  } else if (o < out_w.padded_rows) {
    out_w.zeros(o);
  } else {
    const uint32_t block = static_cast<uint32_t>(o - out_w.padded_rows);
    float scale = 0;
    if (block < geometry.image_blocks) {
      scale = scale_of_sample(s, Stager<kProduct, Half>::sample_of(geometry, block), shape.inputs);
    }
    stage_images<kProduct, Half>(
        out_x, x,
        [&](int64_t plane) {
          return [&s, plane, scale](int k) {
            return load_value(store_value<Half>(s[plane + k] * scale));
          };
        },
        geometry, block, values);
  }
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

template <typename Half>
void modulate_and_stage_layer(const Modulated<Half>& out, const Source<Half>& w,
                              const Source<Half>& s, const ModulationShape& shape, float root,
                              const StagedLayer& stage, const CudaContext& context) {
  const LayerStaging staging(*stage.layer, stage.x, stage.staged, 4);
  const auto run = [&](auto tag) {
    constexpr Product kProduct = decltype(tag)::value;
    using S = Staged<kProduct, Half>;
    modulate_and_stage<kProduct, Half><<<grid_of(staging.blocks, "modulate_and_stage"), kThreads,
                                         staging.shared_bytes, stream_of(context)>>>(
        out, w, s, shape, root, staging.rows<S>(), static_cast<S*>(staging.operands.images.data),
        static_cast<const Half*>(stage.x), staging.plan.geometry);
    check_launch("modulate_and_stage");
  };
  constexpr Product kOwn = std::is_same<Half, __half>::value ? Product::float16 : Product::bfloat16;
  // Old GPUs have no product of their own for this type.
  if (staging.call.product == kOwn) return run(ProductTag<kOwn>{});
  run(ProductTag<Product::exact>{});
}

void check(Storage storage, Storage half) {
  if (storage == Storage::float32 || storage == half) return;
  throw std::runtime_error("CUDA: modulation's tensors are float32 or of its half type.");
}

}  // namespace

void modulation_cuda(const ModulationResults& results, const ModulationSource& w,
                     const ModulationSource& s, const ModulationShape& shape, Storage half,
                     const StagedLayer& stage, const CudaContext& context) {
  if (shape.outputs == 0) return;
  for (const Storage storage : {results.storage, w.storage, s.storage}) check(storage, half);
  const float root = static_cast<float>(std::sqrt(static_cast<double>(shape.inputs * shape.taps)));
  dispatch(half, results.storage, [&](auto zero, auto result) {
    using Half = decltype(zero);
    using Out = decltype(result);
    const Modulated<Out> out{static_cast<Out*>(results.w),
                             static_cast<Out*>(results.s),
                             static_cast<Out*>(results.d),
                             results.e,
                             results.w_scale,
                             results.s_scale};
    const Source<Half> from_w{w.data, w.storage != Storage::float32};
    const Source<Half> from_s{s.data, s.storage != Storage::float32};
    if (stage.layer == nullptr) {
      modulate<Half, Out><<<grid_of(shape.outputs, "modulate"), kThreads, 0, stream_of(context)>>>(
          out, from_w, from_s, shape, root);
      return check_launch("modulate");
    }
    if constexpr (std::is_same<Half, Out>::value) {
      modulate_and_stage_layer(out, from_w, from_s, shape, root, stage, context);
    } else {
      throw std::runtime_error("CUDA: modulation stages operands of its half type only.");
    }
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
