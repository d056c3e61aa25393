// Registers pg_modulation: what a demodulated convolution in half precision is given of its weights
// and styles, so that nothing overflows (modulated_conv2d/modulation.h):
//
//   W' = cw * W, S' = cs * S, and the factors D of W' and S' (demodulation_math.h)
//
// On a GPU the operator also stages what the layer's convolution multiplies (layer_staging.h).
//
// W and S are float32 or of the half type, W', S' and D of the half type. Demodulation cancels the
// largest magnitudes in cw[o] and cs[n], which are constants for differentiation. So with gradients
// GW', GS' and g of W', S' and D, and those of <g, D> in the scaled space as in
// demodulation_math.h,
//
//   gW = cw * (GW' + 2 W' * R),    gS = cs * (GS' + 2 S' * (p E))
//
// and of <u, gS> + <v, gW>: cs * u to GS', cw * v to GW', and the second order of <g, D> along
// (cs * u, cw * v), the results for S and W times cs and cw. Gradients take W' and S' in float32,
// which they compute anew: Paddle records no second order for a gradient that reads two outputs.
#include <cmath>
#include <limits>
#include <vector>

#include "paddle/demodulation_math.h"
#include "paddle/device.h"
#include "paddle/kernel_arguments.h"
#include "paddle/layer_staging.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "modulation";
constexpr double kSmallest = 1e-8;  // of what is divided by

namespace api = paddle::experimental;

// The attribute `types`: whether the half type is bfloat16, and which gradients are needed.
struct Types {
  DataType half;
  bool need_w, need_s;
};
DataType half_of(const std::vector<int>& types) {
  PD_CHECK(types.size() == 3, "pygan.modulation: internal error, types has ", types.size(),
           " numbers.");
  return types[0] != 0 ? DataType::BFLOAT16 : DataType::FLOAT16;
}
Types parse_types(const std::vector<int>& v) { return {half_of(v), v[1] != 0, v[2] != 0}; }

Tensor cast(const Tensor& x, DataType dtype) {
  return x.dtype() == dtype ? x : api::cast(x, dtype);
}
Tensor widened(const Tensor& x) { return cast(x, DataType::FLOAT32); }

void check(const Tensor& w, const Tensor& s, DataType half) {
  PD_CHECK(w.shape().size() == 4 && w.numel() > 0,
           "pygan.modulation: `w` must be [O, I, kh, kw], and none of them 0.");
  PD_CHECK(s.shape().size() == 2 && s.shape()[1] == w.shape()[1],
           "pygan.modulation: `s` must be [N, I].");
  for (const Tensor* t : {&w, &s}) {
    PD_CHECK(t->dtype() == DataType::FLOAT32 || t->dtype() == half,
             "pygan.modulation: `w` and `s` must be float32 or of the half type.");
  }
}

// Scales [O, 1, 1, 1] and [N, 1], the scaled tensors, and D and E of these.
struct Modulated {
  Tensor w, s, d, e, w_scale, s_scale;
  Tensor staged;
};

// 1 / (max |x| root) of each of the first axis, x in float32.
Tensor scale_of(const Tensor& x, double root) {
  std::vector<int64_t> axes;
  for (size_t i = 1; i < x.shape().size(); ++i) axes.push_back(static_cast<int64_t>(i));
  const Tensor largest = api::max(api::abs(x), axes, true);
  return api::reciprocal(
      factor(api::clip(largest, kSmallest, std::numeric_limits<float>::max()), root));
}

// W', S' and D in `dtype`, which is float32 or `half`; with x, and `half`, staged operands, too.
Modulated modulated(const Tensor& w, const Tensor& s, DataType dtype, DataType half,
                    const OptionalTensor& x = paddle::none, const std::vector<int>& spec = {}) {
  check(w, s, half);
  Device device(kOp, w);
  const LayerStaging staging(device, kOp, w, x, spec);
  const std::vector<int64_t> shape = w.shape();
  const int64_t n = s.shape()[0], o = shape[0], i = shape[1], taps = shape[2] * shape[3];
  Modulated m;
  m.staged = staging.staged;
  if (!device.is_cuda()) {
    const Tensor wide_w = widened(w), wide_s = widened(s);
    m.w_scale = scale_of(wide_w, std::sqrt(static_cast<double>(i * taps)));
    m.s_scale = scale_of(wide_s, 1.0);
    m.w = times(wide_w, m.w_scale);
    m.s = times(wide_s, m.s_scale);
    m.e = energy(m.w, m.w, 1.0);
    m.d = cast(factors_of(m.s, m.e), dtype);
    m.w = cast(m.w, dtype);
    m.s = cast(m.s, dtype);
    return m;
  }
  const auto made = [&](const char* name, const std::vector<int64_t>& size, DataType type) {
    const Tensor t = paddle::empty(size, type, w.place());
    device.made(name, t);
    return t;
  };
  device.use("w", w);
  device.use("s", s);
  m.w = made("scaled w", shape, dtype);
  m.s = made("scaled s", {n, i}, dtype);
  m.d = made("d", {n, o}, dtype);
  m.e = made("energy", {o, i}, DataType::FLOAT32);
  m.w_scale = made("scale of w", {o, 1, 1, 1}, DataType::FLOAT32);
  m.s_scale = made("scale of s", {n, 1}, DataType::FLOAT32);
  const ModulationResults results{m.w.data(),
                                  m.s.data(),
                                  m.d.data(),
                                  storage_of(kOp, dtype),
                                  m.e.data<float>(),
                                  m.w_scale.data<float>(),
                                  m.s_scale.data<float>()};
  device.backend()->modulation(results, {w.data(), storage_of(kOp, w.dtype())},
                               {s.data(), storage_of(kOp, s.dtype())}, {n, o, i, taps},
                               storage_of(kOp, half), staging.stage, device.context());
  return m;
}

// scale * (grad + 2 x * r) in the type of `like`, r being the same for all taps of x.
Tensor chained(const Tensor& like, const OptionalTensor& grad, const Tensor& x, const Tensor& r,
               const Tensor& scale, DataType half) {
  Device device(kOp, like);
  const std::vector<int64_t> shape = x.shape();
  if (!device.is_cuda()) {
    Tensor sum = shape.size() == 4 ? scaled(x, r, 2.0) : factor(times(x, r), 2.0);
    if (has(grad)) sum = plus(sum, widened(*grad));
    return cast(times(sum, scale), like.dtype());
  }
  Tensor out = paddle::empty(shape, like.dtype(), like.place());
  device.use("gradient", grad);
  device.use("x", x);
  device.use("r", r);
  device.use("scale", scale);
  device.made("gradient", out);
  const int64_t taps = shape.size() == 4 ? shape[2] * shape[3] : 1;
  device.backend()->modulation_gradient(
      {out.data(), storage_of(kOp, like.dtype()), data_or_null<void>(grad), x.data<float>(),
       r.data<float>(), scale.data<float>(), shape[0], shape[1], taps},
      storage_of(kOp, half), device.context());
  return out;
}

std::vector<Tensor> forward(const Tensor& w, const Tensor& s, const OptionalTensor& x,
                            const std::vector<int>& types, const std::vector<int>& spec) {
  return guarded(kOp, [&] {
    const DataType half = half_of(types);
    PD_CHECK(!has(x) || x->dtype() == half, "pygan.modulation: `x` must be of the half type.");
    const Modulated m = modulated(w, s, half, half, x, spec);
    return std::vector<Tensor>{m.w, m.s, m.d, m.staged};
  });
}

// The gradient of D in float32; nothing may have come of it.
Tensor wide_gradient(const OptionalTensor& grad, const Tensor& d) {
  return has(grad) ? widened(*grad) : zeros_like(d);
}

void backward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Tensor &w = arguments.tensor(), &s = arguments.tensor();
    const OptionalTensor to_w = arguments.optional(), to_s = arguments.optional();
    const OptionalTensor to_d = arguments.optional();
    const Types types = parse_types(arguments.attribute<std::vector<int>>());
    const bool skip = skip_weight_gradients(), with_w = types.need_w && !skip;
    const Modulated m = modulated(w, s, DataType::FLOAT32, types.half);
    const FirstOrder first = first_order(m.s, m.d, m.e, wide_gradient(to_d, m.d), with_w);
    arguments.give({
        with_w         ? chained(w, to_w, m.w, first.towards_w, m.w_scale, types.half)
        : types.need_w ? zeros_like(w)
                       : placeholder(w),
        types.need_s ? chained(s, to_s, m.s, first.towards_s, m.s_scale, types.half)
                     : placeholder(s),
    });
  });
}

// Directions v along gW and u along gS.
void double_backward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Tensor &w = arguments.tensor(), &s = arguments.tensor();
    arguments.optional();  // the gradients of W' and S', along which gW and gS are linear
    arguments.optional();
    const OptionalTensor to_d = arguments.optional();
    const OptionalTensor v = arguments.optional(), u = arguments.optional();
    const Types types = parse_types(arguments.attribute<std::vector<int>>());
    const Modulated m = modulated(w, s, DataType::FLOAT32, types.half);
    OptionalTensor scaled_v, scaled_u;
    if (has(v)) scaled_v = times(widened(*v), m.w_scale);
    if (has(u)) scaled_u = times(widened(*u), m.s_scale);
    const auto narrow = [&](const OptionalTensor& x, const Tensor& like) {
      return has(x) ? cast(*x, types.half) : cast(zeros_like(like), types.half);
    };
    const Tensor to_grad_w = narrow(scaled_v, m.w), to_grad_s = narrow(scaled_u, m.s);
    if (!has(u) && !has(v)) {
      arguments.give(
          {zeros_like(w), zeros_like(s), to_grad_w, to_grad_s, cast(zeros_like(m.d), types.half)});
      return;
    }
    const SecondOrder second =
        second_order(m.w, m.s, m.d, m.e, wide_gradient(to_d, m.d), scaled_v, scaled_u);
    arguments.give({cast(times(second.to_w, m.w_scale), w.dtype()),
                    cast(times(second.to_s, m.s_scale), s.dtype()), to_grad_w, to_grad_s,
                    cast(second.to_grad, types.half)});
  });
}

using Shape = std::vector<int64_t>;
std::vector<Shape> infer_shape(const Shape& w, const Shape& s, const paddle::optional<Shape>&,
                               const std::vector<int>&, const std::vector<int>&) {
  return {w, s, {s[0], w[0]}, {-1}};
}
std::vector<DataType> infer_dtype(const DataType&, const DataType&,
                                  const paddle::optional<DataType>&, const std::vector<int>& types,
                                  const std::vector<int>&) {
  const DataType half = half_of(types);
  return {half, half, half, DataType::UINT8};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

#define PYGAN_ATTRS {"types: std::vector<int>", "spec: std::vector<int>"}
#define PYGAN_RESULT_GRADS paddle::Grad("ScaledW"), paddle::Grad("ScaledS"), paddle::Grad("D")

PD_BUILD_OP(pg_modulation)
    .Inputs({"W", "S", paddle::Optional("X")})
    .Outputs({"ScaledW", "ScaledS", "D", "Staged"})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(PD_KERNEL(pygan::binding::forward))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_dtype));

PD_BUILD_GRAD_OP(pg_modulation)
    .Inputs({"W", "S", PYGAN_RESULT_GRADS})
    .Outputs({paddle::Grad("W"), paddle::Grad("S")})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(pygan::binding::backward);

PD_BUILD_DOUBLE_GRAD_OP(pg_modulation)
    .Inputs({"W", "S", PYGAN_RESULT_GRADS, paddle::Grad(paddle::Grad("W")),
             paddle::Grad(paddle::Grad("S"))})
    .Outputs({paddle::Grad("W"), paddle::Grad("S"), paddle::Grad(paddle::Grad("ScaledW")),
              paddle::Grad(paddle::Grad("ScaledS")), paddle::Grad(paddle::Grad("D"))})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(pygan::binding::double_backward);
