// Registers pg_demodulation, the factors D of a demodulated convolution, in float32 or float64
// (demodulation_math.h has the formulas).
//
// On a GPU the operator also stages what the layer's convolution multiplies (layer_staging.h).
//
// E and Q are computed anew for every gradient: with E as a second output that the gradient reads,
// Paddle records no second order.
#include <vector>

#include "paddle/demodulation_math.h"
#include "paddle/device.h"
#include "paddle/layer_staging.h"
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
  Tensor d, e, staged;
};
Factors factors(const Tensor& w, const Tensor& s, const OptionalTensor& x = paddle::none,
                const std::vector<int>& spec = {}) {
  check(w, s);
  Device device(kOp, w);
  const LayerStaging staging(device, kOp, w, x, spec);
  if (!device.is_cuda()) {
    const Tensor e = energy(w, w, 1.0);
    return {factors_of(s, e), e, staging.staged};
  }
  const std::vector<int64_t> shape = w.shape();
  const int64_t n = s.shape()[0], o = shape[0], i = shape[1];
  const Factors f{paddle::empty({n, o}, w.dtype(), w.place()),
                  paddle::empty({o, i}, w.dtype(), w.place()), staging.staged};
  device.use("w", w);
  device.use("s", s);
  device.made("d", f.d);
  device.made("energy", f.e);
  device.backend()->demodulation(const_cast<void*>(f.d.data()), const_cast<void*>(f.e.data()),
                                 w.data(), s.data(), n, o, i, shape[2] * shape[3],
                                 storage_of(kOp, w.dtype()), staging.stage, device.context());
  return f;
}

std::vector<Tensor> forward(const Tensor& w, const Tensor& s, const OptionalTensor& x,
                            const std::vector<int>& spec) {
  return guarded(kOp, [&] {
    const Factors f = factors(w, s, x, spec);
    return std::vector<Tensor>{f.d, f.staged};
  });
}

std::vector<Tensor> backward(const Tensor& w, const Tensor& s, const Tensor& grad,
                             const std::vector<int>&) {
  return guarded(kOp, [&] {
    const Factors f = factors(w, s);
    const bool skip = skip_weight_gradients();
    const FirstOrder first = first_order(s, f.d, f.e, grad, !skip);
    return std::vector<Tensor>{skip ? zeros_like(w) : scaled(w, first.towards_w, 2.0),
                               factor(times(s, first.towards_s), 2.0)};
  });
}

std::vector<Tensor> double_backward(const Tensor& w, const Tensor& s, const Tensor& grad,
                                    const OptionalTensor& v, const OptionalTensor& u,
                                    const std::vector<int>&) {
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
std::vector<Shape> infer_shape(const Shape& w, const Shape& s, const paddle::optional<Shape>&,
                               const std::vector<int>&) {
  return {{s[0], w[0]}, {-1}};
}
std::vector<DataType> infer_dtype(const DataType& w, const DataType&,
                                  const paddle::optional<DataType>&) {
  return {w, DataType::UINT8};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

#define PYGAN_ATTRS {"spec: std::vector<int>"}

PD_BUILD_OP(pg_demodulation)
    .Inputs({"W", "S", paddle::Optional("X")})
    .Outputs({"D", "Staged"})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(PD_KERNEL(pygan::binding::forward))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_dtype));

PD_BUILD_GRAD_OP(pg_demodulation)
    .Inputs({"W", "S", paddle::Grad("D")})
    .Outputs({paddle::Grad("W"), paddle::Grad("S")})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(PD_KERNEL(pygan::binding::backward));

PD_BUILD_DOUBLE_GRAD_OP(pg_demodulation)
    .Inputs({"W", "S", paddle::Grad("D"), paddle::Grad(paddle::Grad("W")),
             paddle::Grad(paddle::Grad("S"))})
    .Outputs({paddle::Grad("W"), paddle::Grad("S"), paddle::Grad(paddle::Grad("D"))})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(PD_KERNEL(pygan::binding::double_backward));
