// y from x: a block makes a tile of y, of which it holds z in shared memory. z is sampled from
// windows of u, made there as well; in one go where the map shrinks little, in up to 4 x 4 pieces
// where it shrinks more. Where a map shrinks so much that u would be made for nothing, z is a sum
// over x itself.
#pragma once

#include "augment/warp_device.cuh"

namespace pygan {
namespace device {

constexpr int kMostPieces = 4;  // of z, along each axis

// Sides of the largest window of u, and rows of x that it depends on; even.
template <typename C>
constexpr int kWindow = sizeof(C) == 8 ? 48 : 62;
template <typename C>
constexpr int kWindowRows = kWindow<C> / 2 + 2 * kBefore;

// What the threads of a block share about its tile.
struct ForwardAxis {
  AxisMap map;  // of z, from the tile's first pixel on, to u
  Move move;
  int pieces;  // along each axis of z, so that windows are small enough; 0: no number is enough
  int first;   // of u, even: where fixed positions count from
  Fixed of_column, of_row, from;
};

struct ForwardPlan {
  WarpWay way;
  bool turned;
  ForwardAxis axes[2];

  // Of a tile whose first pixel is (left, top), and whose z has these sides.
  template <typename T>
  __device__ __forceinline__ void make(const WarpArgs<T>& a, int64_t sample, int left, int top,
                                       int z_width, int z_height) {
    if (threadIdx.x >= 2) return;
    const SourceMap source = source_map(a.matrices + sample * kMatrixSize, a.height, a.width);
    const AxisMap map = axis_of(source, threadIdx.x);
    way = way_of(source, a.height, a.width);
    turned = source.xx == 0;
    ForwardAxis& axis = axes[threadIdx.x];
    if (way == WarpWay::gathered) axis.move = move_of(map);
    if (way != WarpWay::filtered) return;
    // Pixel q of z shows pixel 2 * M(q / 2) of u.
    const double j = 2.0 * left - kWarpReach, i = 2.0 * top - kWarpReach;
    axis.map = {map.of_column, map.of_row, map.at(j, i) + map.from};
    axis.pieces = pieces_of(map, z_width, z_height, kWindow<Compute<T>>);
    if (axis.pieces == 0) return;
    axis.first = 2 * static_cast<int>(floor(0.5 * axis.map.from));
    axis.of_column = fixed_of(map.of_column);
    axis.of_row = fixed_of(map.of_row);
    axis.from = fixed_of(axis.map.from - axis.first);
  }
  // 0: z is made without u.
  __device__ __forceinline__ int pieces() const {
    const int x = axes[0].pieces, y = axes[1].pieces;
    return x == 0 || y == 0 ? 0 : max(x, y);
  }

 private:
  static __device__ __forceinline__ int pieces_of(const AxisMap& map, int z_width, int z_height,
                                                  int most) {
#pragma unroll 1
    for (int n = 1; n <= kMostPieces; ++n) {
      const double extent = map.extent((z_width + n - 1) / n - 1, (z_height + n - 1) / n - 1);
      // A window reaches from an even pixel at or before the first position to the one after the
      // last position's own.
      if (extent < most - 4.001) return n;
    }
    return 0;
  }
};

// One axis of a window of u, for a piece of z.
struct Window {
  Fixed from;  // the piece's first position, counted from the window
  int first, size;
  __device__ __forceinline__ Window(const ForwardAxis& axis, int left, int top, int columns,
                                    int rows) {
    const Fixed a = axis.of_column * (columns - 1), b = axis.of_row * (rows - 1);
    from = axis.from + axis.of_column * left + axis.of_row * top;
    const Fixed low = from + min(a, Fixed{0}) + min(b, Fixed{0});
    const Fixed high = from + max(a, Fixed{0}) + max(b, Fixed{0});
    first = whole_of(low) & ~1;
    size = max((whole_of(high) + 3 - first) & ~1, 4);  // two columns at least, after halving
    from -= first * kFixedOne;
    first += axis.first;
  }
};

// Makes a window of u in three passes over shared memory. Pixel 2 k of u is a sum over
// x[k - 3 ... k + 2] by the odd taps, the last one first, and pixel 2 k + 1 over x[k - 2 ... k + 3]
// by the even ones.
template <typename T, typename C>
__device__ __forceinline__ void upsample(const WarpArgs<T>& a, const T* x, int first_x, int first_y,
                                         int width, int height, C* u, C* half) {
  const int columns = width / 2 + 2 * kBefore, rows = height / 2 + 2 * kBefore;
  const int stride = width | 1;  // odd: maps that turn walk down columns
  C* const pixels = u;           // x, which is not needed any more when u is made
  for_elements(rows, columns, [&](int r, int c) {
    const int64_t row = reflected(first_y / 2 - kBefore + r, a.height);
    const int column = reflected(first_x / 2 - kBefore + c, a.width);
    pixels[r * columns + c] = load_value(x[row * a.width + column]);
  });
  __syncthreads();
  for_elements(rows, width / 2, [&](int r, int k) {
    const C* const from = pixels + r * columns + k;
    Pack<C, 2> sums = {{C(0), C(0)}};
#pragma unroll
    for (int d = 0; d < kPhaseTaps; ++d) {
      sums.v[0] += a.up[kWarpTapCount - 1 - 2 * d] * from[d];
      sums.v[1] += a.up[kWarpTapCount - 2 - 2 * d] * from[d + 1];
    }
    *reinterpret_cast<Pack<C, 2>*>(half + r * width + 2 * k) = sums;
  });
  __syncthreads();
  for_elements(height / 2, width, [&](int k, int c) {
    const C* const from = half + k * width + c;
    C even = 0, odd = 0;
#pragma unroll
    for (int d = 0; d < kPhaseTaps; ++d) {
      even += a.up[kWarpTapCount - 1 - 2 * d] * from[d * width];
      odd += a.up[kWarpTapCount - 2 - 2 * d] * from[(d + 1) * width];
    }
    u[2 * k * stride + c] = even;
    u[(2 * k + 1) * stride + c] = odd;
  });
  __syncthreads();
}

// The piece of z that begins at (left, top) of the tile's, which lies in rows of z_stride.
template <typename T, typename C>
__device__ __forceinline__ void sample_piece(const WarpArgs<T>& a, const ForwardPlan& plan,
                                             const T* x, int left, int top, int columns, int rows,
                                             C* z, int z_stride, C* u, C* half) {
  const ForwardAxis &x_axis = plan.axes[0], &y_axis = plan.axes[1];
  const Window wx(x_axis, left, top, columns, rows), wy(y_axis, left, top, columns, rows);
  upsample(a, x, wx.first, wy.first, wx.size, wy.size, u, half);
  const int stride = wx.size | 1;
  for_elements(rows, columns, [&](int r, int c) {
    const Fixed at_x = wx.from + x_axis.of_column * c + x_axis.of_row * r;
    const Fixed at_y = wy.from + y_axis.of_column * c + y_axis.of_row * r;
    const C* const p = u + whole_of(at_y) * stride + whole_of(at_x);
    C fx, fy;
    fraction_of(at_x, &fx);
    fraction_of(at_y, &fy);
    const C above = p[0] + fx * (p[1] - p[0]);
    const C below = p[stride] + fx * (p[stride + 1] - p[stride]);
    z[(top + r) * z_stride + left + c] = above + fy * (below - above);
  });
  __syncthreads();  // before the next window
}

// The pixels of x along one axis on which u between two neighbouring pixels depends, and how much:
// one after another.
template <typename C>
struct Footprint {
  static constexpr int kSize = kPhaseTaps + 1;

  __device__ __forceinline__ Footprint(double position, int size)
      : size_(size), period_(period_of(size)) {
    const double whole = floor(position);
    const int o = static_cast<int>(whole);
    fraction_ = static_cast<C>(position - whole);
    odd_ = o & 1;
    place_ = modulo((o - odd_) / 2 - kBefore + odd_, period_);
  }
  __device__ __forceinline__ int index() const {
    return place_ < size_ ? place_ : period_ - place_;
  }
  __device__ __forceinline__ void advance() {
    if (++place_ == period_) place_ = 0;
  }
  // Of the pixel after d others. Of an odd pixel of u and the even one after it, six pixels of x:
  // the seventh weighs nothing.
  template <typename T>
  __device__ __forceinline__ C weight(const WarpArgs<T>& a, int d) const {
    const int last = kWarpTapCount - 1 - 2 * d;
    const C at = d < kPhaseTaps ? a.up[odd_ ? last - 1 : last] : C(0);
    const C after = odd_ ? (d < kPhaseTaps ? a.up[last] : C(0)) : d > 0 ? a.up[last + 1] : C(0);
    return (1 - fraction_) * at + fraction_ * after;
  }

 private:
  int size_, period_, odd_, place_;
  C fraction_;
};

// z as sums over x.
template <typename T, typename C>
__device__ __forceinline__ void sample_directly(const WarpArgs<T>& a, const ForwardPlan& plan,
                                                const T* x, int columns, int rows, C* z) {
  for_elements(rows, columns, [&](int r, int c) {
    Footprint<C> across(plan.axes[0].map.at(c, r), a.width);
    Footprint<C> down(plan.axes[1].map.at(c, r), a.height);
    int index[Footprint<C>::kSize];
    C weight[Footprint<C>::kSize];
#pragma unroll
    for (int d = 0; d < Footprint<C>::kSize; ++d) {
      index[d] = across.index();
      weight[d] = across.weight(a, d);
      across.advance();
    }
    C sum = 0;
#pragma unroll 1
    for (int e = 0; e < Footprint<C>::kSize; ++e) {
      const T* const from = x + int64_t{down.index()} * a.width;
      C of_row = 0;
#pragma unroll
      for (int d = 0; d < Footprint<C>::kSize; ++d)
        of_row += weight[d] * load_value(from[index[d]]);
      sum += down.weight(a, e) * of_row;
      down.advance();
    }
    z[r * columns + c] = sum;
  });
  __syncthreads();
}

// The tile from its z.
template <typename T, typename C>
__device__ __forceinline__ void downsample(const WarpArgs<T>& a, T* y, int left, int top, int width,
                                           int height, const C* z, C* half) {
  const int z_width = 2 * width + kWarpMargin;
  for_elements(height, z_width, [&](int r, int c) {
    C sum = 0;
#pragma unroll
    for (int t = 0; t < kWarpTapCount; ++t) sum += a.down[t] * z[(2 * r + t) * z_width + c];
    half[r * z_width + c] = sum;
  });
  __syncthreads();
  const int r = threadIdx.x / kWarpTile, c = threadIdx.x % kWarpTile;
  if (r < height && c < width) {
    C sum = 0;
#pragma unroll
    for (int t = 0; t < kWarpTapCount; ++t) sum += a.down[t] * half[r * z_width + 2 * c + t];
    y[int64_t{top + r} * a.width + left + c] = store_value<T>(sum);
  }
}

template <typename T, typename C>
__device__ __forceinline__ void filter_tile(const WarpArgs<T>& a, const ForwardPlan& plan, T* y,
                                            const T* x, int left, int top, int width, int height,
                                            C* z, C* u, C* half) {
  const int z_width = 2 * width + kWarpMargin, z_height = 2 * height + kWarpMargin;
  const int pieces = plan.pieces();
  if (pieces == 0) {
    sample_directly(a, plan, x, z_width, z_height, z);
  } else {
    const int columns = static_cast<int>(ceil_div(z_width, pieces));
    const int rows = static_cast<int>(ceil_div(z_height, pieces));
#pragma unroll 1
    for (int r = 0; r < z_height; r += rows) {
#pragma unroll 1
      for (int c = 0; c < z_width; c += columns) {
        sample_piece(a, plan, x, c, r, min(columns, z_width - c), min(rows, z_height - r), z,
                     z_width, u, half);
      }
    }
  }
  downsample(a, y, left, top, width, height, z, half);
}

// The pixel of x that a map which takes pixels to pixels shows.
template <typename T>
__device__ __forceinline__ T moved_pixel(const WarpArgs<T>& a, const ForwardPlan& plan, const T* x,
                                         int column, int row) {
  const Move across = plan.axes[0].move, down = plan.axes[1].move;
  const int from_x = across.from + across.sign * (plan.turned ? row : column);
  const int from_y = down.from + down.sign * (plan.turned ? column : row);
  return x[int64_t{reflected(from_y, a.height)} * a.width + reflected(from_x, a.width)];
}

template <typename T>
__global__ void __launch_bounds__(kWarpThreads, kWarpBlocks<T>) warp_kernel(const WarpArgs<T> a) {
  using C = Compute<T>;
  constexpr int kSide = kWindow<C>;
  __shared__ ForwardPlan plan;
  __shared__ C z[kTileZ * kTileZ];
  __shared__ C u[kSide * (kSide + 1)];
  __shared__ __align__(16) C half[kWindowRows<C> * kSide];
  static_assert(kWindowRows<C> * kWindowRows<C> <= kSide * (kSide + 1) &&
                kWarpTile * kTileZ <= kWindowRows<C> * kSide);

  const int64_t plane = blockIdx.x / a.tiles;
  const int tile = static_cast<int>(blockIdx.x - plane * a.tiles), tile_y = tile / a.tiles_x;
  const int top = tile_y * kWarpTile, left = (tile - tile_y * a.tiles_x) * kWarpTile;
  const int height = min(kWarpTile, a.height - top), width = min(kWarpTile, a.width - left);
  const int r = threadIdx.x / kWarpTile, c = threadIdx.x % kWarpTile;
  plan.make(a, plane / a.channels, left, top, 2 * width + kWarpMargin, 2 * height + kWarpMargin);
  __syncthreads();
  const T* const x = a.in + plane * a.plane;
  T* const y = a.out + plane * a.plane;
  if (plan.way == WarpWay::filtered) {
    filter_tile(a, plan, y, x, left, top, width, height, z, u, half);
  } else if (r < height && c < width) {
    const int64_t at = int64_t{top + r} * a.width + left + c;
    y[at] = plan.way == WarpWay::nothing  ? store_value<T>(static_cast<C>(NAN))
            : plan.way == WarpWay::copied ? x[at]
                                          : moved_pixel(a, plan, x, left + c, top + r);
  }
}

}  // namespace device
}  // namespace pygan
