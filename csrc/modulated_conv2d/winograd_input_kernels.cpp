// Winograd convolution: description of vectors of tiles, and the transform of the input.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"
#include "modulated_conv2d/winograd_rows.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

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
      d[0] = select(load_mask(t.keep_left), d[0], VecF{});
      d[5] = select(load_mask(t.keep_right), d[5], VecF{});
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

// Copies of a plane's pixels for tiles that do not lie side by side in one row.
struct Stage {
  float pixels[6][kRowFloats];
  Window window;
};

// `planes` is the channel of sample 0.
void fill_stage(Stage& stage, const float* planes, int64_t sample_stride,
                const WinogradTiles& tiles, const WinogradTileVector& t) {
  Window& window = stage.window;
  for (int r = 0; r < t.runs; ++r) {
    const WinogradTileVector::Run& run = t.run[r];
    const int64_t x = run.col * 4;
    const int64_t have = tiles.w - x < run.count * 4 ? tiles.w - x : run.count * 4;
    for (int i = 0; i < 6; ++i) {
      float* to = stage.pixels[i] + run.first * 4;
      const int64_t y = run.row * 4 + i - 1;
      const bool inside = y >= 0 && y < tiles.h;
      const float* from = planes + run.sample * sample_stride + (inside ? y * tiles.w + x : 0);
      if (inside) copy_floats(to, from, have);
      clear_floats(to + (inside ? have : 0), run.count * 4 - (inside ? have : 0));
      if (r == 0) window.left[i] = inside && x > 0 ? from[-1] : 0.0f;
      if (r == t.runs - 1) {
        window.right[i] = inside && x + run.count * 4 < tiles.w ? from[run.count * 4] : 0.0f;
      }
    }
  }
  for (int i = 0; i < 6; ++i) {
    clear_floats(stage.pixels[i] + t.tiles * 4, kRowFloats - t.tiles * 4);
    window.row[i] = stage.pixels[i];
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
      t.keep_left[i] = t.keep_right[i] = t.right_inside[i] = 0;
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
      t.right_inside[lane] = col + 1 < tiles.cols && i + 1 < t.tiles ? -1 : 0;
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
  const int64_t plane = tiles.h * tiles.w;
  const int64_t sample_stride = plane * input.channels;
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const WinogradTileVector& t = vectors[i];
      const LaneScale scale(input, c, t);
      float* out = v.data + panel_offset(i, count, input.channels) + c * panel_row(i, count);
      if (t.contiguous) {
        point_window(stage.window, input.x + t.run[0].sample * sample_stride + c * plane, kZeros,
                     tiles, t);
        transform_window<false>(out, v.stride, stage.window, scale.lanes, scale.first, scale.last,
                                t, plane);
      } else {
        fill_stage(stage, input.x + c * plane, sample_stride, tiles, t);
        transform_window<true>(out, v.stride, stage.window, scale.lanes, scale.first, scale.last, t,
                               0);
      }
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
