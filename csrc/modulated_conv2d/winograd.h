// 3x3 convolution, float32 NCHW, by Winograd's minimal filtering, as matrix products: with stride 1
// and padding 1 F(4x4, 3x3), which takes 36 multiplications where the direct sum takes 144; with
// stride 2 and no padding, and its adjoint, F(4, 2) on the even pixels of each axis, which
// takes 81.
//
// A form is what x and y are to the grid of tiles:
//
//   same         x[h, w] -> y[h, w]                  y = correlation of stride 1, padding 1
//   strided      x[2h + 1, 2w + 1] -> y[h, w]        y = correlation of stride 2
//   transposed   x[h, w] -> y[2h + 1, 2w + 1]        its adjoint: the transposed convolution
//
// Against float64 the largest error is about 4e-6 of the largest output (512 channels; a direct sum
// in float32: 3e-7), and about 2e-6 for the weight gradient, below that of a direct sum.
//
// All pointers are dense; sizes may be any, zero included. Results do not depend on the number of
// threads. Workspace comes from Scratch; std::bad_alloc is the only exception.
#pragma once

#include <cstdint>

#include "modulated_conv2d/epilogue.h"
#include "modulated_conv2d/weight_layout.h"

namespace pygan {

enum class WinogradForm { same, strided, transposed };

struct WinogradShape {
  int64_t n = 0;
  int64_t ci = 0;  // channels of x
  int64_t co = 0;  // channels of y
  int64_t h = 0;   // grid: the lower resolution
  int64_t w = 0;
  WinogradForm form = WinogradForm::same;
};

// True if the shape can be computed: sizes not negative and small enough for 64-bit offsets.
// (Whether Winograd is worth its transforms is the planner's business.)
bool winograd_supports(const WinogradShape& shape);

// y = epilogue(C(x * in_scale, W)), C being the form's.
//   in_scale [n, ci] or null
//   w        [co, ci, 3, 3], or as `layout` says. The adjoint in x of a form with w takes the same
//            weights with the channels exchanged: `same`, with the taps mirrored, for `same`,
//            `transposed` for `strided`.
// The form `transposed` has no epilogue.
void winograd_forward(float* y, const float* x, const float* w, const WeightLayout& layout,
                      const float* in_scale, const Epilogue<float>& epilogue,
                      const WinogradShape& shape);

// The gradient by w of <C(x * x_scale, w), dy * dy_scale>, for the forms `same` and `strided`.
//   x_scale  [n, ci] or null;  dy_scale [n, co] or null
void winograd_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                          const float* dy_scale, const WinogradShape& shape,
                          const WeightLayout& layout = {});

}  // namespace pygan
