// How the passes of layer_passes.cuh share planes among threads: a small plane goes to some lanes
// of a warp, a large one is cut into pieces of one block each. The partition depends on shapes and
// alignment alone, so sums over it are the same in every run.
#pragma once

#include <initializer_list>
#include <type_traits>

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/layer_passes.cuh"

namespace pygan {

constexpr int kPassThreads = 256;
// Packs of one piece: enough for the loads to outweigh the sum at its end, few enough for pieces to
// fill a GPU.
constexpr int kPiecePacks = 8 * kPassThreads;

// `planes` planes of `packs` packs each.
struct Pieces {
  int64_t planes, packs;
  int64_t per_plane;  // pieces
  int lane_bits;      // log2 of the threads of a piece: up to a warp, or the whole block

  __host__ __device__ int64_t count() const { return planes * per_plane; }
  int64_t blocks() const { return ceil_div(count(), kPassThreads >> lane_bits); }
};

// log2 of the lanes (up to a warp) for `count` values.
inline int warp_lane_bits(int64_t count) {
  int bits = 0;
  while (bits < 5 && (int64_t{1} << bits) < count) ++bits;
  return bits;
}

inline Pieces cut_planes(int64_t planes, int64_t packs) {
  Pieces p;
  p.planes = planes;
  p.packs = packs;
  p.per_plane = packs > kPiecePacks ? ceil_div(packs, kPiecePacks) : 1;
  p.lane_bits = packs > 4 * 32 ? 8 : warp_lane_bits(packs);
  return p;
}
static_assert(kPassThreads == 1 << 8, "lane_bits of a whole block");

inline unsigned grid_of(int64_t blocks, const char* kernel) {
  if (blocks > kMaxGridX) {
    throw std::runtime_error(std::string("CUDA: ") + kernel + " would need " +
                             std::to_string(blocks) +
                             " blocks, and a grid holds 2147483647: " + "split the batch.");
  }
  return static_cast<unsigned>(blocks);
}

// The piece of this thread: packs begin + lane, begin + lane + lanes, ... of the `count` from
// `begin` on, in plane `plane`.
struct Piece {
  int64_t index, plane, begin;
  int count, lane, lanes;
};

__device__ __forceinline__ Piece piece_of(const Pieces& p) {
  Piece piece;
  piece.lanes = 1 << p.lane_bits;
  piece.lane = threadIdx.x & (piece.lanes - 1);
  piece.index = static_cast<int64_t>(blockIdx.x) * (kPassThreads >> p.lane_bits) +
                (threadIdx.x >> p.lane_bits);
  piece.plane = p.per_plane == 1 ? piece.index : piece.index / p.per_plane;
  piece.begin = (piece.index - piece.plane * p.per_plane) * kPiecePacks;
  const int64_t left = piece.plane < p.planes ? p.packs - piece.begin : 0;
  piece.count = static_cast<int>(left < kPiecePacks ? left : kPiecePacks);
  return piece;
}

// Sums over the lanes of a piece, valid in its lane 0. Every thread of the block must come here.
template <int kSums, typename C>
__device__ __forceinline__ void sum_lanes(C (&v)[kSums], int lanes) {
  for (int offset = (lanes < 32 ? lanes : 32) / 2; offset > 0; offset /= 2) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) v[k] += __shfl_xor_sync(0xffffffffu, v[k], offset);
  }
  if (lanes <= 32) return;
  __shared__ C of_warps[kSums][kPassThreads / 32];
  if (threadIdx.x % 32 == 0) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) of_warps[k][threadIdx.x / 32] = v[k];
  }
  __syncthreads();
  if (threadIdx.x == 0) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) {
      C total = 0;
      for (int i = 0; i < kPassThreads / 32; ++i) total += of_warps[k][i];
      v[k] = total;
    }
  }
}

// ---- Packs of 16 bytes where they fit, single elements elsewhere.

template <typename T>
constexpr int kPackSize = 16 / static_cast<int>(sizeof(T));

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p, int64_t pack) {
  return reinterpret_cast<const Pack<T, N>*>(p)[pack];
}
template <typename T, int N>
__device__ __forceinline__ void store_pack(T* p, int64_t pack, const Pack<T, N>& value) {
  reinterpret_cast<Pack<T, N>*>(p)[pack] = value;
}

// Calls body(T{}, std::integral_constant<int, N>{}) with the N for planes of `area` elements in
// these tensors.
template <typename T, typename Body>
void dispatch_pack(int64_t area, std::initializer_list<const void*> tensors, Body&& body) {
  bool packed = area % kPackSize<T> == 0;
  for (const void* p : tensors) packed = packed && is_aligned<T>(p, kPackSize<T>);
  if (packed) {
    body(T{}, std::integral_constant<int, kPackSize<T>>{});
  } else {
    body(T{}, std::integral_constant<int, 1>{});
  }
}

// Calls body(T{}) for float32 and float64.
template <typename Body>
void dispatch_full_precision(Storage storage, const char* what, Body&& body) {
  if (storage == Storage::float32) return body(float{});
  if (storage == Storage::float64) return body(double{});
  throw std::runtime_error(std::string("CUDA: ") + what +
                           " takes float32 or float64, and came with a half type: widen the "
                           "tensors to float32.");
}

// ---- Small numbers read once per thread.

template <typename T>
__device__ __forceinline__ Compute<T> value_or(const void* p, int64_t at, Compute<T> otherwise) {
  return p != nullptr ? load_value(static_cast<const T*>(p)[at]) : otherwise;
}

// Direction of d over d. Where the direction is zero, so is the ratio, whatever d is.
template <typename T>
__device__ __forceinline__ Compute<T> ratio_of(const void* d_dir, const void* d, int64_t plane) {
  const Compute<T> direction = value_or<T>(d_dir, plane, Compute<T>(0));
  return direction == Compute<T>(0) ? direction : direction / value_or<T>(d, plane, Compute<T>(1));
}

// ---- Slope of the activation.

template <typename C>
struct SlopeMath {
  C positive, negative, clamp;

  explicit SlopeMath(const OutputPlanes& p)
      : positive(static_cast<C>(p.positive)),
        negative(static_cast<C>(p.negative)),
        clamp(static_cast<C>(p.clamp)) {}
  __device__ __forceinline__ bool is_free(C y) const {
    return clamp < C(0) || (y < clamp && y > -clamp);
  }
  __device__ __forceinline__ C operator()(C y) const {
    return !is_free(y) ? C(0) : y > C(0) ? positive : negative;
  }
};

}  // namespace pygan
