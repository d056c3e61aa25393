// Runs of consecutive elements of one plane, as spade_norm computes on them: compiled for several
// instruction sets. C is the type computed in, float or double.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/isa.h"

namespace pygan {

// What varies along a run; null where absent or not wanted.
template <typename S>
struct NormElements {
  const S* x;
  const S* gamma;
  const S* beta;
  const S* dy;
  const S* ddx;
  const S* ddgamma;
  const S* ddbeta;
  S* out;  // y, or the gradient of dy
  S* dx;
  S* dgamma;
  S* dbeta;
};

// What does not. Of gamma, beta and their dd, the value where there are no elements.
template <typename C>
struct NormNumbers {
  C mean, scale;  // scale: 1 / sqrt(variance + epsilon)
  C slope;
  C gamma, beta, ddgamma, ddbeta;
  C ddmean, ddvariance;  // scale * ddmean, scale^2 / 2 * ddvariance
  C a, b, c;             // a + b * normal + c * ddx is added to dx
  C dx_scale;            // what that is multiplied by, of order 1
};

// Sums that a run adds to.
struct NormSums {
  enum : int {
    // Order 1, with e = act'(u) dy: e, e normal, e (1 + gamma), e (1 + gamma) normal.
    kE = 0,
    kENormal = 1,
    kQ = 2,
    kQNormal = 3,
    // Order 2: the gradient of x; that of 1 / scale, times -1 / scale; that of gamma.
    kX = 0,
    kScale = 1,
    kGamma = 2,
    kCount = 4
  };
  double s[kCount];
};

// One run of n elements of any alignment. stream: where they are aligned, out, dgamma and dbeta,
// and dx if stream_dx, bypass the cache.
struct NormStream {
  bool maps, dx;
};
template <typename C>
using NormSweep = void (*)(const NormNumbers<C>&, const NormElements<C>&, int64_t n,
                           NormStream stream, NormSums*);

// Of a run: the mean, and the sum of squared differences to it.
struct NormMoments {
  double mean, squares;
};

PYGAN_DECLARE_KERNELS(
    template <typename C> NormSweep<C> norm_forward_sweep(bool linear);
    template <typename C> NormSweep<C> norm_backward_sweep(bool linear);
    template <typename C> NormSweep<C> norm_second_order_sweep(bool linear);
    template <typename C> NormMoments norm_moments(const C* x, int64_t n);
    // Sums of ddx, and of ddx * normal.
    template <typename C>
    void norm_dot(const NormNumbers<C>& p, const C* x, const C* ddx, int64_t n, double sums[2]);
    // to = dx_scale * (from + a + b * normal + c * ddx); from and ddx may be null, and from may be
    // to.
    template <typename C> void norm_affine(const NormNumbers<C>& p, const C* x, const C* ddx,
                                           const C* from, C* to, int64_t n, bool stream);
    // Each element converted, and written `repeat` times, 1 or 2.
    template <typename T, typename C> void norm_widen(const T* from, int64_t n, int repeat, C* to);
    template <typename T, typename C> void norm_narrow(const C* from, int64_t n, T* to);
    // n sums of two neighbours in each of two rows.
    template <typename C> void norm_fold(const C* top, const C* bottom, int64_t n, C* to);)

}  // namespace pygan
