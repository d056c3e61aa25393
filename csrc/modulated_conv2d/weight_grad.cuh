// The kernel of the weight gradient (weight_grad.cu says what it computes and how it is split):
// what a block multiplies, where its operands come from, and the pipeline that brings them.
//
// A block owns a matrix of kRows output channels x kUnits * 64 columns, a unit being 64 input
// channels at one tap, and adds up products over its pixels, kPixels per pipeline stage. In shared
// memory pixels are the slow axis of both operands, as in the staged images:
//
//   rows     [kPixels][kRows]         of dy
//   columns  kUnits x [kPixels][64]   of x, one tile per unit; or, for three taps of a kernel row,
//            [kPixels + 2][64]        one tile, in which tap b's pixel p lies at p + b
//
// The padding of each line keeps the reads of gradient tiles (weight_grad_tiles.cuh) free of bank
// conflicts: +16 bytes for ldmatrix, whose eight lines then start in eight different bank groups,
// and +32 bytes for floats, which are read as four lines x 32 or more bytes at once.
#pragma once

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/mma.cuh"

namespace pygan {

constexpr int kUnitChannels = 64;

template <typename E, int kRowChannels, int kUnitCount, bool kSharesRow, int kPixelCount,
          int kStageCount>
struct GradTile {
  using Element = E;
  static constexpr int kRows = kRowChannels;
  static constexpr int kUnits = kUnitCount;
  static constexpr bool kKernelRow = kSharesRow;
  static constexpr int kThreads = 2 * kRows;
  static constexpr int kPixels = kPixelCount;
  static constexpr int kStages = kStageCount;
  static constexpr int kPad = sizeof(E) == 4 ? 32 : 16;
  static constexpr int kRowPitch = kRows * sizeof(E) + kPad;
  static constexpr int kColumnPitch = kUnitChannels * sizeof(E) + kPad;
  static constexpr int kSlots = kKernelRow ? kPixels + kUnits - 1 : kPixels;
  static constexpr int kUnitStride = kKernelRow ? kColumnPitch : kPixels * kColumnPitch;
  static constexpr int kRowBytes = kPixels * kRowPitch;
  static constexpr int kColumnBytes = (kKernelRow ? kSlots : kUnits * kPixels) * kColumnPitch;
  static constexpr int kStageBytes = kRowBytes + kColumnBytes;
  static constexpr int kSharedBytes = kStages * kStageBytes;
};

// Everything in bytes that is added to addresses.
struct WeightGradArgs {
  const char* x;
  const char* dy;
  void* partial;                // [splits][taps][groups][co padded to kRows][ci padded to 64]
  int64_t x_pixel, dy_pixel;    // from pixel to pixel
  int x_channels, dy_channels;  // per group, as staged
  int groups, row_tiles, column_tiles, blocks_of_channels;  // ceil(ci / 64)
  int kw, taps;
  int64_t tap_row, tap_column;  // from tap to tap within x
  int chunks, chunks_per_split;
  // Kernel rows: a chunk never leaves its image; what is left out between images.
  int chunks_per_image;
  int64_t x_jump, dy_jump;
  // Separate taps: pixels of all images in one sequence, with x's place kept as a counter.
  int pixels;
  int oh, ow;
  int64_t x_image, x_row, x_column;  // from image, row, column of dy to the next, within x
  int step_rows, step_columns;       // kPixels as a number of rows and columns (and images) ..
  int64_t step;                      // .. and what that is in x
};

// Copies 16 bytes, or zeros.
__device__ __forceinline__ void cp_async_16_or_zero(uint32_t shared, const void* global,
                                                    bool inside) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
#else
  uint4 v = make_uint4(0, 0, 0, 0);
  if (inside) v = __ldg(static_cast<const uint4*>(global));
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(shared), "r"(v.x), "r"(v.y),
               "r"(v.z), "r"(v.w)
               : "memory");
#endif
}

// Which part of the result a block computes, from which chunks of pixels.
struct GradBlock {
  int row_tile, column_tile, group;
  int split, first, last;

  // Blocks of one split are neighbours: they read the same pixels.
  __device__ explicit GradBlock(const WeightGradArgs& a) {
    unsigned index = blockIdx.x;
    column_tile = index % a.column_tiles;
    index /= a.column_tiles;
    row_tile = index % a.row_tiles;
    index /= a.row_tiles;
    group = index % a.groups;
    split = index / a.groups;
    first = split * a.chunks_per_split;
    last = min(first + a.chunks_per_split, a.chunks);
  }
};

// The unit `u` of a block: its tap (not below `taps`: there is none) and first input channel.
template <typename Tile>
__device__ __forceinline__ int2 grad_unit(const WeightGradArgs& a, const GradBlock& block, int u) {
  if (Tile::kKernelRow) {
    const int row = block.column_tile / a.blocks_of_channels;
    return {row * Tile::kUnits + u, block.column_tile % a.blocks_of_channels * kUnitChannels};
  }
  const int unit = block.column_tile * Tile::kUnits + u;
  return {unit / a.blocks_of_channels, unit % a.blocks_of_channels * kUnitChannels};
}

// One thread's part of copying chunks, in order, each `load` the next.
template <typename Tile>
class GradLoader {
  static constexpr int kPiece = 16 / sizeof(typename Tile::Element);  // channels per copy
  static constexpr int kRowPieces = Tile::kRows / kPiece;
  static constexpr int kColumnPieces = kUnitChannels / kPiece;
  static constexpr int kRowLines = Tile::kThreads / kRowPieces;  // pixels that are copied at once
  static constexpr int kColumnLines = Tile::kThreads / kColumnPieces;
  static constexpr int kRowRounds = Tile::kPixels / kRowLines;
  static constexpr int kColumnRounds = Tile::kPixels / kColumnLines;
  static_assert(kRowRounds * kRowLines == Tile::kPixels, "");
  static_assert(kColumnRounds * kColumnLines == Tile::kPixels, "");

  const WeightGradArgs& a_;
  const char* dy_;
  int64_t dy_step_, x_step_;  // from round to round
  const char* x_[Tile::kKernelRow ? 1 : Tile::kUnits];
  uint32_t row_to_, column_to_;
  bool row_inside_, column_inside_[Tile::kKernelRow ? 1 : Tile::kUnits];
  // Kernel rows.
  int chunk_;
  // Separate taps.
  int left_;  // pixels from the next chunk on
  int row_line_, column_line_;
  int i_[kColumnRounds], j_[kColumnRounds];
  int64_t offset_[kColumnRounds];

 public:
  __device__ __forceinline__ GradLoader(const WeightGradArgs& a, const GradBlock& block,
                                        uint32_t shared)
      : a_(a) {
    constexpr int kBytes = sizeof(typename Tile::Element);
    const int piece = threadIdx.x % kRowPieces * kPiece;
    row_line_ = threadIdx.x / kRowPieces;
    row_to_ = shared + row_line_ * Tile::kRowPitch + piece * kBytes;
    const int row_channel = block.row_tile * Tile::kRows + piece;
    row_inside_ = row_channel < a.dy_channels;
    dy_ = a.dy + (int64_t{block.group} * a.dy_channels + row_channel) * kBytes;

    dy_step_ = kRowLines * a.dy_pixel;
    x_step_ = kColumnLines * a.x_pixel;

    const int column_piece = threadIdx.x % kColumnPieces * kPiece;
    column_line_ = threadIdx.x / kColumnPieces;
    column_to_ =
        shared + Tile::kRowBytes + column_line_ * Tile::kColumnPitch + column_piece * kBytes;
#pragma unroll
    for (int u = 0; u < (Tile::kKernelRow ? 1 : Tile::kUnits); ++u) {
      const int2 unit = grad_unit<Tile>(a, block, u);
      const int channel = unit.y + column_piece;
      column_inside_[u] = unit.x < a.taps && channel < a.x_channels;
      x_[u] = a.x + (int64_t{block.group} * a.x_channels + channel) * kBytes +
              unit.x / a.kw * a.tap_row + unit.x % a.kw * a.tap_column;
    }

    if (Tile::kKernelRow) {
      const int image = block.first / a.chunks_per_image;
      chunk_ = block.first % a.chunks_per_image;
      const int64_t pixels = int64_t{block.first} * Tile::kPixels;
      dy_ += image * a.dy_jump + (pixels + row_line_) * a.dy_pixel;
      x_[0] += image * a.x_jump + (pixels + column_line_) * a.x_pixel;
    } else {
      const int pixel = block.first * Tile::kPixels;
      left_ = a.pixels - pixel;
      dy_ += int64_t{pixel + row_line_} * a.dy_pixel;
#pragma unroll
      for (int r = 0; r < kColumnRounds; ++r) {
        // Unsigned: up to a chunk more than there are pixels.
        const unsigned at = static_cast<unsigned>(pixel) + column_line_ + r * kColumnLines;
        const unsigned line = at / a.ow, image = line / a.oh;
        j_[r] = at % a.ow;
        i_[r] = line % a.oh;
        offset_[r] = image * a.x_image + i_[r] * a.x_row + j_[r] * a.x_column;
      }
    }
  }

  __device__ __forceinline__ void load(int stage) {
    const uint32_t to = stage * Tile::kStageBytes;
    int pixels = Tile::kPixels;
    if (!Tile::kKernelRow) {
      pixels = min(left_, Tile::kPixels);
      left_ -= Tile::kPixels;
    }
#pragma unroll
    for (int r = 0; r < kRowRounds; ++r) {
      cp_async_16_or_zero(row_to_ + to + r * kRowLines * Tile::kRowPitch, dy_,
                          row_inside_ && (Tile::kKernelRow || row_line_ + r * kRowLines < pixels));
      dy_ += dy_step_;
    }
    if (Tile::kKernelRow) {
#pragma unroll
      for (int r = 0; r < kColumnRounds; ++r) {
        cp_async_16_or_zero(column_to_ + to + r * kColumnLines * Tile::kColumnPitch, x_[0],
                            column_inside_[0]);
        x_[0] += x_step_;
      }
      if (column_line_ < Tile::kSlots - Tile::kPixels) {
        cp_async_16_or_zero(column_to_ + to + Tile::kPixels * Tile::kColumnPitch, x_[0],
                            column_inside_[0]);
      }
      if (++chunk_ == a_.chunks_per_image) {
        chunk_ = 0;
        dy_ += a_.dy_jump;
        x_[0] += a_.x_jump;
      }
    } else {
#pragma unroll
      for (int r = 0; r < kColumnRounds; ++r) {
        const bool inside = column_line_ + r * kColumnLines < pixels;
#pragma unroll
        for (int u = 0; u < Tile::kUnits; ++u) {
          cp_async_16_or_zero(
              column_to_ + to + u * Tile::kUnitStride + r * kColumnLines * Tile::kColumnPitch,
              x_[Tile::kKernelRow ? 0 : u] + offset_[r],
              inside && column_inside_[Tile::kKernelRow ? 0 : u]);
        }
        offset_[r] += a_.step;
        j_[r] += a_.step_columns;
        i_[r] += a_.step_rows;
        if (j_[r] >= a_.ow) {
          j_[r] -= a_.ow;
          ++i_[r];
          offset_[r] += a_.x_row - a_.ow * a_.x_column;
        }
        if (i_[r] >= a_.oh) {
          i_[r] -= a_.oh;
          offset_[r] += a_.x_image - a_.oh * a_.x_row;
        }
      }
    }
  }
};

// Adds up `left` chunks. Unrolled over the stages, whose places in shared memory are then
// constants.
template <typename Multiplier, typename Tile>
__device__ __forceinline__ void multiply_chunks(Multiplier& multiplier, GradLoader<Tile>& loader,
                                                int left) {
#pragma unroll
  for (int s = 0; s < Tile::kStages - 1; ++s) {
    if (s < left) loader.load(s);
    cp_async_commit();
  }
  for (;;) {
#pragma unroll
    for (int s = 0; s < Tile::kStages; ++s) {
      if (left <= 0) return;
      cp_async_wait<Tile::kStages - 2>();
      __syncthreads();
      // Into the stage that all warps have left behind at this barrier.
      if (left >= Tile::kStages) loader.load((s + Tile::kStages - 1) % Tile::kStages);
      cp_async_commit();
      multiplier.multiply(s * Tile::kStageBytes);
      --left;
    }
  }
}

// Multiplier: one of weight_grad_tiles.cuh. Empty where its instructions do not exist: never
// launched there.
template <typename Multiplier>
__global__ void __launch_bounds__(Multiplier::Tile::kThreads, 1)
    weight_grad_kernel(const WeightGradArgs a) {
#ifdef __CUDA_ARCH__
  if constexpr (__CUDA_ARCH__ >= Multiplier::kMinArch) {
    using Tile = typename Multiplier::Tile;
    using Sum = typename Multiplier::Sum;
    extern __shared__ __align__(16) char shared[];
    const GradBlock block(a);
    GradLoader<Tile> loader(a, block, shared_address(shared));
    Multiplier multiplier(shared);
    multiply_chunks(multiplier, loader, block.last - block.first);

    const int64_t pitch = int64_t{a.blocks_of_channels} * kUnitChannels;
    const int64_t rows = int64_t{a.row_tiles} * Tile::kRows;
#pragma unroll
    for (int u = 0; u < Tile::kUnits; ++u) {
      const int2 unit = grad_unit<Tile>(a, block, u);
      if (unit.x >= a.taps) break;
      const int64_t matrix = (int64_t{block.split} * a.taps + unit.x) * a.groups + block.group;
      multiplier.store(static_cast<Sum*>(a.partial) +
                           (matrix * rows + block.row_tile * Tile::kRows) * pitch + unit.y,
                       pitch, u);
    }
  }
#endif
}

}  // namespace pygan
