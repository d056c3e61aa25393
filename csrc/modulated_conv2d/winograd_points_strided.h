// The one-dimensional transforms of Winograd's F(4, 2), for `*_kernels.cpp` files, as the
// convolution of stride 2 uses them.
//
// Four outputs of a correlation of stride 2 with three weights,
//
//   y[i] = w0 x[2 i] + w1 x[2 i + 1] + w2 x[2 i + 2]        i < 4
//
// are a correlation of the five even pixels e[i] = x[2 i] with (w0, w2), and the four odd pixels
// o[i] = x[2 i + 1] times w1. By interpolation at +-a, +-b and infinity, in the notation of
// winograd_points.h,
//
//   y = A^T ((G (w0, w2)) * (B^T e)  +  w1 (B'^T o))
//
// where B'^T, the first four rows and columns of B^T, undoes A^T at the finite points: at infinity
// a single weight contributes nothing. So four outputs take 5 + 4 products instead of 12, and both
// kinds of pixels are summed before the one inverse transform. The factors 1 / product of (p - q)
// stand in B, which both kinds share; the row of p in G is (1, p).
//
// a = 1/2 and b = 3/2 are near the smallest error that a search over a in [0.3, 0.9] and b in
// [0.8, 2] found: 0.79e-6 of the root mean square output with 64 channels (a direct sum: 0.44e-6;
// 1/2 and 1: 1.3e-6).
#pragma once

#include "common/simd.h"
#include "modulated_conv2d/winograd_points.h"

namespace pygan {
namespace PYGAN_ISA {

constexpr float kStridedA = 0.5f, kStridedB = 1.5f;
constexpr float kStridedA2 = kStridedA * kStridedA, kStridedB2 = kStridedB * kStridedB;
constexpr float kStridedA3 = kStridedA2 * kStridedA, kStridedB3 = kStridedB2 * kStridedB;
constexpr float kStridedA2B2 = kStridedA2 * kStridedB2;
constexpr float kStridedA2PlusB2 = kStridedA2 + kStridedB2;
// 1 / product of (p - q) is -kEven / a and kEven / a for p = a and -a, kEven / b and -kEven / b for
// b and -b.
constexpr float kStridedEven = 0.5f / (kStridedB2 - kStridedA2);
constexpr float kStridedOddA = kStridedEven / kStridedA, kStridedOddB = kStridedEven / kStridedB;

// v = B'^T d
PYGAN_INLINE void strided_b_odd(const VecF d[4], VecF v[4]) {
  const VecF even_a = kStridedEven * (kStridedB2 * d[0] - d[2]);
  const VecF odd_a = kStridedOddA * (kStridedB2 * d[1] - d[3]);
  const VecF even_b = kStridedEven * (d[2] - kStridedA2 * d[0]);
  const VecF odd_b = kStridedOddB * (d[3] - kStridedA2 * d[1]);
  v[0] = even_a + odd_a;
  v[1] = even_a - odd_a;
  v[2] = even_b + odd_b;
  v[3] = even_b - odd_b;
}

// v = B^T d
PYGAN_INLINE void strided_b(const VecF d[5], VecF v[5]) {
  strided_b_odd(d, v);
  v[4] = kStridedA2B2 * d[0] + (d[4] - kStridedA2PlusB2 * d[2]);
}

// d = B' m
PYGAN_INLINE void strided_b_odd_transposed(const VecF m[4], VecF d[4]) {
  const VecF sum_a = kStridedEven * (m[0] + m[1]), difference_a = kStridedOddA * (m[0] - m[1]);
  const VecF sum_b = kStridedEven * (m[2] + m[3]), difference_b = kStridedOddB * (m[2] - m[3]);
  d[0] = kStridedB2 * sum_a - kStridedA2 * sum_b;
  d[1] = kStridedB2 * difference_a - kStridedA2 * difference_b;
  d[2] = sum_b - sum_a;
  d[3] = difference_b - difference_a;
}

// d = B m
PYGAN_INLINE void strided_b_transposed(const VecF m[5], VecF d[5]) {
  strided_b_odd_transposed(m, d);
  d[0] += kStridedA2B2 * m[4];
  d[2] -= kStridedA2PlusB2 * m[4];
  d[4] = m[4];
}

// y = A^T m
PYGAN_INLINE void strided_a_transposed(const VecF m[5], VecF y[4]) {
  const VecF sum_a = m[0] + m[1], difference_a = m[0] - m[1];
  const VecF sum_b = m[2] + m[3], difference_b = m[2] - m[3];
  y[0] = sum_a + sum_b;
  y[1] = kStridedA * difference_a + kStridedB * difference_b;
  y[2] = kStridedA2 * sum_a + kStridedB2 * sum_b;
  y[3] = kStridedA3 * difference_a + (kStridedB3 * difference_b + m[4]);
}

// m = A y
PYGAN_INLINE void strided_a(const VecF y[4], VecF m[5]) {
  const VecF even_a = y[0] + kStridedA2 * y[2], odd_a = kStridedA * y[1] + kStridedA3 * y[3];
  const VecF even_b = y[0] + kStridedB2 * y[2], odd_b = kStridedB * y[1] + kStridedB3 * y[3];
  m[0] = even_a + odd_a;
  m[1] = even_a - odd_a;
  m[2] = even_b + odd_b;
  m[3] = even_b - odd_b;
  m[4] = y[3];
}

// As SamePoints: the five points of the even taps g[0] and g[2], then the odd tap g[1].
struct StridedPoints {
  static constexpr int kPairs[3][2] = {{4, 5}, {0, 1}, {2, 3}};
  static constexpr float point(int pair) { return pair == 1 ? kStridedA : kStridedB; }

  static inline __attribute__((always_inline)) void g(Pair<0>, const VecF g[3], VecF u[2]) {
    u[0] = g[2];
    u[1] = g[1];
  }
  template <int I>
  static inline __attribute__((always_inline)) void g(Pair<I>, const VecF g[3], VecF u[2]) {
    const VecF odd = point(I) * g[2];
    u[0] = g[0] + odd;
    u[1] = g[0] - odd;
  }
  static inline __attribute__((always_inline)) void add_g_transposed(Pair<0>, const VecF u[2],
                                                                     VecF g[3]) {
    g[2] += u[0];
    g[1] += u[1];
  }
  template <int I>
  static inline __attribute__((always_inline)) void add_g_transposed(Pair<I>, const VecF u[2],
                                                                     VecF g[3]) {
    g[0] += u[0] + u[1];
    g[2] += point(I) * (u[0] - u[1]);
  }
};

}  // namespace PYGAN_ISA
}  // namespace pygan
