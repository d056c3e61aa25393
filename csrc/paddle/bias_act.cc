// Registers pg_bias_act with its gradients of first and second order.
#include "bias_act/bias_act.h"

#include "paddle/device.h"
#include "paddle/kernel_arguments.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "bias_act";

// Bits of the attribute `needs`: the inputs whose gradients are wanted.
enum Need : int { kNeedX = 1, kNeedB = 2, kNeedScale = 4, kNeedNoise = 8, kNeedStrength = 16 };

struct Attributes {
  int act;
  int64_t alpha, gain, clamp;
  int axis, needs;
};

struct Inputs {
  Tensor x;
  OptionalTensor b, scale, noise, strength;

  explicit Inputs(KernelArguments& arguments)
      : x(arguments.tensor()),
        b(arguments.optional()),
        scale(arguments.optional()),
        noise(arguments.optional()),
        strength(arguments.optional()) {}
};

Attributes attributes(KernelArguments& arguments) {
  Attributes a;
  a.act = arguments.attribute<int>();
  a.alpha = arguments.attribute<int64_t>();
  a.gain = arguments.attribute<int64_t>();
  a.clamp = arguments.attribute<int64_t>();
  a.axis = arguments.attribute<int>();
  a.needs = arguments.attribute<int>();
  return a;
}

const void* pointer(const OptionalTensor& t) { return has(t) ? t->data() : nullptr; }

void check_optional(Device& device, const char* name, const OptionalTensor& t, const Tensor& x,
                    int64_t size) {
  if (!has(t)) return;
  device.use(name, t);
  PD_CHECK(t->dtype() == x.dtype(), "pygan.bias_act: `", name, "` must have the dtype of `x`.");
  PD_CHECK(t->numel() == size, "pygan.bias_act: `", name, "` has ", t->numel(),
           " elements; it must have ", size, " for this `x`.");
}

// Geometry, formula and input pointers, checked against each other.
BiasActCall prepare(Device& device, const Inputs& in, const Attributes& a, int order) {
  device.use("x", in.x);
  const std::vector<int64_t> shape = in.x.shape();
  const int rank = static_cast<int>(shape.size());
  const bool has_bias = has(in.b), has_scale = has(in.scale), has_noise = has(in.noise);
  PD_CHECK(a.act >= 0 && a.act < kActivations, "pygan.bias_act: unknown activation ", a.act, ".");
  PD_CHECK((!has_bias && !has_scale && !has_noise) || (a.axis >= 0 && a.axis < rank),
           "pygan.bias_act: `axis` is ", a.axis, ", but `x` has ", rank, " axes.");
  PD_CHECK((!has_scale && !has_noise) || a.axis == 1,
           "pygan.bias_act: `axis` must be 1 with `scale` or `noise`.");

  BiasActCall call;
  call.order = order;
  call.storage = storage_of(kOp, in.x.dtype());
  const int axis = a.axis < rank ? a.axis : 0;
  for (int i = 0; i < rank; ++i) {
    (i < axis ? call.outer : i == axis ? call.channels : call.inner) *= shape[i];
  }
  check_optional(device, "b", in.b, in.x, call.channels);
  check_optional(device, "scale", in.scale, in.x, call.outer * call.channels);
  if (has_noise) {
    const bool one = in.noise->numel() == call.inner;
    call.noise_batch = one ? 1 : call.outer;
    check_optional(device, "noise", in.noise, in.x, call.noise_batch * call.inner);
    check_optional(device, "strength", in.strength, in.x, 1);
  }
  call.act = static_cast<Activation>(a.act);
  call.alpha = double_of(a.alpha);
  call.gain = double_of(a.gain);
  call.clamp = double_of(a.clamp);
  call.in.x = in.x.data();
  call.in.b = pointer(in.b);
  call.in.scale = pointer(in.scale);
  call.in.noise = pointer(in.noise);
  call.in.strength = has_noise ? pointer(in.strength) : nullptr;
  return call;
}

// A result for the gradient of `input`: of its shape where wanted, else what Paddle drops.
Tensor gradient(Device& device, const OptionalTensor& input, bool wanted, void** data) {
  if (!has(input)) return Tensor();
  if (!wanted) return placeholder(*input);
  Tensor result = paddle::empty(input->shape(), input->dtype(), input->place());
  device.made("gradient", result);
  *data = result.data();
  return result;
}

// Gradients of the five inputs, whose pointers go into the call.
std::vector<Tensor> gradients(Device& device, const Inputs& in, int needs, BiasActCall* call) {
  return {gradient(device, in.x, needs & kNeedX, &call->grad.x),
          gradient(device, in.b, needs & kNeedB, &call->grad.b),
          gradient(device, in.scale, needs & kNeedScale, &call->grad.scale),
          gradient(device, in.noise, needs & kNeedNoise, &call->grad.noise),
          gradient(device, in.strength, needs & kNeedStrength, &call->grad.strength)};
}

void check_cotangent(Device& device, const char* name, const Tensor& x, const Tensor& d) {
  device.use(name, d);
  PD_CHECK(d.dtype() == x.dtype() && d.numel() == x.numel(), "pygan.bias_act: `", name,
           "` must have the dtype and shape of `x`.");
}

void run(Device& device, const BiasActCall& call) {
  if (device.is_cuda()) {
    device.backend()->bias_act(call, device.context());
  } else {
    bias_act(call);
  }
}

void forward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Inputs in(arguments);
    Device device(kOp, in.x);
    BiasActCall call = prepare(device, in, attributes(arguments), 0);
    Tensor y = paddle::empty(in.x.shape(), in.x.dtype(), in.x.place());
    device.made("y", y);
    call.out = y.data();
    if (call.size() > 0) run(device, call);
    arguments.give({y});
  });
}

void backward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Inputs in(arguments);
    const Tensor dy = arguments.tensor();
    const Attributes a = attributes(arguments);
    Device device(kOp, in.x);
    BiasActCall call = prepare(device, in, a, 1);
    check_cotangent(device, "dy", in.x, dy);
    call.dy = dy.data();
    const std::vector<Tensor> results = gradients(device, in, a.needs, &call);
    run(device, call);
    arguments.give(results);
  });
}

void double_backward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Inputs in(arguments);
    const Tensor dy = arguments.tensor();
    const OptionalTensor ddx = arguments.optional();
    const OptionalTensor ddb = arguments.optional();
    const OptionalTensor ddscale = arguments.optional();
    const OptionalTensor ddnoise = arguments.optional();
    const OptionalTensor ddstrength = arguments.optional();
    const Attributes a = attributes(arguments);
    Device device(kOp, in.x);
    BiasActCall call = prepare(device, in, a, 2);
    check_cotangent(device, "dy", in.x, dy);
    call.dy = dy.data();
    if (has(ddx)) check_cotangent(device, "ddx", in.x, *ddx);
    check_optional(device, "ddb", ddb, in.x, call.channels);
    check_optional(device, "ddscale", ddscale, in.x, call.outer * call.channels);
    check_optional(device, "ddnoise", ddnoise, in.x, call.noise_batch * call.inner);
    check_optional(device, "ddstrength", ddstrength, in.x, 1);
    call.dd.x = pointer(ddx);
    call.dd.b = pointer(ddb);
    call.dd.scale = pointer(ddscale);
    call.dd.noise = pointer(ddnoise);
    call.dd.strength = pointer(ddstrength);
    std::vector<Tensor> results = gradients(device, in, a.needs, &call);
    Tensor ddy = paddle::empty(in.x.shape(), in.x.dtype(), in.x.place());
    device.made("ddy", ddy);
    call.out = ddy.data();
    run(device, call);
    results.push_back(ddy);
    arguments.give(results);
  });
}

using Shape = std::vector<int64_t>;
using OptionalShape = paddle::optional<Shape>;
using OptionalType = paddle::optional<DataType>;

std::vector<Shape> infer_shape(const Shape& x, const OptionalShape&, const OptionalShape&,
                               const OptionalShape&, const OptionalShape&) {
  return {x};
}
std::vector<DataType> infer_type(const DataType& x, const OptionalType&, const OptionalType&,
                                 const OptionalType&, const OptionalType&) {
  return {x};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

// clang-format off
#define PYGAN_BIAS_ACT_ATTRIBUTES \
  {"act: int", "alpha: int64_t", "gain: int64_t", "clamp: int64_t", "axis: int", "needs: int"}

PD_BUILD_OP(pg_bias_act)
    .Inputs({"X", paddle::Optional("B"), paddle::Optional("Scale"), paddle::Optional("Noise"),
             paddle::Optional("Strength")})
    .Outputs({"Y"})
    .Attrs(PYGAN_BIAS_ACT_ATTRIBUTES)
    .SetKernelFn(pygan::binding::forward)
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_type));

PD_BUILD_GRAD_OP(pg_bias_act)
    .Inputs({"X", paddle::Optional("B"), paddle::Optional("Scale"), paddle::Optional("Noise"),
             paddle::Optional("Strength"), paddle::Grad("Y")})
    .Outputs({paddle::Grad("X"), paddle::Grad(paddle::Optional("B")),
              paddle::Grad(paddle::Optional("Scale")), paddle::Grad(paddle::Optional("Noise")),
              paddle::Grad(paddle::Optional("Strength"))})
    .Attrs(PYGAN_BIAS_ACT_ATTRIBUTES)
    .SetKernelFn(pygan::binding::backward);

PD_BUILD_DOUBLE_GRAD_OP(pg_bias_act)
    .Inputs({"X", paddle::Optional("B"), paddle::Optional("Scale"), paddle::Optional("Noise"),
             paddle::Optional("Strength"), paddle::Grad("Y"),
             paddle::Grad(paddle::Grad("X")),
             paddle::Grad(paddle::Grad(paddle::Optional("B"))),
             paddle::Grad(paddle::Grad(paddle::Optional("Scale"))),
             paddle::Grad(paddle::Grad(paddle::Optional("Noise"))),
             paddle::Grad(paddle::Grad(paddle::Optional("Strength")))})
    .Outputs({paddle::Grad("X"), paddle::Grad(paddle::Optional("B")),
              paddle::Grad(paddle::Optional("Scale")), paddle::Grad(paddle::Optional("Noise")),
              paddle::Grad(paddle::Optional("Strength")), paddle::Grad(paddle::Grad("Y"))})
    .Attrs(PYGAN_BIAS_ACT_ATTRIBUTES)
    .SetKernelFn(pygan::binding::double_backward);
// clang-format on
