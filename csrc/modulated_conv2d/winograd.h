// 3x3 convolution, stride 1, padding 1, float32 NCHW, by Winograd's minimal filtering F(4x4, 3x3):
// 36 multiplications where the direct sum takes 144, computed as 36 matrix products.
//
// Three operations share one engine: the convolution, its gradient by the input (the same with
// transposed, reversed weights) and its gradient by the weights. Each can have one side in
// *polyphase* form, which makes it a convolution with x2 resampling:
//
//   output_depth_to_space   4 * co channels are computed on the h x w grid; channel
//                           (2 * py + px) * co + o is pixel (2 i + py, 2 j + px) of y[n, o]
//   input_space_to_depth    x has 2h x 2w pixels and is read as 4 * ci channels on the h x w grid,
//                           channel (2 * py + px) * ci + c being the pixels (2 i + py, 2 j + px)
//
// StyleGAN2's up layer (transposed convolution of stride 2, then a 4-tap FIR) and its down layer
// (FIR, then a convolution of stride 2) have this form exactly: along each axis the 3 + 4 - 1 = 6
// taps of weights and filter together are 2 phases of 3 taps. With `fir` given the engine expands
// the weights itself:
//
//   layer            forward                              input gradient (transpose = true)
//   up, H -> 2H      x[h,w],    output_depth_to_space     dy[2h,2w], input_space_to_depth
//   down, 2H -> H    x[2h,2w],  input_space_to_depth      dy[h,w],   output_depth_to_space
//
// and the weight gradient takes the flags of the forward pass (x read space-to-depth for a down
// layer, dy for an up layer).
//
// Against float64 the largest error is about 4e-6 of the largest output (512 channels; a direct sum
// in float32: 3e-7), and about 2e-6 for the weight gradient, below that of a direct sum.
//
// When it pays (Zen 4, one thread, against PyTorch's oneDNN convolution without any epilogue): with
// 512 channels the transform of the weights decides, so that it breaks even at 8 tiles of 4x4
// pixels in the whole batch, gains 1.5 times at 16 and 2.5 at 64; 64 to 256 channels gain 3 times
// on large images; with 3 to 16 channels it gains as soon as there is a vector of tiles.
//
// A polyphase side takes as many multiplications as a transposed or strided convolution does, and
// gains the filter and the passes over memory: up layers 1.0 to 1.1 times with 512 channels and 1.3
// to 1.75 with 128 or 256 against transposed convolution and blur; down layers 1.0 to 1.15 with 64
// or 128 channels of x, while with more a blur and a strided direct convolution are up to 1.3 times
// faster forward.
//
// All pointers are dense; sizes may be any, zero included. Results do not depend on the number of
// threads. Workspace comes from Scratch; std::bad_alloc is the only exception.
#pragma once

#include <cstdint>

#include "modulated_conv2d/epilogue.h"

namespace pygan {

struct WinogradShape {
  int64_t n = 0;
  int64_t ci = 0;  // channels of the tensor x as it lies in memory (not times four)
  int64_t co = 0;  // channels of the tensor y (likewise)
  int64_t h = 0;   // grid of the convolution: the low resolution when one side is polyphase
  int64_t w = 0;
  bool input_space_to_depth = false;
  bool output_depth_to_space = false;
};

// Taps of a separable resampling filter in the order of a correlation:
//   up:   zero-insertion x2, padding (3, 2), correlation with the taps, correlation with w
//   down: padding (2, 2), correlation with the taps, correlation with w at stride 2
// These are conv2d_resample's up=2 / down=2 with padding=1 and a 3x3 kernel. A filter of upfirdn2d
// with flip_filter=False is convolved, so its taps come reversed; gains are part of the taps (an up
// layer has 2 per axis).
struct PolyphaseFilter {
  float y[4];
  float x[4];
};

// True if the shape can be computed: at most one side polyphase, sizes not negative and small
// enough for 64-bit offsets. (Whether Winograd is worth its transforms is the planner's business.)
bool winograd_supports(const WinogradShape& shape);

// y = epilogue(correlate(x * in_scale, W)).
//   y        [n, co, h, w], or [n, co, 2h, 2w] with output_depth_to_space
//   x        [n, ci, h, w], or [n, ci, 2h, 2w] with input_space_to_depth
//   in_scale [n, ci] or null
//   fir      null: w holds W. Otherwise, with one side polyphase, W is expanded from w[.., 3, 3].
//   w        with CI = 4 ci for an input read space-to-depth and no fir, else ci; CO likewise:
//            transpose = false: [CO, CI, 3, 3], W[o, i] = w[o, i]
//            transpose = true:  [CI, CO, 3, 3], W[o, i][a][b] = w[i, o][2 - a][2 - b]
void winograd_forward(float* y, const float* x, const float* w, bool transpose,
                      const float* in_scale, const Epilogue<float>& epilogue,
                      const WinogradShape& shape, const PolyphaseFilter* fir = nullptr);

// dw[o, i][a][b] = sum over n, r, c of dy[n, o, r, c] * x[n, i, r + a - 1, c + b - 1], with x and
// dy in the tensor shapes of winograd_forward's x and y.
//   x_scale  [n, ci] or null, multiplies x;  dy_scale [n, co] or null, multiplies dy
//   dw       [CO, CI, 3, 3] as above; with fir, [co, ci, 3, 3]: the gradient by the weights that
//   fir
//            expands
void winograd_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                          const float* dy_scale, const WinogradShape& shape,
                          const PolyphaseFilter* fir = nullptr);

// The expansion on its own, for paths without Winograd.
//   up:   w_eff[(phase, o), i, 3, 3] of an up layer,   w_eff has [4, co, ci, 3, 3]
//   down: w_eff[o, (phase, i), 3, 3] of a down layer,  w_eff has [co, 4, ci, 3, 3]
// and the adjoints, which give the gradient by w from the gradient by w_eff.
void polyphase_weights_up(float* w_eff, const float* w, int64_t co, int64_t ci,
                          const PolyphaseFilter& fir);
void polyphase_weights_down(float* w_eff, const float* w, int64_t co, int64_t ci,
                            const PolyphaseFilter& fir);
void polyphase_weights_up_adjoint(float* dw, const float* dw_eff, int64_t co, int64_t ci,
                                  const PolyphaseFilter& fir);
void polyphase_weights_down_adjoint(float* dw, const float* dw_eff, int64_t co, int64_t ci,
                                    const PolyphaseFilter& fir);

}  // namespace pygan
