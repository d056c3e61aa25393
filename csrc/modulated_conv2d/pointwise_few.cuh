// 1x1 convolutions of which one side has at most four channels: images made from features (toRGB)
// and features made from images (fromRGB), and their gradients. They are bound by reading or
// writing the features once, so they work on NCHW as it lies; staging it for tensor cores would
// cost three times the traffic. Sums run in float, or double for float64: `product` is ignored.
//
// conv2d_cuda.cu asks pointwise_few_supports first of all.
#pragma once

#include "modulated_conv2d/conv2d_cuda.h"

namespace pygan {

constexpr int kFewChannels = 4;

inline bool pointwise_few_supports(const ConvShape& s) {
  return s.is_pointwise() && s.groups == 1 && (s.ci <= kFewChannels || s.co <= kFewChannels);
}

// The arguments of conv_forward_cuda, conv_input_grad_cuda and conv_weight_grad_cuda.
void pointwise_few_forward(void* y, const void* x, const void* w, const void* x_scale,
                           const DeviceEpilogue& epilogue, const CudaConv& conv,
                           const CudaContext& context);
void pointwise_few_input_grad(void* dx, const void* dy, const void* w, const void* dy_scale,
                              const DeviceEpilogue& epilogue, const CudaConv& conv,
                              const CudaContext& context);
void pointwise_few_weight_grad(void* dw, const void* x, const void* dy, const void* x_scale,
                               const void* dy_scale, const CudaConv& conv,
                               const CudaContext& context);

}  // namespace pygan
