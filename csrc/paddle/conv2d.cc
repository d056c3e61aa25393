// Registers pg_conv2d: every convolution of pygan (pygan/ops/_convolution.py), with its epilogue.
//
// The gradient reads Y instead of recomputing u, so the second order sends a gradient to Y as well,
// which Paddle passes on through this operator's own gradient (see modulated_conv2d.h).
//
// `Staged` holds, for a GPU, what the forward pass multiplies of X, W and S, if the operator that
// made D has laid it out already (layer_staging.h). It saves a launch, and no gradient knows of it.
#include <cstdint>
#include <string>
#include <vector>

#include "modulated_conv2d/modulated_conv2d.h"
#include "paddle/conv2d_spec.h"
#include "paddle/device.h"
#include "paddle/kernel_arguments.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "conv2d";

void check_taps(const OptionalTensor& filter) {
  PD_CHECK(
      !has(filter) || filter->dtype() == DataType::FLOAT32 || filter->dtype() == DataType::FLOAT64,
      "pygan.conv2d: the resampling filter must be float32 or float64.");
}

void read_taps(LinearConv* conv, const OptionalTensor& filter) {
  if (!has(filter)) return;
  const int64_t count = filter->numel();
  std::vector<double> taps(count);
  if (filter->dtype() == DataType::FLOAT64) {
    for (int64_t i = 0; i < count; ++i) taps[i] = filter->data<double>()[i];
  } else {
    for (int64_t i = 0; i < count; ++i) taps[i] = filter->data<float>()[i];
  }
  conv->fir = std::move(taps);
}

// The tensors of one call in the dtype that the kernels read. The CPU's convert float16 and
// bfloat16 to float32 on the way in, and back on the way out, and so does the second order
// everywhere.
struct Inputs {
  Tensor x, w;
  OptionalTensor s, d, noise, strength, bias, filter;
};

bool is_half(DataType dtype) { return dtype == DataType::FLOAT16 || dtype == DataType::BFLOAT16; }
Tensor widened(const Tensor& x) {
  return is_half(x.dtype()) ? paddle::experimental::cast(x, DataType::FLOAT32) : x;
}
OptionalTensor widened(const OptionalTensor& x) {
  if (!has(x)) return paddle::none;
  return widened(*x);
}
Tensor narrowed(const Tensor& x, DataType dtype) {
  return x.dtype() == dtype ? x : paddle::experimental::cast(x, dtype);
}

Inputs prepare(Device& device, bool widen, const Tensor& x, const Tensor& w,
               const OptionalTensor& s, const OptionalTensor& d, const OptionalTensor& noise,
               const OptionalTensor& strength, const OptionalTensor& bias,
               const OptionalTensor& filter, LinearConv* conv) {
  for (const OptionalTensor* t : {&s, &d, &noise, &strength, &bias}) {
    if (!has(*t)) continue;
    PD_CHECK((*t)->dtype() == x.dtype(), "pygan.conv2d: all operands must have the dtype of x.");
  }
  PD_CHECK(w.dtype() == x.dtype(), "pygan.conv2d: w must have the dtype of x.");
  std::vector<int64_t> filter_shape;
  if (has(filter)) filter_shape = filter->shape();
  set_shapes(conv, x.shape(), w.shape(), has(filter) ? &filter_shape : nullptr);
  check_taps(filter);
  if (!device.is_cuda()) read_taps(conv, filter);  // a GPU's host must not wait for them
  PD_CHECK(!has(s) || s->numel() == conv->n * conv->ci, "pygan.conv2d: styles must be [N, C].");
  PD_CHECK(!has(d) || d->numel() == conv->n * conv->co, "pygan.conv2d: scale must be [N, O].");
  PD_CHECK(!has(bias) || bias->numel() == conv->co, "pygan.conv2d: bias must be [O].");
  PD_CHECK(!has(strength) || strength->numel() == 1,
           "pygan.conv2d: `noise_strength` must be one number.");
  if (has(noise)) {
    const std::vector<int64_t> shape = noise->shape();
    PD_CHECK(shape.size() == 4 && (shape[0] == conv->n || shape[0] == 1) && shape[1] == 1 &&
                 shape[2] == conv->oh && shape[3] == conv->ow,
             "pygan.modulated_conv2d: `noise` has ", noise->numel(),
             " values; it must be [N or 1, 1, H, W] or [H, W] with the output's H x W, ", conv->oh,
             " x ", conv->ow, ".");
  }
  Inputs in{x, w, s, d, noise, strength, bias, filter};
  if (widen) {
    in = {widened(x),     widened(w),        widened(s),    widened(d),
          widened(noise), widened(strength), widened(bias), filter};
  }
  device.use("x", in.x);
  device.use("w", in.w);
  device.use("styles", in.s);
  device.use("scale", in.d);
  device.use("noise", in.noise);
  device.use("noise_strength", in.strength);
  device.use("bias", in.bias);
  device.use("resample_filter", in.filter);
  return in;
}

template <typename T>
LayerInputs<T> layer_inputs(const Inputs& in, const LinearConv& conv) {
  LayerInputs<T> layer;
  layer.x = data_of<T>(in.x);
  layer.w = data_of<T>(in.w);
  layer.s = data_or_null<T>(in.s);
  layer.d = data_or_null<T>(in.d);
  layer.noise = data_or_null<T>(in.noise);
  layer.noise_per_sample = has(in.noise) && in.noise->shape()[0] == conv.n;
  layer.strength = data_or_null<T>(in.strength);
  layer.bias = data_or_null<T>(in.bias);
  return layer;
}

// Everything about a call on a GPU except its tensors. `dtype` is that of the operator's own x.
LayerCuda layer_cuda(const Spec& spec, const Inputs& in, DataType dtype) {
  LayerCuda layer;
  layer.conv = spec.conv;
  layer.act = spec.act;
  if (has(in.filter)) {
    layer.fir = in.filter->data();
    layer.double_fir = in.filter->dtype() == DataType::FLOAT64;
  }
  layer.storage = storage_of(kOp, in.x.dtype());
  layer.product = product_of(dtype);
  return layer;
}

// Calls body(T{}) with float or double.
template <typename Body>
void dispatch_compute(DataType dtype, Body&& body) {
  if (dtype == DataType::FLOAT64) {
    body(double{});
  } else {
    PD_CHECK(dtype == DataType::FLOAT32,
             "pygan.conv2d: `x` must be float32, float64, float16 or bfloat16.");
    body(float{});
  }
}

// One gradient: a tensor to fill where it is wanted, else the placeholder that Paddle asks for.
struct Slot {
  Tensor tensor;
  bool wanted = false;
  template <typename T>
  T* data() {
    return wanted ? mutable_data_of<T>(tensor) : nullptr;
  }
};
Slot slot(Device& device, const Tensor& like, bool wanted) {
  Slot s;
  s.wanted = wanted;
  s.tensor = wanted ? paddle::empty(like.shape(), like.dtype(), like.place()) : placeholder(like);
  if (wanted) device.made("gradient", s.tensor);
  return s;
}
Slot slot(Device& device, const OptionalTensor& like, bool wanted) {
  return has(like) ? slot(device, *like, wanted) : Slot{};
}

// Gradients in the order of the inputs; entries of absent optional inputs stay undefined, as Paddle
// expects.
struct Grads {
  Slot x, w, s, d, noise, strength, bias;
  Grads(Device& device, const Inputs& in, const Spec& spec, bool weight)
      : x(slot(device, in.x, spec.need_x)),
        w(slot(device, in.w, weight)),
        s(slot(device, in.s, spec.need_s)),
        d(slot(device, in.d, spec.need_d)),
        noise(slot(device, in.noise, spec.need_noise)),
        strength(slot(device, in.strength, spec.need_strength)),
        bias(slot(device, in.bias, spec.need_bias)) {}
  template <typename T>
  LayerGrads<T> pointers() {
    return {x.data<T>(),     w.data<T>(),        s.data<T>(),   d.data<T>(),
            noise.data<T>(), strength.data<T>(), bias.data<T>()};
  }
  std::vector<Tensor> tensors(DataType dtype) const {
    std::vector<Tensor> out;
    for (const Slot* t : {&x, &w, &s, &d, &noise, &strength, &bias}) {
      out.push_back(t->tensor.defined() ? narrowed(t->tensor, dtype) : t->tensor);
    }
    return out;
  }
};

// What every one of the three kernels is given first: the operands, then, at the end, attributes.
struct Call {
  Tensor x, w;
  OptionalTensor s, d, noise, strength, bias, filter;

  explicit Call(KernelArguments& arguments)
      : x(arguments.tensor()),
        w(arguments.tensor()),
        s(arguments.optional()),
        d(arguments.optional()),
        noise(arguments.optional()),
        strength(arguments.optional()),
        bias(arguments.optional()),
        filter(arguments.optional()) {}

  Spec spec(KernelArguments& arguments) const {
    const auto numbers = arguments.attribute<std::vector<int>>();
    const auto alpha = arguments.attribute<int64_t>();
    const auto gain = arguments.attribute<int64_t>();
    const auto clamp = arguments.attribute<int64_t>();
    Spec spec = parse(numbers, alpha, gain, clamp);
    // The slope is read off y: what reached the clamp must compare equal to it after rounding.
    if (is_half(x.dtype()) && spec.act.clamp >= 0) {
      dispatch_floating(kOp, x.dtype(), [&](auto rounded) {
        from_float(static_cast<float>(spec.act.clamp), &rounded);
        spec.act.clamp = to_float(rounded);
      });
    }
    return spec;
  }
  Inputs inputs(Device& device, bool widen, LinearConv* conv) const {
    return prepare(device, widen, x, w, s, d, noise, strength, bias, filter, conv);
  }
};

// The operands as the operator that made d has staged them (layer_staging.h), if it has.
void use_staged(Device& device, LayerCuda* layer, const OptionalTensor& staged) {
  if (!has(staged)) return;
  const int64_t bytes = device.backend()->layer_staged_bytes(*layer);
  if (bytes == 0) return;
  PD_CHECK(staged->numel() == bytes, "pygan.conv2d: internal error, ", staged->numel(),
           " bytes of staged operands where ", bytes, " are needed.");
  device.use("staged operands", *staged);
  layer->staged = staged->data();
}

void forward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Call call(arguments);
    const OptionalTensor staged = arguments.optional();
    Spec spec = call.spec(arguments);
    Device device(kOp, call.x);
    const Inputs in = call.inputs(device, !device.is_cuda(), &spec.conv);
    const LinearConv& c = spec.conv;
    Tensor y = paddle::empty({c.n, c.co, c.oh, c.ow}, in.x.dtype(), call.x.place());
    device.made("y", y);
    if (device.is_cuda()) {
      LayerCuda layer = layer_cuda(spec, in, call.x.dtype());
      use_staged(device, &layer, staged);
      device.backend()->layer_forward(y.data(), layer_inputs<void>(in, c), layer, device.context());
    } else {
      dispatch_compute(in.x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        layer_forward<T>(y.data<T>(), layer_inputs<T>(in, c), c, spec.act);
      });
    }
    arguments.give({narrowed(y, call.x.dtype())});
  });
}

void backward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Call call(arguments);
    const Tensor& y = arguments.tensor();
    const Tensor& g = arguments.tensor();
    Spec spec = call.spec(arguments);
    Device device(kOp, call.x);
    const bool widen = !device.is_cuda();
    const Inputs in = call.inputs(device, widen, &spec.conv);
    const Tensor output = widen ? widened(y) : y, grad = widen ? widened(g) : g;
    device.use("y", output);
    device.use("grad", grad);
    const bool skip_weight = spec.need_w && skip_weight_gradients();
    Grads grads(device, in, spec, spec.need_w && !skip_weight);
    if (skip_weight) grads.w.tensor = zeros_like(in.w);
    if (device.is_cuda()) {
      device.backend()->layer_backward(grads.pointers<void>(), layer_inputs<void>(in, spec.conv),
                                       output.data(), grad.data(),
                                       layer_cuda(spec, in, call.x.dtype()), device.context());
    } else {
      dispatch_compute(in.x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        layer_backward<T>(grads.pointers<T>(), layer_inputs<T>(in, spec.conv), output.data<T>(),
                          grad.data<T>(), spec.conv, spec.act);
      });
    }
    arguments.give(grads.tensors(call.x.dtype()));
  });
}

// The directions along the operands, in the order of the inputs.
struct Directions {
  OptionalTensor x, w, s, d, noise, strength, bias;
  explicit Directions(KernelArguments& arguments)
      : x(widened(arguments.optional())),
        w(widened(arguments.optional())),
        s(widened(arguments.optional())),
        d(widened(arguments.optional())),
        noise(widened(arguments.optional())),
        strength(widened(arguments.optional())),
        bias(widened(arguments.optional())) {}
  void use_on(Device& device) const {
    for (const OptionalTensor* t : {&x, &w, &s, &d, &noise, &strength, &bias}) {
      device.use("direction", *t);
    }
  }
  template <typename T>
  LayerDirections<T> pointers() const {
    return {data_or_null<T>(x),   data_or_null<T>(w),     data_or_null<T>(s),
            data_or_null<T>(d),   data_or_null<T>(noise), data_or_null<T>(strength),
            data_or_null<T>(bias)};
  }
};

void second_order(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Call call(arguments);
    const Tensor output = widened(arguments.tensor());
    const Tensor grad = widened(arguments.tensor());
    const Directions directions(arguments);
    Spec spec = call.spec(arguments);
    Device device(kOp, call.x);
    const Inputs in = call.inputs(device, true, &spec.conv);
    device.use("y", output);
    device.use("grad", grad);
    directions.use_on(device);
    Grads grads(device, in, spec, spec.need_w);
    Tensor to_grad = paddle::empty(grad.shape(), grad.dtype(), grad.place());
    Tensor to_y = paddle::empty(grad.shape(), grad.dtype(), grad.place());
    device.made("gradient of the gradient", to_grad);
    device.made("gradient of y", to_y);
    if (device.is_cuda()) {
      device.backend()->layer_second_order(
          grads.pointers<void>(), to_grad.data(), to_y.data(), directions.pointers<void>(),
          layer_inputs<void>(in, spec.conv), output.data(), grad.data(),
          layer_cuda(spec, in, call.x.dtype()), device.context());
    } else {
      dispatch_compute(in.x.dtype(), [&](auto zero) {
        using T = decltype(zero);
        layer_second_order<T>(grads.pointers<T>(), to_grad.data<T>(), to_y.data<T>(),
                              directions.pointers<T>(), layer_inputs<T>(in, spec.conv),
                              output.data<T>(), grad.data<T>(), spec.conv, spec.act);
      });
    }
    std::vector<Tensor> out = grads.tensors(call.x.dtype());
    out.push_back(narrowed(to_y, call.x.dtype()));
    out.push_back(narrowed(to_grad, call.x.dtype()));
    arguments.give(out);
  });
}

using Shape = std::vector<int64_t>;
using OptionalShape = paddle::optional<Shape>;

std::vector<Shape> infer_shape(const Shape& x, const Shape& w, const OptionalShape& /*s*/,
                               const OptionalShape& /*d*/, const OptionalShape& /*noise*/,
                               const OptionalShape& /*strength*/, const OptionalShape& /*bias*/,
                               const OptionalShape& filter, const OptionalShape& /*staged*/,
                               const std::vector<int>& numbers, int64_t alpha, int64_t gain,
                               int64_t clamp) {
  Spec spec = parse(numbers, alpha, gain, clamp);
  Shape filter_shape;
  if (filter) filter_shape = *filter;
  const bool dynamic = x[2] < 0 || x[3] < 0;
  if (dynamic) {
    const int64_t channels =
        spec.conv.mode == ConvMode::transposed ? w[1] * spec.conv.groups : w[0];
    return {{x[0], channels, -1, -1}};
  }
  set_shapes(&spec.conv, x, w, filter_shape.empty() ? nullptr : &filter_shape);
  return {{x[0], spec.conv.co, spec.conv.oh, spec.conv.ow}};
}

using OptionalType = paddle::optional<DataType>;
std::vector<DataType> infer_dtype(const DataType& x, const DataType& /*w*/, const OptionalType&,
                                  const OptionalType&, const OptionalType&, const OptionalType&,
                                  const OptionalType&, const OptionalType&, const OptionalType&) {
  return {x};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

#define PYGAN_ATTRS {"spec: std::vector<int>", "alpha: int64_t", "gain: int64_t", "clamp: int64_t"}
#define PYGAN_OPERANDS                                                               \
  "X", "W", paddle::Optional("S"), paddle::Optional("D"), paddle::Optional("Noise"), \
      paddle::Optional("Strength"), paddle::Optional("Bias"), paddle::Optional("Filter")
#define PYGAN_OPERAND_GRADS                                                         \
  paddle::Grad("X"), paddle::Grad("W"), paddle::Grad(paddle::Optional("S")),        \
      paddle::Grad(paddle::Optional("D")), paddle::Grad(paddle::Optional("Noise")), \
      paddle::Grad(paddle::Optional("Strength")), paddle::Grad(paddle::Optional("Bias"))
#define PYGAN_OPERAND_DIRECTIONS                                    \
  paddle::Grad(paddle::Grad("X")), paddle::Grad(paddle::Grad("W")), \
      paddle::Grad(paddle::Grad(paddle::Optional("S"))),            \
      paddle::Grad(paddle::Grad(paddle::Optional("D"))),            \
      paddle::Grad(paddle::Grad(paddle::Optional("Noise"))),        \
      paddle::Grad(paddle::Grad(paddle::Optional("Strength"))),     \
      paddle::Grad(paddle::Grad(paddle::Optional("Bias")))

PD_BUILD_OP(pg_conv2d)
    .Inputs({PYGAN_OPERANDS, paddle::Optional("Staged")})
    .Outputs({"Y"})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(pygan::binding::forward)
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_dtype));

PD_BUILD_GRAD_OP(pg_conv2d)
    .Inputs({PYGAN_OPERANDS, "Y", paddle::Grad("Y")})
    .Outputs({PYGAN_OPERAND_GRADS})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(pygan::binding::backward);

PD_BUILD_DOUBLE_GRAD_OP(pg_conv2d)
    .Inputs({PYGAN_OPERANDS, "Y", paddle::Grad("Y"), PYGAN_OPERAND_DIRECTIONS})
    .Outputs({PYGAN_OPERAND_GRADS, paddle::New(paddle::Grad("Y")), paddle::Grad(paddle::Grad("Y"))})
    .Attrs(PYGAN_ATTRS)
    .SetKernelFn(pygan::binding::second_order);
