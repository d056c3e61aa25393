// The pass over the output side: products with the slope, and the sums that the gradients of bias,
// scale and noise strength are made of. How they are summed: within a piece of a plane in the
// compute type, over pieces, planes and samples in double, all in fixed order.
#include "modulated_conv2d/layer_passes.cuh"
#include "modulated_conv2d/layer_passes_pieces.cuh"

namespace pygan {
namespace {

// Sums over one piece; the last two in the second order only.
enum SumKind { kSumH, kSumHNoise, kSumGY, kSumHDu, kSumHNoiseDir };
constexpr int kFirstOrderSums = 3, kSecondOrderSums = 5;

template <bool kSecondOrder>
constexpr int kSums = kSecondOrder ? kSecondOrderSums : kFirstOrderSums;

// sums: [kind, piece], null where not wanted.
template <typename T, int N, bool kSecondOrder>
__global__ void __launch_bounds__(kPassThreads)
    slope_pass(SlopeGrads grads, OutputPlanes planes, SlopeMath<Compute<T>> slope, Pieces pieces,
               Compute<T>* sums) {
  using C = Compute<T>;
  const Piece piece = piece_of(pieces);
  C total[kSums<kSecondOrder>] = {};
  if (piece.lane < piece.count) {
    const int64_t sample = piece.plane / planes.channels;
    const int64_t channel = piece.plane - sample * planes.channels;
    const int64_t at = piece.plane * pieces.packs + piece.begin;
    const int64_t noise_at = (planes.noise_per_sample ? sample * pieces.packs : 0) + piece.begin;
    const C d = value_or<T>(planes.d, piece.plane, C(1));
    C ratio = 0, constant = 0, noise_factor = 0, noise_dir_factor = 0, bias = 0, strength = 0;
    if constexpr (kSecondOrder) {
      ratio = ratio_of<T>(planes.d_dir, planes.d, piece.plane);
      constant = value_or<T>(planes.bias_dir, channel, C(0));
      noise_factor = value_or<T>(planes.strength_dir, 0, C(0));
      noise_dir_factor = value_or<T>(planes.strength, 0, C(1));
      bias = value_or<T>(planes.bias, channel, C(0));
      strength = value_or<T>(planes.strength, 0, C(1));
    }
    const auto load = [&](const void* from, int64_t pack) {
      return from != nullptr ? load_pack<T, N>(static_cast<const T*>(from), pack) : Pack<T, N>{};
    };
#pragma unroll 1
    for (int i = piece.lane; i < piece.count; i += piece.lanes) {
      const Pack<T, N> g = load(planes.g, at + i);
      const Pack<T, N> y = load(planes.y, at + i);
      const Pack<T, N> noise = load(planes.noise, noise_at + i);
      Pack<T, N> du, du_other, noise_dir, q, grad_g, grad_y;
      if constexpr (kSecondOrder) {
        du = load(planes.du, at + i);
        du_other = load(planes.du_other, at + i);
        noise_dir = load(planes.noise_dir, noise_at + i);
      }
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const C g_k = load_value(g.v[k]), y_k = load_value(y.v[k]);
        const C noise_k = load_value(noise.v[k]);
        const C m = slope(y_k), h = m * g_k;
        const C kept = slope.is_free(y_k) ? y_k : C(0);
        q.v[k] = store_value<T>(d * h);
        total[kSumH] += h;
        total[kSumHNoise] += h * noise_k;
        total[kSumGY] += g_k * kept;
        if constexpr (kSecondOrder) {
          const C du_k = load_value(du.v[k]) + load_value(du_other.v[k]);
          const C noise_dir_k = load_value(noise_dir.v[k]);
          const C dz =
              d * du_k + constant + noise_factor * noise_k + noise_dir_factor * noise_dir_k;
          const C rest = bias + strength * noise_k;
          grad_g.v[k] = store_value<T>(m * dz + ratio * (kept - m * rest));
          grad_y.v[k] = store_value<T>(m != C(0) ? ratio * g_k : C(0));
          total[kSumHDu] += h * du_k;
          total[kSumHNoiseDir] += h * noise_dir_k;
        }
      }
      if (grads.q != nullptr) store_pack<T, N>(static_cast<T*>(grads.q), at + i, q);
      if (kSecondOrder && grads.grad_g != nullptr) {
        store_pack<T, N>(static_cast<T*>(grads.grad_g), at + i, grad_g);
      }
      if (kSecondOrder && grads.grad_y != nullptr) {
        store_pack<T, N>(static_cast<T*>(grads.grad_y), at + i, grad_y);
      }
    }
  }
  if (sums == nullptr) return;
  sum_lanes(total, piece.lanes);
  if (piece.lane != 0 || piece.plane >= pieces.planes) return;
#pragma unroll
  for (int k = 0; k < kSums<kSecondOrder>; ++k) {
    sums[k * pieces.count() + piece.index] = total[k];
  }
}

// ---- From sums over pieces to gradients, in one launch: its first blocks compute the scale's (a
// group of lanes per plane), the next the bias's (a group per channel), the last the strength's.

struct GradBlocks {
  int64_t d, bias, strength;
  int d_lane_bits, bias_lane_bits;
};

__device__ __forceinline__ double sum_group(double v, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    v += __shfl_xor_sync(0xffffffffu, v, offset);
  }
  return v;
}

template <typename T, bool kSecondOrder>
__device__ __forceinline__ void store_d_grad(T* out, const OutputPlanes& planes,
                                             const Compute<T>* sums, const Pieces& pieces,
                                             int64_t block, int lane_bits) {
  const int lanes = 1 << lane_bits, lane = threadIdx.x & (lanes - 1);
  const int64_t plane = block * (kPassThreads >> lane_bits) + (threadIdx.x >> lane_bits);
  const bool inside = plane < pieces.planes;
  double total[kSums<kSecondOrder>] = {};
  if (inside) {
    for (int64_t i = lane; i < pieces.per_plane; i += lanes) {
#pragma unroll
      for (int k = 0; k < kSums<kSecondOrder>; ++k) {
        total[k] += sums[k * pieces.count() + plane * pieces.per_plane + i];
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kSums<kSecondOrder>; ++k) total[k] = sum_group(total[k], lanes);
  if (!inside || lane != 0) return;
  const double d = value_or<T>(planes.d, plane, 1);
  const double bias = value_or<T>(planes.bias, plane % planes.channels, 0);
  const double strength = value_or<T>(planes.strength, 0, 1);
  double grad = (total[kSumGY] - bias * total[kSumH] - strength * total[kSumHNoise]) / d;
  if constexpr (kSecondOrder) {
    const double ratio = ratio_of<T>(planes.d_dir, planes.d, plane);
    grad = total[kSumHDu] - (ratio != 0 ? ratio * grad : 0);
  }
  out[plane] = store_value<T>(static_cast<Compute<T>>(grad));
}

template <typename T, bool kSecondOrder>
__device__ __forceinline__ void store_bias_grad(T* out, const OutputPlanes& planes,
                                                const Compute<T>* sums, const Pieces& pieces,
                                                int64_t block, int lane_bits) {
  const int lanes = 1 << lane_bits, lane = threadIdx.x & (lanes - 1);
  const int64_t channel = block * (kPassThreads >> lane_bits) + (threadIdx.x >> lane_bits);
  const bool inside = channel < planes.channels;
  double total = 0;
  if (inside) {
    for (int64_t i = lane; i < planes.n * pieces.per_plane; i += lanes) {
      const int64_t sample = pieces.per_plane == 1 ? i : i / pieces.per_plane;
      const int64_t plane = sample * planes.channels + channel;
      const double h =
          sums[kSumH * pieces.count() + plane * pieces.per_plane + (i - sample * pieces.per_plane)];
      if constexpr (kSecondOrder) {
        const double ratio = ratio_of<T>(planes.d_dir, planes.d, plane);
        if (ratio != 0) total -= ratio * h;
      } else {
        total += h;
      }
    }
  }
  total = sum_group(total, lanes);
  if (inside && lane == 0) out[channel] = store_value<T>(static_cast<Compute<T>>(total));
}

template <typename T, bool kSecondOrder>
__device__ __forceinline__ void store_strength_grad(T* out, const OutputPlanes& planes,
                                                    const Compute<T>* sums, const Pieces& pieces) {
  double total[1] = {0};
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < pieces.count(); i += kPassThreads) {
    const double h_noise = sums[kSumHNoise * pieces.count() + i];
    if constexpr (kSecondOrder) {
      const double ratio = ratio_of<T>(planes.d_dir, planes.d, i / pieces.per_plane);
      total[0] += sums[kSumHNoiseDir * pieces.count() + i];
      if (ratio != 0) total[0] -= ratio * h_noise;
    } else {
      total[0] += h_noise;
    }
  }
  sum_lanes(total, kPassThreads);
  if (threadIdx.x == 0) *out = store_value<T>(static_cast<Compute<T>>(total[0]));
}

template <typename T, bool kSecondOrder>
__global__ void __launch_bounds__(kPassThreads)
    grads_of_sums(SlopeGrads grads, OutputPlanes planes, const Compute<T>* sums, Pieces pieces,
                  GradBlocks blocks) {
  const int64_t block = blockIdx.x;
  if (block < blocks.d) {
    store_d_grad<T, kSecondOrder>(static_cast<T*>(grads.d), planes, sums, pieces, block,
                                  blocks.d_lane_bits);
  } else if (block < blocks.d + blocks.bias) {
    store_bias_grad<T, kSecondOrder>(static_cast<T*>(grads.bias), planes, sums, pieces,
                                     block - blocks.d, blocks.bias_lane_bits);
  } else {
    store_strength_grad<T, kSecondOrder>(static_cast<T*>(grads.strength), planes, sums, pieces);
  }
}

template <typename T, bool kSecondOrder>
void run(const SlopeGrads& grads, const OutputPlanes& planes, const CudaContext& context) {
  using C = Compute<T>;
  dispatch_pack<T>(
      planes.area,
      {planes.g, planes.y, planes.noise, planes.du, planes.du_other, planes.noise_dir, grads.q,
       grads.grad_g, grads.grad_y},
      [&](auto, auto pack) {
        constexpr int kPack = decltype(pack)::value;
        const Pieces pieces = cut_planes(planes.planes(), planes.area / kPack);
        C* sums = nullptr;
        if (grads.has_sums()) sums = context.get<C>(kSums<kSecondOrder> * pieces.count());
        if (pieces.planes > 0) {
          slope_pass<T, kPack, kSecondOrder>
              <<<grid_of(pieces.blocks(), "slope_pass"), kPassThreads, 0, stream_of(context)>>>(
                  grads, planes, SlopeMath<C>(planes), pieces, sums);
          check_launch("slope_pass");
        }
        if (sums == nullptr) return;
        GradBlocks blocks;
        blocks.d_lane_bits = warp_lane_bits(pieces.per_plane);
        blocks.bias_lane_bits = warp_lane_bits(planes.n * pieces.per_plane);
        blocks.d = grads.d ? ceil_div(pieces.planes, kPassThreads >> blocks.d_lane_bits) : 0;
        blocks.bias =
            grads.bias ? ceil_div(planes.channels, kPassThreads >> blocks.bias_lane_bits) : 0;
        blocks.strength = grads.strength ? 1 : 0;
        const int64_t count = blocks.d + blocks.bias + blocks.strength;
        if (count == 0) return;
        grads_of_sums<T, kSecondOrder>
            <<<grid_of(count, "grads_of_sums"), kPassThreads, 0, stream_of(context)>>>(
                grads, planes, sums, pieces, blocks);
        check_launch("grads_of_sums");
      });
}

}  // namespace

void slope_pass_cuda(const SlopeGrads& grads, const OutputPlanes& planes, bool second_order,
                     const CudaContext& context) {
  if (grads.empty()) return;
  if (second_order) {
    dispatch_full_precision(planes.storage, "the second order of conv2d",
                            [&](auto zero) { run<decltype(zero), true>(grads, planes, context); });
  } else {
    dispatch_storage(planes.storage,
                     [&](auto zero) { run<decltype(zero), false>(grads, planes, context); });
  }
}

}  // namespace pygan
