// The activations with their first two derivatives, on vectors. What a caller does not read of a
// Jet costs nothing: everything here is inlined.
//
// At u = 0 the derivatives are those of the negative side. NaN stays NaN.
#pragma once

#include "common/activation.h"
#include "common/simd_math.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename T>
struct Jet {
  typename Vec<T>::type f, f1, f2;  // act(u), act'(u), act''(u)
};

struct Linear {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    return {u, splat<T>(1), splat<T>(0)};
  }
};

// linear, relu and lrelu, chosen at run time: they differ by the slope of the negative side only,
// and by relu's zeros, which are masked because 0 * u would have a sign, and be NaN at -infinity.
struct PiecewiseLinear {
  Activation act;
  template <typename T>
  inline __attribute__((always_inline)) Jet<T> eval(typename Vec<T>::type u, T alpha) const {
    typedef typename Vec<T>::type V;
    typedef typename Vec<typename MathConstants<T>::Int>::type I;
    const T slope = act == Activation::linear ? T(1) : act == Activation::relu ? T(0) : alpha;
    const I kept = I{} - (act != Activation::relu);
    const auto negative = u <= T(0);
    const V below = reinterpret_cast<V>(reinterpret_cast<I>(slope * u) & kept);
    return {negative ? below : u, negative ? splat(slope) : splat<T>(1), splat<T>(0)};
  }
};

struct Tanh {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    // With q = exp(-2|u|): tanh|u| = (1 - q) / (1 + q), tanh' = 4 q / (1 + q)^2.
    const auto positive = u > T(0);
    typename Vec<T>::type q, minus;  // minus = q - 1
    exp_of_negative<T>(T(2) * (positive ? -u : u), &q, &minus);
    const auto inverse = T(1) / (q + T(1));
    const auto f = (positive ? -minus : minus) * inverse;
    const auto f1 = T(4) * q * inverse * inverse;
    return {f, f1, T(-2) * f * f1};
  }
};

struct Sigmoid {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    const auto positive = u > T(0);
    typename Vec<T>::type q, minus;
    exp_of_negative<T>(positive ? -u : u, &q, &minus);
    const auto inverse = T(1) / (q + T(1));
    const auto f = (positive ? splat<T>(1) : q) * inverse;
    const auto f1 = q * inverse * inverse;
    return {f, f1, f1 * (positive ? minus : -minus) * inverse};  // f'' = f' (1 - 2 f)
  }
};

struct Elu {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    const auto positive = u > T(0);
    const auto zero = splat<T>(0);
    typename Vec<T>::type q, minus;
    exp_of_negative<T>(positive ? zero : u, &q, &minus);
    return {positive ? u : minus, positive ? splat<T>(1) : q, positive ? zero : q};
  }
};

struct Selu {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    const T scale = static_cast<T>(1.0507009873554805);
    const T slope = static_cast<T>(1.0507009873554805 * 1.6732632423543772);
    const auto positive = u > T(0);
    const auto elu = Elu::eval<T>(u, T(0));
    return {(positive ? splat(scale) : splat(slope)) * elu.f,
            (positive ? splat(scale) : splat(slope)) * elu.f1, slope * elu.f2};
  }
};

struct Softplus {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    typename Vec<T>::type q, minus;
    exp_of_negative<T>(u > T(0) ? -u : u, &q, &minus);
    const auto sigmoid = Sigmoid::eval<T>(u, T(0));
    return {(u <= T(0) ? splat<T>(0) : u) + log1p_of_fraction<T>(q), sigmoid.f, sigmoid.f1};
  }
};

struct Swish {
  template <typename T>
  PYGAN_INLINE Jet<T> eval(typename Vec<T>::type u, T) {
    const auto sigmoid = Sigmoid::eval<T>(u, T(0));
    return {u * sigmoid.f, sigmoid.f + u * sigmoid.f1, T(2) * sigmoid.f1 + u * sigmoid.f2};
  }
};

// Those with an exponential, chosen at run time: for what is called so rarely that a few percent of
// speed are worth less than the code of six loops.
struct AnySmooth {
  Activation act;
  template <typename T>
  inline __attribute__((always_inline)) Jet<T> eval(typename Vec<T>::type u, T alpha) const {
    switch (act) {
      case Activation::tanh:
        return Tanh::eval<T>(u, alpha);
      case Activation::sigmoid:
        return Sigmoid::eval<T>(u, alpha);
      case Activation::elu:
        return Elu::eval<T>(u, alpha);
      case Activation::selu:
        return Selu::eval<T>(u, alpha);
      case Activation::softplus:
        return Softplus::eval<T>(u, alpha);
      default:
        return Swish::eval<T>(u, alpha);
    }
  }
};

// The activation of a call: nothing to remember, unless it is chosen at run time.
template <typename Act>
PYGAN_INLINE Act activation_of(Activation, Act) {
  return Act();
}
PYGAN_INLINE PiecewiseLinear activation_of(Activation act, PiecewiseLinear) { return {act}; }
PYGAN_INLINE AnySmooth activation_of(Activation act, AnySmooth) { return {act}; }

}  // namespace PYGAN_ISA
}  // namespace pygan
