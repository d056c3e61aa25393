// What the launchers of the Winograd convolution (winograd.cpp, winograd_grad.cpp) ask of the
// vector code, which is compiled once per instruction set (winograd_*_kernels.cpp).
//
// The plane is cut into tiles of 4x4 outputs, each of which reads a 6x6 window; tiles are numbered
// through rows, then samples. The convolution is
//
//   V[k] = transform of the input windows      [channels of x, tiles]     k < 36
//   U[k] = transform of the weights            [channels of y, channels of x]
//   M[k] = U[k] V[k]                           then y = inverse transform of M
//
// and the gradient by the weights, with Y the adjoint of the inverse transform applied to dy,
//
//   D[k] = Y[k] V[k]^T                         then dw = adjoint of the weight transform of D
//
// In the convolution a vector holds tiles, since an image is read and written along its rows; in
// the weight gradient it holds channels, since there the tiles are what is summed over.
#pragma once

#include <cstdint>

#include "common/isa.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

constexpr int kWinogradPlanes = 36;
constexpr int kWinogradPanelVectors = 3;  // most vectors side by side in one register tile

struct WinogradTiles {
  int64_t n, h, w;     // samples and size of the grid in pixels
  int64_t rows, cols;  // and in tiles
};

// One vector of consecutive tiles, as the input and output transforms need it. Lanes are permuted:
// a 4x4 transposition inside each 128-bit lane turns rows of pixels into vectors over tiles.
struct WinogradTileVector {
  struct Run {  // consecutive tiles of one tile row
    int64_t sample, row, col;
    int first, count;
  };
  int tiles;  // fewer than the lanes at the end
  int runs;
  bool contiguous;  // one run, no tile of which reaches beyond the right border
  bool one_sample;
  Run run[16];
  int32_t keep_left[16];   // per lane: all ones if the tile has a left neighbour in its row
  int32_t keep_right[16];  // likewise to the right
  int64_t sample[16];      // per lane
};

struct WinogradInput {
  const float* x;
  const float* scale;  // [n, channels] or null
  int64_t channels;    // of the tensor
  bool space_to_depth;
  WinogradTiles tiles;
};

struct WinogradWeights {
  const float* w;
  int64_t out_channels, in_channels;                                 // per phase
  int out_phases, in_phases;                                         // 1 or 4, not both 4
  int64_t out_stride, in_stride, out_phase_stride, in_phase_stride;  // of w, in elements
  float matrix_y[2][6][3];  // by phase py: G, reversed and joined with the filter as needed
  float matrix_x[2][6][3];
};

struct WinogradOutput {
  float* y;
  Epilogue<float> epilogue;
  int64_t channels;  // of the tensor
  bool depth_to_space;
  WinogradTiles tiles;
};

// Plane k of V begins at data + k * stride; likewise M.
struct WinogradMatrix {
  float* data;
  int64_t stride;
};

// Blocks of out_block channels of dy that are multiplied at once: `per_phase` blocks of each phase,
// from block `first` of the phase on; a phase has `phase_blocks` blocks in Y.
struct WinogradRows {
  int64_t blocks, per_phase, first, phase_blocks;
};

struct WinogradKernels {
  int lanes;      // floats in a vector
  int out_block;  // rows of a register tile

  // --- The convolution ---

  // Fills `vectors` for the tiles [begin, end): one element per `lanes` tiles.
  void (*describe_tiles)(WinogradTileVector* vectors, const WinogradTiles& tiles, int64_t begin,
                         int64_t end);

  // V for the channels [begin, end) of the tensor.
  //   V[k] [panel][channel of the grid][tiles of the panel]
  void (*transform_input)(const WinogradMatrix& v, const WinogradInput& input,
                          const WinogradTileVector* vectors, int64_t count, int64_t begin,
                          int64_t end);

  // U for the blocks [begin, end) of the output channels [first, first + padded) of each phase;
  // `padded` is a multiple of out_block, and blocks are numbered phase by phase.
  //   U[k] [block][channel of x][out_block];  rows beyond out_channels are zero
  void (*transform_weights)(const WinogradMatrix& u, const WinogradWeights& weights, int64_t first,
                            int64_t padded, int64_t begin, int64_t end);

  // M = U V for the items [begin, end) of 36 * blocks, k-major.
  //   M[k] [panel][block * out_block + row][tiles of the panel]
  void (*multiply)(const WinogradMatrix& m, const WinogradMatrix& u, const WinogradMatrix& v,
                   int64_t channels, int64_t vectors, int64_t blocks, int64_t begin, int64_t end);

  // y for the channels first + [begin, end); M holds `padded` channels from `first` per phase.
  void (*transform_output)(const WinogradOutput& output, const WinogradMatrix& m,
                           const WinogradTileVector* vectors, int64_t count, int64_t first,
                           int64_t padded, int64_t begin, int64_t end);

  // --- The gradient by the weights ---

  // Transforms of x (6x6 windows) and of dy (4x4 tiles) for the groups [begin, end) of `lanes`
  // channels and the tiles tile_begin + [first, last) of a block of `block` tiles. Channels are
  // padded with zeros to whole groups in each phase.
  //   V[k] [panel of groups][tile][channels of the panel]
  //   Y[k] [block of out_block channels][tile][out_block]
  void (*gather_input)(const WinogradMatrix& v, const WinogradInput& input, int64_t tile_begin,
                       int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end);
  void (*gather_output)(const WinogradMatrix& y, const WinogradInput& dy, int64_t tile_begin,
                        int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end);

  // D (+)= Y V^T for the items [begin, end) of 36 * rows.blocks, k-major.
  //   D[k] [block][panel of groups][out_block][channels of the panel]
  void (*multiply_transposed)(const WinogradMatrix& d, const WinogradMatrix& y,
                              const WinogradMatrix& v, int64_t tiles, const WinogradRows& rows,
                              int64_t groups, bool accumulate, int64_t begin, int64_t end);

  // dw for the output channels first + [begin, end); D holds `padded` channels per phase from
  // `first`, and the strides of `weights` are those of dw.
  void (*gather_weights)(float* dw, const WinogradMatrix& d, const WinogradWeights& weights,
                         int64_t first, int64_t padded, int64_t begin, int64_t end);
};

// The kernels of a level that this machine has.
const WinogradKernels& winograd_kernels(Isa isa);

}  // namespace pygan
