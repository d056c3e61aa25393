#include "common/cuda_launch.cuh"
#include "modulated_conv2d/conv2d_cuda.h"
#include "modulated_conv2d/layer_passes.cuh"
#include "modulated_conv2d/linear_conv_cuda.cuh"
#include "modulated_conv2d/linear_conv_geometry.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {
namespace {

CudaConv engine_of(const LayerCuda& layer, const ConvShape& shape) {
  CudaConv conv;
  conv.shape = shape;
  conv.layout = layout_of(layer.conv);
  conv.storage = layer.storage;
  conv.product = layer.product;
  return conv;
}

DeviceEpilogue scaled_by(const void* scale) {
  DeviceEpilogue epilogue;
  epilogue.scale = scale;
  return epilogue;
}

void filter(void* y, const void* x, const Upfirdn2dParams& fir, const DeviceEpilogue& epilogue,
            const LayerCuda& layer, const CudaContext& context) {
  Upfirdn2dCudaCall call;
  call.params = fir;
  call.storage = layer.storage;
  call.y = y;
  call.x = x;
  call.taps = layer.fir;
  call.double_taps = layer.double_fir;
  call.epilogue = epilogue.is_identity() ? nullptr : &epilogue;
  call.channels = layer.conv.co;
  upfirdn2d_cuda(call, context);
}

}  // namespace

void linear_forward_cuda(void* y, const void* x, const void* w, const void* s,
                         const DeviceEpilogue& epilogue, const LayerCuda& layer,
                         const CudaContext& context) {
  const LinearConv& c = layer.conv;
  const ConvShape shape = shape_of(c);
  CudaConv conv = engine_of(layer, shape);
  conv.staged = layer.staged;
  switch (c.mode) {
    case ConvMode::conv:
      return conv_forward_cuda(y, x, w, s, epilogue, conv, context);
    case ConvMode::transposed:
      return conv_input_grad_cuda(y, x, w, s, epilogue, conv, context);
    case ConvMode::up: {
      void* t = temporary(shape.x_size(), layer.storage, context);
      conv_input_grad_cuda(t, x, w, s, DeviceEpilogue{}, conv, context);
      return filter(y, t, fir_of(c, shape), epilogue, layer, context);
    }
    case ConvMode::down: {
      void* filtered = temporary(shape.x_size(), layer.storage, context);
      filter(filtered, x, fir_of(c, shape), DeviceEpilogue{}, layer, context);
      return conv_forward_cuda(y, filtered, w, s, epilogue, conv, context);
    }
  }
}

bool linear_staging(StagedOperands* operands, StagingCall* call, const LayerCuda& layer) {
  const ConvMode mode = layer.conv.mode;
  if (mode == ConvMode::down || layer.conv.groups > 1) return false;
  return staged_operands(operands, call, engine_of(layer, shape_of(layer.conv)),
                         mode != ConvMode::conv) &&
         !call->layout.exchanged;
}

int64_t layer_staged_bytes_cuda(const LayerCuda& layer) {
  StagedOperands operands;
  StagingCall call;
  if (!linear_staging(&operands, &call, layer)) return 0;
  return operands.bytes(staged_bytes(call.product, call.storage));
}

LinearGradsCuda::LinearGradsCuda(const void* q, const void* q_scale, const LayerCuda& layer,
                                 const CudaContext& context)
    : q_(q), q_scale_(q_scale), layer_(layer), context_(context), shape_(shape_of(layer.conv)) {}

const void* LinearGradsCuda::filtered_q() {
  if (filtered_q_ == nullptr) {
    filtered_q_ = temporary(shape_.x_size(), layer_.storage, context_);
    filter(filtered_q_, q_, transposed(fir_of(layer_.conv, shape_)), DeviceEpilogue{}, layer_,
           context_);
  }
  return filtered_q_;
}

void LinearGradsCuda::input(void* dx, const void* w, const void* x_scale) {
  const CudaConv conv = engine_of(layer_, shape_);
  const DeviceEpilogue scale = scaled_by(x_scale);
  switch (layer_.conv.mode) {
    case ConvMode::conv:
      return conv_input_grad_cuda(dx, q_, w, q_scale_, scale, conv, context_);
    case ConvMode::transposed:
      return conv_forward_cuda(dx, q_, w, q_scale_, scale, conv, context_);
    case ConvMode::up:
      return conv_forward_cuda(dx, filtered_q(), w, q_scale_, scale, conv, context_);
    case ConvMode::down: {
      void* t = temporary(shape_.x_size(), layer_.storage, context_);
      conv_input_grad_cuda(t, q_, w, q_scale_, scale, conv, context_);
      return filter(dx, t, transposed(fir_of(layer_.conv, shape_)), DeviceEpilogue{}, layer_,
                    context_);
    }
  }
}

void LinearGradsCuda::weight(void* dw, const void* x, const void* s) {
  const CudaConv conv = engine_of(layer_, shape_);
  switch (layer_.conv.mode) {
    case ConvMode::conv:
      return conv_weight_grad_cuda(dw, x, q_, s, q_scale_, conv, context_);
    case ConvMode::transposed:
      return conv_weight_grad_cuda(dw, q_, x, q_scale_, s, conv, context_);
    case ConvMode::up:
      return conv_weight_grad_cuda(dw, filtered_q(), x, q_scale_, s, conv, context_);
    case ConvMode::down: {
      void* filtered = temporary(shape_.x_size(), layer_.storage, context_);
      filter(filtered, x, fir_of(layer_.conv, shape_), DeviceEpilogue{}, layer_, context_);
      return conv_weight_grad_cuda(dw, filtered, q_, s, q_scale_, conv, context_);
    }
  }
}

}  // namespace pygan
