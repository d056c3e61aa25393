// The convolution and its two gradients on the GPU: the three engines of conv2d.h, with the same
// meaning of every argument. All tensors lie in device memory in the type `storage`.
//
// How a call runs (implicit GEMM):
//   1. One launch stages the operands (staging.h): images become channels-innermost, zero-padded,
//      multiplied by their scales, in the type that the products take; weights become one
//      [co, ci] matrix per tap. Nothing after it needs to look at borders, odd sizes, unaligned
//      pointers or other layouts.
//   2. One launch multiplies them, for forward and input gradient with the epilogue on the way out
//      (gather_gemm.cu); the weight gradient splits its long sum over blocks and adds the parts in
//      a fixed order in one more launch (weight_grad.cu).
// With `staged` the first of these has happened already: a layer's operands are staged by the
// launch that makes its demodulation (layer_cuda.h). 1x1 convolutions with at most four channels on
// one side (pointwise_few.cuh) work on tensors as they lie. What does not fit (more than kMaxTaps
// taps) takes the direct kernels (direct.cu), one thread per result.
#pragma once

#include "common/cuda_context.h"
#include "common/device_epilogue.h"
#include "common/storage.h"
#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/weight_layout.h"

namespace pygan {

// What the multiply-adds run in. All but `exact` are tensor-core instructions that accumulate in
// float.
//   exact     float or double FMA, the storage's own precision (halves: float)
//   tf32      10 bits of mantissa, for float32; sm_80 and newer
//   float16   for float16 storage, or for float32 tensors of an operator called with float16
//   bfloat16  likewise; sm_80 and newer
enum class Product : int { exact, tf32, float16, bfloat16 };

// The nearest that the architecture (10 * major + minor) can do: `exact` where there is no
// instruction.
Product supported_product(Product wanted, Storage storage, int arch);

struct CudaConv {
  ConvShape shape;
  WeightLayout layout;
  Storage storage = Storage::float32;
  Product product = Product::exact;
  const void* staged = nullptr;  // the operands: see staged_operands
};

struct StagedOperands;
struct StagingCall;
// How conv_forward_cuda, or with `gradient` conv_input_grad_cuda, stages its operands: all but the
// pointers of `operands`, and of `call`, which is made to refer to `operands`. False if it stages
// none.
bool staged_operands(StagedOperands* operands, StagingCall* call, const CudaConv& conv,
                     bool gradient);

void conv_forward_cuda(void* y, const void* x, const void* w, const void* x_scale,
                       const DeviceEpilogue& epilogue, const CudaConv& conv,
                       const CudaContext& context);
void conv_input_grad_cuda(void* dx, const void* dy, const void* w, const void* dy_scale,
                          const DeviceEpilogue& epilogue, const CudaConv& conv,
                          const CudaContext& context);
void conv_weight_grad_cuda(void* dw, const void* x, const void* dy, const void* x_scale,
                           const void* dy_scale, const CudaConv& conv, const CudaContext& context);

}  // namespace pygan
