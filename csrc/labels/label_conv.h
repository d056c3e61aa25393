// label_conv: the correlation of a label map's one-hot planes, which are never made.
//
//   y[n, o, i, j] = bias[o] + sum over taps (u, v) of w[o, l, u, v],
//                   l = labels[n, i * stride_y + u - pad_y, j * stride_x + v - pad_x]
//
// where taps beyond the border, and those that meet -1, add nothing. It is linear in w and bias, so
// its gradient's gradient is the operator again.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

struct LabelConv {
  int64_t samples = 0, height = 0, width = 0;  // of the labels
  int64_t labels = 1, channels = 0;            // of the weight: L and O
  int64_t kernel_y = 1, kernel_x = 1;
  int64_t stride_y = 1, stride_x = 1, pad_y = 0, pad_x = 0;
  bool wide_labels = false;  // int64 ones instead of int32

  int64_t taps() const { return kernel_y * kernel_x; }
  int64_t padded_height() const { return height + 2 * pad_y; }
  int64_t padded_width() const { return width + 2 * pad_x; }
  int64_t out_height() const { return (padded_height() - kernel_y) / stride_y + 1; }
  int64_t out_width() const { return (padded_width() - kernel_x) / stride_x + 1; }
  int64_t plane() const { return out_height() * out_width(); }
  int64_t weight_size() const { return channels * labels * taps(); }
};

// y[samples, channels, out_height, out_width] from labels[samples, height, width] (int32_t, or
// int64_t), w[channels, labels, kernel_y, kernel_x] and bias[channels], each of the last two null
// for zeros. T is float, double, float16 or bfloat16; the last two are summed in float.
// Throws std::invalid_argument for a label that is out of range.
template <typename T>
void label_conv(T* y, const void* labels, const T* w, const T* bias, const LabelConv& conv);

// The gradients of w and bias, each null where it is not wanted. The order of the sums depends on
// nothing but the shape.
template <typename T>
void label_conv_gradient(T* dw, T* dbias, const void* labels, const T* dy, const LabelConv& conv);

// The same on a GPU, where labels out of range count as none.
struct LabelConvCudaCall {
  LabelConv conv;
  Storage storage = Storage::float32;
  const void* labels = nullptr;
  // Forward: y from w and bias. Gradient: dw and dbias from dy. Null: zeros, or not wanted.
  void* y = nullptr;
  const void *w = nullptr, *bias = nullptr;
  void *dw = nullptr, *dbias = nullptr;
  const void* dy = nullptr;
};

// Throw std::runtime_error for CUDA's errors. Empty calls do nothing.
void label_conv_cuda(const LabelConvCudaCall& call, const CudaContext& context);
void label_conv_gradient_cuda(const LabelConvCudaCall& call, const CudaContext& context);

}  // namespace pygan
