// 1x1 convolutions between few channels (at most four) and many, on images: pointwise_few.cuh.
//
//   gather   out[n, f, p] = sum over c of w[f, c] * in_scale[n, c] * in[n, c, p]      many to few
//   spread   out[n, c, p] = sum over f of w[c, f] * in_scale[n, f] * in[n, f, p]      few to many
//
// Each is the forward pass of one kind of layer and the input gradient of the other. A warp takes
// 32 vectors of neighbouring pixels; the four warps of a block take the same pixels and share the
// many channels. Weights, times scales, lie in shared memory, the few of a channel side by side.
#include <cstring>

#include "common/cuda_launch.cuh"
#include "common/device_epilogue.cuh"
#include "modulated_conv2d/pointwise_few.cuh"

namespace pygan {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kChunk = 512;  // channels whose weights lie in shared memory at a time
static_assert(kWarps == kFewChannels, "gather's warps finish one output channel each");

template <typename T>
struct PointwiseArgs {
  T* out;
  const T* in;
  const T* w;
  const T* in_scale;
  int64_t area;                 // of an image
  int64_t few_step, many_step;  // from weight to weight
  int few, many;                // channels
  unsigned blocks_per_sample;
};

// A thread's place: its sample and first pixel.
template <int kV>
struct PixelVector {
  int64_t sample, pixel;
  bool inside;

  __device__ __forceinline__ PixelVector(unsigned blocks_per_sample, int64_t area) {
    sample = blockIdx.x / blocks_per_sample;
    pixel = (int64_t{blockIdx.x % blocks_per_sample} * 32 + threadIdx.x % 32) * kV;
    inside = pixel < area;
  }
};

template <typename T, int kV>
__device__ __forceinline__ void load_vector(Compute<T> (&v)[kV], const T* from) {
  const Pack<T, kV> pack = *reinterpret_cast<const Pack<T, kV>*>(from);
#pragma unroll
  for (int i = 0; i < kV; ++i) v[i] = load_value(pack.v[i]);
}

// One store instruction, where an assignment would be cut into one per element.
template <typename T, int kV>
__device__ __forceinline__ void store_vector(T* to, const Pack<T, kV>& pack) {
  if constexpr (kV == 1) {
    *to = pack.v[0];
  } else {
    static_assert(sizeof(pack) == sizeof(uint4), "16 bytes");
    uint4 bits;
    memcpy(&bits, &pack, sizeof(bits));
    __stcg(reinterpret_cast<uint4*>(to), bits);
  }
}

template <typename T, int kV>
__global__ void __launch_bounds__(kThreads, 4)
    pointwise_gather_kernel(const PointwiseArgs<T> a, EpilogueMath<T> epilogue) {
  using C = Compute<T>;
  using Weights = Pack<C, kFewChannels>;
  __shared__ Weights weights[kChunk];
  __shared__ C parts[kWarps][kFewChannels][kV][32];
  const PixelVector<kV> at(a.blocks_per_sample, a.area);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const T* in = a.in + at.sample * a.many * a.area + at.pixel;

  C sum[kFewChannels][kV] = {};
  for (int first = 0; first < a.many; first += kChunk) {
    const int channels = min(kChunk, a.many - first);
    __syncthreads();
    for (int c = threadIdx.x; c < channels; c += kThreads) {
      const int64_t channel = first + c;
      const C scale =
          a.in_scale != nullptr ? load_value(a.in_scale[at.sample * a.many + channel]) : C(1);
      Weights w{};
#pragma unroll
      for (int f = 0; f < kFewChannels; ++f) {
        if (f < a.few) w.v[f] = scale * load_value(a.w[f * a.few_step + channel * a.many_step]);
      }
      weights[c] = w;
    }
    __syncthreads();
    if (!at.inside) continue;
#pragma unroll 4
    for (int c = warp; c < channels; c += kWarps) {
      C v[kV];
      load_vector<T, kV>(v, in + (first + c) * a.area);
      const Weights w = weights[c];
#pragma unroll
      for (int f = 0; f < kFewChannels; ++f) {
#pragma unroll
        for (int i = 0; i < kV; ++i) sum[f][i] += w.v[f] * v[i];
      }
    }
  }

#pragma unroll
  for (int f = 0; f < kFewChannels; ++f) {
#pragma unroll
    for (int i = 0; i < kV; ++i) parts[warp][f][i][lane] = sum[f][i];
  }
  __syncthreads();
  const int f = warp;
  if (!at.inside || f >= a.few) return;
  const C scale = epilogue.scale_of(at.sample, f, a.few), bias = epilogue.bias_of(f);
  const C strength = epilogue.strength();
  Pack<T, kV> out;
#pragma unroll
  for (int i = 0; i < kV; ++i) {
    C u = parts[0][f][i][lane];
#pragma unroll
    for (int part = 1; part < kWarps; ++part) u += parts[part][f][i][lane];
    const C noise = epilogue.noise_of(at.sample, at.pixel + i, a.area);
    out.v[i] = store_value<T>(epilogue(u, scale, strength * noise + bias));
  }
  store_vector(a.out + (at.sample * a.few + f) * a.area + at.pixel, out);
}

template <typename T, int kV>
__global__ void __launch_bounds__(kThreads, 4)
    pointwise_spread_kernel(const PointwiseArgs<T> a, EpilogueMath<T> epilogue) {
  using C = Compute<T>;
  using Weights = Pack<C, kFewChannels>;
  __shared__ Weights weights[kChunk];
  __shared__ C scales[kChunk], biases[kChunk];
  const PixelVector<kV> at(a.blocks_per_sample, a.area);
  const int warp = threadIdx.x / 32;
  T* out = a.out + at.sample * a.many * a.area + at.pixel;

  C in[kFewChannels][kV] = {}, noise[kV] = {};
  if (at.inside) {
#pragma unroll
    for (int f = 0; f < kFewChannels; ++f) {
      if (f < a.few) {
        load_vector<T, kV>(in[f], a.in + (at.sample * a.few + f) * a.area + at.pixel);
      }
    }
    const C strength = epilogue.strength();
#pragma unroll
    for (int i = 0; i < kV; ++i) {
      noise[i] = strength * epilogue.noise_of(at.sample, at.pixel + i, a.area);
    }
  }
  for (int first = 0; first < a.many; first += kChunk) {
    const int channels = min(kChunk, a.many - first);
    __syncthreads();
    for (int c = threadIdx.x; c < channels; c += kThreads) {
      const int64_t channel = first + c;
      Weights w{};
#pragma unroll
      for (int f = 0; f < kFewChannels; ++f) {
        if (f >= a.few) continue;
        const C scale =
            a.in_scale != nullptr ? load_value(a.in_scale[at.sample * a.few + f]) : C(1);
        w.v[f] = scale * load_value(a.w[f * a.few_step + channel * a.many_step]);
      }
      weights[c] = w;
      scales[c] = epilogue.scale_of(at.sample, channel, a.many);
      biases[c] = epilogue.bias_of(channel);
    }
    __syncthreads();
    if (!at.inside) continue;
    for (int c = warp; c < channels; c += kWarps) {
      const Weights w = weights[c];
      const C scale = scales[c], bias = biases[c];
      Pack<T, kV> result;
#pragma unroll
      for (int i = 0; i < kV; ++i) {
        C u = w.v[0] * in[0][i];
#pragma unroll
        for (int f = 1; f < kFewChannels; ++f) {
          if (f < a.few) u += w.v[f] * in[f][i];
        }
        result.v[i] = store_value<T>(epilogue(u, scale, noise[i] + bias));
      }
      store_vector(out + (first + c) * a.area, result);
    }
  }
}

// Forward (`rows` of the weights are written) or input gradient (they are read).
void pointwise_few(void* out, const void* in, const void* w, const void* in_scale,
                   const DeviceEpilogue& epilogue, const CudaConv& conv, bool is_forward,
                   const CudaContext& context) {
  const ConvShape& s = conv.shape;
  const int64_t from = is_forward ? s.ci : s.co, to = is_forward ? s.co : s.ci;
  const int64_t area = s.input_area();
  if (s.n * to * area == 0) return;
  const bool gathers = to <= kFewChannels;
  const int64_t row_step = conv.layout.exchanged ? 1 : s.ci;
  const int64_t column_step = conv.layout.exchanged ? s.co : 1;
  const int64_t to_step = is_forward ? row_step : column_step;
  const int64_t from_step = is_forward ? column_step : row_step;
  dispatch_storage(conv.storage, [&](auto type) {
    using T = decltype(type);
    const auto launch = [&](auto vector) {
      constexpr int kV = decltype(vector)::value;
      PointwiseArgs<T> a{static_cast<T*>(out),
                         static_cast<const T*>(in),
                         static_cast<const T*>(w),
                         static_cast<const T*>(in_scale),
                         area,
                         gathers ? to_step : from_step,
                         gathers ? from_step : to_step,
                         static_cast<int>(gathers ? to : from),
                         static_cast<int>(gathers ? from : to),
                         0};
      const int64_t blocks = ceil_div(area, 32 * kV);
      if (s.n * blocks > kMaxGridX) {
        throw std::runtime_error("conv2d: the images have too many pixels for one launch.");
      }
      a.blocks_per_sample = static_cast<unsigned>(blocks);
      const auto kernel = gathers ? pointwise_gather_kernel<T, kV> : pointwise_spread_kernel<T, kV>;
      kernel<<<static_cast<unsigned>(s.n * blocks), kThreads, 0, stream_of(context)>>>(
          a, EpilogueMath<T>(epilogue));
    };
    constexpr int kVector = 16 / sizeof(T);
    if (area % kVector == 0 && is_aligned<T>(out, kVector) && is_aligned<T>(in, kVector)) {
      launch(std::integral_constant<int, kVector>{});
    } else {
      launch(std::integral_constant<int, 1>{});
    }
  });
  check_launch(gathers ? "pointwise_gather_kernel" : "pointwise_spread_kernel");
}

}  // namespace

void pointwise_few_forward(void* y, const void* x, const void* w, const void* x_scale,
                           const DeviceEpilogue& epilogue, const CudaConv& conv,
                           const CudaContext& context) {
  pointwise_few(y, x, w, x_scale, epilogue, conv, true, context);
}

void pointwise_few_input_grad(void* dx, const void* dy, const void* w, const void* dy_scale,
                              const DeviceEpilogue& epilogue, const CudaConv& conv,
                              const CudaContext& context) {
  pointwise_few(dx, dy, w, dy_scale, epilogue, conv, false, context);
}

}  // namespace pygan
