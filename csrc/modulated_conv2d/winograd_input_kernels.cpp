// Winograd convolution: description of vectors of tiles, and the transform of the input.
#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

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

// The six rows of pixels that the tiles of one vector read in one channel: the 4 * kLanes pixels
// above which the tiles stand, and the pixel to either side of them.
struct Window {
  const float* row[6];
  float left[6], right[6];
};

// Stores the transform of one channel. `stride` is the distance between planes.
template <bool Masked>
PYGAN_INLINE void transform_window(float* v, int64_t stride, const Window& window, VecF scale,
                                   float scale_left, float scale_right, const WinogradTileVector& t,
                                   int64_t ahead) {
  VecF rows[6][6];
#pragma GCC unroll 1
  for (int i = 0; i < 6; ++i) {
    const float* p = window.row[i];
    if (!Masked) {
      // The same window of the next channel: short rows of many planes are not what the hardware
      // foresees.
      for (int at = 0; at < kRowFloats; at += 16) __builtin_prefetch(p + ahead + at);
      __builtin_prefetch(p + ahead - 1);
      __builtin_prefetch(p + ahead + kRowFloats);
    }
    VecF d[6] = {VecF{}, load(p), load(p + kLanes), load(p + 2 * kLanes), load(p + 3 * kLanes)};
    transpose_4x4(d[1], d[2], d[3], d[4]);
    for (int j = 1; j < 5; ++j) d[j] *= scale;
    d[0] = shuffle<FromLeft>(d[4], splat(window.left[i] * scale_left));
    d[5] = shuffle<FromRight>(d[1], splat(window.right[i] * scale_right));
    if (Masked) {
      VecI keep_left, keep_right;
      __builtin_memcpy(&keep_left, t.keep_left, sizeof(VecI));
      __builtin_memcpy(&keep_right, t.keep_right, sizeof(VecI));
      d[0] = select(keep_left, d[0], VecF{});
      d[5] = select(keep_right, d[5], VecF{});
    }
    winograd_b(d, rows[i]);
  }
#pragma GCC unroll 1
  for (int j = 0; j < 6; ++j) {
    const VecF d[6] = {rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]};
    VecF out[6];
    winograd_b(d, out);
    for (int i = 0; i < 6; ++i) store(v + (i * 6 + j) * stride, out[i]);
  }
}

// Copies of a plane's pixels for tiles that do not lie side by side in one row, or that are read
// space-to-depth: then one plane of the tensor gives two of the grid, px = 0 and 1.
struct Stage {
  float pixels[2][6][kRowFloats];
  Window window[2];
};

// Reads pixels [0, count) of a row into one plane, or into two when pixels alternate, and fetches
// those that lie `ahead` floats further.
template <int Phases>
PYGAN_INLINE void copy_row(float* to, float* to_odd, const float* from, int64_t count,
                           int64_t ahead) {
  int64_t x = 0;
  if (Phases == 1) {
    for (; x + kLanes <= count; x += kLanes) {
      __builtin_prefetch(from + x + ahead);
      store(to + x, load(from + x));
    }
    for (; x < count; ++x) to[x] = from[x];
  } else {
    for (; x + kLanes <= count; x += kLanes) {
      const VecF a = load(from + 2 * x), b = load(from + 2 * x + kLanes);
      __builtin_prefetch(from + 2 * x + ahead);
      __builtin_prefetch(from + 2 * x + kLanes + ahead);
      store(to + x, shuffle<EverySecond<0>>(a, b));
      store(to_odd + x, shuffle<EverySecond<1>>(a, b));
    }
    for (; x < count; ++x) {
      to[x] = from[2 * x];
      to_odd[x] = from[2 * x + 1];
    }
  }
}

PYGAN_INLINE void clear(float* to, int64_t count) {
  for (int64_t x = 0; x < count; ++x) to[x] = 0;
}

// `planes` is the channel of sample 0, at the row offset py for Phases = 2.
template <int Phases>
void fill_stage(Stage& stage, const float* planes, int64_t sample_stride, int py,
                const WinogradTiles& tiles, const WinogradTileVector& t) {
  const int64_t pitch = tiles.w * Phases, plane = tiles.h * Phases * pitch;
  for (int r = 0; r < t.runs; ++r) {
    const WinogradTileVector::Run& run = t.run[r];
    const int64_t x = run.col * 4;
    const int64_t have = tiles.w - x < run.count * 4 ? tiles.w - x : run.count * 4;
    for (int i = 0; i < 6; ++i) {
      float* to[2] = {stage.pixels[0][i] + run.first * 4, stage.pixels[1][i] + run.first * 4};
      const int64_t y = run.row * 4 + i - 1;
      const bool inside = y >= 0 && y < tiles.h;
      const float* from = planes + run.sample * sample_stride +
                          (inside ? (y * Phases + py) * pitch + x * Phases : 0);
      if (inside) copy_row<Phases>(to[0], to[1], from, have, plane);
      for (int px = 0; px < Phases; ++px) {
        clear(to[px] + (inside ? have : 0), run.count * 4 - (inside ? have : 0));
        Window& window = stage.window[px];
        if (r == 0) window.left[i] = inside && x > 0 ? from[px - Phases] : 0.0f;
        if (r == t.runs - 1) {
          window.right[i] =
              inside && x + run.count * 4 < tiles.w ? from[run.count * 4 * Phases + px] : 0.0f;
        }
      }
    }
  }
  for (int px = 0; px < Phases; ++px) {
    for (int i = 0; i < 6; ++i) {
      clear(stage.pixels[px][i] + t.tiles * 4, kRowFloats - t.tiles * 4);
      stage.window[px].row[i] = stage.pixels[px][i];
    }
  }
}

// Windows straight into the tensor, for a vector of tiles that lie side by side.
PYGAN_INLINE void point_window(Window& window, const float* plane, const float* zeros,
                               const WinogradTiles& tiles, const WinogradTileVector& t) {
  const int64_t x = t.run[0].col * 4;
  for (int i = 0; i < 6; ++i) {
    const int64_t y = t.run[0].row * 4 + i - 1;
    const bool inside = y >= 0 && y < tiles.h;
    const float* p = inside ? plane + y * tiles.w + x : zeros;
    window.row[i] = p;
    window.left[i] = inside && x > 0 ? p[-1] : 0.0f;
    window.right[i] = inside && x + kRowFloats < tiles.w ? p[kRowFloats] : 0.0f;
  }
}

}  // namespace

void winograd_describe_tiles(WinogradTileVector* vectors, const WinogradTiles& tiles, int64_t begin,
                             int64_t end) {
  for (int64_t first = begin; first < end; first += kLanes, ++vectors) {
    WinogradTileVector& t = *vectors;
    t.tiles = static_cast<int>(end - first < kLanes ? end - first : kLanes);
    t.runs = 0;
    t.one_sample = true;
    for (int i = 0; i < kLanes; ++i) {
      t.keep_left[i] = t.keep_right[i] = 0;
      t.sample[i] = 0;
    }
    for (int i = 0; i < t.tiles; ++i) {
      const int64_t tile = first + i;
      const int64_t col = tile % tiles.cols, row = tile / tiles.cols % tiles.rows;
      const int64_t sample = tile / tiles.cols / tiles.rows;
      if (i == 0 || col == 0) t.run[t.runs++] = {sample, row, col, i, 0};
      ++t.run[t.runs - 1].count;
      t.one_sample = t.one_sample && sample == t.run[0].sample;
      const int lane = i % kQuads * 4 + i / kQuads;
      t.keep_left[lane] = col > 0 ? -1 : 0;
      t.keep_right[lane] = col + 1 < tiles.cols ? -1 : 0;
      t.sample[lane] = sample;
    }
    t.contiguous = t.runs == 1 && t.tiles == kLanes && (t.run[0].col + kLanes) * 4 <= tiles.w;
  }
}

void winograd_transform_input(const WinogradMatrix& v, const WinogradInput& input,
                              const WinogradTileVector* vectors, int64_t count, int64_t begin,
                              int64_t end) {
  alignas(64) static const float kZeros[kRowFloats] = {};
  alignas(64) Stage stage;
  const WinogradTiles& tiles = input.tiles;
  const int phases = input.space_to_depth ? 2 : 1;
  const int64_t plane = tiles.h * tiles.w * phases * phases;
  const int64_t sample_stride = plane * input.channels;
  const int64_t grid_channels = input.channels * phases * phases;
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const WinogradTileVector& t = vectors[i];
      VecF scale = splat(1.0f);
      float scale_left = 1.0f, scale_right = 1.0f;
      if (input.scale != nullptr) {
        const float* s = input.scale + c;
        scale_left = s[t.run[0].sample * input.channels];
        scale_right = s[t.run[t.runs - 1].sample * input.channels];
        scale = t.one_sample ? splat(scale_left) : load_of_samples(s, input.channels, t.sample);
      }
      float* out = v.data + panel_offset(i, count, grid_channels);
      const int64_t row = panel_row(i, count);
      if (!input.space_to_depth) {
        Window& window = stage.window[0];
        if (t.contiguous) {
          point_window(window, input.x + t.run[0].sample * sample_stride + c * plane, kZeros, tiles,
                       t);
          transform_window<false>(out + c * row, v.stride, window, scale, scale_left, scale_right,
                                  t, plane);
        } else {
          fill_stage<1>(stage, input.x + c * plane, sample_stride, 0, tiles, t);
          transform_window<true>(out + c * row, v.stride, window, scale, scale_left, scale_right, t,
                                 0);
        }
      } else {
        for (int py = 0; py < 2; ++py) {
          fill_stage<2>(stage, input.x + c * plane, sample_stride, py, tiles, t);
          for (int px = 0; px < 2; ++px) {
            const int64_t channel = (2 * py + px) * input.channels + c;
            transform_window<true>(out + channel * row, v.stride, stage.window[px], scale,
                                   scale_left, scale_right, t, 0);
          }
        }
      }
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
