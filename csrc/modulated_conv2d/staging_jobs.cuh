// What the blocks of a launch that stages operands do (staging.h), in device code. The launches are
// staging.cu's and, with the demodulation, demodulation.cu's and modulation.cu's.
//
//   image    32 channels x 128 pixels of one sample through shared memory: read along pixels,
//            written along channels
//   border   zeros around the images
//   weights  a few rows x 32 columns x all taps, read as they lie, written tap by tap
//
// Pixels are counted in the image rather than in its padded copy, so reads are aligned whatever the
// padding; a written pixel is a whole number of 64-byte pieces at any place.
#pragma once

#include <cstring>
#include <type_traits>

#include "modulated_conv2d/staging.cuh"

namespace pygan {

constexpr int kStagingThreads = 256;
constexpr int kTilePixels = 128;
constexpr int kBorderPixels = 32;  // per block

// All that the kernel knows besides pointers.
struct StagingGeometry {
  // Images.
  int64_t hp, wp, top, left;
  uint32_t w, area;  // pixels per row, per image
  int64_t channels, cp;
  uint32_t groups, chunks, tiles;  // 32-channel chunks per group, 128-pixel tiles per image
  int64_t row_begin, row_end, column_begin, column_end;  // the image's part of the padded one
  int64_t border;                                        // pixels around it
  uint32_t border_tiles;                                 // blocks per sample
  bool vector;                                           // four pixels of x can be read at once
  // Weights.
  int64_t rows, columns, w_rp, w_cp;
  uint32_t taps, w_groups, w_chunks, w_row_tiles, rows_per_tile;
  bool exchanged, mirrored;
  // Blocks that do each job; the rest stage weights.
  uint32_t image_blocks, border_blocks;
};

// 16 bytes in one instruction, past the L1 cache: whoever reads them is on another processor.
template <typename S, int kN>
__device__ __forceinline__ void store_piece(S* to, const Pack<S, kN>& piece) {
  uint4 word;
  static_assert(sizeof(piece) == sizeof(word), "16 bytes");
  memcpy(&word, &piece, sizeof(word));
  __stcg(reinterpret_cast<uint4*>(to), word);
}

// Scales of images (Stager::image): [n, groups * channels] in memory, or 1.
template <typename T>
struct TensorScales {
  const T* data;
  __device__ __forceinline__ TensorScales operator()(int64_t plane) const {
    return {data != nullptr ? data + plane : nullptr};
  }
  __device__ __forceinline__ Compute<T> operator()(int k) const {
    return data != nullptr ? load_value(data[k]) : Compute<T>(1);
  }
};

template <Product kProduct, typename T>
struct Stager {
  using C = Compute<T>;
  using S = Staged<kProduct, T>;
  static constexpr int kPiece = 16 / sizeof(S);             // channels that are written at once
  static constexpr int kPieces = kStagedChannels / kPiece;  // per pixel
  // Pixels are exchanged within a channel's row of shared memory so that the threads of a warp,
  // which read kPieces channels at 32 / kPieces pixels (16 / kPieces for double), find each in
  // another bank. Float vectors of four stay whole.
  static constexpr int kSwizzle = std::is_same<C, double>::value ? 1 : 32 / kPieces;
  static constexpr int kVector = std::is_same<T, double>::value ? 1 : 4;

  __device__ static int slot(int channel, int pixel) {
    return channel * kTilePixels + (pixel ^ (kSwizzle * (channel / kPiece)));
  }

  // Whose images a block stages.
  __device__ static int64_t sample_of(const StagingGeometry& s, uint32_t block) {
    return block / s.chunks / s.groups / s.tiles;
  }

  // `out` = channels [chunk * 32, + 32) of pixels [tile * 128, + 128), times the scale of each:
  // what scales(plane) returns gives that of plane + k for k. Planes are those of x, n * groups *
  // channels.
  template <typename Scales>
  __device__ static void image(S* out, const T* x, const Scales& scales, const StagingGeometry& s,
                               uint32_t block, C* tile) {
    const uint32_t chunk = block % s.chunks;
    block /= s.chunks;
    const uint32_t group = block % s.groups;
    block /= s.groups;
    const uint32_t first = block % s.tiles * kTilePixels;
    const int64_t sample = block / s.tiles;
    const int64_t channel0 = int64_t{chunk} * kStagedChannels;
    const int64_t plane = (sample * s.groups + group) * s.channels + channel0;
    const int channels = static_cast<int>(min(int64_t{kStagedChannels}, s.channels - channel0));
    const int pixels = static_cast<int>(min(uint32_t{kTilePixels}, s.area - first));

    x += plane * s.area + first;
    const auto scale = scales(plane);
    if (s.vector) {
      load<kVector>(x, scale, channels, pixels, s.area, tile);
    } else {
      load<1>(x, scale, channels, pixels, s.area, tile);
    }
    __syncthreads();

    const int piece = threadIdx.x % kPieces;
    const int64_t pixel_stride = s.groups * s.cp;
    out += sample * s.hp * s.wp * pixel_stride + group * s.cp + channel0 + piece * kPiece;
#pragma unroll
    for (int round = 0; round < kTilePixels * kPieces / kStagingThreads; ++round) {
      const int pixel = threadIdx.x / kPieces + round * (kStagingThreads / kPieces);
      if (pixel >= pixels) break;
      const uint32_t row = (first + pixel) / s.w;
      const int64_t i = row + s.top;
      const int64_t j = first + pixel - row * s.w + s.left;
      Pack<S, kPiece> pack;
#pragma unroll
      for (int k = 0; k < kPiece; ++k) {
        pack.v[k] = to_staged<kProduct, T>(tile[slot(piece * kPiece + k, pixel)]);
      }
      if (i < 0 || i >= s.hp || j < 0 || j >= s.wp) continue;
      store_piece(out + (i * s.wp + j) * pixel_stride, pack);
    }
  }

  // A thread reads the same pixels of several channels.
  template <int kV, typename Scale>
  __device__ static void load(const T* x, const Scale& scale, int channels, int pixels,
                              int64_t area, C* tile) {
    constexpr int kPerRow = kTilePixels / kV;
    constexpr int kChannelsAtOnce = kStagingThreads / kPerRow;
    const int pixel = threadIdx.x % kPerRow * kV, channel0 = threadIdx.x / kPerRow;
    x += channel0 * area + pixel;
#pragma unroll
    for (int c = 0; c < kStagedChannels; c += kChannelsAtOnce) {
      const int channel = channel0 + c;
      Pack<T, kV> pack{};
      C factor = C(0);
      if (channel < channels && pixel < pixels) {
        pack = *reinterpret_cast<const Pack<T, kV>*>(x);
        factor = scale(channel);
      }
      x += kChannelsAtOnce * area;
      Pack<C, kV> values;
#pragma unroll
      for (int k = 0; k < kV; ++k) values.v[k] = load_value(pack.v[k]) * factor;
      *reinterpret_cast<Pack<C, kV>*>(tile + slot(channel, pixel)) = values;
    }
  }

  // Zeros; one warp per pixel, which is a multiple of 64 bytes.
  __device__ static void border(S* out, const StagingGeometry& s, uint32_t block) {
    const int64_t sample = block / s.border_tiles;
    const int64_t first = int64_t{block % s.border_tiles} * kBorderPixels;
    const int64_t pixel_stride = s.groups * s.cp;
    const int lane = threadIdx.x % 32;
    const int64_t above = s.row_begin * s.wp;
    const int64_t side = s.wp - (s.column_end - s.column_begin);
    const int64_t beside = (s.row_end - s.row_begin) * side;
    for (int k = threadIdx.x / 32; k < kBorderPixels; k += kStagingThreads / 32) {
      int64_t at = first + k;  // counted along the border, then in the padded image
      if (at >= s.border) return;
      if (at >= above + beside) {
        at += (s.row_end - s.row_begin) * (s.column_end - s.column_begin);
      } else if (at >= above) {
        const int64_t row = (at - above) / side;
        int64_t column = at - above - row * side;
        if (column >= s.column_begin) column += s.column_end - s.column_begin;
        at = (s.row_begin + row) * s.wp + column;
      }
      S* pixel = out + (sample * s.hp * s.wp + at) * pixel_stride;
      for (int64_t c = lane * kPiece; c < pixel_stride; c += 32 * kPiece) {
        store_piece(pixel + c, Pack<S, kPiece>{});
      }
    }
  }

  // rows_per_tile x 32 of one group's matrices. In memory these are runs: of all taps of 32 columns
  // for each row, or of all taps of rows_per_tile rows for each column.
  __device__ static void weights(S* out, const T* w, const StagingGeometry& s, uint32_t block,
                                 C* tile) {
    const int64_t column0 = int64_t{block % s.w_chunks} * kStagedChannels;
    block /= s.w_chunks;
    const int64_t row0 = int64_t{block % s.w_row_tiles} * s.rows_per_tile;
    const int64_t group = block / s.w_row_tiles;
    const int rows = static_cast<int>(s.rows_per_tile), taps = static_cast<int>(s.taps);
    const int64_t rows_left = max(s.rows - row0, int64_t{0}), columns_left = s.columns - column0;

    const int runs = s.exchanged ? kStagedChannels : rows;
    const int length = (s.exchanged ? rows : kStagedChannels) * taps;
    const int64_t runs_left = s.exchanged ? columns_left : rows_left;
    const int64_t length_left = (s.exchanged ? rows_left : columns_left) * taps;
    const int64_t run_stride = (s.exchanged ? s.rows : s.columns) * taps;
    const int pitch = length | 1;  // odd: neighbouring runs in other banks
    w += s.exchanged ? ((group * s.columns + column0) * s.rows + row0) * taps
                     : ((group * s.rows + row0) * s.columns + column0) * taps;
    for (int run = threadIdx.x / 32; run < runs; run += kStagingThreads / 32) {
      const T* from = w + run * run_stride;
      for (int k = threadIdx.x % 32; k < length; k += 32) {
        tile[run * pitch + k] = run < runs_left && k < length_left ? load_value(from[k]) : C(0);
      }
    }
    __syncthreads();

    const int row_pitch = s.exchanged ? taps : pitch, column_pitch = s.exchanged ? pitch : taps;
    const int piece = threadIdx.x % kPieces;
    const int64_t tap_stride = s.w_groups * s.w_rp * s.w_cp;
    out += (group * s.w_rp + row0) * s.w_cp + column0 + piece * kPiece;
    tile += piece * kPiece * column_pitch;
    for (int item = threadIdx.x / kPieces; item < rows * taps; item += kStagingThreads / kPieces) {
      const int row = item / taps, tap = item - row * taps;
      Pack<S, kPiece> pack;
#pragma unroll
      for (int k = 0; k < kPiece; ++k) {
        pack.v[k] = to_staged<kProduct, T>(tile[row * row_pitch + k * column_pitch + tap]);
      }
      store_piece(out + (s.mirrored ? taps - 1 - tap : tap) * tap_stride + row * s.w_cp, pack);
    }
  }
};

// What a launch that stages is made of.
struct StagingPlan {
  StagingGeometry geometry{};
  int64_t blocks = 0;        // image blocks, border blocks, then those of the weights
  int64_t shared_bytes = 0;  // of the largest job
};
// Of all operands that `call` has and that are not empty. Throws std::runtime_error when there are
// too many elements for a launch.
StagingPlan plan_staging(const StagingCall& call);

}  // namespace pygan
