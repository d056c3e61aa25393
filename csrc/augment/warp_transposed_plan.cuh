// What a block of warp_transposed.cuh finds out before it adds: which pieces of the continued image
// show its tile, and which pixels of z lie there.
#pragma once

#include <climits>

#include "augment/warp_device.cuh"

namespace pygan {
namespace device {

// Sides of a chunk of dz, and rows of dy that it depends on.
template <typename C>
constexpr int kChunk = sizeof(C) == 8 ? 40 : 62;
template <typename C>
constexpr int kChunkRows = kChunk<C> / 2 + kPhaseTaps - 1;

// Maps by which neighbours in z lie farther apart take positions modulo the period.
constexpr double kSpread = 16;

// Extent of an image continued along one axis, in pixels of x, both ends included.
struct Extent {
  int low, high;
};

// The images of pixels begin <= i < end of x, up to a tile's sides of them, along one axis of the
// continued image: pieces of it that lie in an extent. If the tile is the whole axis, the extent in
// pieces as long as a tile. Where positions are modular, one period's.
struct Images {
  int count;

  __device__ __forceinline__ void make(int begin, int end, int size, Extent extent, bool modular) {
    limit_ = extent.high;
    first_mirrored_ = length_mirrored_ = 0;
    if (size <= kWarpTile && !modular) {
      step_ = length_ = kWarpTile;
      first_ = extent.low;
      count = straight_ = (extent.high - extent.low) / kWarpTile + 1;
      return;
    }
    step_ = period_of(size);
    length_ = end - begin;
    first_ = begin + first_multiple(modular ? 0 : extent.low - (end - 1));
    count = straight_ = modular ? 1 : count_from(first_, extent.high);
    limit_ = INT_MAX;
    // The first and the last pixel of x are reflections of themselves.
    const int inner_begin = max(begin, 1), inner_end = min(end, size - 1);
    length_mirrored_ = inner_end - inner_begin;
    if (length_mirrored_ <= 0) return;
    first_mirrored_ = first_multiple(modular ? 0 : extent.low + inner_begin) - (inner_end - 1);
    count += modular ? 1 : count_from(first_mirrored_, extent.high);
  }
  __device__ __forceinline__ Extent operator[](int n) const {
    const bool mirrored = n >= straight_;
    const int low = mirrored ? first_mirrored_ + (n - straight_) * step_ : first_ + n * step_;
    return {low, min(low + (mirrored ? length_mirrored_ : length_) - 1, limit_)};
  }

 private:
  // The first multiple of a period from `value` on.
  __device__ __forceinline__ int first_multiple(int value) const {
    return value + modulo(-value, step_);
  }
  __device__ __forceinline__ int count_from(int first, int last) const {
    return last < first ? 0 : (last - first) / step_ + 1;
  }
  int straight_, step_, first_, length_, first_mirrored_, length_mirrored_, limit_;
};

// What the threads of a block share about its tile. Pixels of z are counted from the first one on.
struct TransposedAxis {
  AxisMap map;        // of z to u
  double per_period;  // 1 / that of u
  Move move;
  Extent extent;  // of what results depend on
  Images images;
  Fixed of_column, of_row;
  float inverse_x, inverse_y;  // a pixel of z from one of u; infinite or NaN if there is none
  int whole;                   // the first position, in two parts
  float part;
};

struct TransposedPlan {
  WarpWay way;
  bool turned, modular;
  TransposedAxis axes[2];

  template <typename T>
  __device__ __forceinline__ void make(const WarpArgs<T>& a, int64_t sample, int left, int top,
                                       int width, int height) {
    if (threadIdx.x >= 2) return;
    const SourceMap source = source_map(a.matrices + sample * kMatrixSize, a.height, a.width);
    const bool first = threadIdx.x == 0;
    AxisMap map = axis_of(source, threadIdx.x);
    way = way_of(source, a.height, a.width);
    turned = source.xx == 0;
    TransposedAxis& axis = axes[threadIdx.x];
    if (way == WarpWay::gathered) {
      const int last = (first != turned ? a.width : a.height) - 1;
      axis.move = move_of(map);
      axis.extent.low = axis.move.from - (axis.move.sign < 0 ? last : 0);
      axis.extent.high = axis.extent.low + last;
    }
    if (way != WarpWay::filtered) return;
    map.from = 2 * map.from - kWarpReach * (map.of_column + map.of_row);
    axis.map = map;
    axis.per_period = 0.5 / period_of(first ? a.width : a.height);
    modular = !(magnitude(source.xx) + magnitude(source.xy) <= kSpread &&
                magnitude(source.yx) + magnitude(source.yy) <= kSpread);
    axis.images.make(first ? left : top, first ? left + width : top + height,
                     first ? a.width : a.height,
                     reached(map.from, map.of_column * (2.0 * a.width + kWarpMargin - 1),
                             map.of_row * (2.0 * a.height + kWarpMargin - 1)),
                     modular);
    // Of no use where positions are modular, but threads may read ahead.
    axis.of_column = fixed_of(map.of_column);
    axis.of_row = fixed_of(map.of_row);
    const double scale = 1 / (source.xx * source.yy - source.xy * source.yx);
    axis.inverse_x = static_cast<float>((first ? source.yy : -source.yx) * scale);
    axis.inverse_y = static_cast<float>((first ? -source.xy : source.xx) * scale);
    axis.whole = static_cast<int>(floor(map.from));
    axis.part = static_cast<float>(map.from - axis.whole);
  }

 private:
  // Of pixel i of x, pixels 2 i - 5 to 2 i + 6 of u are sums; of positions from p on, pixels p - 1
  // to p + 1 of u. A pixel more for rounding.
  static __device__ __forceinline__ Extent reached(double from, double across, double down) {
    const double low = from + (across < 0 ? across : 0) + (down < 0 ? down : 0);
    const double high = from + (across > 0 ? across : 0) + (down > 0 ? down : 0);
    return {static_cast<int>(floor(0.5 * (low - 1))) - kPhaseTaps / 2 - 1,
            static_cast<int>(floor(0.5 * (high + 1))) + kPhaseTaps / 2 + 1};
  }
};

// A rectangle of pixels of z.
struct Rectangle {
  int left, top, right, bottom;  // ends excluded
};

// Along one axis, the pixels of z from begin to end and below `size` that the inverse map takes
// from within (room_x, room_y) of (dx, dy). Of numbers that are none fmaxf and fminf take the other
// one, so that singular maps have all pixels.
__device__ __forceinline__ void pixels_near(const TransposedAxis& axis, float dx, float dy,
                                            float room_x, float room_y, int size, int* begin,
                                            int* end) {
  const float at = axis.inverse_x * dx + axis.inverse_y * dy;
  const float room =
      fabsf(axis.inverse_x) * room_x + fabsf(axis.inverse_y) * room_y + fabsf(at) * 0x1p-21f;
  *begin = static_cast<int>(fmaxf(ceilf(at - room), 0.0f));
  *end = static_cast<int>(fminf(floorf(at + room), static_cast<float>(size - 1))) + 1;
}

// The pixels of z whose positions may lie within one pixel from a window of u: columns from x on
// and rows from y on.
template <typename T>
__device__ __forceinline__ Rectangle seen_by(const WarpArgs<T>& a, const TransposedPlan& plan,
                                             int x, int columns, int y, int rows) {
  const TransposedAxis &across = plan.axes[0], &down = plan.axes[1];
  const float half_x = 0.5f * (columns - 1), half_y = 0.5f * (rows - 1);
  const float dx = static_cast<float>(x - across.whole) - across.part + half_x;
  const float dy = static_cast<float>(y - down.whole) - down.part + half_y;
  // With room for rounding: 2^-24 of the numbers, several times.
  const float room_x = half_x + 1.01f + fabsf(dx) * 0x1p-21f;
  const float room_y = half_y + 1.01f + fabsf(dy) * 0x1p-21f;
  Rectangle seen;
  pixels_near(across, dx, dy, room_x, room_y, 2 * a.width + kWarpMargin, &seen.left, &seen.right);
  pixels_near(down, dx, dy, room_x, room_y, 2 * a.height + kWarpMargin, &seen.top, &seen.bottom);
  return seen;
}

// What the threads of a block share about a window of du, for a piece of the continued image, and
// about the chunks of dz that it depends on: even in where they begin and how large they are.
struct TransposedWindow {
  bool done;              // there is none any more
  int next_x, next_y;     // images of the tile
  Extent x, y;            // the piece
  int first_x, first_y;   // of u
  int columns, rows;      // of it
  Rectangle seen;         // of z
  int step_x, step_y;     // from chunk to chunk
  Fixed from_x, from_y;   // first position of a chunk, counted from the window's first pixel
  double wide_x, wide_y;  // the same, where positions are modular

  // The next one that depends on anything.
  template <typename T>
  __device__ __forceinline__ void advance(const WarpArgs<T>& a, const TransposedPlan& plan) {
    const Images &across = plan.axes[0].images, &down = plan.axes[1].images;
    done = false;
#pragma unroll 1
    for (; next_y < down.count; ++next_y, next_x = 0) {
#pragma unroll 1
      while (next_x < across.count) {
        if (place(a, plan, across[next_x++], down[next_y])) return;
      }
    }
    done = true;
  }
  // A chunk that begins there.
  __device__ __forceinline__ void place_chunk(const TransposedPlan& plan, int left, int top) {
    wide_x = plan.axes[0].map.at(left, top) - first_x;
    wide_y = plan.axes[1].map.at(left, top) - first_y;
    // From so far away no position of a chunk comes near.
    from_x = fixed_of(fmin(fmax(wide_x, -4096.0), 4096.0));
    from_y = fixed_of(fmin(fmax(wide_y, -4096.0), 4096.0));
  }

 private:
  template <typename T>
  __device__ __forceinline__ bool place(const WarpArgs<T>& a, const TransposedPlan& plan,
                                        const Extent& across, const Extent& down) {
    x = across;
    y = down;
    first_x = 2 * x.low - kWarpReach;
    first_y = 2 * y.low - kWarpReach;
    columns = 2 * (x.high - x.low + 1) + kWarpMargin;
    rows = 2 * (y.high - y.low + 1) + kWarpMargin;
    seen = plan.modular ? Rectangle{0, 0, 2 * a.width + kWarpMargin, 2 * a.height + kWarpMargin}
                        : seen_by(a, plan, first_x, columns, first_y, rows);
    if (seen.left >= seen.right || seen.top >= seen.bottom) return false;
    seen.left &= ~1;
    seen.top &= ~1;
    step_x = even_share(seen.right - seen.left, kChunk<Compute<T>>);
    step_y = even_share(seen.bottom - seen.top, kChunk<Compute<T>>);
    return true;
  }
  static __device__ __forceinline__ int even_share(int length, int most) {
    const int shares = (length + most - 1) / most, share = (length + shares - 1) / shares;
    return max((share + 1) & ~1, 4);  // two columns at least, after halving
  }
};

}  // namespace device
}  // namespace pygan
