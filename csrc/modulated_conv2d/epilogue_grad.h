// Passes over activations that the derivatives of the epilogue need: see modulated_conv2d.h for the
// layer and its notation. Per-level kernels; the launchers in epilogue_grad.cpp choose.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace pygan {

// Slope m of the activation, read off y: 0 where y is clamped, else one of two values.
template <typename T>
struct Slope {
  T positive;  // gain
  T negative;  // where y <= 0: gain * alpha
  T clamp;     // < 0: none
};

// Sums over one plane (n, o) of h = m * g.
struct PlaneSums {
  double h;        // sum of h:         gradient of the bias
  double h_noise;  // sum of h * noise: gradient of the strength
  double g_y;      // sum of g * y where y is not clamped, = sum of h * z
};

// Coefficients of one plane in the second-order pass.
template <typename T>
struct SecondOrderPlane {
  T d;            // scale
  T ratio;        // direction of the scale's gradient, over the scale
  T constant;     // direction of the bias's gradient
  T noise;        // direction of the strength's gradient: multiplies noise
  T strength;     // multiplies the direction of the noise's gradient
  T bias;         // bias, and ...
  T noise_scale;  // ... strength: what z holds besides d * u
};

#define PYGAN_EPILOGUE_GRAD_KERNELS(T)                                                             \
  /* q = scale * m * g (q may be null), and the sums. noise may be null. */                        \
  void epilogue_grad_plane(T* q, const T* g, const T* y, const T* noise, int64_t count, T scale,   \
                           Slope<T> slope, PlaneSums* sums);                                       \
  /* grad_g = m (d du + constant + noise * noise[] + strength * ddnoise[]) + ratio (y - m (bias +  \
     noise_scale * noise[])), grad_y = ratio * g; sums of h * du and h * ddnoise. Pointers other   \
     than g and y may be null. */                                                                  \
  void epilogue_second_order_plane(T* grad_g, T* grad_y, const T* g, const T* y, const T* du,      \
                                   const T* noise, const T* ddnoise, int64_t count,                \
                                   const SecondOrderPlane<T>& plane, Slope<T> slope, double* h_du, \
                                   double* h_ddnoise);                                             \
  /* out += weight * h */                                                                          \
  void accumulate_slope(T* out, const T* g, const T* y, int64_t count, T weight, Slope<T> slope);  \
  /* out = a + b where both are given (either may be null, scaled by its factor) */                \
  void combine(T* out, const T* a, T fa, const T* b, T fb, int64_t count);                         \
  /* x_grad = s * dxs (may be null); returns sum of x * dxs */                                     \
  double scale_and_dot(T* x_grad, const T* dxs, const T* x, T s, int64_t count);

PYGAN_DECLARE_KERNELS(PYGAN_EPILOGUE_GRAD_KERNELS(float) PYGAN_EPILOGUE_GRAD_KERNELS(double))

}  // namespace pygan
