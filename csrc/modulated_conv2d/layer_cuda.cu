// Forward and backward pass of the layer of modulated_conv2d.h on the GPU.
//
// Launches besides those of the engines (linear_conv_cuda.cuh). Forward: none. Backward with
// everything wanted: q and the sums 1, gradients from sums 1, noise 1 or 2, unscale 1 or 2 (two
// where planes are large).
#include "common/cuda_launch.cuh"
#include "modulated_conv2d/layer_cuda.h"
#include "modulated_conv2d/layer_passes.cuh"
#include "modulated_conv2d/linear_conv_cuda.cuh"

namespace pygan {
namespace {

DeviceEpilogue epilogue_of(const LayerInputs<void>& in, const LayerActivation& act) {
  DeviceEpilogue e;
  e.scale = in.d;
  e.noise = in.noise;
  e.noise_per_sample = in.noise_per_sample;
  e.strength = in.strength;
  e.bias = in.bias;
  e.act = act.act;
  e.alpha = act.alpha;
  e.gain = act.gain;
  e.clamp = act.clamp;
  return e;
}

// The bound as y holds it. y may have been float16 or bfloat16 when it was clamped even where its
// storage is float32 now.
double stored_clamp(const LayerCuda& layer) {
  const double clamp = layer.act.clamp;
  if (clamp < 0 || layer.storage == Storage::float64) return clamp;
  const float value = static_cast<float>(clamp);
  if (layer.storage == Storage::float16 || layer.product == Product::float16) {
    return __half2float(__float2half_rn(value));
  }
  if (layer.storage == Storage::bfloat16 || layer.product == Product::bfloat16) {
    return __bfloat162float(__float2bfloat16_rn(value));
  }
  return value;
}

}  // namespace

OutputPlanes output_planes(const LayerInputs<void>& in, const void* y, const void* g,
                           const LayerCuda& layer) {
  const LinearConv& c = layer.conv;
  OutputPlanes p;
  p.storage = layer.storage;
  p.n = c.n;
  p.channels = c.co;
  p.area = c.oh * c.ow;
  p.g = g;
  p.y = y;
  p.noise = in.noise;
  p.noise_per_sample = in.noise_per_sample;
  p.d = in.d;
  p.strength = in.strength;
  p.bias = in.bias;
  const LayerActivation& act = layer.act;
  p.positive = act.gain;
  p.negative = act.gain * (act.act == 0 ? 1.0 : act.act == 1 ? 0.0 : act.alpha);
  p.clamp = stored_clamp(layer);
  return p;
}

void layer_forward_cuda(void* y, const LayerInputs<void>& in, const LayerCuda& layer,
                        const CudaContext& context) {
  linear_forward_cuda(y, in.x, in.w, in.s, epilogue_of(in, layer.act), layer, context);
}

void layer_backward_cuda(const LayerGrads<void>& grads, const LayerInputs<void>& in, const void* y,
                         const void* g, const LayerCuda& layer, const CudaContext& context) {
  const LinearConv& c = layer.conv;
  const OutputPlanes planes = output_planes(in, y, g, layer);
  const bool need_q = grads.x != nullptr || grads.s != nullptr || grads.w != nullptr;
  SlopeGrads slopes;
  slopes.d = grads.d;
  slopes.bias = grads.bias;
  slopes.strength = grads.strength;
  if (need_q && !has_unit_slope(layer.act)) {
    slopes.q = temporary(c.u_size(), layer.storage, context);
  }
  slope_pass_cuda(slopes, planes, false, context);
  if (grads.noise != nullptr) noise_grad_cuda(grads.noise, planes, false, context);
  if (!need_q) return;

  // Without a slope, q = d g: the engines multiply by d.
  LinearGradsCuda linear(slopes.q != nullptr ? slopes.q : g, slopes.q != nullptr ? nullptr : in.d,
                         layer, context);
  if (grads.w != nullptr) linear.weight(grads.w, in.x, in.s);
  if (grads.s == nullptr) {
    if (grads.x != nullptr) linear.input(grads.x, in.w, in.s);
    return;
  }
  void* dxs = grads.x != nullptr ? grads.x : temporary(c.x_size(), layer.storage, context);
  linear.input(dxs, in.w, nullptr);
  ScaledTerm term;
  term.t = dxs;
  term.factor = in.s;
  term.with = in.x;
  scaled_sum_cuda(grads.x, grads.s, term, ScaledTerm{}, c.n * c.ci, c.h * c.w, layer.storage,
                  context);
}

}  // namespace pygan
