// Winograd weight gradient: the transforms of x and dy into matrices over tiles. Vectors hold
// channels: a strip of pixels of `lanes` channels is transposed once, then every transform is free
// of shuffles and of border cases.
#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int kStripTiles = 16;
constexpr int kStripPixels = 4 * kStripTiles;

// A strip of pixels over `lanes` channels: pixel[i][1 + j] is column j of row i of its tiles.
struct Strip {
  VecF pixel[6][kStripPixels + 2];
};

// One group of channels of one plane of the grid.
struct Source {
  const float* data;  // channel 0 of the group, sample 0, row offset of the phase included
  const float* scale;
  int64_t sample_stride, pitch, scale_stride;
  int channels;                    // at most kLanes
  int64_t channel_offset[kLanes];  // of lanes beyond the channels: that of channel 0, times zero
};

// pixel[count] of every channel; Step = 2 reads every second pixel, from the one at Odd. Fetches
// what lies `ahead` floats further, since the hardware cannot follow so many short rows.
template <int Step, int Odd>
PYGAN_INLINE void load_pixels(VecF* pixel, const float* from, int64_t count, int64_t ahead,
                              VecF scale, const Source& source) {
  int64_t x = 0;
  for (; x + kLanes <= count; x += kLanes) {
    VecF row[kLanes];
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) {
      const float* p = from + source.channel_offset[c] + x * Step;
      row[c] = Step == 1 ? load(p) : shuffle<EverySecond<Odd>>(load(p), load(p + kLanes));
      __builtin_prefetch(p + ahead);
      if (Step == 2) __builtin_prefetch(p + ahead + kLanes);
    }
    transpose_lanes(row);
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) pixel[x + c] = row[c] * scale;
  }
  for (; x < count; ++x) {
    float lane[kLanes] = {};
    for (int c = 0; c < source.channels; ++c) {
      lane[c] = from[source.channel_offset[c] + x * Step + Odd];
    }
    pixel[x] = load(lane) * scale;
  }
}

// Rows [first_row, first_row + Rows) and columns [x - Halo, x + 4 * count + Halo) of a sample.
// `continues`: the strip holds the kStripTiles tiles to the left.
template <int Rows, int Halo, int Step, int Odd>
void load_strip(Strip& strip, const Source& source, int64_t sample, int64_t first_row, int64_t x,
                int64_t count, bool continues, const WinogradTiles& tiles) {
  float factor[kLanes] = {};
  for (int c = 0; c < source.channels; ++c) {
    factor[c] = source.scale != nullptr ? source.scale[sample * source.scale_stride + c] : 1.0f;
  }
  const VecF scale = load(factor);
  const int64_t have = tiles.w - x < count * 4 ? tiles.w - x : count * 4;
  const int64_t right = have == count * 4 && x + have < tiles.w ? 1 : 0;
  const int64_t ahead =
      x + kStripPixels < tiles.w ? kStripPixels * Step : 4 * source.pitch - x * Step;
  for (int i = 0; i < Rows; ++i) {
    VecF* pixel = strip.pixel[i];
    const int64_t y = first_row + i;
    if (y < 0 || y >= tiles.h) {
      for (int64_t j = 0; j < count * 4 + 2; ++j) pixel[j] = VecF{};
      continue;
    }
    const float* from = source.data + sample * source.sample_stride + y * source.pitch + x * Step;
    if (Halo) {
      if (continues) {
        pixel[0] = pixel[kStripPixels];
      } else if (x > 0) {
        load_pixels<Step, Odd>(pixel, from - Step, 1, 0, scale, source);
      } else {
        pixel[0] = VecF{};
      }
      if (right) load_pixels<Step, Odd>(pixel + 1 + have, from + have * Step, 1, 0, scale, source);
    }
    load_pixels<Step, Odd>(pixel + 1, from, have, ahead, scale, source);
    for (int64_t j = have + right; j < count * 4 + 1; ++j) pixel[1 + j] = VecF{};
  }
}

// V of one tile of x, whose window begins at column 4 * tile of the strip.
PYGAN_INLINE void transform_window(float* v, int64_t stride, const Strip& strip, int64_t tile) {
  VecF half[6][6];
#pragma GCC unroll 1
  for (int j = 0; j < 6; ++j) {
    VecF d[6], out[6];
    for (int i = 0; i < 6; ++i) d[i] = strip.pixel[i][tile * 4 + j];
    winograd_b(d, out);
    for (int i = 0; i < 6; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < 6; ++i) {
    VecF out[6];
    winograd_b(half[i], out);
    for (int j = 0; j < 6; ++j) store(v + (i * 6 + j) * stride, out[j]);
  }
}

// Y of one tile of dy: the two halves of a vector go to blocks of kOutBlock channels.
PYGAN_INLINE void transform_tile(float* y, int64_t stride, int64_t block_stride, const Strip& strip,
                                 int64_t tile) {
  VecF half[6][4];
#pragma GCC unroll 1
  for (int j = 0; j < 4; ++j) {
    const VecF d[4] = {strip.pixel[0][tile * 4 + 1 + j], strip.pixel[1][tile * 4 + 1 + j],
                       strip.pixel[2][tile * 4 + 1 + j], strip.pixel[3][tile * 4 + 1 + j]};
    VecF out[6];
    winograd_a(d, out);
    for (int i = 0; i < 6; ++i) half[i][j] = out[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < 6; ++i) {
    VecF out[6];
    winograd_a(half[i], out);
    for (int j = 0; j < 6; ++j) {
      float* to = y + (i * 6 + j) * stride;
      const char* from = reinterpret_cast<const char*>(&out[j]);
      for (int b = 0; b < kLanes / kOutBlock; ++b) {
        __builtin_memcpy(to + b * block_stride, from + b * kOutBlock * sizeof(float),
                         kOutBlock * sizeof(float));
      }
    }
  }
}

template <int Rows, int Step>
void gather(const WinogradMatrix& m, const WinogradInput& input, int64_t tile_begin, int64_t block,
            int64_t first, int64_t last, int64_t begin, int64_t end) {
  constexpr bool kWindows = Rows == 6;
  Strip strip;
  const WinogradTiles& tiles = input.tiles;
  const int64_t phase_groups = (input.channels + kLanes - 1) / kLanes;
  const int64_t groups = phase_groups * Step * Step;
  Source source;
  const int64_t plane = tiles.h * tiles.w * Step * Step;
  source.pitch = tiles.w * Step * Step;  // two rows of the tensor when it is read space-to-depth
  source.sample_stride = plane * input.channels;
  source.scale_stride = input.channels;
  for (int64_t group = begin; group < end; ++group) {
    const int64_t phase = group / phase_groups, channel = group % phase_groups * kLanes;
    const int64_t rest = input.channels - channel;
    source.channels = static_cast<int>(rest < kLanes ? rest : kLanes);
    source.data = input.x + channel * plane + phase / 2 * tiles.w * Step;
    source.scale = input.scale != nullptr ? input.scale + channel : nullptr;
    for (int c = 0; c < kLanes; ++c) source.channel_offset[c] = c < source.channels ? c * plane : 0;
    for (int64_t t = first; t < last;) {
      const int64_t tile = tile_begin + t;
      const int64_t col = tile % tiles.cols, row = tile / tiles.cols % tiles.rows;
      const int64_t sample = tile / tiles.cols / tiles.rows;
      int64_t count = tiles.cols - col < kStripTiles ? tiles.cols - col : kStripTiles;
      if (count > last - t) count = last - t;
      const bool continues = t > first && col > 0;
      const int64_t first_row = row * 4 - (kWindows ? 1 : 0);
      if (phase % 2 == 0) {
        load_strip<Rows, kWindows, Step, 0>(strip, source, sample, first_row, col * 4, count,
                                            continues, tiles);
      } else {
        load_strip<Rows, kWindows, Step, Step - 1>(strip, source, sample, first_row, col * 4, count,
                                                   continues, tiles);
      }
      for (int64_t i = 0; i < count; ++i) {
        if (kWindows) {
          transform_window(
              m.data + panel_offset(group, groups, block) + (t + i) * panel_row(group, groups),
              m.stride, strip, i);
        } else {
          transform_tile(m.data + (group * kLanes * block + (t + i) * kOutBlock), m.stride,
                         block * kOutBlock, strip, i);
        }
      }
      t += count;
    }
  }
}

}  // namespace

void winograd_gather_input(const WinogradMatrix& v, const WinogradInput& input, int64_t tile_begin,
                           int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end) {
  if (input.space_to_depth) {
    gather<6, 2>(v, input, tile_begin, block, first, last, begin, end);
  } else {
    gather<6, 1>(v, input, tile_begin, block, first, last, begin, end);
  }
}

void winograd_gather_output(const WinogradMatrix& y, const WinogradInput& dy, int64_t tile_begin,
                            int64_t block, int64_t first, int64_t last, int64_t begin,
                            int64_t end) {
  if (dy.space_to_depth) {
    gather<4, 2>(y, dy, tile_begin, block, first, last, begin, end);
  } else {
    gather<4, 1>(y, dy, tile_begin, block, first, last, begin, end);
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
