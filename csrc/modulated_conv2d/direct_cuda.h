// The definition of conv2d_cuda.h's three functions, as kernels: one thread or block per result, no
// staging, every shape and layout. They serve what the tensor-core engines do not take, and are the
// second opinion that tests hold those against. `product` is ignored: sums run in float, or in
// double for float64 tensors.
#pragma once

#include "modulated_conv2d/conv2d_cuda.h"

namespace pygan {

void direct_forward_cuda(void* y, const void* x, const void* w, const void* x_scale,
                         const DeviceEpilogue& epilogue, const CudaConv& conv,
                         const CudaContext& context);
void direct_input_grad_cuda(void* dx, const void* dy, const void* w, const void* dy_scale,
                            const DeviceEpilogue& epilogue, const CudaConv& conv,
                            const CudaContext& context);
void direct_weight_grad_cuda(void* dw, const void* x, const void* dy, const void* x_scale,
                             const void* dy_scale, const CudaConv& conv,
                             const CudaContext& context);

}  // namespace pygan
