// The weight gradient of pointwise_few.cuh:
//
//   dw[c, f] = sum over n of many_scale[n, c] * few_scale[n, f] *
//                  sum over p of many[n, c, p] * few[n, f, p]
//
// A block adds up one piece of a sample's pixels for eight of the many channels, which share the
// reads of the few; a second launch adds pieces and samples, in the same order every time.
#include "common/cuda_launch.cuh"
#include "modulated_conv2d/pointwise_few.cuh"

namespace pygan {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr int kChannels = 8;  // of the many, per block
constexpr int kSums = kChannels * kFewChannels;
static_assert(kSums == 32, "one sum per lane");
constexpr int64_t kPiece = 16 * 1024;  // pixels per block

template <typename T>
struct PointwiseGradArgs {
  const T* many;
  const T* few;
  const T* many_scale;
  const T* few_scale;
  Compute<T>* partial;  // [samples][pieces][many_count rounded up to kChannels][kFewChannels]
  int64_t area;
  int many_count, few_count;
  unsigned pieces, channel_tiles;
};

// Adds each of 32 values over the warp's lanes: lane i returns the sum of v[i].
template <typename C>
__device__ __forceinline__ C sum_scattered(C (&v)[32]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int width = 16; width > 0; width /= 2) {
    const bool upper = (lane & width) != 0;
#pragma unroll
    for (int i = 0; i < width; ++i) {
      const C kept = upper ? v[i + width] : v[i], sent = upper ? v[i] : v[i + width];
      v[i] = kept + __shfl_xor_sync(0xffffffffu, sent, width);
    }
  }
  return v[0];
}

template <typename T, int kV>
__global__ void __launch_bounds__(kThreads, 3)
    pointwise_weight_grad_kernel(const PointwiseGradArgs<T> a) {
  using C = Compute<T>;
  __shared__ C parts[kWarps][kSums];
  const unsigned tile = blockIdx.x % a.channel_tiles, rest = blockIdx.x / a.channel_tiles;
  const unsigned piece = rest % a.pieces;
  const int64_t sample = rest / a.pieces;
  const int first = tile * kChannels;
  const int channels = min(kChannels, a.many_count - first);
  const T* many = a.many + (sample * a.many_count + first) * a.area;
  const T* few = a.few + sample * a.few_count * a.area;

  C sum[kSums] = {};
  const int64_t end = min(a.area, (piece + 1) * kPiece);
  for (int64_t p = piece * kPiece + threadIdx.x * kV; p < end; p += kThreads * kV) {
    Pack<T, kV> m[kChannels], f[kFewChannels];
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      m[c] = c < channels ? *reinterpret_cast<const Pack<T, kV>*>(many + c * a.area + p)
                          : Pack<T, kV>{};
    }
#pragma unroll
    for (int i = 0; i < kFewChannels; ++i) {
      f[i] = i < a.few_count ? *reinterpret_cast<const Pack<T, kV>*>(few + i * a.area + p)
                             : Pack<T, kV>{};
    }
#pragma unroll
    for (int k = 0; k < kV; ++k) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        const C value = load_value(m[c].v[k]);
#pragma unroll
        for (int i = 0; i < kFewChannels; ++i) {
          sum[c * kFewChannels + i] += value * load_value(f[i].v[k]);
        }
      }
    }
  }

  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  parts[warp][lane] = sum_scattered(sum);
  __syncthreads();
  if (warp > 0) return;
  C total = parts[0][lane];
#pragma unroll
  for (int other = 1; other < kWarps; ++other) total += parts[other][lane];
  const int channel = lane / kFewChannels, i = lane % kFewChannels;
  if (channel < channels && i < a.few_count) {
    if (a.many_scale != nullptr) {
      total *= load_value(a.many_scale[sample * a.many_count + first + channel]);
    }
    if (a.few_scale != nullptr) total *= load_value(a.few_scale[sample * a.few_count + i]);
  }
  a.partial[(int64_t{rest} * a.channel_tiles + tile) * kSums + lane] = total;
}

// dw, one thread per weight: adds [parts][padded many][kFewChannels] over parts.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    pointwise_sum_kernel(T* dw, const Compute<T>* partial, int64_t parts, int64_t part_size,
                         int many_count, int few_count, int64_t many_step, int64_t few_step) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t channel = at / kFewChannels;
  const int i = static_cast<int>(at % kFewChannels);
  if (channel >= many_count || i >= few_count) return;
  Compute<T> sum = 0;
#pragma unroll 8
  for (int64_t part = 0; part < parts; ++part) sum += partial[part * part_size + at];
  dw[channel * many_step + i * few_step] = store_value<T>(sum);
}

}  // namespace

void pointwise_few_weight_grad(void* dw, const void* x, const void* dy, const void* x_scale,
                               const void* dy_scale, const CudaConv& conv,
                               const CudaContext& context) {
  const ConvShape& s = conv.shape;
  if (s.weight_size() == 0) return;
  const bool few_outputs = s.co <= kFewChannels;
  const int64_t row_step = conv.layout.exchanged ? 1 : s.ci;
  const int64_t column_step = conv.layout.exchanged ? s.co : 1;
  const int64_t many_count = few_outputs ? s.ci : s.co;
  const int64_t tiles = ceil_div(many_count, kChannels);
  const int64_t pieces = ceil_div(s.input_area(), kPiece);
  const int64_t part_size = tiles * kSums, parts = s.n * pieces;
  if (parts * tiles > kMaxGridX) {
    throw std::runtime_error("conv2d: the images have too many pixels for one launch.");
  }
  dispatch_storage(conv.storage, [&](auto type) {
    using T = decltype(type);
    PointwiseGradArgs<T> a{};
    a.many = static_cast<const T*>(few_outputs ? x : dy);
    a.few = static_cast<const T*>(few_outputs ? dy : x);
    a.many_scale = static_cast<const T*>(few_outputs ? x_scale : dy_scale);
    a.few_scale = static_cast<const T*>(few_outputs ? dy_scale : x_scale);
    a.area = s.input_area();
    a.many_count = static_cast<int>(many_count);
    a.few_count = static_cast<int>(few_outputs ? s.co : s.ci);
    a.pieces = static_cast<unsigned>(pieces);
    a.channel_tiles = static_cast<unsigned>(tiles);
    if (parts > 0) {
      a.partial = context.get<Compute<T>>(parts * part_size);
      constexpr int kVector = 16 / sizeof(T);
      const bool vector =
          a.area % kVector == 0 && is_aligned<T>(x, kVector) && is_aligned<T>(dy, kVector);
      const auto kernel =
          vector ? pointwise_weight_grad_kernel<T, kVector> : pointwise_weight_grad_kernel<T, 1>;
      kernel<<<static_cast<unsigned>(parts * tiles), kThreads, 0, stream_of(context)>>>(a);
      check_launch("pointwise_weight_grad_kernel");
    }
    pointwise_sum_kernel<T>
        <<<static_cast<unsigned>(ceil_div(part_size, kThreads)), kThreads, 0, stream_of(context)>>>(
            static_cast<T*>(dw), a.partial, parts, part_size, a.many_count, a.few_count,
            few_outputs ? column_step : row_step, few_outputs ? row_step : column_step);
    check_launch("pointwise_sum_kernel");
  });
}

}  // namespace pygan
