// Adjoint of the Winograd convolution of stride 2: from the 9x9 planes of M to windows of 9x9
// pixels, which are added where neighbouring tiles share a row or a column.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_points_strided.h"
#include "modulated_conv2d/winograd_rows.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int kWindow = 9;

// Along the columns of the planes: rows[i][j] = row i of the windows at point j of their columns.
PYGAN_INLINE void inverse_columns(const float* m, int64_t stride, VecF rows[kWindow][kWindow]) {
#pragma GCC unroll 1
  for (int j = 0; j < kWindow; ++j) {
    VecF d[kWindow], even[5], odd[4];
    for (int i = 0; i < kWindow; ++i) d[i] = load(m + (i * kWindow + j) * stride);
    strided_b_transposed(d, even);
    strided_b_odd_transposed(d + 5, odd);
    for (int i = 0; i < 5; ++i) rows[2 * i][j] = even[i];
    for (int i = 0; i < 4; ++i) rows[2 * i + 1][j] = odd[i];
  }
}

// One row of the windows of a vector of tiles: 8 pixels per tile in `pixels`, the ninth of each
// tile in `ninth`, lanes permuted. Tiles of one row of the grid are added already.
PYGAN_INLINE void finish_row(const VecF points[kWindow], const WinogradTileVector& t,
                             VecF pixels[8], VecF* ninth) {
  VecF even[5], odd[4];
  strided_b_transposed(points, even);
  strided_b_odd_transposed(points + 5, odd);
  even[0] += select(load_mask(t.keep_left), shuffle<FromLeft>(even[4], VecF{}), VecF{});
  *ninth = even[4];
  transpose_4x4(even[0], even[1], even[2], even[3]);
  transpose_4x4(odd[0], odd[1], odd[2], odd[3]);
  for (int j = 0; j < 4; ++j) {
    pixels[2 * j] = shuffle<Interleave<0>>(even[j], odd[j]);
    pixels[2 * j + 1] = shuffle<Interleave<1>>(even[j], odd[j]);
  }
}

// What a row of a run of tiles finds at its place. What the tile above (row 0) or the vector to the
// left (the first pixel) left there belongs to the sum; everything else is new.
struct Place {
  float* to;
  bool above, left;
};

// The row of a vector of tiles side by side, none of which reaches beyond the border.
PYGAN_INLINE void put_vectors(const Place& place, const VecF pixels[8], float ninth) {
  float* to = place.to;
  if (place.above) {
    for (int j = 0; j < 8; ++j) store(to + j * kLanes, load(to + j * kLanes) + pixels[j]);
    to[2 * kRowFloats] += ninth;
  } else {
    const float before = place.left ? to[0] : 0.0f;
    for (int j = 0; j < 8; ++j) store(to + j * kLanes, pixels[j]);
    to[0] += before;
    to[2 * kRowFloats] = ninth;
  }
}

// The row of one run, `span` floats and the ninth pixel of the last tile, of which `have` are
// inside.
PYGAN_INLINE void put_run(const Place& place, const float* row, float ninth, int64_t have,
                          int64_t span) {
  float* to = place.to;
  const int64_t count = have < span ? have : span;
  if (place.above) {
    int64_t x = 0;
    for (; x + kLanes <= count; x += kLanes) store(to + x, load(to + x) + load(row + x));
    for (; x < count; ++x) to[x] += row[x];
    if (have > span) to[span] += ninth;
  } else {
    const float before = place.left ? to[0] : 0.0f;
    copy_floats(to, row, count);
    to[0] += before;
    if (have > span) to[span] = ninth;
  }
}

PYGAN_INLINE int lane_of(int tile) { return tile % kQuads * 4 + tile / kQuads; }

void finish_vector(const WinogradOutput& output, const float* m, int64_t stride, int64_t channel,
                   const WinogradTileVector& t) {
  const int64_t height = 2 * output.tiles.h + 1, width = 2 * output.tiles.w + 1;
  float* plane = output.y + channel * height * width;
  const int64_t sample_stride = output.channels * height * width;
  const auto place = [&](const WinogradTileVector::Run& run, int i) -> Place {
    return {plane + run.sample * sample_stride + (run.row * 8 + i) * width + run.col * 8,
            i == 0 && run.row > 0, run.col > 0};
  };
  VecF rows[kWindow][kWindow];
  inverse_columns(m, stride, rows);
  // The last row first: a tile of this vector may add its first row to it.
#pragma GCC unroll 1
  for (int i = kWindow - 1; i >= 0; --i) {
    if (t.contiguous && t.run[0].row * 8 + i >= height) continue;
    VecF pixels[8], ninth;
    finish_row(rows[i], t, pixels, &ninth);
    alignas(64) float ends[kLanes];
    store(ends, ninth);
    if (t.contiguous) {
      put_vectors(place(t.run[0], i), pixels, ends[kLanes - 1]);
      continue;
    }
    alignas(64) float stage[2 * kRowFloats];
    for (int j = 0; j < 8; ++j) store(stage + j * kLanes, pixels[j]);
    for (int r = 0; r < t.runs; ++r) {
      const WinogradTileVector::Run& run = t.run[r];
      if (run.row * 8 + i >= height) continue;
      put_run(place(run, i), stage + run.first * 8, ends[lane_of(run.first + run.count - 1)],
              width - run.col * 8, int64_t{run.count} * 8);
    }
  }
}

}  // namespace

void winograd_transform_output_transposed(const WinogradOutput& output, const WinogradMatrix& m,
                                          const WinogradTileVector* vectors, int64_t count,
                                          int64_t first, int64_t padded, int64_t begin,
                                          int64_t end) {
  for (int64_t i = 0; i < count; ++i) {
    const float* panel = m.data + panel_offset(i, count, padded);
    const int64_t row = panel_row(i, count);
    for (int64_t o = begin; o < end; ++o) {
      finish_vector(output, panel + o * row, m.stride, first + o, vectors[i]);
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
