// The one-dimensional transforms of Winograd's F(4, 3), for `*_kernels.cpp` files.
//
// Four outputs of a correlation of six inputs d with three weights g are A^T ((G g) * (B^T d)),
// by interpolation at 0, +-a, +-b and infinity. The textbook's points 0, +-1, +-2 lose much of
// float32: the powers of 2 in A and of 4 in B amplify rounding. The points here come from a search
// over a in [0.4, 0.9] and b in [1, 2] for the smallest error of float32 against float64 with
// normally distributed x and w: a = 5/8, b = 3/2 has the least mean square error, and every
// constant of A and B is exact in binary. 64 channels, relative to the largest and to the root mean
// square output:
//
//                                      maximum    root mean square
//   0, +-1, +-2 (textbook)             6.0e-6     1.7e-6
//   0, +-1/2, +-3/2                    2.8e-6     0.95e-6
//   0, +-1/sqrt(2), +-sqrt(2)          1.3e-6     0.80e-6
//   0, +-5/8, +-3/2 (used)             1.4e-6     0.76e-6
//   direct sum                         1.0e-6     0.43e-6
//
// The points pair up as +-p, so that a transform costs no more than the textbook's.
#pragma once

#include "common/simd.h"

namespace pygan {
namespace PYGAN_ISA {

constexpr float kA = 0.625f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB;
constexpr float kA3 = kA2 * kA, kB3 = kB2 * kB;
constexpr float kA2B2 = kA2 * kB2, kA2PlusB2 = kA2 + kB2;

// v = B^T d
PYGAN_INLINE void winograd_b(const VecF d[6], VecF v[6]) {
  const VecF even_a = d[4] - kB2 * d[2], odd_a = d[3] - kB2 * d[1];
  const VecF even_b = d[4] - kA2 * d[2], odd_b = d[3] - kA2 * d[1];
  v[0] = kA2B2 * d[0] + (d[4] - kA2PlusB2 * d[2]);
  v[1] = even_a + kA * odd_a;
  v[2] = even_a - kA * odd_a;
  v[3] = even_b + kB * odd_b;
  v[4] = even_b - kB * odd_b;
  v[5] = kA2B2 * d[1] + (d[5] - kA2PlusB2 * d[3]);
}

// y = A^T m
PYGAN_INLINE void winograd_a_transposed(const VecF m[6], VecF y[4]) {
  const VecF sum_a = m[1] + m[2], difference_a = m[1] - m[2];
  const VecF sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  y[0] = m[0] + (sum_a + sum_b);
  y[1] = kA * difference_a + kB * difference_b;
  y[2] = kA2 * sum_a + kB2 * sum_b;
  y[3] = kA3 * difference_a + (kB3 * difference_b + m[5]);
}

// m = A y
PYGAN_INLINE void winograd_a(const VecF y[4], VecF m[6]) {
  const VecF even_a = y[0] + kA2 * y[2], odd_a = y[1] + kA2 * y[3];
  const VecF even_b = y[0] + kB2 * y[2], odd_b = y[1] + kB2 * y[3];
  m[0] = y[0];
  m[1] = even_a + kA * odd_a;
  m[2] = even_a - kA * odd_a;
  m[3] = even_b + kB * odd_b;
  m[4] = even_b - kB * odd_b;
  m[5] = y[3];
}

// A pair of the six points of an axis of the weights.
template <int Index>
struct Pair {
  static constexpr int index = Index;
};

// u = G g: the row of p in G is (1, p, p^2) / product of (p - q) over the other q, and (0, 0, 1) at
// infinity. `g` gives the two points kPairs[pair], `add_g_transposed` adds their part of G^T u.
struct SamePoints {
  static constexpr int kPairs[3][2] = {{0, 5}, {1, 2}, {3, 4}};
  static constexpr float kScale0 = 1 / kA2B2;
  static constexpr float scale(int pair) {
    return pair == 1 ? 0.5f / (kA2 * (kA2 - kB2)) : 0.5f / (kB2 * (kB2 - kA2));
  }
  static constexpr float point(int pair) { return pair == 1 ? kA : kB; }

  static inline __attribute__((always_inline)) void g(Pair<0>, const VecF g[3], VecF u[2]) {
    u[0] = kScale0 * g[0];
    u[1] = g[2];
  }
  template <int I>
  static inline __attribute__((always_inline)) void g(Pair<I>, const VecF g[3], VecF u[2]) {
    constexpr float kScale = scale(I), kPoint = point(I);
    const VecF even = kScale * g[0] + kScale * kPoint * kPoint * g[2];
    const VecF odd = kScale * kPoint * g[1];
    u[0] = even + odd;
    u[1] = even - odd;
  }
  static inline __attribute__((always_inline)) void add_g_transposed(Pair<0>, const VecF u[2],
                                                                     VecF g[3]) {
    g[0] += kScale0 * u[0];
    g[2] += u[1];
  }
  template <int I>
  static inline __attribute__((always_inline)) void add_g_transposed(Pair<I>, const VecF u[2],
                                                                     VecF g[3]) {
    constexpr float kScale = scale(I), kPoint = point(I);
    const VecF sum = u[0] + u[1], difference = u[0] - u[1];
    g[0] += kScale * sum;
    g[1] += kScale * kPoint * difference;
    g[2] += kScale * kPoint * kPoint * sum;
  }
};

}  // namespace PYGAN_ISA
}  // namespace pygan
