// Registers pg_demodulation, the factors of a demodulated convolution, in float32 or float64:
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
// E and Q are computed anew for every gradient: with E as a second output that the gradient reads,
// Paddle records no second order. The sums over taps are kernels, because Paddle's composition
// spends more time on them (a broadcast multiplication) than the convolution of a small layer
// takes. The rest is Paddle's, on matrices of one number per channel and sample.
#include <vector>

#include "modulated_conv2d/weight_energy.h"
#include "paddle/device.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "demodulation";
constexpr double kEpsilon = 1e-8;  // Karras et al. 2020, equation 3

namespace api = paddle::experimental;

Tensor times(const Tensor& a, const Tensor& b) { return api::multiply(a, b); }
Tensor plus(const Tensor& a, const Tensor& b) { return api::add(a, b); }
Tensor factor(const Tensor& a, double f) { return api::scale(a, f, 0.0, true); }
// a b, a b^T, a^T b.
Tensor product(const Tensor& a, const Tensor& b) { return api::matmul(a, b, false, false); }
Tensor product_nt(const Tensor& a, const Tensor& b) { return api::matmul(a, b, false, true); }
Tensor product_tn(const Tensor& a, const Tensor& b) { return api::matmul(a, b, true, false); }

struct Rows {
  int64_t count, taps;
};
Rows rows_of(const Tensor& w) {
  const std::vector<int64_t> shape = w.shape();
  PD_CHECK(shape.size() == 4, "pygan.demodulation: `w` must be [O, I, kh, kw].");
  return {shape[0] * shape[1], shape[2] * shape[3]};
}

template <typename Body>
void dispatch(const Tensor& w, Body&& body) {
  if (w.dtype() == DataType::FLOAT64) {
    body(double{});
  } else {
    PD_CHECK(w.dtype() == DataType::FLOAT32, "pygan.demodulation: `w` must be float32 or float64.");
    body(float{});
  }
}

// f * sum over taps of a b, [O, I].
Tensor energy(const Tensor& a, const Tensor& b, double f) {
  Device device(kOp, a);
  const Rows rows = rows_of(a);
  Tensor e = paddle::empty({a.shape()[0], a.shape()[1]}, a.dtype(), a.place());
  device.use("w", a);
  device.use("w", b);
  device.made("energy", e);
  if (device.is_cuda()) {
    device.backend()->tap_dot(e.data(), a.data(), b.data(), f, rows.count, rows.taps,
                              storage_of(kOp, a.dtype()), device.context());
    return e;
  }
  dispatch(a, [&](auto zero) {
    using T = decltype(zero);
    tap_dot<T>(e.data<T>(), a.data<T>(), b.data<T>(), static_cast<T>(f), rows.count, rows.taps);
  });
  return e;
}

// f * w * e, e [O, I] being the same for all taps.
Tensor scaled(const Tensor& w, const Tensor& e, double f) {
  Device device(kOp, w);
  const Rows rows = rows_of(w);
  Tensor out = paddle::empty(w.shape(), w.dtype(), w.place());
  device.use("w", w);
  device.use("energy", e);
  device.made("gradient", out);
  if (device.is_cuda()) {
    device.backend()->tap_scale(out.data(), w.data(), e.data(), f, rows.count, rows.taps,
                                storage_of(kOp, w.dtype()), device.context());
    return out;
  }
  dispatch(w, [&](auto zero) {
    using T = decltype(zero);
    tap_scale<T>(out.data<T>(), w.data<T>(), e.data<T>(), static_cast<T>(f), rows.count, rows.taps);
  });
  return out;
}

void check(const Tensor& w, const Tensor& s) {
  rows_of(w);
  PD_CHECK(s.shape().size() == 2 && s.shape()[1] == w.shape()[1] && s.dtype() == w.dtype(),
           "pygan.demodulation: `s` must be [N, I] in the dtype of `w`.");
}

struct Factors {
  Tensor d, e;
};
Factors factors(const Tensor& w, const Tensor& s) {
  check(w, s);
  Device device(kOp, w);
  if (!device.is_cuda()) {
    const Tensor e = energy(w, w, 1.0);
    return {api::rsqrt(api::scale(product_nt(times(s, s), e), 1.0, kEpsilon, true)), e};
  }
  const int64_t n = s.shape()[0], o = w.shape()[0], i = w.shape()[1];
  const Factors f{paddle::empty({n, o}, w.dtype(), w.place()),
                  paddle::empty({o, i}, w.dtype(), w.place())};
  device.use("w", w);
  device.use("s", s);
  device.made("d", f.d);
  device.made("energy", f.e);
  device.backend()->demodulation(const_cast<void*>(f.d.data()), const_cast<void*>(f.e.data()),
                                 w.data(), s.data(), n, o, i, rows_of(w).taps,
                                 storage_of(kOp, w.dtype()), device.context());
  return f;
}

std::vector<Tensor> forward(const Tensor& w, const Tensor& s) {
  return guarded(kOp, [&] { return std::vector<Tensor>{factors(w, s).d}; });
}

Tensor cube(const Tensor& d) { return times(times(d, d), d); }

std::vector<Tensor> backward(const Tensor& w, const Tensor& s, const Tensor& grad) {
  return guarded(kOp, [&] {
    const Factors f = factors(w, s);
    const Tensor p = factor(times(grad, cube(f.d)), -0.5);
    const Tensor to_s = factor(times(s, product(p, f.e)), 2.0);
    if (skip_weight_gradients()) return std::vector<Tensor>{zeros_like(w), to_s};
    return std::vector<Tensor>{scaled(w, product_tn(p, times(s, s)), 2.0), to_s};
  });
}

std::vector<Tensor> second_order(const Tensor& w, const Tensor& s, const Tensor& grad,
                                 const OptionalTensor& v, const OptionalTensor& u) {
  return guarded(kOp, [&] {
    if (!has(u) && !has(v)) {
      return std::vector<Tensor>{zeros_like(w), zeros_like(s), zeros_like(grad)};
    }
    const Factors f = factors(w, s);
    const Tensor &d = f.d, &e = f.e;
    const Tensor s2 = times(s, s), d3 = cube(d);
    const Tensor p = factor(times(grad, d3), -0.5);
    Tensor a, b, m;
    if (has(u)) {
      a = factor(times(*u, s), 2.0);
      m = product_nt(a, e);
    }
    if (has(v)) {
      b = energy(w, *v, 2.0);
      const Tensor along_w = product_nt(s2, b);
      m = has(u) ? plus(m, along_w) : along_w;
    }
    const Tensor t = factor(times(times(grad, times(d3, times(d, d))), m), 0.75);
    Tensor towards_s2 = product(t, e), towards_e = product_tn(t, s2);
    if (has(v)) towards_s2 = plus(towards_s2, product(p, b));
    if (has(u)) towards_e = plus(towards_e, product_tn(p, a));
    Tensor to_s = factor(times(s, towards_s2), 2.0), to_w = scaled(w, towards_e, 2.0);
    if (has(u)) to_s = plus(to_s, factor(times(*u, product(p, e)), 2.0));
    if (has(v)) to_w = plus(to_w, scaled(*v, product_tn(p, s2), 2.0));
    return std::vector<Tensor>{to_w, to_s, factor(times(d3, m), -0.5)};
  });
}

using Shape = std::vector<int64_t>;
std::vector<Shape> infer_shape(const Shape& w, const Shape& s) { return {{s[0], w[0]}}; }
std::vector<DataType> infer_dtype(const DataType& w, const DataType&) { return {w}; }

}  // namespace
}  // namespace binding
}  // namespace pygan

PD_BUILD_OP(pg_demodulation)
    .Inputs({"W", "S"})
    .Outputs({"D"})
    .SetKernelFn(PD_KERNEL(pygan::binding::forward))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_dtype));

PD_BUILD_GRAD_OP(pg_demodulation)
    .Inputs({"W", "S", paddle::Grad("D")})
    .Outputs({paddle::Grad("W"), paddle::Grad("S")})
    .SetKernelFn(PD_KERNEL(pygan::binding::backward));

PD_BUILD_DOUBLE_GRAD_OP(pg_demodulation)
    .Inputs({"W", "S", paddle::Grad("D"), paddle::Grad(paddle::Grad("W")),
             paddle::Grad(paddle::Grad("S"))})
    .Outputs({paddle::Grad("W"), paddle::Grad("S"), paddle::Grad(paddle::Grad("D"))})
    .SetKernelFn(PD_KERNEL(pygan::binding::second_order));
