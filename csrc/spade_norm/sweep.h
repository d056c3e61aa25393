// The arithmetic of spade_norm on one run of consecutive elements: reads every operand once, writes
// every result once.
//
//   normal = (x - mean) scale,  g = 1 + gamma,  u = normal g + beta,  k = u > 0 ? 1 : slope
//
//   order 0:  out = k u
//   order 1:  e = k dy       dbeta = e    dgamma = e normal    dx = dx_scale e g
//             sums of e, e normal, e g, e g normal
//   order 2:  e = k dy       h = scale ddx - ddmean - ddvariance normal   (as NormNumbers has them)
//             out = k (g h + ddgamma normal + ddbeta)
//             dgamma = e h   dx = scale e (ddgamma - ddvariance g)
//             sums of dx, e (g (h - 2 ddvariance normal) + ddgamma normal), e h
//
// each with a + b normal + c ddx added to dx: of order 1 before it is multiplied, since little may
// be left of the difference.
#pragma once

#include "common/simd_access.h"
#include "spade_norm/run.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C, bool kLinear>
struct NormPoint {
  typedef typename Vec<C>::type V;
  V normal, g, u;

  // The factor of the activation at u; NaN takes the slope, and stays NaN.
  inline __attribute__((always_inline)) V factor(V slope) const {
    return kLinear ? splat<C>(1) : u > C(0) ? splat<C>(1) : slope;
  }
};

// A class of operands that all orders read.
template <typename C, bool kLinear>
class NormInputs {
 public:
  typedef typename Vec<C>::type V;

  inline __attribute__((always_inline)) NormInputs(const NormNumbers<C>& p,
                                                   const NormElements<C>& e)
      : x_(e.x),
        mean_(splat(p.mean)),
        scale_(splat(p.scale)),
        gamma_(e.gamma, p.gamma),
        beta_(e.beta, p.beta) {}

  template <typename Access>
  inline __attribute__((always_inline)) NormPoint<C, kLinear> at(int64_t i, Access access) const {
    const V normal = (access.load(x_ + i) - mean_) * scale_;
    const V g = gamma_.at(i, access) + C(1);
    return {normal, g, normal * g + beta_.at(i, access)};
  }

 private:
  const C* x_;
  V mean_, scale_;
  Operand<C, true> gamma_, beta_;
};

template <typename C, typename Step>
PYGAN_INLINE void sweep_steps(int64_t n, Step step) {
  const int64_t rest = n % lanes<C>();
  for (int64_t i = 0; i < n - rest; i += lanes<C>()) step(i, Whole<C>{false});
  if (rest > 0) step(n - rest, First<C>{static_cast<int>(rest)});
}

template <typename C>
PYGAN_INLINE void add_sum(NormSums* sums, int which, typename Vec<C>::type v) {
  sums->s[which] += sum_lanes<C>(v);
}

template <typename C, bool kLinear>
void forward_sweep_of(const NormNumbers<C>& p, const NormElements<C>& e, int64_t n,
                      NormStream stream, NormSums*) {
  const NormInputs<C, kLinear> inputs(p, e);
  const auto slope = splat(p.slope);
  const Result<C> out(e.out, stream.maps, n);
  sweep_steps<C>(n, [&](int64_t i, auto access) __attribute__((always_inline)) {
    const auto point = inputs.at(i, access);
    out.put(i, kLinear ? point.u : point.u * point.factor(slope), access);
  });
}

template <typename C, bool kLinear>
void backward_sweep_of(const NormNumbers<C>& p, const NormElements<C>& e, int64_t n,
                       NormStream stream, NormSums* sums) {
  typedef typename Vec<C>::type V;
  const NormInputs<C, kLinear> inputs(p, e);
  const V slope = splat(p.slope), dx_scale = splat(p.dx_scale), a = splat(p.a), b = splat(p.b);
  const C* const dy = e.dy;
  const Result<C> dx(e.dx, stream.dx, n), dgamma(e.dgamma, stream.maps, n),
      dbeta(e.dbeta, stream.maps, n);
  V sum_e = {}, sum_e_normal = {}, sum_q = {}, sum_q_normal = {};
  sweep_steps<C>(n, [&](int64_t i, auto access) __attribute__((always_inline)) {
    const auto point = inputs.at(i, access);
    const V d = access.load(dy + i);
    const V one = kLinear ? d : d * point.factor(slope);
    const V q = one * point.g, e_normal = one * point.normal;
    dbeta.put(i, one, access);
    dgamma.put(i, e_normal, access);
    dx.put(i, dx_scale * (q + (b * point.normal + a)), access);
    sum_e += one;
    sum_e_normal += e_normal;
    sum_q += q;
    sum_q_normal += q * point.normal;
  });
  add_sum<C>(sums, NormSums::kE, sum_e);
  add_sum<C>(sums, NormSums::kENormal, sum_e_normal);
  add_sum<C>(sums, NormSums::kQ, sum_q);
  add_sum<C>(sums, NormSums::kQNormal, sum_q_normal);
}

template <typename C, bool kLinear>
void second_order_sweep_of(const NormNumbers<C>& p, const NormElements<C>& e, int64_t n,
                           NormStream stream, NormSums* sums) {
  typedef typename Vec<C>::type V;
  const NormInputs<C, kLinear> inputs(p, e);
  const V slope = splat(p.slope), scale = splat(p.scale), zero = {};
  const V a = splat(p.a), b = splat(p.b), c = splat(p.c);
  const V ddmean = splat(p.ddmean), ddvariance = splat(p.ddvariance);
  const Operand<C, true> ddx_e(e.ddx, C(0)), ddgamma_e(e.ddgamma, p.ddgamma),
      ddbeta_e(e.ddbeta, p.ddbeta);
  const C* const dy = e.dy;
  const Result<C> dx(e.dx, stream.dx, n), dgamma(e.dgamma, stream.maps, n),
      dbeta(e.dbeta, stream.maps, n), out(e.out, stream.maps, n);
  V sum_x = {}, sum_scale = {}, sum_gamma = {};
  sweep_steps<C>(n, [&](int64_t i, auto access) __attribute__((always_inline)) {
    const auto point = inputs.at(i, access);
    const V k = point.factor(slope), one = k * access.load(dy + i);
    const V ddx = ddx_e.at(i, access), ddgamma = ddgamma_e.at(i, access);
    const V h = scale * ddx - ddmean - ddvariance * point.normal;
    const V of_gamma = ddgamma * point.normal;
    const V gx = scale * one * (ddgamma - ddvariance * point.g), ggamma = one * h;
    out.put(i, k * (point.g * h + of_gamma + ddbeta_e.at(i, access)), access);
    dx.put(i, gx + (a + b * point.normal + c * ddx), access);
    dgamma.put(i, ggamma, access);
    dbeta.put(i, zero, access);
    sum_x += gx;
    sum_scale += one * (point.g * (h - C(2) * ddvariance * point.normal) + of_gamma);
    sum_gamma += ggamma;
  });
  add_sum<C>(sums, NormSums::kX, sum_x);
  add_sum<C>(sums, NormSums::kScale, sum_scale);
  add_sum<C>(sums, NormSums::kGamma, sum_gamma);
}

}  // namespace PYGAN_ISA
}  // namespace pygan
