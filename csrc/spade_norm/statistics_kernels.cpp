// Sums over runs of x, and what is added to a gradient once they are known.
#include "common/simd_access.h"
#include "spade_norm/run.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

template <typename C>
PYGAN_INLINE typename Vec<C>::type kept(typename Vec<C>::type v, Whole<C>) {
  return v;
}
template <typename C>
PYGAN_INLINE typename Vec<C>::type kept(typename Vec<C>::type v, First<C> access) {
  C lane[lanes<C>()] = {};
  access.store(lane, v);
  return load(lane);
}

// step(i, access, j): the elements from i on; j is 0 to 3 in turn, for sums that do not wait for
// each other.
template <typename C, typename Step>
PYGAN_INLINE void four_steps(int64_t n, Step step) {
  constexpr int64_t kVector = lanes<C>();
  int64_t i = 0;
  for (; i + 4 * kVector <= n; i += 4 * kVector) {
    for (int j = 0; j < 4; ++j) step(i + j * kVector, Whole<C>{false}, j);
  }
  for (; i + kVector <= n; i += kVector) step(i, Whole<C>{false}, 0);
  if (i < n) step(i, First<C>{static_cast<int>(n - i)}, 0);
}

template <typename C>
PYGAN_INLINE double total(const typename Vec<C>::type (&sums)[4]) {
  return sum_lanes<C>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

}  // namespace

template <typename C>
NormMoments norm_moments(const C* x, int64_t n) {
  typedef typename Vec<C>::type V;
  V sums[4] = {};
  four_steps<C>(n, [&](int64_t i, auto access, int j)
                       __attribute__((always_inline)) { sums[j] += access.load(x + i); });
  // The sum of differences to a rounded mean says what the mean lacks.
  const C near = static_cast<C>(total<C>(sums) / static_cast<double>(n));
  V differences[4] = {}, squares[4] = {};
  const V shift = splat(near);
  four_steps<C>(n, [&](int64_t i, auto access, int j) __attribute__((always_inline)) {
    // The memory is idle while this run is read from the cache: it fetches the next one.
    __builtin_prefetch(x + n + i, 0, 2);
    const V d = kept<C>(access.load(x + i) - shift, access);
    differences[j] += d;
    squares[j] += d * d;
  });
  const double apart = total<C>(differences), mean = apart / static_cast<double>(n);
  const double sum = total<C>(squares) - apart * mean;
  return {near + mean, sum > 0 ? sum : sum != sum ? sum : 0.0};
}

template <typename C>
void norm_dot(const NormNumbers<C>& p, const C* x, const C* ddx, int64_t n, double sums[2]) {
  typedef typename Vec<C>::type V;
  const V mean = splat(p.mean), scale = splat(p.scale);
  V plain[4] = {}, with_normal[4] = {};
  four_steps<C>(n, [&](int64_t i, auto access, int j) __attribute__((always_inline)) {
    const V d = access.load(ddx + i);
    plain[j] += d;
    with_normal[j] += d * ((access.load(x + i) - mean) * scale);
  });
  sums[0] += total<C>(plain);
  sums[1] += total<C>(with_normal);
}

template <typename C>
void norm_affine(const NormNumbers<C>& p, const C* x, const C* ddx, const C* from, C* to, int64_t n,
                 bool stream) {
  typedef typename Vec<C>::type V;
  const V mean = splat(p.mean), scale = splat(p.scale);
  const V a = splat(p.a), b = splat(p.b), c = splat(p.c), dx_scale = splat(p.dx_scale);
  const Operand<C, true> ddx_e(ddx, C(0)), from_e(from, C(0));
  const Result<C> result(to, stream, n);
  four_steps<C>(n, [&](int64_t i, auto access, int) __attribute__((always_inline)) {
    const V normal = (access.load(x + i) - mean) * scale;
    const V added = a + b * normal + c * ddx_e.at(i, access);
    result.put(i, dx_scale * (from_e.at(i, access) + added), access);
  });
}

#define PYGAN_INSTANTIATE(C)                                                           \
  template NormMoments norm_moments(const C*, int64_t);                                \
  template void norm_dot(const NormNumbers<C>&, const C*, const C*, int64_t, double*); \
  template void norm_affine(const NormNumbers<C>&, const C*, const C*, const C*, C*, int64_t, bool);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace PYGAN_ISA
}  // namespace pygan
