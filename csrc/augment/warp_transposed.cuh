// dx from dy: a block makes a tile of dx, on which the window of du depends that its pixels reach.
// Where the image is continued by reflection the tile has images, each with a window of its own.
//
// No thread adds to what another adds to: a pixel of du is a sum over the pixels of dz whose
// positions lie within one pixel from it. They are searched for where the inverse map takes it, in
// chunks of dz that the block makes in shared memory. What no inverse can narrow down (maps that
// are singular, or nearly) is searched for everywhere. Maps that shrink images to specks, whose
// reflections are too many, take positions modulo the period of the continued image instead.
#pragma once

#include "augment/warp_transposed_plan.cuh"

namespace pygan {
namespace device {

// Makes a chunk of dz, which begins at an even row and column: pixel 2 k of z is a sum over
// y[k - 5 ... k] by the even taps, the last one first, and pixel 2 k + 1 by the odd ones; beyond
// the image dy is nothing.
template <typename T, typename C>
__device__ __forceinline__ void downsample_gradient(const WarpArgs<T>& a, const T* dy, int left,
                                                    int top, int columns, int rows, C* dz,
                                                    C* half) {
  constexpr int kMore = kPhaseTaps - 1;
  const int dy_columns = columns / 2 + kMore, dy_rows = rows / 2 + kMore;
  C* const pixels = dz;  // dy, which is not needed any more when dz is made
  for_elements(dy_rows, dy_columns, [&](int r, int c) {
    const int row = top / 2 - kMore + r, column = left / 2 - kMore + c;
    const bool inside = row >= 0 && row < a.height && column >= 0 && column < a.width;
    pixels[r * dy_columns + c] = inside ? load_value(dy[int64_t{row} * a.width + column]) : C(0);
  });
  __syncthreads();
  for_elements(dy_rows, columns / 2, [&](int r, int k) {
    const C* const from = pixels + r * dy_columns + k;
    Pack<C, 2> sums = {{C(0), C(0)}};
#pragma unroll
    for (int s = 0; s < kPhaseTaps; ++s) {
      sums.v[0] += a.down[2 * s] * from[kMore - s];
      sums.v[1] += a.down[2 * s + 1] * from[kMore - s];
    }
    *reinterpret_cast<Pack<C, 2>*>(half + r * columns + 2 * k) = sums;
  });
  __syncthreads();
  for_elements(rows / 2, columns, [&](int k, int c) {
    const C* const from = half + k * columns + c;
    C even = 0, odd = 0;
#pragma unroll
    for (int s = 0; s < kPhaseTaps; ++s) {
      even += a.down[2 * s] * from[(kMore - s) * columns];
      odd += a.down[2 * s + 1] * from[(kMore - s) * columns];
    }
    dz[2 * k * columns + c] = even;
    dz[(2 * k + 1) * columns + c] = odd;
  });
  __syncthreads();
}

// The weight of a pixel of u for a position that lies `after` - 1 pixels behind it, at most one.
__device__ __forceinline__ void hat_of(Fixed after, float* weight) {
  const int past = static_cast<int>(after >> 24) - (1 << 24);
  *weight = static_cast<float>((1 << 24) - abs(past)) * 0x1p-24f;
}
__device__ __forceinline__ void hat_of(Fixed after, double* weight) {
  *weight = 1 - fabs(static_cast<double>(after - kFixedOne) * 0x1p-48);
}
__device__ __forceinline__ bool is_near(Fixed after) {
  return static_cast<unsigned>(after >> 32) < 2u << (kFractionBits - 32);
}

// What a chunk gives to pixel (column, row) of the window of u. Its first position is (x, y),
// counted from the window's first pixel.
template <typename C>
__device__ __forceinline__ C near_sum(const TransposedPlan& plan, Fixed x, Fixed y, int column,
                                      int row, const C* dz, int columns, int rows) {
  const TransposedAxis &across = plan.axes[0], &down = plan.axes[1];
  x += (1 - column) * kFixedOne;
  y += (1 - row) * kFixedOne;
  const float dx = 1 - static_cast<float>(x >> 32) * 0x1p-16f;
  const float dy = 1 - static_cast<float>(y >> 32) * 0x1p-16f;
  int left, right, top, bottom;
  pixels_near(across, dx, dy, 1.01f, 1.01f, columns, &left, &right);
  pixels_near(down, dx, dy, 1.01f, 1.01f, rows, &top, &bottom);
  const Fixed x_step = across.of_column, y_step = down.of_column;
  x += x_step * left + across.of_row * top;
  y += y_step * left + down.of_row * top;
  C sum = 0;
  for (int r = top; r < bottom; ++r) {
    Fixed at_x = x, at_y = y;
    for (int c = left; c < right; ++c) {
      if (is_near(at_x) && is_near(at_y)) {
        C of_x, of_y;
        hat_of(at_x, &of_x);
        hat_of(at_y, &of_y);
        sum += of_x * of_y * dz[r * columns + c];
      }
      at_x += x_step;
      at_y += y_step;
    }
    x += across.of_row;
    y += down.of_row;
  }
  return sum;
}

// The same of all pixels of a chunk, with positions modulo the periods.
template <typename C>
__device__ __forceinline__ C modular_sum(const TransposedPlan& plan, double x, double y,
                                         int period_x, int period_y, const C* dz, int columns,
                                         int rows) {
  const double per_x = plan.axes[0].per_period, per_y = plan.axes[1].per_period;
  const AxisMap &across = plan.axes[0].map, &down = plan.axes[1].map;
  C sum = 0;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) {
      double dx = x + across.of_column * c + across.of_row * r;
      double dy = y + down.of_column * c + down.of_row * r;
      dx = fabs(dx - period_x * rint(dx * per_x));
      dy = fabs(dy - period_y * rint(dy * per_y));
      if (dx < 1 && dy < 1) {
        sum += static_cast<C>(1 - dx) * static_cast<C>(1 - dy) * dz[r * columns + c];
      }
    }
  }
  return sum;
}

// du, in the window, += what the chunk of dz at (left, top) gives.
template <typename T, typename C>
__device__ __forceinline__ void add_chunk(const WarpArgs<T>& a, const TransposedPlan& plan,
                                          TransposedWindow& window, const T* dy, int left, int top,
                                          C* du, C* dz, C* half) {
  if (threadIdx.x == 0) window.place_chunk(plan, left, top);
  const int columns = max(min(window.step_x, (window.seen.right - left + 1) & ~1), 4);
  const int rows = min(window.step_y, (window.seen.bottom - top + 1) & ~1);
  downsample_gradient(a, dy, left, top, columns, rows, dz, half);
  if (plan.modular) {
    for_elements(window.rows, window.columns, [&](int r, int c) {
      du[r * window.columns + c] +=
          modular_sum(plan, window.wide_x - c, window.wide_y - r, 2 * period_of(a.width),
                      2 * period_of(a.height), dz, columns, rows);
    });
  } else {
    for_elements(window.rows, window.columns, [&](int r, int c) {
      du[r * window.columns + c] +=
          near_sum(plan, window.from_x, window.from_y, c, r, dz, columns, rows);
    });
  }
  __syncthreads();
}

// What a window gives to this thread's pixel of the tile: pixel k of x is a sum over
// u[2 k - 5 ... 2 k + 6] by all taps in their order. First rows are added, then columns.
template <typename T, typename C>
__device__ __forceinline__ C upsample_gradient(const WarpArgs<T>& a, const TransposedWindow& window,
                                               int left, int top, int width, int height,
                                               const C* du, C* half) {
  const int columns = window.columns;
  for_elements(height, columns, [&](int r, int c) {
    C sum = 0;
    for_images(top + r, a.height, window.y.low, window.y.high + 1, [&](int k) {
      const C* const from = du + 2 * (k - window.y.low) * columns + c;
#pragma unroll
      for (int t = 0; t < kWarpTapCount; ++t) sum += a.up[t] * from[t * columns];
    });
    half[r * columns + c] = sum;
  });
  __syncthreads();
  const int r = threadIdx.x / kWarpTile, c = threadIdx.x % kWarpTile;
  C sum = 0;
  if (r < height && c < width) {
    for_images(left + c, a.width, window.x.low, window.x.high + 1, [&](int k) {
      const C* const from = half + r * columns + 2 * (k - window.x.low);
#pragma unroll
      for (int t = 0; t < kWarpTapCount; ++t) sum += a.up[t] * from[t];
    });
  }
  return sum;
}

// This thread's pixel of the tile.
template <typename T, typename C>
__device__ __forceinline__ C filtered_sum(const WarpArgs<T>& a, const TransposedPlan& plan,
                                          TransposedWindow& window, const T* dy, int left, int top,
                                          int width, int height, C* du, C* dz, C* half) {
  if (threadIdx.x == 0) window.next_x = window.next_y = 0;
  C sum = 0;
  for (;;) {
    if (threadIdx.x == 0) window.advance(a, plan);
    __syncthreads();
    if (window.done) return sum;
    for_elements(window.rows, window.columns,
                 [&](int r, int c) { du[r * window.columns + c] = 0; });
#pragma unroll 1
    for (int y = window.seen.top; y < window.seen.bottom; y += window.step_y) {
#pragma unroll 1
      for (int x = window.seen.left; x < window.seen.right; x += window.step_x) {
        add_chunk(a, plan, window, dy, x, y, du, dz, half);
      }
    }
    sum += upsample_gradient(a, window, left, top, width, height, du, half);
    __syncthreads();  // before the next window
  }
}

// The sum of the pixels of dy that show pixel (column, row) of x, for a map that takes pixels to
// pixels.
template <typename T>
__device__ __forceinline__ Compute<T> moved_sum(const WarpArgs<T>& a, const TransposedPlan& plan,
                                                const T* dy, int column, int row) {
  const TransposedAxis &across = plan.axes[0], &down = plan.axes[1];
  Compute<T> sum = 0;
  for_images(row, a.height, down.extent.low, down.extent.high + 1, [&](int k) {
    const int along_y = down.move.sign * (k - down.move.from);
    for_images(column, a.width, across.extent.low, across.extent.high + 1, [&](int l) {
      const int along_x = across.move.sign * (l - across.move.from);
      const int from_row = plan.turned ? along_x : along_y;
      const int from_column = plan.turned ? along_y : along_x;
      sum += load_value(dy[int64_t{from_row} * a.width + from_column]);
    });
  });
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kWarpThreads, kWarpBlocks<T>)
    warp_transposed_kernel(const WarpArgs<T> a) {
  using C = Compute<T>;
  __shared__ TransposedPlan plan;
  __shared__ TransposedWindow window;
  __shared__ C du[kTileZ * kTileZ];
  __shared__ C dz[kChunk<C> * kChunk<C>];
  __shared__ __align__(16) C half[kChunkRows<C> * kChunk<C>];
  static_assert(kChunkRows<C> * kChunkRows<C> <= kChunk<C> * kChunk<C> &&
                kWarpTile * kTileZ <= kChunkRows<C> * kChunk<C>);

  const int64_t plane = blockIdx.x / a.tiles;
  const int tile = static_cast<int>(blockIdx.x - plane * a.tiles), tile_y = tile / a.tiles_x;
  const int top = tile_y * kWarpTile, left = (tile - tile_y * a.tiles_x) * kWarpTile;
  const int height = min(kWarpTile, a.height - top), width = min(kWarpTile, a.width - left);
  const int row = top + threadIdx.x / kWarpTile, column = left + threadIdx.x % kWarpTile;
  const bool inside = row < top + height && column < left + width;
  plan.make(a, plane / a.channels, left, top, width, height);
  __syncthreads();
  const T* const dy = a.in + plane * a.plane;
  T* const dx = a.out + plane * a.plane;
  const int64_t at = int64_t{row} * a.width + column;
  if (plan.way == WarpWay::copied) {
    if (inside) dx[at] = dy[at];
  } else {
    C sum = NAN;
    if (plan.way == WarpWay::filtered) {
      sum = filtered_sum(a, plan, window, dy, left, top, width, height, du, dz, half);
    } else if (plan.way == WarpWay::gathered && inside) {
      sum = moved_sum(a, plan, dy, column, row);
    }
    if (inside) dx[at] = store_value<T>(sum);
  }
}

}  // namespace device
}  // namespace pygan
