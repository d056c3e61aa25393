// Winograd weight gradient: the transforms of x and dy into matrices over tiles. Vectors hold
// channels: a strip of pixels of `lanes` channels is transposed once, then every transform is free
// of shuffles and of border cases.
#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"
#include "modulated_conv2d/winograd_points_strided.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

// A strip of pixels over `lanes` channels: `kTiles` windows of kRows x kRows pixels, kStep pixels
// apart, whose tiles begin kBefore pixels after the window.
template <int Rows, int Step, int Before, int Tiles>
struct Strip {
  static constexpr int kRows = Rows, kStep = Step, kBefore = Before, kTiles = Tiles;
  static constexpr int kColumns = (Tiles - 1) * Step + Rows;
  VecF pixel[kRows][kColumns];
};
typedef Strip<6, 4, 1, 16> SameStrip;      // x of a convolution of stride 1
typedef Strip<9, 8, 0, 8> StridedStrip;    // x of one of stride 2
typedef Strip<4, 4, 0, 16> GradientStrip;  // dy

// One group of channels of a tensor.
struct Source {
  const float* data;  // channel 0 of the group, sample 0
  const float* scale;
  int64_t sample_stride, scale_stride;
  int64_t h, w;
  int channels;                    // at most kLanes
  int64_t channel_offset[kLanes];  // of lanes beyond the channels: that of channel 0, times zero
};

// pixel[count] of every channel. Fetches what lies `ahead` floats further, since the hardware
// cannot follow so many short rows.
PYGAN_INLINE void load_pixels(VecF* pixel, const float* from, int64_t count, int64_t ahead,
                              VecF scale, const Source& source) {
  int64_t x = 0;
  for (; x + kLanes <= count; x += kLanes) {
    VecF row[kLanes];
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) {
      const float* p = from + source.channel_offset[c] + x;
      row[c] = load(p);
      __builtin_prefetch(p + ahead);
    }
    transpose_lanes(row);
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) pixel[x + c] = row[c] * scale;
  }
  for (; x < count; ++x) {
    float lane[kLanes] = {};
    for (int c = 0; c < source.channels; ++c) lane[c] = from[source.channel_offset[c] + x];
    pixel[x] = load(lane) * scale;
  }
}

// The windows of `count` tiles, the first of which begins at row y and column x of a sample.
// `continues`: the strip holds the kTiles tiles to the left.
template <typename S>
void load_strip(S& strip, const Source& source, int64_t sample, int64_t y, int64_t x, int64_t count,
                bool continues) {
  constexpr int kOverlap = S::kRows - S::kStep > 0 ? S::kRows - S::kStep : 0;
  float factor[kLanes] = {};
  for (int c = 0; c < source.channels; ++c) {
    factor[c] = source.scale != nullptr ? source.scale[sample * source.scale_stride + c] : 1.0f;
  }
  const VecF scale = load(factor);
  const int64_t columns = (count - 1) * S::kStep + S::kRows;
  const int64_t left = x - S::kBefore;
  // Columns [begin, end) of the strip are to be read, those outside the image are zero.
  const int64_t begin = continues ? kOverlap : left < 0 ? -left : 0;
  const int64_t end = source.w - left < columns ? source.w - left : columns;
  const int64_t further = S::kTiles * S::kStep;
  const int64_t ahead = x + further < source.w ? further : S::kStep * source.w - x;
  for (int i = 0; i < S::kRows; ++i) {
    VecF* pixel = strip.pixel[i];
    const int64_t row = y - S::kBefore + i;
    if (row < 0 || row >= source.h) {
      for (int64_t j = 0; j < columns; ++j) pixel[j] = VecF{};
      continue;
    }
    if (continues) {
      for (int j = 0; j < kOverlap; ++j) pixel[j] = pixel[S::kTiles * S::kStep + j];
    } else {
      for (int64_t j = 0; j < begin; ++j) pixel[j] = VecF{};
    }
    const float* from = source.data + sample * source.sample_stride + row * source.w + left;
    load_pixels(pixel + begin, from + begin, end - begin, ahead, scale, source);
    for (int64_t j = end > begin ? end : begin; j < columns; ++j) pixel[j] = VecF{};
  }
}

// --- The transforms of one tile ---

// V of a window of x: one transform along each axis.
struct Same {
  typedef SameStrip Strip;
  static constexpr int kPoints = 6;
  static inline __attribute__((always_inline)) void window(const VecF* d, VecF* v) {
    winograd_b(d, v);
  }
  static inline __attribute__((always_inline)) void tile(const VecF* y, VecF* m) {
    winograd_a(y, m);
  }
};
struct Strided {
  typedef StridedStrip Strip;
  static constexpr int kPoints = 5;  // of dy
  static inline __attribute__((always_inline)) void window(const VecF* d, VecF* v) {
    const VecF even[5] = {d[0], d[2], d[4], d[6], d[8]}, odd[4] = {d[1], d[3], d[5], d[7]};
    strided_b(even, v);
    strided_b_odd(odd, v + 5);
  }
  static inline __attribute__((always_inline)) void tile(const VecF* y, VecF* m) {
    strided_a(y, m);
  }
};

template <typename Form>
PYGAN_INLINE void transform_window(float* v, int64_t stride, const typename Form::Strip& strip,
                                   int64_t tile) {
  constexpr int kRows = Form::Strip::kRows;
  VecF half[kRows][kRows];
#pragma GCC unroll 1
  for (int j = 0; j < kRows; ++j) {
    VecF d[kRows], out[kRows];
    for (int i = 0; i < kRows; ++i) d[i] = strip.pixel[i][tile * Form::Strip::kStep + j];
    Form::window(d, out);
    for (int i = 0; i < kRows; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < kRows; ++i) {
    VecF out[kRows];
    Form::window(half[i], out);
    for (int j = 0; j < kRows; ++j) store(v + (i * kRows + j) * stride, out[j]);
  }
}

// Y of one tile of dy: the parts of a vector go to blocks of kOutBlock channels.
template <typename Form>
PYGAN_INLINE void transform_tile(float* y, int64_t stride, int64_t block_stride,
                                 const GradientStrip& strip, int64_t tile) {
  constexpr int kPoints = Form::kPoints;
  VecF half[kPoints][4];
#pragma GCC unroll 1
  for (int j = 0; j < 4; ++j) {
    const VecF d[4] = {strip.pixel[0][tile * 4 + j], strip.pixel[1][tile * 4 + j],
                       strip.pixel[2][tile * 4 + j], strip.pixel[3][tile * 4 + j]};
    VecF out[kPoints];
    Form::tile(d, out);
    for (int i = 0; i < kPoints; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < kPoints; ++i) {
    VecF out[kPoints];
    Form::tile(half[i], out);
    for (int j = 0; j < kPoints; ++j) {
      float* to = y + (i * kPoints + j) * stride;
      const char* from = reinterpret_cast<const char*>(&out[j]);
      for (int b = 0; b < kLanes / kOutBlock; ++b) {
        __builtin_memcpy(to + b * block_stride, from + b * kOutBlock * sizeof(float),
                         kOutBlock * sizeof(float));
      }
    }
  }
}

// Reads strips of the tiles tile_begin + [first, last) of each group, and hands every tile with its
// number in the block to `transform`.
template <typename S, typename Transform>
PYGAN_INLINE void for_each_tile(const WinogradInput& input, int64_t h, int64_t w,
                                int64_t tile_begin, int64_t first, int64_t last, int64_t begin,
                                int64_t end, const Transform& transform) {
  alignas(64) S strip;
  const WinogradTiles& tiles = input.tiles;
  Source source;
  source.h = h;
  source.w = w;
  source.sample_stride = h * w * input.channels;
  source.scale_stride = input.channels;
  for (int64_t group = begin; group < end; ++group) {
    const int64_t channel = group * kLanes, rest = input.channels - channel;
    source.channels = static_cast<int>(rest < kLanes ? rest : kLanes);
    source.data = input.x + channel * h * w;
    source.scale = input.scale != nullptr ? input.scale + channel : nullptr;
    for (int c = 0; c < kLanes; ++c) source.channel_offset[c] = c < source.channels ? c * h * w : 0;
    for (int64_t t = first; t < last;) {
      const int64_t tile = tile_begin + t;
      const int64_t col = tile % tiles.cols, row = tile / tiles.cols % tiles.rows;
      const int64_t sample = tile / tiles.cols / tiles.rows;
      int64_t count = tiles.cols - col < S::kTiles ? tiles.cols - col : S::kTiles;
      if (count > last - t) count = last - t;
      load_strip(strip, source, sample, row * S::kStep, col * S::kStep, count,
                 t > first && col > 0);
      for (int64_t i = 0; i < count; ++i) transform(strip, group, t + i, i);
      t += count;
    }
  }
}

template <typename Form>
void gather_input(const WinogradMatrix& v, const WinogradInput& input, int64_t h, int64_t w,
                  int64_t tile_begin, int64_t block, int64_t first, int64_t last, int64_t begin,
                  int64_t end) {
  const int64_t groups = (input.channels + kLanes - 1) / kLanes;
  for_each_tile<typename Form::Strip>(
      input, h, w, tile_begin, first, last, begin, end,
      [&](const typename Form::Strip& strip, int64_t group, int64_t tile, int64_t at) {
        transform_window<Form>(
            v.data + panel_offset(group, groups, block) + tile * panel_row(group, groups), v.stride,
            strip, at);
      });
}

template <typename Form>
void gather_output(const WinogradMatrix& y, const WinogradInput& dy, int64_t tile_begin,
                   int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end) {
  for_each_tile<GradientStrip>(
      dy, dy.tiles.h, dy.tiles.w, tile_begin, first, last, begin, end,
      [&](const GradientStrip& strip, int64_t group, int64_t tile, int64_t at) {
        transform_tile<Form>(y.data + group * kLanes * block + tile * kOutBlock, y.stride,
                             block * kOutBlock, strip, at);
      });
}

}  // namespace

void winograd_gather_input(const WinogradMatrix& v, const WinogradInput& input, int64_t tile_begin,
                           int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end) {
  gather_input<Same>(v, input, input.tiles.h, input.tiles.w, tile_begin, block, first, last, begin,
                     end);
}

void winograd_gather_input_strided(const WinogradMatrix& v, const WinogradInput& input,
                                   int64_t tile_begin, int64_t block, int64_t first, int64_t last,
                                   int64_t begin, int64_t end) {
  gather_input<Strided>(v, input, 2 * input.tiles.h + 1, 2 * input.tiles.w + 1, tile_begin, block,
                        first, last, begin, end);
}

void winograd_gather_output(const WinogradMatrix& y, const WinogradInput& dy, int64_t tile_begin,
                            int64_t block, int64_t first, int64_t last, int64_t begin,
                            int64_t end) {
  gather_output<Same>(y, dy, tile_begin, block, first, last, begin, end);
}

void winograd_gather_output_strided(const WinogradMatrix& y, const WinogradInput& dy,
                                    int64_t tile_begin, int64_t block, int64_t first, int64_t last,
                                    int64_t begin, int64_t end) {
  gather_output<Strided>(y, dy, tile_begin, block, first, last, begin, end);
}

}  // namespace PYGAN_ISA
}  // namespace pygan
