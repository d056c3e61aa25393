// What the launchers of the Winograd convolution (winograd.cpp, winograd_grad.cpp) ask of the
// vector code, which is compiled once per instruction set (winograd_*_kernels.cpp).
//
// The grid - the plane of the lower resolution - is cut into tiles of 4x4 pixels, which are
// numbered through rows, then samples. The convolution is
//
//   V = transform of the pixels that a tile reads      [channels of x, tiles] per plane
//   U = transform of the weights                       [channels of y, channels of x] per plane
//   M[k] = sum of U[a] V[b] over the products of k     then y = inverse transform of M
//
// and the gradient by the weights, with Y the adjoint of the inverse transform applied to dy,
//
//   D[k] = sum of Y[a] V[b]^T over its products of k   then dw = adjoint of the transform of D
//
// U and D have 36 planes in every form. With stride 1 those are the 6x6 of F(4, 3), and so are V's
// and M's: each product is M[k] = U[k] V[k]. With stride 2 the transforms of each axis keep even
// and odd pixels apart (winograd_points_strided.h):
//
//   U, D            6 x 6: five points of the even taps, then the odd tap
//   V of strided    9 x 9: five points of the even pixels, then four of the odd ones
//   M of strided    5 x 5: the five points; at infinity, the last, odd pixels contribute nothing
//   transposed      V has the 5 x 5 planes and M the 9 x 9
//
// In the convolution a vector holds tiles, since an image is read and written along its rows; in
// the weight gradient it holds channels, since there the tiles are what is summed over.
#pragma once

#include <cstdint>

#include "common/isa.h"
#include "modulated_conv2d/epilogue.h"
#include "modulated_conv2d/winograd.h"

namespace pygan {

constexpr int kWinogradWeightPlanes = 36;  // of U and D
constexpr int kWinogradMaxPlanes = 81;
constexpr int kWinogradPanelVectors = 3;  // most vectors side by side in one register tile

// The products that make up each plane of a result: those of plane k are pair[first[k]] up to
// pair[first[k + 1]].
struct WinogradProducts {
  struct Pair {
    uint8_t a, b;
  };
  int planes;
  int first[kWinogradMaxPlanes + 1];
  Pair pair[kWinogradMaxPlanes];
};

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
  int32_t keep_left[16];     // per lane: all ones if the tile has a left neighbour in its row
  int32_t keep_right[16];    // likewise to the right
  int32_t right_inside[16];  // ... and that neighbour is in this vector
  int64_t sample[16];        // per lane
};

struct WinogradInput {
  const float* x;      // [n, channels, h, w]; for the strided form [n, channels, 2h + 1, 2w + 1]
  const float* scale;  // [n, channels] or null
  int64_t channels;
  WinogradTiles tiles;
};

struct WinogradWeights {
  const float* w;
  int64_t out_channels, in_channels;
  int64_t out_stride, in_stride;  // of w, in elements
  bool strided;                   // the points of winograd_points_strided.h
  bool mirrored;                  // taps lie in reverse order
};

struct WinogradOutput {
  float* y;  // [n, channels, h, w]; for the transposed form [n, channels, 2h + 1, 2w + 1]
  Epilogue<float> epilogue;  // none for the transposed form
  int64_t channels;
  WinogradTiles tiles;
};

// Plane k of V begins at data + k * stride; likewise those of the other matrices.
struct WinogradMatrix {
  float* data;
  int64_t stride;
};

// Blocks of out_block channels of dy that are multiplied at once: `blocks`, from block `first`.
struct WinogradRows {
  int64_t blocks, first;
};

// Indices of the functions that differ between the forms.
constexpr int form_index(WinogradForm form) { return static_cast<int>(form); }

struct WinogradKernels {
  int lanes;      // floats in a vector
  int out_block;  // rows of a register tile

  // --- The convolution ---

  // Fills `vectors` for the tiles [begin, end): one element per `lanes` tiles.
  void (*describe_tiles)(WinogradTileVector* vectors, const WinogradTiles& tiles, int64_t begin,
                         int64_t end);

  // By form: V for the channels [begin, end).
  //   V[k] [panel][channel][tiles of the panel]
  void (*transform_input[3])(const WinogradMatrix& v, const WinogradInput& input,
                             const WinogradTileVector* vectors, int64_t count, int64_t begin,
                             int64_t end);

  // U for the blocks [begin, end) of the output channels from `first` on.
  //   U[k] [block][channel of x][out_block];  rows beyond out_channels are zero
  void (*transform_weights)(const WinogradMatrix& u, const WinogradWeights& weights, int64_t first,
                            int64_t begin, int64_t end);

  // M for the items [begin, end) of planes * blocks, k-major.
  //   M[k] [panel][block * out_block + row][tiles of the panel]
  void (*multiply)(const WinogradProducts& products, const WinogradMatrix& m,
                   const WinogradMatrix& u, const WinogradMatrix& v, int64_t channels,
                   int64_t vectors, int64_t blocks, int64_t begin, int64_t end);

  // By form: y for the channels first + [begin, end); M holds `padded` channels from `first` on.
  // The transposed form adds neighbouring tiles where they overlap: it asks for all vectors of
  // tiles, in their order, from one thread per channel.
  void (*transform_output[3])(const WinogradOutput& output, const WinogradMatrix& m,
                              const WinogradTileVector* vectors, int64_t count, int64_t first,
                              int64_t padded, int64_t begin, int64_t end);

  // --- The gradient by the weights ---

  // By form (same, strided): transforms of x and of dy for the groups [begin, end) of `lanes`
  // channels and the tiles tile_begin + [first, last) of a block of `block` tiles. Channels are
  // padded with zeros to whole groups.
  //   V[k] [panel of groups][tile][channels of the panel]
  //   Y[k] [block of out_block channels][tile][out_block]
  void (*gather_input[2])(const WinogradMatrix& v, const WinogradInput& input, int64_t tile_begin,
                          int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end);
  void (*gather_output[2])(const WinogradMatrix& y, const WinogradInput& dy, int64_t tile_begin,
                           int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end);

  // D, or D + what it held, for the items [begin, end) of 36 * rows.blocks, k-major.
  //   D[k] [block][panel of groups][out_block][channels of the panel]
  void (*multiply_transposed)(const WinogradProducts& products, const WinogradMatrix& d,
                              const WinogradMatrix& y, const WinogradMatrix& v, int64_t tiles,
                              const WinogradRows& rows, int64_t groups, bool accumulate,
                              int64_t begin, int64_t end);

  // dw for the output channels first + [begin, end); D holds the channels from `first` on, and the
  // strides of `weights` are those of dw.
  void (*gather_weights)(float* dw, const WinogradMatrix& d, const WinogradWeights& weights,
                         int64_t first, int64_t begin, int64_t end);
};

// The kernels of a level that this machine has.
const WinogradKernels& winograd_kernels(Isa isa);

}  // namespace pygan
