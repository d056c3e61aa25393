// color: a colour transform, noise and a cut-out of every sample, in one pass.
//
//   y[c] = keep * (sum over d of matrix[c, d] * x[d] + offset[c] + sigma * noise[c])
//
// for the first `colors` channels of a pixel; the others (alpha) are copied. keep is 0 in the
// sample's cut-out, a rectangle, and 1 elsewhere.
//
// Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020),
// appendix B.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

constexpr int kMaxColors = 3;

struct ColorParams {
  int64_t samples = 0, channels = 0;
  int64_t height = 0, width = 0;
  int colors = 3;  // 1 or 3, and at most `channels`

  int64_t size() const { return samples * channels * height * width; }
  // The numbers of a sample, in one row: matrix[colors][colors], offset[colors], sigma, and the
  // cut-out's columns [x0, x1) and rows [y0, y1), whole numbers, x0, x1, y0, y1.
  int row() const { return colors * colors + colors + 5; }
};

// What is computed of it. Both of its derivatives are passes as well.
enum class ColorPass {
  full,
  linear,     // neither offset nor noise
  transposed  // linear, by the transposed matrix: takes the gradient of y to that of x
};

// y from x, both [samples, channels, height, width] and not overlapping, with noise[samples,
// colors, height, width] or null, and rows[samples][params.row()]. T is float, double, float16 or
// bfloat16 (the last two are computed in float). Samples whose numbers change nothing are copied.
template <typename T>
void color(T* y, const T* x, const T* noise, const double* rows, ColorPass pass,
           const ColorParams& params);

// The same on a GPU.
struct ColorCudaCall {
  ColorParams params;
  Storage storage = Storage::float32;
  ColorPass pass = ColorPass::full;
  void* out = nullptr;
  const void* in = nullptr;
  const void* noise = nullptr;   // of the same type; null: none
  const double* rows = nullptr;  // in device memory
};

// Throws std::runtime_error for CUDA's errors. An empty call does nothing.
void color_cuda(const ColorCudaCall& call, const CudaContext& context);

}  // namespace pygan
