// Scaled sums over the planes of the input side, with dot products per plane.
#include "modulated_conv2d/layer_passes.cuh"
#include "modulated_conv2d/layer_passes_pieces.cuh"

namespace pygan {
namespace {

// dots: the gradients themselves where each plane is one piece (Dot = T), else sums over pieces
// (Dot = Compute<T>).
template <typename T, int N, typename Dot>
__global__ void __launch_bounds__(kPassThreads)
    scaled_sum(void* out, Dot* dots, ScaledTerm a, ScaledTerm b, Pieces pieces) {
  using C = Compute<T>;
  const Piece piece = piece_of(pieces);
  C dot[1] = {0};
  if (piece.lane < piece.count) {
    const int64_t at = piece.plane * pieces.packs + piece.begin;
    const C factor_a = a.summed ? value_or<T>(a.factor, piece.plane, C(1)) : C(0);
    const C factor_b = b.summed ? value_or<T>(b.factor, piece.plane, C(1)) : C(0);
    const auto add = [&](C(&sum)[N], const ScaledTerm& term, C factor, int64_t i) {
      if (term.t == nullptr) return;
      const Pack<T, N> t = load_pack<T, N>(static_cast<const T*>(term.t), i);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if (term.summed) sum[k] += factor * load_value(t.v[k]);
      }
      if (term.with == nullptr) return;
      const Pack<T, N> with = load_pack<T, N>(static_cast<const T*>(term.with), i);
#pragma unroll
      for (int k = 0; k < N; ++k) dot[0] += load_value(t.v[k]) * load_value(with.v[k]);
    };
#pragma unroll 2
    for (int i = piece.lane; i < piece.count; i += piece.lanes) {
      C sum[N] = {};
      add(sum, a, factor_a, at + i);
      add(sum, b, factor_b, at + i);
      if (out == nullptr) continue;
      Pack<T, N> result;
#pragma unroll
      for (int k = 0; k < N; ++k) result.v[k] = store_value<T>(sum[k]);
      store_pack<T, N>(static_cast<T*>(out), at + i, result);
    }
  }
  if (dots == nullptr) return;
  sum_lanes(dot, piece.lanes);
  if (piece.lane == 0 && piece.plane < pieces.planes) {
    dots[piece.index] = store_value<Dot>(dot[0]);
  }
}

// dots[plane] = sum over its pieces, a warp each.
template <typename T>
__global__ void __launch_bounds__(kPassThreads)
    add_pieces(T* dots, const Compute<T>* sums, Pieces pieces) {
  const int64_t plane = static_cast<int64_t>(blockIdx.x) * (kPassThreads / 32) + threadIdx.x / 32;
  if (plane >= pieces.planes) return;
  double total = 0;
  for (int64_t i = threadIdx.x % 32; i < pieces.per_plane; i += 32) {
    total += sums[plane * pieces.per_plane + i];
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    total += __shfl_xor_sync(0xffffffffu, total, offset);
  }
  if (threadIdx.x % 32 == 0) dots[plane] = store_value<T>(static_cast<Compute<T>>(total));
}

template <typename T>
void run(void* out, T* dots, const ScaledTerm& a, const ScaledTerm& b, int64_t planes, int64_t area,
         const CudaContext& context) {
  using C = Compute<T>;
  dispatch_pack<T>(area, {out, a.t, a.with, b.t, b.with}, [&](auto, auto pack) {
    constexpr int kPack = decltype(pack)::value;
    const Pieces pieces = cut_planes(planes, area / kPack);
    const unsigned grid = grid_of(pieces.blocks(), "scaled_sum");
    if (dots == nullptr || pieces.per_plane == 1) {
      scaled_sum<T, kPack, T>
          <<<grid, kPassThreads, 0, stream_of(context)>>>(out, dots, a, b, pieces);
      return check_launch("scaled_sum");
    }
    C* sums = context.get<C>(pieces.count());
    scaled_sum<T, kPack, C><<<grid, kPassThreads, 0, stream_of(context)>>>(out, sums, a, b, pieces);
    check_launch("scaled_sum");
    add_pieces<T><<<grid_of(ceil_div(planes, kPassThreads / 32), "add_pieces"), kPassThreads, 0,
                    stream_of(context)>>>(dots, sums, pieces);
    check_launch("add_pieces");
  });
}

}  // namespace

void scaled_sum_cuda(void* out, void* dots, const ScaledTerm& a, const ScaledTerm& b,
                     int64_t planes, int64_t area, Storage storage, const CudaContext& context) {
  if (planes == 0 || (out == nullptr && dots == nullptr)) return;
  dispatch_storage(storage, [&](auto zero) {
    run(out, static_cast<decltype(zero)*>(dots), a, b, planes, area, context);
  });
}

void fill_zero_cuda(void* out, int64_t count, Storage storage, const CudaContext& context) {
  if (out == nullptr || count == 0) return;
  cuda_check(
      cudaMemsetAsync(out, 0, static_cast<size_t>(count * size_of(storage)), stream_of(context)),
      "cudaMemsetAsync");
}

}  // namespace pygan
