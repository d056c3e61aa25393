// exp and log1p on vectors, where activations need them: arguments of one sign, so that nothing
// overflows and no lane takes a branch. Errors stay within about 2 units in the last place.
#pragma once

#include "common/simd.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename T>
struct MathConstants;
template <>
struct MathConstants<float> {
  typedef int32_t Int;
  static constexpr float kLowest = -87.33654f;  // exp of less is no normal number
  static constexpr float kLog2e = 1.44269504f;
  static constexpr float kLn2High = 0.693359375f;  // few bits: its multiples are exact
  static constexpr float kLn2Low = -2.12194440e-4f;
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int kMantissa = 23;
  static constexpr int kBias = 127;
  static constexpr int kExpTerms = 7;
  static constexpr int kLogTerms = 8;
};
template <>
struct MathConstants<double> {
  typedef int64_t Int;
  static constexpr double kLowest = -708.3964185322641;
  static constexpr double kLog2e = 1.4426950408889634;
  static constexpr double kLn2High = 6.93147180369123816490e-01;
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissa = 52;
  static constexpr int kBias = 1023;
  static constexpr int kExpTerms = 13;
  static constexpr int kLogTerms = 17;
};

constexpr double kInverseFactorial[] = {1.0,
                                        1.0,
                                        1.0 / 2,
                                        1.0 / 6,
                                        1.0 / 24,
                                        1.0 / 120,
                                        1.0 / 720,
                                        1.0 / 5040,
                                        1.0 / 40320,
                                        1.0 / 362880,
                                        1.0 / 3628800,
                                        1.0 / 39916800,
                                        1.0 / 479001600,
                                        1.0 / 6227020800};

// exp(x) and expm1(x) for x <= 0, each accurate in its own right. NaN gives NaN.
template <typename T>
PYGAN_INLINE void exp_of_negative(typename Vec<T>::type x, typename Vec<T>::type* exp,
                                  typename Vec<T>::type* expm1) {
  typedef MathConstants<T> M;
  typedef typename Vec<T>::type V;
  typedef typename Vec<typename M::Int>::type I;
  const V lowest = splat<T>(M::kLowest);
  const auto vanishing = x < lowest;
  x = vanishing ? lowest : x;
  // x = k ln 2 + r with |r| <= ln(2) / 2, and 2^k assembled from its exponent.
  const V rounded = x * M::kLog2e + M::kRound;
  const V k = rounded - M::kRound;
  const V r = (x - k * M::kLn2High) - k * M::kLn2Low;
  const I bits = (reinterpret_cast<I>(rounded) << M::kMantissa) +
                 (static_cast<typename M::Int>(M::kBias) << M::kMantissa);
  const V power = vanishing ? splat<T>(0) : reinterpret_cast<V>(bits);
  // e^r - 1 = r + r^2 (1/2! + r/3! + ...): relative accuracy survives near 0.
  V series = splat<T>(static_cast<T>(kInverseFactorial[M::kExpTerms]));
#pragma GCC unroll 16
  for (int i = M::kExpTerms - 1; i >= 2; --i) {
    series = series * r + static_cast<T>(kInverseFactorial[i]);
  }
  const V p = r + r * r * series;
  *exp = power * p + power;
  *expm1 = power * p + (power - T(1));
}

// log(1 + q) for 0 <= q <= 1, by log((1 + z) / (1 - z)) = 2 (z + z^3/3 + ...), z = q / (2 + q) <=
// 1/3.
template <typename T>
PYGAN_INLINE typename Vec<T>::type log1p_of_fraction(typename Vec<T>::type q) {
  typedef typename Vec<T>::type V;
  const int terms = MathConstants<T>::kLogTerms;
  const V z = q / (q + T(2));
  const V square = z * z;
  V series = splat<T>(T(1) / static_cast<T>(2 * terms - 1));
#pragma GCC unroll 32
  for (int i = terms - 1; i >= 1; --i) series = series * square + T(1) / static_cast<T>(2 * i - 1);
  return T(2) * z * series;
}

}  // namespace PYGAN_ISA
}  // namespace pygan
