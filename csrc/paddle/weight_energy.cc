// Registers pg_weight_energy: E[o, i] = sum over taps of W[o, i, ky, kx]^2, in float32 or float64.
//
// Demodulation needs it in every layer and iteration. Paddle's own composition spends more time on
// the gradient (a broadcast multiplication) than the convolution of a small layer takes.
#include "modulated_conv2d/weight_energy.h"

#include <vector>

#include "paddle/common.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "weight_energy";

// Calls body(T{}, rows, taps).
template <typename Body>
void with_rows(const Tensor& w, Body&& body) {
  check_input(kOp, "w", w);
  const std::vector<int64_t> shape = w.shape();
  PD_CHECK(shape.size() == 4, "pygan.weight_energy: `w` must be [O, I, kh, kw].");
  const int64_t rows = shape[0] * shape[1], taps = shape[2] * shape[3];
  if (w.dtype() == DataType::FLOAT64) {
    body(double{}, rows, taps);
  } else {
    PD_CHECK(w.dtype() == DataType::FLOAT32,
             "pygan.weight_energy: `w` must be float32 or float64.");
    body(float{}, rows, taps);
  }
}

Tensor energy_of(const Tensor& a, const Tensor& b, double factor) {
  Tensor e = paddle::empty({a.shape()[0], a.shape()[1]}, a.dtype(), a.place());
  with_rows(a, [&](auto zero, int64_t rows, int64_t taps) {
    using T = decltype(zero);
    tap_dot<T>(e.data<T>(), a.data<T>(), b.data<T>(), static_cast<T>(factor), rows, taps);
  });
  return e;
}

Tensor scaled(const Tensor& w, const Tensor& e, double factor) {
  Tensor out = paddle::empty(w.shape(), w.dtype(), w.place());
  with_rows(w, [&](auto zero, int64_t rows, int64_t taps) {
    using T = decltype(zero);
    tap_scale<T>(out.data<T>(), w.data<T>(), e.data<T>(), static_cast<T>(factor), rows, taps);
  });
  return out;
}

std::vector<Tensor> forward(const Tensor& w) {
  return guarded(kOp, [&] { return std::vector<Tensor>{energy_of(w, w, 1.0)}; });
}

std::vector<Tensor> backward(const Tensor& w, const Tensor& grad) {
  return guarded(kOp, [&] {
    if (skip_weight_gradients()) return std::vector<Tensor>{zeros_like(w)};
    return std::vector<Tensor>{scaled(w, grad, 2.0)};
  });
}

std::vector<Tensor> second_order(const Tensor& w, const Tensor& grad, const OptionalTensor& ddw) {
  return guarded(kOp, [&] {
    if (!has(ddw)) return std::vector<Tensor>{zeros_like(w), zeros_like(grad)};
    return std::vector<Tensor>{scaled(*ddw, grad, 2.0), energy_of(w, *ddw, 2.0)};
  });
}

std::vector<std::vector<int64_t>> infer_shape(const std::vector<int64_t>& w) {
  return {{w[0], w[1]}};
}
std::vector<DataType> infer_dtype(const DataType& w) { return {w}; }

}  // namespace
}  // namespace binding
}  // namespace pygan

PD_BUILD_OP(pg_weight_energy)
    .Inputs({"W"})
    .Outputs({"E"})
    .SetKernelFn(PD_KERNEL(pygan::binding::forward))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_dtype));

PD_BUILD_GRAD_OP(pg_weight_energy)
    .Inputs({"W", paddle::Grad("E")})
    .Outputs({paddle::Grad("W")})
    .SetKernelFn(PD_KERNEL(pygan::binding::backward));

PD_BUILD_DOUBLE_GRAD_OP(pg_weight_energy)
    .Inputs({"W", paddle::Grad("E"), paddle::Grad(paddle::Grad("W"))})
    .Outputs({paddle::Grad("W"), paddle::Grad(paddle::Grad("E"))})
    .SetKernelFn(PD_KERNEL(pygan::binding::second_order));
