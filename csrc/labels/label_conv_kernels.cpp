// Adds columns of the weight up for a run of pixels, or a run of pixels to columns of its gradient.
#include "common/simd_shuffle.h"
#include "labels/label_conv_run.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int kVectors = 4;  // of channels, at once

template <typename C>
struct Tile {
  static constexpr int kWidth = kVectors * lanes<C>();
  C v[kLabelTile][kWidth] __attribute__((aligned(64)));  // [pixel][channel]
};

// to[j][i] = from[i][j] for a square of lanes: `from` steps by rows, `to` by columns.
PYGAN_INLINE void transpose_square(const float* from, int64_t from_step, float* to,
                                   int64_t to_step) {
  VecF rows[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[i] = load(from + i * from_step);
  transpose_lanes(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * to_step, rows[i]);
}
PYGAN_INLINE void transpose_square(const double* from, int64_t from_step, double* to,
                                   int64_t to_step) {
  constexpr int kSide = lanes<double>();
  for (int i = 0; i < kSide; ++i) {
    for (int j = 0; j < kSide; ++j) to[i * to_step + j] = from[j * from_step + i];
  }
}

PYGAN_INLINE void put_pixels(const float* from, int64_t count, float* to) {
  __builtin_memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
}
PYGAN_INLINE void put_pixels(const double* from, int64_t count, double* to) {
  __builtin_memcpy(to, from, static_cast<size_t>(count) * sizeof(double));
}
template <typename T>
PYGAN_INLINE void put_pixels(const float* __restrict from, int64_t count, T* __restrict to) {
  for (int64_t p = 0; p < count; ++p) from_float(from[p], to + p);
}

// The channels of a tile's pixels to their planes.
template <typename T, typename C>
PYGAN_INLINE void store_tile(const Tile<C>& tile, int64_t count, T* y, int64_t plane,
                             int64_t channels) {
  constexpr int kSide = lanes<C>();
  C turned[kSide][kLabelTile] __attribute__((aligned(64)));
  for (int64_t first = 0; first < channels; first += kSide) {
    for (int64_t p = 0; p < count; p += kSide) {
      transpose_square(&tile.v[p][first], Tile<C>::kWidth, &turned[0][p], kLabelTile);
    }
    const int64_t end = channels - first < kSide ? channels - first : kSide;
    for (int64_t c = 0; c < end; ++c) put_pixels(turned[c], count, y + (first + c) * plane);
  }
}

PYGAN_INLINE void get_pixels(const float* from, int64_t count, float* to) {
  put_pixels(from, count, to);
}
PYGAN_INLINE void get_pixels(const double* from, int64_t count, double* to) {
  put_pixels(from, count, to);
}
template <typename T>
PYGAN_INLINE void get_pixels(const T* __restrict from, int64_t count, float* __restrict to) {
  for (int64_t p = 0; p < count; ++p) to[p] = to_float(from[p]);
}

// The other way; what is not there is zero.
template <typename T, typename C>
PYGAN_INLINE void load_tile(Tile<C>& tile, int64_t count, const T* dy, int64_t plane,
                            int64_t channels, int64_t width) {
  constexpr int kSide = lanes<C>();
  C turned[kSide][kLabelTile] __attribute__((aligned(64)));
  for (int64_t first = 0; first < width; first += kSide) {
    for (int64_t c = 0; c < kSide; ++c) {
      for (int64_t p = first + c < channels ? count : 0; p < kLabelTile; ++p) turned[c][p] = 0;
      if (first + c < channels) get_pixels(dy + (first + c) * plane, count, turned[c]);
    }
    for (int64_t p = 0; p < count; p += kSide) {
      transpose_square(&turned[0][p], kLabelTile, &tile.v[p][first], Tile<C>::kWidth);
    }
  }
}

// V vectors of every pixel's sum, from channel `first` on.
template <int V, typename T, typename C>
PYGAN_INLINE void gather(const LabelRun<T>& run, Tile<C>& tile, const C* table, const C* bias) {
  typedef typename Vec<C>::type VecC;
  constexpr int kSide = lanes<C>();
  VecC sum[V] = {};
  for (int64_t p = 0; p < run.count; ++p) {
    if (p == 0 || !run.same[p]) {
      const int32_t* const slots = run.slots + run.place[p];
      for (int v = 0; v < V; ++v) sum[v] = load(bias + v * kSide);
      for (int64_t t = 0; t < run.taps; ++t) {
        const C* const column = table + (slots[run.tap[t]] * run.taps + t) * run.columns;
        for (int v = 0; v < V; ++v) sum[v] += load(column + v * kSide);
      }
    }
    for (int v = 0; v < V; ++v) store(&tile.v[p][v * kSide], sum[v]);
  }
}

template <int V, typename T, typename C>
PYGAN_INLINE void scatter(const LabelRun<T>& run, const Tile<C>& tile, C* table, C* bias) {
  typedef typename Vec<C>::type VecC;
  constexpr int kSide = lanes<C>();
  VecC sum[V], total[V] = {};
  for (int64_t p = 0; p < run.count;) {
    const int32_t* const slots = run.slots + run.place[p];
    for (int v = 0; v < V; ++v) sum[v] = load(&tile.v[p][v * kSide]);
    for (++p; p < run.count && run.same[p]; ++p) {
      for (int v = 0; v < V; ++v) sum[v] += load(&tile.v[p][v * kSide]);
    }
    for (int v = 0; v < V; ++v) total[v] += sum[v];
    for (int64_t t = 0; t < run.taps; ++t) {
      C* const column = table + (slots[run.tap[t]] * run.taps + t) * run.columns;
      for (int v = 0; v < V; ++v) store(column + v * kSide, load(column + v * kSide) + sum[v]);
    }
  }
  for (int v = 0; v < V; ++v) store(bias + v * kSide, load(bias + v * kSide) + total[v]);
}

}  // namespace

template <typename T>
void gather_run(const LabelRun<T>& run, T* y, const typename Compute<T>::type* table,
                const typename Compute<T>::type* bias, int64_t channels) {
  typedef typename Compute<T>::type C;
  constexpr int64_t kSide = lanes<C>(), kWide = kVectors * kSide;
  Tile<C> tile;
  // Vectors of pixels behind the last one are turned as well.
  for (int64_t p = run.count; p % kSide != 0; ++p) {
    for (int c = 0; c < kWide; ++c) tile.v[p][c] = 0;
  }
  for (int64_t first = 0; first < channels;) {
    const bool wide = channels - first > kSide;
    // The columns are padded, but not to four vectors.
    const int64_t left = run.columns - first;
    const int64_t step = !wide ? kSide : left >= kWide ? kWide : kSide;
    if (step == kWide) {
      gather<kVectors>(run, tile, table + first, bias + first);
    } else {
      gather<1>(run, tile, table + first, bias + first);
    }
    const int64_t end = channels - first < step ? channels - first : step;
    store_tile(tile, run.count, y + first * run.plane, run.plane, end);
    first += step;
  }
}

template <typename T>
void scatter_run(const LabelRun<T>& run, const T* dy, typename Compute<T>::type* table,
                 typename Compute<T>::type* bias, int64_t channels) {
  typedef typename Compute<T>::type C;
  constexpr int64_t kSide = lanes<C>(), kWide = kVectors * kSide;
  Tile<C> tile;
  // Columns behind these are another task's, even if the table has them.
  const int64_t columns = (channels + kColumnUnit - 1) / kColumnUnit * kColumnUnit;
  for (int64_t first = 0; first < channels;) {
    const int64_t left = channels - first;
    const int64_t step = left > kSide && columns - first >= kWide ? kWide : kSide;
    load_tile(tile, run.count, dy + first * run.plane, run.plane, left, step);
    if (step == kWide) {
      scatter<kVectors>(run, tile, table + first, bias + first);
    } else {
      scatter<1>(run, tile, table + first, bias + first);
    }
    first += step;
  }
}

#define PYGAN_INSTANTIATE(T)                                                          \
  template void gather_run(const LabelRun<T>&, T*, const typename Compute<T>::type*,  \
                           const typename Compute<T>::type*, int64_t);                \
  template void scatter_run(const LabelRun<T>&, const T*, typename Compute<T>::type*, \
                            typename Compute<T>::type*, int64_t);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
PYGAN_INSTANTIATE(float16)
PYGAN_INSTANTIATE(bfloat16)
#undef PYGAN_INSTANTIATE

}  // namespace PYGAN_ISA
}  // namespace pygan
