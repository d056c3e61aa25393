// What both kernels of warp.cu are made of: positions in fixed point, images continued beyond their
// borders, and loops of a block over rectangles in shared memory.
#pragma once

#include <cstdint>

#include "augment/source_map.h"
#include "augment/warp.h"
#include "common/cuda_launch.cuh"

namespace pygan {
namespace device {

constexpr int kWarpThreads = 256;
constexpr int kWarpTile = 16;                        // sides of a tile, in pixels: one per thread
constexpr int kWarpReach = kWarpCentre;              // of z before a tile's first pixel
constexpr int kWarpMargin = kWarpTapCount - 2;       // pixels of z more than twice those of a tile
constexpr int kPhaseTaps = kWarpTapCount / 2;        // of which each pixel of u is a sum
constexpr int kBefore = kPhaseTaps / 2;              // pixels of x before an even one of u
constexpr int kTileZ = 2 * kWarpTile + kWarpMargin;  // sides of a tile's z, and of what it gives u

// Blocks that a multiprocessor must be able to hold: what limits the registers of a thread. As many
// as its shared memory holds; at least one with doubles.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <typename T>
constexpr int kWarpBlocks = sizeof(T) == 8 ? 1 : 2;
#else
template <typename T>
constexpr int kWarpBlocks = sizeof(T) == 8 ? 1 : 3;
#endif

template <typename T>
struct WarpArgs {
  T* out;
  const T* in;
  const double* matrices;
  int64_t channels, plane;  // of `plane` pixels each
  int height, width;
  unsigned tiles, tiles_x;         // of a plane; in one row
  Compute<T> down[kWarpTapCount];  // the taps, from z to y
  Compute<T> up[kWarpTapCount];    // twice them, from x to u
};

// ---- Maps. What the threads of a block share about one is made by two of them, each for its axis
// of x: 0 across, 1 down.

enum class WarpWay { nothing, copied, gathered, filtered };

__device__ __forceinline__ WarpWay way_of(const SourceMap& map, int height, int width) {
  if (!is_bounded(map, height, width)) return WarpWay::nothing;
  if (!is_exact(map)) return WarpWay::filtered;
  const bool identity = map.xx == 1 && map.yy == 1 && map.x0 == 0 && map.y0 == 0;
  return identity ? WarpWay::copied : WarpWay::gathered;
}

// Where pixel (column, row) of a result comes from along one axis.
struct AxisMap {
  double of_column, of_row, from;

  __device__ __forceinline__ double at(double column, double row) const {
    return of_column * column + of_row * row + from;
  }
  // How much positions grow from one pixel to another.
  __device__ __forceinline__ double extent(double columns, double rows) const {
    return magnitude(of_column) * columns + magnitude(of_row) * rows;
  }
};
__device__ __forceinline__ AxisMap axis_of(const SourceMap& map, int axis) {
  return axis == 0 ? AxisMap{map.xx, map.xy, map.x0} : AxisMap{map.yx, map.yy, map.y0};
}

// The same of a map that takes pixels to pixels: from + sign * (column, or row if it is turned).
struct Move {
  int from, sign;
};
__device__ __forceinline__ Move move_of(const AxisMap& map) {
  return {static_cast<int>(map.from), static_cast<int>(map.of_column + map.of_row)};
}

// ---- Positions near a tile, in pixels of u: whole numbers of 2^-48. They are sums of products
// with whole numbers, so that only the factors are rounded, and GPUs with few units for doubles
// need them once per tile. Below 2^15.

using Fixed = int64_t;
constexpr int kFractionBits = 48;
constexpr Fixed kFixedOne = Fixed{1} << kFractionBits;

__device__ __forceinline__ Fixed fixed_of(double value) { return __double2ll_rn(value * 0x1p48); }
__device__ __forceinline__ int whole_of(Fixed value) {
  return static_cast<int>(value >> kFractionBits);
}
__device__ __forceinline__ void fraction_of(Fixed value, float* fraction) {
  *fraction = static_cast<float>(static_cast<int>(value >> 24) & 0xffffff) * 0x1p-24f;
}
__device__ __forceinline__ void fraction_of(Fixed value, double* fraction) {
  *fraction = static_cast<double>(value & (kFixedOne - 1)) * 0x1p-48;
}

// ---- Images continued by reflection, with indices below 2^30.

__device__ __forceinline__ int period_of(int size) { return size == 1 ? 1 : 2 * (size - 1); }

// index modulo period, at least 0.
__device__ __forceinline__ int modulo(int index, int period) {
  index %= period;
  return index < 0 ? index + period : index;
}
__device__ __forceinline__ int reflected(int index, int size) {
  if (index >= 0 && index < size) return index;
  const int period = period_of(size), place = modulo(index, period);
  return place < size ? place : period - place;
}

// Calls body(k) for those k, begin <= k < end, of which `index` is the reflection.
template <typename Body>
__device__ __forceinline__ void for_images(int index, int size, int begin, int end, Body&& body) {
  const int period = period_of(size);
#pragma unroll 1
  for (int k = begin + modulo(index - begin, period); k < end; k += period) body(k);
  if (index == 0 || index == size - 1) return;  // reflections of themselves
#pragma unroll 1
  for (int k = begin + modulo(-index - begin, period); k < end; k += period) body(k);
}

// ---- A block's loop over rows x columns: body(row, column). At least 2 columns, and fewer than
// 2^16 elements, for which the product with a rounded 2^32 / columns divides exactly.
template <typename Body>
__device__ __forceinline__ void for_elements(int rows, int columns, Body&& body) {
  const unsigned reciprocal = 0xffffffffu / static_cast<unsigned>(columns) + 1;
#pragma unroll 1
  for (int at = threadIdx.x; at < rows * columns; at += kWarpThreads) {
    const int row = static_cast<int>(__umulhi(static_cast<unsigned>(at), reciprocal));
    body(row, at - row * columns);
  }
}

}  // namespace device
}  // namespace pygan
