// The path that computes any convolution, float or double, on any machine: implicit-im2col GEMM.
// Arguments as in conv2d.h, but that dw is plain; results do not depend on the number of threads.
#pragma once

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/epilogue.h"
#include "modulated_conv2d/weight_layout.h"

namespace pygan {

template <typename T>
void direct_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                    const ConvShape& shape, const WeightLayout& layout);

template <typename T>
void direct_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale,
                       const Epilogue<T>& epilogue, const ConvShape& shape,
                       const WeightLayout& layout);

template <typename T>
void direct_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                        const ConvShape& shape);

}  // namespace pygan
