#include "paddle/demodulation_math.h"

#include <vector>

#include "modulated_conv2d/weight_energy.h"
#include "paddle/device.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "demodulation";
constexpr double kEpsilon = 1e-8;  // Karras et al. 2020, equation 3

namespace api = paddle::experimental;

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

Tensor cube(const Tensor& d) { return times(times(d, d), d); }

}  // namespace

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

Tensor factors_of(const Tensor& s, const Tensor& e) {
  return api::rsqrt(api::scale(product_nt(times(s, s), e), 1.0, kEpsilon, true));
}

FirstOrder first_order(const Tensor& s, const Tensor& d, const Tensor& e, const Tensor& grad,
                       bool with_w) {
  const Tensor p = factor(times(grad, cube(d)), -0.5);
  FirstOrder result;
  result.towards_s = product(p, e);
  if (with_w) result.towards_w = product_tn(p, times(s, s));
  return result;
}

SecondOrder second_order(const Tensor& w, const Tensor& s, const Tensor& d, const Tensor& e,
                         const Tensor& grad, const OptionalTensor& v, const OptionalTensor& u) {
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
  return {to_w, to_s, factor(times(d3, m), -0.5)};
}

}  // namespace binding
}  // namespace pygan
