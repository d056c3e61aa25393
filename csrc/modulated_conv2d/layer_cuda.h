// The layer of modulated_conv2d.h and its first and second derivatives on the GPU. The structures
// are the CPU's, with device pointers of the type `storage` behind `const void*`.
#pragma once

#include "common/cuda_context.h"
#include "common/storage.h"
#include "modulated_conv2d/conv2d_cuda.h"
#include "modulated_conv2d/modulated_conv2d.h"

namespace pygan {

// As LinearConv: its `fir` is empty, since the host must not wait for the taps.
struct LayerCuda {
  LinearConv conv;
  LayerActivation act;
  const void* fir = nullptr;  // device memory; see fir_h, fir_w, fir_separable of `conv`
  bool double_fir = false;    // double instead of float
  Storage storage = Storage::float32;
  Product product = Product::exact;
  // The operands of the forward pass, if the launch that made d has staged them
  // (layer_staging.cuh); x, w and s are not read then.
  const void* staged = nullptr;
};

// Bytes of the staged operands of a layer's forward pass; 0 if it stages none, or something else
// than x * s and w as they lie (mode down filters x first).
int64_t layer_staged_bytes_cuda(const LayerCuda& layer);

void layer_forward_cuda(void* y, const LayerInputs<void>& in, const LayerCuda& layer,
                        const CudaContext& context);

// Where d is zero, its gradient is NaN: y does not tell u there.
void layer_backward_cuda(const LayerGrads<void>& grads, const LayerInputs<void>& in, const void* y,
                         const void* g, const LayerCuda& layer, const CudaContext& context);

void layer_second_order_cuda(const LayerGrads<void>& grads, void* grad_g, void* grad_y,
                             const LayerDirections<void>& directions, const LayerInputs<void>& in,
                             const void* y, const void* g, const LayerCuda& layer,
                             const CudaContext& context);

}  // namespace pygan
