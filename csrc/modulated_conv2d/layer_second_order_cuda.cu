// Second order of the layer of modulated_conv2d.h on the GPU.
//
// With q = d m g, A = the direction of x * s, and du = C(A, w) + C(x s, direction of w), the
// contraction of the first-order gradients with their directions is <q, du> + the epilogue's terms.
// Launches besides those of the engines (linear_conv_cuda.cuh): A 1, everything on the output side
// 1, gradients from sums 1, noise 1 or 2, gradients of x and s 1 or 2 (two where planes are large).
#include "common/cuda_launch.cuh"
#include "modulated_conv2d/layer_cuda.h"
#include "modulated_conv2d/layer_passes.cuh"
#include "modulated_conv2d/layer_passes_pieces.cuh"
#include "modulated_conv2d/linear_conv_cuda.cuh"

namespace pygan {
namespace {

// The operands of C(A, w).
struct InputDirection {
  const void* a = nullptr;  // A = a * scale; null: zero
  const void* scale = nullptr;
};

InputDirection direction_of_input(const LayerDirections<void>& dir, const LayerInputs<void>& in,
                                  const LayerCuda& layer, const CudaContext& context) {
  if (dir.s == nullptr || in.s == nullptr) return {dir.x, in.s};
  const LinearConv& c = layer.conv;
  void* sum = temporary(c.x_size(), layer.storage, context);
  ScaledTerm along_x, along_s;
  along_x.t = dir.x;
  along_x.factor = in.s;
  along_s.t = in.x;
  along_s.factor = dir.s;
  scaled_sum_cuda(sum, nullptr, along_x, along_s, c.n * c.ci, c.h * c.w, layer.storage, context);
  return {sum, nullptr};
}

// Gradients of x and s: through A, da = C^T(q, w) reaches x by the direction of s and s by that of
// x; through C(x s, direction of w), dxs = C^T(q, direction of w) reaches x by s and s by x.
void input_grads(const LayerGrads<void>& grads, const LayerDirections<void>& dir,
                 const LayerInputs<void>& in, LinearGradsCuda& linear, const LayerCuda& layer,
                 const CudaContext& context) {
  const LinearConv& c = layer.conv;
  const bool s_wanted = grads.s != nullptr && in.s != nullptr;
  const bool da_in_x = grads.x != nullptr && in.s != nullptr && dir.s != nullptr;
  const bool da_in_s = s_wanted && dir.x != nullptr;
  const bool need_dxs = dir.w != nullptr && (grads.x != nullptr || s_wanted);
  if (!need_dxs && !da_in_x && !da_in_s) {
    fill_zero_cuda(grads.x, c.x_size(), layer.storage, context);
    fill_zero_cuda(grads.s, c.n * c.ci, layer.storage, context);
    return;
  }
  // One product that reaches x alone: the engine applies the factor.
  if (grads.s == nullptr && !need_dxs) return linear.input(grads.x, in.w, dir.s);
  if (grads.s == nullptr && !da_in_x) return linear.input(grads.x, dir.w, in.s);
  ScaledTerm of_a, of_xs;
  if (need_dxs) {
    void* dxs = grads.x != nullptr ? grads.x : temporary(c.x_size(), layer.storage, context);
    linear.input(dxs, dir.w, nullptr);
    of_xs.t = dxs;
    of_xs.factor = in.s;
    of_xs.with = in.x;
  }
  if (da_in_x || da_in_s) {
    void* da = temporary(c.x_size(), layer.storage, context);
    linear.input(da, in.w, nullptr);
    of_a.t = da;
    of_a.factor = dir.s;
    of_a.with = dir.x;
    of_a.summed = da_in_x;
  }
  scaled_sum_cuda(grads.x, grads.s, of_a, of_xs, c.n * c.ci, c.h * c.w, layer.storage, context);
}

}  // namespace

void layer_second_order_cuda(const LayerGrads<void>& grads, void* grad_g, void* grad_y,
                             const LayerDirections<void>& dir, const LayerInputs<void>& in,
                             const void* y, const void* g, const LayerCuda& layer,
                             const CudaContext& context) {
  if (layer.storage != Storage::float32 && layer.storage != Storage::float64) {
    throw std::runtime_error(
        "CUDA: the second order of conv2d takes float32 or float64 tensors, and these are float16 "
        "or bfloat16; widen them to float32 and name the half type in `product`.");
  }
  const LinearConv& c = layer.conv;
  OutputPlanes planes = output_planes(in, y, g, layer);
  planes.d_dir = dir.d;
  planes.noise_dir = dir.noise;
  planes.strength_dir = dir.strength;
  planes.bias_dir = dir.bias;

  const InputDirection input = direction_of_input(dir, in, layer, context);
  const bool need_du = grad_g != nullptr || grads.d != nullptr;
  if (need_du && input.a != nullptr) {
    void* du = temporary(c.u_size(), layer.storage, context);
    linear_forward_cuda(du, input.a, in.w, input.scale, DeviceEpilogue{}, layer, context);
    planes.du = du;
  }
  if (need_du && dir.w != nullptr) {
    void* du = temporary(c.u_size(), layer.storage, context);
    linear_forward_cuda(du, in.x, dir.w, in.s, DeviceEpilogue{}, layer, context);
    planes.du_other = du;
  }

  SlopeGrads slopes;
  slopes.grad_g = grad_g;
  slopes.grad_y = grad_y;
  slopes.d = grads.d;
  slopes.bias = grads.bias;
  slopes.strength = grads.strength;
  const bool need_q = (grads.w != nullptr && input.a != nullptr) ||
                      (grads.x != nullptr && (dir.w != nullptr || dir.s != nullptr)) ||
                      (grads.s != nullptr && (dir.w != nullptr || dir.x != nullptr));
  if (need_q && !has_unit_slope(layer.act)) {
    slopes.q = temporary(c.u_size(), layer.storage, context);
  }
  slope_pass_cuda(slopes, planes, true, context);

  if (grads.noise != nullptr) {
    if (dir.strength != nullptr || dir.d != nullptr) {
      noise_grad_cuda(grads.noise, planes, true, context);
    } else {
      fill_zero_cuda(grads.noise, (in.noise_per_sample ? c.n : 1) * planes.area, layer.storage,
                     context);
    }
  }

  // Without a slope, q = d g: the engines multiply by d.
  LinearGradsCuda linear(slopes.q != nullptr ? slopes.q : g, slopes.q != nullptr ? nullptr : in.d,
                         layer, context);
  if (grads.w != nullptr) {
    if (input.a != nullptr) {
      linear.weight(grads.w, input.a, input.scale);
    } else {
      fill_zero_cuda(grads.w, c.w_size(), layer.storage, context);
    }
  }
  input_grads(grads, dir, in, linear, layer, context);
}

}  // namespace pygan
