// The implicit GEMM behind forward pass and input gradient on the GPU: a gather over staged
// operands (staging.h).
//
//   u[row, p] = sum over taps t of the pixel's phase, channels c of
//       W[t][group][row][c] * X[sample][i * step + dy(t)][j * step + dx(t)][group][c]
//   y = epilogue(u), stored at [sample, group * rows + row, y0 + i * out_stride, ...]
//
// Rows are output channels; p counts the pixels (sample, i, j) of one phase. The forward pass has
// one phase. The input gradient of a convolution with stride s has s * s: pixels that leave the
// same remainder when divided by s are reached by the same taps, and by no others.
#pragma once

#include "modulated_conv2d/staging.h"

namespace pygan {

constexpr int kMaxTaps = 64;    // in all phases together; fits into the kernel's parameters
constexpr int kMaxPhases = 36;  // strides up to 6

struct GatherPhase {
  int32_t height = 0, width = 0;  // pixels per sample
  int32_t y0 = 0, x0 = 0;         // where its pixel (0, 0) lies in the result
  int32_t tap_begin = 0, tap_end = 0;
};

struct GatherTap {
  int32_t weight = 0;           // which of the staged weights' matrices
  int32_t row = 0, column = 0;  // of the staged pixel that output pixel (0, 0) multiplies by it
};

struct GatherCall {
  Storage storage = Storage::float32;
  Product product = Product::exact;
  const StagedImages* images = nullptr;
  const StagedWeights* weights = nullptr;
  int step_y = 1, step_x = 1;  // staged pixels from one output pixel to the next
  // The result: [images->n, groups * weights->rows, height, width].
  void* y = nullptr;
  int64_t height = 0, width = 0;
  int out_stride_y = 1, out_stride_x = 1;
  DeviceEpilogue epilogue;
  GatherPhase phases[kMaxPhases];
  int phase_count = 0;
  GatherTap taps[kMaxTaps];
};

void gather_gemm(const GatherCall& call, const CudaContext& context);

}  // namespace pygan
