// Winograd convolution of stride 2 and its adjoint: the transforms of their inputs.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_points_strided.h"
#include "modulated_conv2d/winograd_rows.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

// --- The strided form: windows of 9x9 pixels, two tiles sharing a row or column of them ---

constexpr int kWindow = 9;

// Pixels of the windows of a vector of tiles that do not lie side by side in one row, even and odd
// columns apart. beyond[i], by lane: the ninth pixel of row i of a tile without right neighbour.
struct Stage {
  float even[kWindow][kRowFloats];
  float odd[kWindow][kRowFloats];
  float beyond[kWindow][kLanes];
};

// even[i] = from[2 i], odd[i] = from[2 i + 1], `count` floats in all, then zeros up to `size` each.
void split_row(float* even, float* odd, const float* from, int64_t count, int64_t size) {
  int64_t x = 0;
  for (; 2 * (x + kLanes) <= count; x += kLanes) {
    const VecF a = load(from + 2 * x), b = load(from + 2 * x + kLanes);
    store(even + x, shuffle<EverySecond<0>>(a, b));
    store(odd + x, shuffle<EverySecond<1>>(a, b));
  }
  for (; x < size; ++x) {
    even[x] = 2 * x < count ? from[2 * x] : 0.0f;
    odd[x] = 2 * x + 1 < count ? from[2 * x + 1] : 0.0f;
  }
}

void fill_stage(Stage& stage, const float* planes, int64_t sample_stride,
                const WinogradTiles& tiles, const WinogradTileVector& t) {
  const int64_t height = 2 * tiles.h + 1, width = 2 * tiles.w + 1;
  for (int r = 0; r < t.runs; ++r) {
    const WinogradTileVector::Run& run = t.run[r];
    const int64_t x = run.col * 8, span = int64_t{run.count} * 8;
    const int64_t have = width - x < span ? width - x : span;
    const int last = run.first + run.count - 1, lane = last % kQuads * 4 + last / kQuads;
    for (int i = 0; i < kWindow; ++i) {
      float *even = stage.even[i] + run.first * 4, *odd = stage.odd[i] + run.first * 4;
      const int64_t y = run.row * 8 + i;
      const bool inside = y < height;
      const float* from = planes + run.sample * sample_stride + (inside ? y * width + x : 0);
      split_row(even, odd, from, inside ? have : 0, span / 2);
      stage.beyond[i][lane] = inside && x + span < width ? from[span] : 0.0f;
    }
  }
  for (int i = 0; i < kWindow; ++i) {
    clear_floats(stage.even[i] + t.tiles * 4, kRowFloats - t.tiles * 4);
    clear_floats(stage.odd[i] + t.tiles * 4, kRowFloats - t.tiles * 4);
  }
}

// The transform along one row: five points of the even pixels, four of the odd ones.
PYGAN_INLINE void transform_row(VecF even[5], VecF odd[4], VecF scale, VecF* out) {
  for (int j = 0; j < 4; ++j) odd[j] *= scale;
  strided_b(even, out);
  strided_b_odd(odd, out + 5);
}

// The transform along the columns of `rows`, and the 9x9 planes.
PYGAN_INLINE void store_window(float* v, int64_t stride, const VecF (*rows)[kWindow]) {
#pragma GCC unroll 1
  for (int j = 0; j < kWindow; ++j) {
    const VecF even[5] = {rows[0][j], rows[2][j], rows[4][j], rows[6][j], rows[8][j]};
    const VecF odd[4] = {rows[1][j], rows[3][j], rows[5][j], rows[7][j]};
    VecF out[kWindow];
    strided_b(even, out);
    strided_b_odd(odd, out + 5);
    for (int i = 0; i < kWindow; ++i) store(v + (i * kWindow + j) * stride, out[i]);
  }
}

void transform_contiguous(float* v, int64_t stride, const float* plane, const WinogradTiles& tiles,
                          const WinogradTileVector& t, const LaneScale& scale) {
  alignas(64) static const float kZeros[2 * kRowFloats + 1] = {};
  const int64_t height = 2 * tiles.h + 1, width = 2 * tiles.w + 1;
  VecF rows[kWindow][kWindow];
#pragma GCC unroll 1
  for (int i = 0; i < kWindow; ++i) {
    const int64_t y = t.run[0].row * 8 + i;
    const float* p = y < height ? plane + y * width + t.run[0].col * 8 : kZeros;
    const int64_t ahead = y < height ? height * width : 0;  // the same row of the next channel
    VecF even[5], odd[4];
    for (int j = 0; j < 4; ++j) {
      const VecF a = load(p + 2 * j * kLanes), b = load(p + (2 * j + 1) * kLanes);
      __builtin_prefetch(p + ahead + 2 * j * kLanes);
      __builtin_prefetch(p + ahead + (2 * j + 1) * kLanes);
      even[j] = shuffle<EverySecond<0>>(a, b);
      odd[j] = shuffle<EverySecond<1>>(a, b);
    }
    transpose_4x4(even[0], even[1], even[2], even[3]);
    transpose_4x4(odd[0], odd[1], odd[2], odd[3]);
    for (int j = 0; j < 4; ++j) even[j] *= scale.lanes;
    even[4] = shuffle<FromRight>(even[0], splat(p[2 * kRowFloats] * scale.last));
    transform_row(even, odd, scale.lanes, rows[i]);
  }
  store_window(v, stride, rows);
}

void transform_staged(float* v, int64_t stride, const Stage& stage, const WinogradTileVector& t,
                      const LaneScale& scale) {
  VecF rows[kWindow][kWindow];
#pragma GCC unroll 1
  for (int i = 0; i < kWindow; ++i) {
    VecF even[5], odd[4];
    for (int j = 0; j < 4; ++j) {
      even[j] = load(stage.even[i] + j * kLanes);
      odd[j] = load(stage.odd[i] + j * kLanes);
    }
    transpose_4x4(even[0], even[1], even[2], even[3]);
    transpose_4x4(odd[0], odd[1], odd[2], odd[3]);
    for (int j = 0; j < 4; ++j) even[j] *= scale.lanes;
    even[4] = select(load_mask(t.right_inside), shuffle<FromRight>(even[0], VecF{}),
                     load(stage.beyond[i]) * scale.lanes);
    transform_row(even, odd, scale.lanes, rows[i]);
  }
  store_window(v, stride, rows);
}

// --- The transposed form: tiles of 4x4 pixels ---

constexpr int kPoints = 5;

void transform_tiles(float* v, int64_t stride, const float* const row[4], int64_t ahead,
                     VecF scale) {
  VecF rows[4][kPoints];
  for (int i = 0; i < 4; ++i) {
    VecF d[4];
    for (int j = 0; j < 4; ++j) {
      d[j] = load(row[i] + j * kLanes);
      __builtin_prefetch(row[i] + ahead + j * kLanes);
    }
    transpose_4x4(d[0], d[1], d[2], d[3]);
    for (int j = 0; j < 4; ++j) d[j] *= scale;
    strided_a(d, rows[i]);
  }
  for (int j = 0; j < kPoints; ++j) {
    const VecF d[4] = {rows[0][j], rows[1][j], rows[2][j], rows[3][j]};
    VecF out[kPoints];
    strided_a(d, out);
    for (int i = 0; i < kPoints; ++i) store(v + (i * kPoints + j) * stride, out[i]);
  }
}

}  // namespace

void winograd_transform_input_strided(const WinogradMatrix& v, const WinogradInput& input,
                                      const WinogradTileVector* vectors, int64_t count,
                                      int64_t begin, int64_t end) {
  alignas(64) Stage stage = {};
  const WinogradTiles& tiles = input.tiles;
  const int64_t plane = (2 * tiles.h + 1) * (2 * tiles.w + 1);
  const int64_t sample_stride = plane * input.channels;
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const WinogradTileVector& t = vectors[i];
      const LaneScale scale(input, c, t);
      float* out = v.data + panel_offset(i, count, input.channels) + c * panel_row(i, count);
      if (t.contiguous) {
        transform_contiguous(out, v.stride, input.x + t.run[0].sample * sample_stride + c * plane,
                             tiles, t, scale);
      } else {
        fill_stage(stage, input.x + c * plane, sample_stride, tiles, t);
        transform_staged(out, v.stride, stage, t, scale);
      }
    }
  }
}

void winograd_transform_input_transposed(const WinogradMatrix& v, const WinogradInput& input,
                                         const WinogradTileVector* vectors, int64_t count,
                                         int64_t begin, int64_t end) {
  alignas(64) static const float kZeros[kRowFloats] = {};
  alignas(64) float stage[4][kRowFloats];
  const WinogradTiles& tiles = input.tiles;
  const int64_t plane = tiles.h * tiles.w;
  const int64_t sample_stride = plane * input.channels;
  for (int64_t c = begin; c < end; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const WinogradTileVector& t = vectors[i];
      const float* row[4];
      for (int k = 0; k < 4; ++k) row[k] = t.contiguous ? kZeros : stage[k];
      for (int r = 0; r < t.runs; ++r) {
        const WinogradTileVector::Run& run = t.run[r];
        const float* from = input.x + run.sample * sample_stride + c * plane + run.col * 4;
        const int64_t span = int64_t{run.count} * 4;
        const int64_t have = tiles.w - run.col * 4 < span ? tiles.w - run.col * 4 : span;
        for (int k = 0; k < 4; ++k) {
          const int64_t y = run.row * 4 + k;
          if (t.contiguous) {
            if (y < tiles.h) row[k] = from + y * tiles.w;
            continue;
          }
          const int64_t inside = y < tiles.h ? have : 0;
          float* to = stage[k] + run.first * 4;
          if (inside > 0) copy_floats(to, from + y * tiles.w, inside);
          clear_floats(to + inside, span - inside);
        }
      }
      if (!t.contiguous) {
        for (int k = 0; k < 4; ++k) clear_floats(stage[k] + t.tiles * 4, kRowFloats - t.tiles * 4);
      }
      const VecF scale = LaneScale(input, c, t).lanes;
      transform_tiles(v.data + panel_offset(i, count, input.channels) + c * panel_row(i, count),
                      v.stride, row, t.contiguous ? plane : 0, scale);
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
