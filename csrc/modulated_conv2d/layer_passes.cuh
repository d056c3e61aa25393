// Passes over activations that the layer's derivatives on the GPU are made of, between its
// convolutions: see modulated_conv2d.h for the layer and its notation. All tensors lie in device
// memory in the type `storage`; null tensors are left out.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"
#include "modulated_conv2d/layer_cuda.h"

namespace pygan {

// The output side [n, channels, area] of the layer.
struct OutputPlanes {
  Storage storage = Storage::float32;
  int64_t n = 0, channels = 0, area = 0;
  const void* g = nullptr;  // gradient of y
  const void* y = nullptr;
  const void* noise = nullptr;     // [n or 1, area]
  bool noise_per_sample = false;   // n
  const void* d = nullptr;         // [n, channels]; null: ones
  const void* strength = nullptr;  // [1]; null: one
  const void* bias = nullptr;      // [channels]
  // Slope m of the activation, read off y: 0 where |y| >= clamp >= 0, else one of the two. `clamp`
  // is a value that y can take.
  double positive = 1, negative = 1, clamp = -1;
  // Directions of the second order; all null in the first. `d_dir` also acts through its ratio to
  // d, which counts as zero where the direction is, and is infinite where only d is.
  const void* d_dir = nullptr;
  const void* noise_dir = nullptr;
  const void* strength_dir = nullptr;
  const void* bias_dir = nullptr;
  const void* du = nullptr;  // direction of u, and a second summand of it
  const void* du_other = nullptr;

  int64_t planes() const { return n * channels; }
};

// Without directions.
OutputPlanes output_planes(const LayerInputs<void>& in, const void* y, const void* g,
                           const LayerCuda& layer);

// True where m is one everywhere.
inline bool has_unit_slope(const LayerActivation& act) {
  return act.act == 0 && act.gain == 1.0 && act.clamp < 0;
}

// Device memory for `count` elements of the type `storage`.
inline void* temporary(int64_t count, Storage storage, const CudaContext& context) {
  return context.get<char>(count * size_of(storage));
}

// With h = m g and ratio = d_dir / d, per plane. First order:
//   q         = d h
//   d_grad    = sum over pixels of h u = (sum g y' - bias sum h - strength sum h noise) / d,
//               y' = y where it is not clamped: h z = g y'
//   bias_grad = sum over n and pixels of h,   strength_grad = sum of h noise
// Second order, with z's direction dz = d du + bias_dir + strength_dir noise + strength noise_dir:
//   grad_g    = m dz + ratio (y' - m (bias + strength noise)),   grad_y = ratio g
//   d_grad    = sum of h du - ratio * (the first order's)
//   bias_grad = -sum of ratio h,   strength_grad = sum of h noise_dir - ratio h noise
struct SlopeGrads {
  void* q = nullptr;
  void* grad_g = nullptr;  // second order only
  void* grad_y = nullptr;  // second order only
  void* d = nullptr;
  void* bias = nullptr;
  void* strength = nullptr;

  bool has_sums() const { return d != nullptr || bias != nullptr || strength != nullptr; }
  bool empty() const { return !q && !grad_g && !grad_y && !has_sums(); }
};

// One launch; two where sums are wanted. The second order takes float32 and float64 only.
void slope_pass_cuda(const SlopeGrads& grads, const OutputPlanes& planes, bool second_order,
                     const CudaContext& context);

// out[n or 1, pixel] = sum over channels (and samples, where they share the noise) of weight h:
//   first order: weight = strength,   second order: weight = strength_dir - strength ratio
// One launch; two where there are too few pixels to fill a GPU with.
void noise_grad_cuda(void* out, const OutputPlanes& planes, bool second_order,
                     const CudaContext& context);

// Tensors of the input side [planes, area], with factors per plane:
//   out = sum over terms of factor * t,   dots[plane] = sum over terms and pixels of t * with
struct ScaledTerm {
  const void* t = nullptr;       // null: no such term
  const void* factor = nullptr;  // [planes]; null: ones
  const void* with = nullptr;    // null: not in dots
  bool summed = true;            // false: not in out
};
// `out` may be one of the terms; null: not wanted, as `dots`. One launch; two where `dots` is
// wanted and planes are large.
void scaled_sum_cuda(void* out, void* dots, const ScaledTerm& a, const ScaledTerm& b,
                     int64_t planes, int64_t area, Storage storage, const CudaContext& context);

// out[count] = 0. One operation on the stream.
void fill_zero_cuda(void* out, int64_t count, Storage storage, const CudaContext& context);

}  // namespace pygan
