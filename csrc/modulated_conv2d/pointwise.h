// 1x1 convolutions with at most four channels on one side (toRGB, fromRGB): one pass over memory.
// Arguments as in conv2d.h.
#pragma once

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

constexpr int64_t kPointwiseChannels = 4;

// True if the shape is a 1x1 convolution without groups, stride or padding, and min(ci, co) is in
// [1, kPointwiseChannels].
bool pointwise_supports(const ConvShape& shape);

template <typename T>
void pointwise_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                       const ConvShape& shape);

template <typename T>
void pointwise_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale,
                          const Epilogue<T>& epilogue, const ConvShape& shape);

template <typename T>
void pointwise_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                           const ConvShape& shape);

}  // namespace pygan
