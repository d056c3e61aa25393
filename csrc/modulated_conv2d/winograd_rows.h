// Rows of pixels as vectors over tiles, for `winograd_*_kernels.cpp` files that read and write
// images along their rows.
//
// A vector of tiles is `lanes` tiles of 4 pixels side by side. Loaded as four vectors and
// transposed inside each 128-bit lane (transpose_4x4), its row becomes one vector per pixel of a
// tile: tile i lies in lane i % kQuads * 4 + i / kQuads.
#pragma once

#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_layout.h"

namespace pygan {
namespace PYGAN_ISA {

constexpr int kRowFloats = 4 * kLanes;  // pixels of one row of a vector's tiles

// Of a vector over tiles: the same of the tile to the left; the first lane of b enters at the left.
struct FromLeft {
  static constexpr int at(int i) {
    return i >= 4 ? i - 4 : (i > 0 ? 4 * (kQuads - 1) + i - 1 : kLanes);
  }
};
// ... of the tile to the right; the first lane of b enters at the right.
struct FromRight {
  static constexpr int at(int i) {
    return i < kLanes - 4 ? i + 4 : (i < kLanes - 1 ? i % 4 + 1 : kLanes);
  }
};

PYGAN_INLINE VecI load_mask(const int32_t* lanes) {
  VecI mask;
  __builtin_memcpy(&mask, lanes, sizeof(mask));
  return mask;
}

// The factor of the tiles of a vector in channel c, and those of its first and last tile.
struct LaneScale {
  VecF lanes;
  float first, last;

  inline __attribute__((always_inline)) LaneScale(const WinogradInput& input, int64_t c,
                                                  const WinogradTileVector& t)
      : lanes(splat(1.0f)), first(1.0f), last(1.0f) {
    if (input.scale == nullptr) return;
    const float* s = input.scale + c;
    first = s[t.run[0].sample * input.channels];
    last = s[t.run[t.runs - 1].sample * input.channels];
    lanes = t.one_sample ? splat(first) : load_of_samples(s, input.channels, t.sample);
  }
};

PYGAN_INLINE void copy_floats(float* to, const float* from, int64_t count) {
  int64_t x = 0;
  for (; x + kLanes <= count; x += kLanes) store(to + x, load(from + x));
  for (; x < count; ++x) to[x] = from[x];
}

PYGAN_INLINE void clear_floats(float* to, int64_t count) {
  for (int64_t x = 0; x < count; ++x) to[x] = 0;
}

}  // namespace PYGAN_ISA
}  // namespace pygan
