// Packs panels of the im2col matrix straight from the image. Belongs in *_kernels.cpp files.
#pragma once

#include "modulated_conv2d/corr_gemm.h"
#include "modulated_conv2d/gemm_microkernel.h"

namespace pygan {
namespace PYGAN_ISA {

// A run of grid positions in one row of the grid: `count` columns from `column` of a panel.
struct Run {
  int64_t sample, gy, gx, count, column;
};

// The rows of the grid that columns [first, first + count) cut; returns how many runs.
static inline int grid_runs(const CorrPhase& p, int64_t first, int64_t count, Run* runs) {
  const int64_t area = p.grid_h * p.grid_w;
  int64_t sample = first / area, gy = first % area / p.grid_w, gx = first % p.grid_w;
  int found = 0;
  for (int64_t column = 0; column < count;) {
    const int64_t length = min_of(p.grid_w - gx, count - column);
    runs[found++] = {sample, gy, gx, length, column};
    column += length;
    gx = 0;
    if (++gy == p.grid_h) gy = 0, ++sample;
  }
  return found;
}

// For each of `rows` rows: dst[0..Length) = src[0..Length) * scale, the rows a stride apart.
template <typename T, int Length>
static void copy_short(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t rows,
                       const T* scale) {
  if (scale == nullptr) {
    for (int64_t r = 0; r < rows; ++r, dst += dst_stride, src += src_stride) {
      __builtin_memcpy(dst, src, Length * sizeof(T));
    }
    return;
  }
  for (int64_t r = 0; r < rows; ++r, dst += dst_stride, src += src_stride) {
    const T s = scale[r];
    for (int i = 0; i < Length; ++i) dst[i] = src[i] * s;
  }
}

// The same for at least one vector; the last vector overlaps the one before.
template <typename T>
static void copy_long(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t rows,
                      int64_t length, const T* scale) {
  constexpr int L = lanes<T>();
  for (int64_t r = 0; r < rows; ++r, dst += dst_stride, src += src_stride) {
    const typename Vec<T>::type s = splat(scale ? scale[r] : T(1));
    for (int64_t i = 0; i < length - L; i += L) store(dst + i, load(src + i) * s);
    store(dst + length - L, load(src + length - L) * s);
  }
}

template <typename T>
static void copy_rows(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t rows,
                      int64_t length, const T* scale) {
  switch (length) {
#define PYGAN_SHORT(n) \
  case n:              \
    return copy_short<T, n>(dst, dst_stride, src, src_stride, rows, scale);
    PYGAN_SHORT(1)
    PYGAN_SHORT(2)
    PYGAN_SHORT(3)
    PYGAN_SHORT(4)
    PYGAN_SHORT(5)
    PYGAN_SHORT(6)
    PYGAN_SHORT(7)
    PYGAN_SHORT(8)
    PYGAN_SHORT(9)
    PYGAN_SHORT(10)
    PYGAN_SHORT(11)
    PYGAN_SHORT(12)
    PYGAN_SHORT(13)
    PYGAN_SHORT(14)
    PYGAN_SHORT(15)
#undef PYGAN_SHORT
    default:
      if (length > 0) copy_long(dst, dst_stride, src, src_stride, rows, length, scale);
  }
}

// Even elements of two vectors.
#if PYGAN_VECTOR_BYTES == 64
PYGAN_INLINE VecF even_lanes(VecF a, VecF b) {
  typedef int I __attribute__((vector_size(64)));
  return __builtin_shuffle(a, b, I{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30});
}
PYGAN_INLINE VecD even_lanes(VecD a, VecD b) {
  typedef int64_t I __attribute__((vector_size(64)));
  return __builtin_shuffle(a, b, I{0, 2, 4, 6, 8, 10, 12, 14});
}
#elif PYGAN_VECTOR_BYTES == 32
PYGAN_INLINE VecF even_lanes(VecF a, VecF b) {
  typedef int I __attribute__((vector_size(32)));
  return __builtin_shuffle(a, b, I{0, 2, 4, 6, 8, 10, 12, 14});
}
PYGAN_INLINE VecD even_lanes(VecD a, VecD b) {
  typedef int64_t I __attribute__((vector_size(32)));
  return __builtin_shuffle(a, b, I{0, 2, 4, 6});
}
#else
PYGAN_INLINE VecF even_lanes(VecF a, VecF b) {
  typedef int I __attribute__((vector_size(16)));
  return __builtin_shuffle(a, b, I{0, 2, 4, 6});
}
PYGAN_INLINE VecD even_lanes(VecD a, VecD b) {
  typedef int64_t I __attribute__((vector_size(16)));
  return __builtin_shuffle(a, b, I{0, 2});
}
#endif

// dst[i] = src[i * step] * scale. `readable` elements of src may be read.
template <typename T>
static void copy_rows_strided(T* dst, int64_t dst_stride, const T* src, int64_t src_stride,
                              int64_t rows, int64_t length, int64_t step, int64_t readable,
                              const T* scale) {
  constexpr int L = lanes<T>();
  for (int64_t r = 0; r < rows; ++r, dst += dst_stride, src += src_stride) {
    const T s = scale ? scale[r] : T(1);
    int64_t i = 0;
    if (step == 2) {
      for (; i + L <= length && 2 * (i + L) <= readable; i += L) {
        store(dst + i, even_lanes(load(src + 2 * i), load(src + 2 * i + L)) * splat(s));
      }
    }
    for (; i < length; ++i) dst[i] = src[i * step] * s;
  }
}

template <typename T>
static void zero_rows(T* dst, int64_t dst_stride, int64_t rows, int64_t length) {
  if (length == 1) {
    for (int64_t r = 0; r < rows; ++r) dst[r * dst_stride] = T(0);
  } else if (length > 0) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < length; ++i) dst[r * dst_stride + i] = T(0);
    }
  }
}

// How many of `count` positions start, start + step, ... lie below `bound`.
PYGAN_INLINE int64_t positions_below(int64_t bound, int64_t start, int64_t step, int64_t count) {
  if (start >= bound) return 0;
  return min_of(count, (bound - start + step - 1) / step);
}

// dst[k - k0][column] for k in [k0, k1), k = channel * taps + tap, and `columns` columns of the
// im2col matrix from `first`, in rows of `width` elements of which the rest are zero.
template <typename T>
static void pack_columns(const CorrGemm<T>& p, const CorrPhase& phase, T* dst, int64_t width,
                         int64_t first, int64_t columns, int64_t k0, int64_t k1) {
  Run runs[tile_columns<T>()];
  const int found = grid_runs(phase, first, columns, runs);
  zero_rows(dst + columns, width, k1 - k0, width - columns);
  const int64_t taps = int64_t{phase.taps_y} * phase.taps_x;
  const int64_t plane = p.src_h * p.src_w;
  for (int ty = 0; ty < phase.taps_y; ++ty) {
    for (int tx = 0; tx < phase.taps_x; ++tx) {
      const int64_t tap = int64_t{ty} * phase.taps_x + tx;
      const int64_t c0 = k0 > tap ? ceil_div(k0 - tap, taps) : 0;
      const int64_t c1 = k1 > tap ? ceil_div(k1 - tap, taps) : 0;
      if (c0 >= c1) continue;
      T* row = dst + (c0 * taps + tap - k0) * width;
      for (int i = 0; i < found; ++i) {
        const Run& run = runs[i];
        const int64_t sy = run.gy * p.step_y + phase.src_y[ty];
        const int64_t sx = run.gx * p.step_x + phase.src_x[tx];
        int64_t low = 0, high = 0;  // columns of the run that lie inside the image
        if (sy >= 0 && sy < p.src_h) {
          low = positions_below(0, sx, p.step_x, run.count);
          high = max_of(low, positions_below(p.src_w, sx, p.step_x, run.count));
        }
        T* at = row + run.column;
        zero_rows(at, width * taps, c1 - c0, low);
        if (high > low) {
          const int64_t x = sx + low * p.step_x;
          const T* from = p.src + run.sample * p.src_sample_stride + c0 * plane + sy * p.src_w + x;
          const T* s = p.scale ? p.scale + run.sample * p.scale_stride + c0 : nullptr;
          if (p.step_x == 1) {
            copy_rows(at + low, width * taps, from, plane, c1 - c0, high - low, s);
          } else {
            copy_rows_strided(at + low, width * taps, from, plane, c1 - c0, high - low, p.step_x,
                              p.src_w - x, s);
          }
        }
        zero_rows(at + high, width * taps, c1 - c0, run.count - high);
      }
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
