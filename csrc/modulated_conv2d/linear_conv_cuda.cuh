// The linear map C of modulated_conv2d.h and its gradients on the GPU: linear_conv.h, composed of
// the engines of conv2d_cuda.h and upfirdn2d.h. Launches are those of the engines, at most one of
// each per function.
#pragma once

#include "common/device_epilogue.h"
#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/layer_cuda.h"
#include "modulated_conv2d/staging.h"

namespace pygan {

// y = epilogue(C(x * s, w)); s [n, ci] or null.
void linear_forward_cuda(void* y, const void* x, const void* w, const void* s,
                         const DeviceEpilogue& epilogue, const LayerCuda& layer,
                         const CudaContext& context);

// How linear_forward_cuda stages x * s and w in its first launch: see staged_operands. False if it
// does not.
bool linear_staging(StagedOperands* operands, StagingCall* call, const LayerCuda& layer);

// Gradients of <C(x * s, w), q * q_scale> for one q [n, co, oh, ow], and q_scale [n, co] or null.
// What several of them need is computed once. The layer and the context must outlive it.
class LinearGradsCuda {
 public:
  LinearGradsCuda(const void* q, const void* q_scale, const LayerCuda& layer,
                  const CudaContext& context);

  // dx = x_scale * C^T(q * q_scale, w): with x_scale = s, the gradient of x, and with null, that of
  // x * s.
  void input(void* dx, const void* w, const void* x_scale);
  // dw from x * s.
  void weight(void* dw, const void* x, const void* s);

 private:
  // Mode up: the FIR's transpose of q, on the first call.
  const void* filtered_q();

  const void* q_;
  const void* q_scale_;
  const LayerCuda& layer_;
  const CudaContext& context_;
  ConvShape shape_;
  void* filtered_q_ = nullptr;
};

}  // namespace pygan
