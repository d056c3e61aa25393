// activations.h in device code: the activations with their first two derivatives, one value at a
// time. What a caller does not read of a Jet costs nothing: everything here is inlined.
//
// At u = 0 the derivatives are those of the negative side. NaN stays NaN.
#pragma once

#include "common/activation.h"
#include "common/cuda_launch.cuh"

namespace pygan {
namespace device {

template <typename C>
struct Jet {
  C f, f1, f2;  // act(u), act'(u), act''(u)
};

// ---- exp and log1p where activations need them: arguments of one sign, so that nothing overflows.
// Errors stay within about 2 units in the last place.

// exp(x) and expm1(x) for x <= 0, each accurate in its own right, from one series: x = k ln 2 + r,
// |r| <= ln(2) / 2. Results that are no normal numbers are zero.
__device__ __forceinline__ void exp_of_negative(float x, float* exp, float* expm1) {
  constexpr float kLowest = -87.33654f, kRound = 12582912.0f;  // 1.5 * 2^23
  const bool vanishing = x < kLowest;
  x = vanishing ? kLowest : x;
  const float rounded = fmaf(x, 1.44269504f, kRound);
  const float k = rounded - kRound;
  const float r = fmaf(k, 2.12194440e-4f, fmaf(k, -0.693359375f, x));
  const float power =
      vanishing ? 0.0f : __int_as_float((__float_as_int(rounded) << 23) + (127 << 23));
  float series = 1.0f / 5040;
  series = fmaf(series, r, 1.0f / 720);
  series = fmaf(series, r, 1.0f / 120);
  series = fmaf(series, r, 1.0f / 24);
  series = fmaf(series, r, 1.0f / 6);
  series = fmaf(series, r, 1.0f / 2);
  const float p = fmaf(r * r, series, r);
  *exp = fmaf(power, p, power);
  *expm1 = fmaf(power, p, power - 1.0f);
}

__device__ __forceinline__ void exp_of_negative(double x, double* exp, double* expm1) {
  constexpr double kLowest = -708.3964185322641, kRound = 6755399441055744.0;  // 1.5 * 2^52
  const bool vanishing = x < kLowest;
  x = vanishing ? kLowest : x;
  const double rounded = fma(x, 1.4426950408889634, kRound);
  const double k = rounded - kRound;
  const double r = fma(k, -1.90821492927058770002e-10, fma(k, -6.93147180369123816490e-01, x));
  const double power =
      vanishing ? 0.0
                : __longlong_as_double((__double_as_longlong(rounded) << 52) + (1023LL << 52));
  double series = 1.0 / 6227020800.0;
  series = fma(series, r, 1.0 / 479001600.0);
  series = fma(series, r, 1.0 / 39916800.0);
  series = fma(series, r, 1.0 / 3628800.0);
  series = fma(series, r, 1.0 / 362880.0);
  series = fma(series, r, 1.0 / 40320.0);
  series = fma(series, r, 1.0 / 5040.0);
  series = fma(series, r, 1.0 / 720.0);
  series = fma(series, r, 1.0 / 120.0);
  series = fma(series, r, 1.0 / 24.0);
  series = fma(series, r, 1.0 / 6.0);
  series = fma(series, r, 1.0 / 2.0);
  const double p = fma(r * r, series, r);
  *exp = fma(power, p, power);
  *expm1 = fma(power, p, power - 1.0);
}

__device__ __forceinline__ float reciprocal(float v) { return __frcp_rn(v); }
__device__ __forceinline__ double reciprocal(double v) { return __drcp_rn(v); }

// log(1 + q) for 0 <= q <= 1, by log((1 + z) / (1 - z)) = 2 (z + z^3/3 + ...), z = q / (2 + q) <=
// 1/3.
template <typename C>
__device__ __forceinline__ C log1p_of_fraction(C q) {
  constexpr int kTerms = sizeof(C) == sizeof(double) ? 17 : 8;
  const C z = q * reciprocal(q + C(2));
  const C square = z * z;
  C series = C(1) / C(2 * kTerms - 1);
#pragma unroll
  for (int i = kTerms - 1; i >= 1; --i) series = series * square + C(1) / C(2 * i - 1);
  return C(2) * z * series;
}

__host__ __device__ inline bool is_smooth(Activation act) {
  return act != Activation::linear && act != Activation::relu && act != Activation::lrelu;
}

// ---- The activations. `act` is the same for all threads, and so are the branches on it.

// linear, relu and lrelu differ by the slope of the negative side only, and by relu's zeros, which
// are set because 0 * u would have a sign, and be NaN at -infinity.
struct PiecewiseLinear {
  static constexpr bool kCurved = false;
  template <typename C>
  static __device__ __forceinline__ Jet<C> eval(Activation act, C slope, C u) {
    const bool negative = u <= C(0);
    const C below = act == Activation::relu ? C(0) : slope * u;
    return {negative ? below : u, negative ? slope : C(1), C(0)};
  }
};

// Those with an exponential, which all of them take once, of a negative argument.
struct Smooth {
  static constexpr bool kCurved = true;
  template <typename C>
  static __device__ __forceinline__ Jet<C> eval(Activation act, C /*slope*/, C u) {
    const bool positive = u > C(0);
    const C folded = positive ? -u : u;  // -|u|
    const bool one_sided = act == Activation::elu || act == Activation::selu;
    const C argument = act == Activation::tanh ? C(2) * folded
                       : one_sided             ? (positive ? C(0) : u)
                                               : folded;
    C q, minus;  // exp(argument), q - 1
    exp_of_negative(argument, &q, &minus);
    if (one_sided) {
      const bool scaled = act == Activation::selu;
      const C scale = scaled ? C(1.0507009873554805) : C(1);
      const C slope = scaled ? C(1.0507009873554805 * 1.6732632423543772) : C(1);
      return {positive ? scale * u : slope * minus, positive ? scale : slope * q,
              positive ? C(0) : slope * q};
    }
    const C inverse = reciprocal(q + C(1));
    const C slope = q * inverse * inverse;
    if (act == Activation::tanh) {
      // tanh|u| = (1 - q) / (1 + q), tanh' = 4 q / (1 + q)^2.
      const C f = (positive ? -minus : minus) * inverse;
      const C f1 = C(4) * slope;
      return {f, f1, C(-2) * f * f1};
    }
    const C sigmoid = (positive ? C(1) : q) * inverse;
    const C sigmoid2 = slope * (positive ? minus : -minus) * inverse;  // slope * (1 - 2 sigmoid)
    if (act == Activation::sigmoid) return {sigmoid, slope, sigmoid2};
    if (act == Activation::softplus) {
      return {(u <= C(0) ? C(0) : u) + log1p_of_fraction(q), sigmoid, slope};
    }
    return {u * sigmoid, sigmoid + u * slope, C(2) * slope + u * sigmoid2};  // swish
  }
};

// All of them, for what is not worth a kernel for each kind.
struct AnyActivation {
  static constexpr bool kCurved = true;
  template <typename C>
  static __device__ __forceinline__ Jet<C> eval(Activation act, C slope, C u) {
    return is_smooth(act) ? Smooth::eval(act, slope, u) : PiecewiseLinear::eval(act, slope, u);
  }
};

}  // namespace device
}  // namespace pygan
