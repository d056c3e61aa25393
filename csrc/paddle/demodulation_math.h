// The factors of a demodulated convolution and their derivatives, in float32 or float64, for the
// operators that have them: demodulation.cc and modulation.cc.
//
//   E[o, i] = sum over taps of W[o, i, ky, kx]^2
//   D[n, o] = Q^(-1/2),  Q[n, o] = sum over i of S[n, i]^2 E[o, i] + 1e-8
//
// With A B for matrix products and * by elements, the gradients of <g, D> are, p = -1/2 g D^3,
//
//   gS = 2 S * (p E),    gW = 2 W * R,  R = p^T S^2
//
// and those of <u, gS> + <v, gW>, with a = 2 u * S, b[o, i] = 2 sum over taps of v W, and
// M = a E^T + S^2 b^T, the change of Q along (u, v),
//
//   to g: -1/2 D^3 M      t = 3/4 g D^5 M
//   to S: 2 S * (t E + p b) + 2 u * (p E)
//   to W: 2 W * (t^T S^2 + p^T a) + 2 v * R
//
// The sums over taps are kernels, because Paddle's composition spends more time on them (a
// broadcast multiplication) than the convolution of a small layer takes. The rest is Paddle's, on
// matrices of one number per channel and sample.
#pragma once

#include "paddle/common.h"

namespace pygan {
namespace binding {

inline Tensor times(const Tensor& a, const Tensor& b) {
  return paddle::experimental::multiply(a, b);
}
inline Tensor plus(const Tensor& a, const Tensor& b) { return paddle::experimental::add(a, b); }
inline Tensor factor(const Tensor& a, double f) {
  return paddle::experimental::scale(a, f, 0.0, true);
}

// f * sum over taps of a b, [O, I].
Tensor energy(const Tensor& a, const Tensor& b, double f);
// f * w * e, e [O, I] being the same for all taps.
Tensor scaled(const Tensor& w, const Tensor& e, double f);
// D, composed of Paddle's operators.
Tensor factors_of(const Tensor& s, const Tensor& e);

// What the gradients are made of: p E [N, I], and R [O, I] where it is asked for.
struct FirstOrder {
  Tensor towards_s, towards_w;
};
FirstOrder first_order(const Tensor& s, const Tensor& d, const Tensor& e, const Tensor& grad,
                       bool with_w);

// v along gW, u along gS; at least one is there.
struct SecondOrder {
  Tensor to_w, to_s, to_grad;
};
SecondOrder second_order(const Tensor& w, const Tensor& s, const Tensor& d, const Tensor& e,
                         const Tensor& grad, const OptionalTensor& v, const OptionalTensor& u);

}  // namespace binding
}  // namespace pygan
