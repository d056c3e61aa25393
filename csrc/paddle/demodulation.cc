// Registers pg_demodulation, the factors D of a demodulated convolution, in float32 or float64
// (demodulation_math.h has the formulas).
//
// E and Q are computed anew for every gradient: with E as a second output that the gradient reads,
// Paddle records no second order.
#include <vector>

#include "paddle/demodulation_math.h"
#include "paddle/device.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "demodulation";

void check(const Tensor& w, const Tensor& s) {
  PD_CHECK(w.shape().size() == 4, "pygan.demodulation: `w` must be [O, I, kh, kw].");
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
    return {factors_of(s, e), e};
  }
  const std::vector<int64_t> shape = w.shape();
  const int64_t n = s.shape()[0], o = shape[0], i = shape[1];
  const Factors f{paddle::empty({n, o}, w.dtype(), w.place()),
                  paddle::empty({o, i}, w.dtype(), w.place())};
  device.use("w", w);
  device.use("s", s);
  device.made("d", f.d);
  device.made("energy", f.e);
  device.backend()->demodulation(const_cast<void*>(f.d.data()), const_cast<void*>(f.e.data()),
                                 w.data(), s.data(), n, o, i, shape[2] * shape[3],
                                 storage_of(kOp, w.dtype()), device.context());
  return f;
}

std::vector<Tensor> forward(const Tensor& w, const Tensor& s) {
  return guarded(kOp, [&] { return std::vector<Tensor>{factors(w, s).d}; });
}

std::vector<Tensor> backward(const Tensor& w, const Tensor& s, const Tensor& grad) {
  return guarded(kOp, [&] {
    const Factors f = factors(w, s);
    const bool skip = skip_weight_gradients();
    const FirstOrder first = first_order(s, f.d, f.e, grad, !skip);
    return std::vector<Tensor>{skip ? zeros_like(w) : scaled(w, first.towards_w, 2.0),
                               factor(times(s, first.towards_s), 2.0)};
  });
}

std::vector<Tensor> double_backward(const Tensor& w, const Tensor& s, const Tensor& grad,
                                    const OptionalTensor& v, const OptionalTensor& u) {
  return guarded(kOp, [&] {
    if (!has(u) && !has(v)) {
      return std::vector<Tensor>{zeros_like(w), zeros_like(s), zeros_like(grad)};
    }
    const Factors f = factors(w, s);
    const SecondOrder second = second_order(w, s, f.d, f.e, grad, v, u);
    return std::vector<Tensor>{second.to_w, second.to_s, second.to_grad};
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
    .SetKernelFn(PD_KERNEL(pygan::binding::double_backward));
