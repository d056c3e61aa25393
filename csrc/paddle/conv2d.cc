// Registers pg_conv2d: every convolution of pygan (pygan/ops/_convolution.py), with its epilogue.
//
// The gradient reads Y instead of recomputing u, so the second order sends a gradient to Y as well,
// which Paddle passes on through this operator's own gradient (see modulated_conv2d.h).
#include <cstdint>
#include <string>
#include <vector>

#include "modulated_conv2d/modulated_conv2d.h"
#include "paddle/common.h"
#include "paddle/kernel_arguments.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "conv2d";

// The attribute `spec`: one list, since Paddle's call cost grows with the number of attributes.
struct Spec {
  LinearConv conv;
  LayerActivation act;
  bool need_x, need_w, need_s, need_d, need_noise, need_strength, need_bias;
};

Spec parse(const std::vector<int>& v, int64_t alpha, int64_t gain, int64_t clamp) {
  PD_CHECK(v.size() == 24, "pygan.conv2d: internal error, spec has ", v.size(), " numbers.");
  Spec spec;
  LinearConv& c = spec.conv;
  size_t i = 0;
  c.mode = static_cast<ConvMode>(v[i++]);
  c.stride_y = v[i++];
  c.stride_x = v[i++];
  c.dilation_y = v[i++];
  c.dilation_x = v[i++];
  c.pad_left = v[i++];
  c.pad_right = v[i++];
  c.pad_top = v[i++];
  c.pad_bottom = v[i++];
  c.groups = v[i++];
  c.flip = v[i++] != 0;
  c.fir_left = v[i++];
  c.fir_right = v[i++];
  c.fir_top = v[i++];
  c.fir_bottom = v[i++];
  c.fir_flip = v[i++] != 0;
  spec.act.act = v[i++];
  spec.act.alpha = double_of(alpha);
  spec.act.gain = double_of(gain);
  spec.act.clamp = double_of(clamp);
  spec.need_x = v[i++] != 0;
  spec.need_w = v[i++] != 0;
  spec.need_s = v[i++] != 0;
  spec.need_d = v[i++] != 0;
  spec.need_noise = v[i++] != 0;
  spec.need_strength = v[i++] != 0;
  spec.need_bias = v[i++] != 0;
  return spec;
}

void set_shapes(LinearConv* conv, const std::vector<int64_t>& x, const std::vector<int64_t>& w,
                const std::vector<int64_t>* filter) {
  conv->n = x[0];
  conv->ci = x[1];
  conv->h = x[2];
  conv->w = x[3];
  conv->co = conv->mode == ConvMode::transposed ? w[1] * conv->groups : w[0];
  conv->kh = static_cast<int>(w[2]);
  conv->kw = static_cast<int>(w[3]);
  conv->fir_h = conv->fir_w = 1;
  conv->fir_separable = filter != nullptr && filter->size() == 1;
  if (filter != nullptr) {
    conv->fir_h = static_cast<int>(filter->front());
    conv->fir_w = static_cast<int>(filter->back());
  }
  infer_output_size(*conv);
}

void set_taps(LinearConv* conv, const OptionalTensor& filter) {
  if (!has(filter)) return;
  const int64_t count = filter->numel();
  std::vector<double> taps(count);
  if (filter->dtype() == DataType::FLOAT64) {
    for (int64_t i = 0; i < count; ++i) taps[i] = filter->data<double>()[i];
  } else {
    PD_CHECK(filter->dtype() == DataType::FLOAT32,
             "pygan.conv2d: the resampling filter must be float32 or float64.");
    for (int64_t i = 0; i < count; ++i) taps[i] = filter->data<float>()[i];
  }
  conv->fir = std::move(taps);
}

// The tensors of one call in the dtype that the kernels compute in: float16 and bfloat16 are
// converted to float32 on the way in, and back on the way out.
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

Inputs prepare(const Tensor& x, const Tensor& w, const OptionalTensor& s, const OptionalTensor& d,
               const OptionalTensor& noise, const OptionalTensor& strength,
               const OptionalTensor& bias, const OptionalTensor& filter, LinearConv* conv) {
  check_input(kOp, "x", x);
  check_input(kOp, "w", w);
  for (const OptionalTensor* t : {&s, &d, &noise, &strength, &bias}) {
    if (!has(*t)) continue;
    check_input(kOp, "operand", *t);
    PD_CHECK((*t)->dtype() == x.dtype(), "pygan.conv2d: all operands must have the dtype of x.");
  }
  PD_CHECK(w.dtype() == x.dtype(), "pygan.conv2d: w must have the dtype of x.");
  std::vector<int64_t> filter_shape;
  if (has(filter)) filter_shape = filter->shape();
  set_shapes(conv, x.shape(), w.shape(), has(filter) ? &filter_shape : nullptr);
  set_taps(conv, filter);
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
  return {widened(x),     widened(w),        widened(s),    widened(d),
          widened(noise), widened(strength), widened(bias), filter};
}

template <typename T>
LayerInputs<T> layer_inputs(const Inputs& in, const LinearConv& conv) {
  LayerInputs<T> layer;
  layer.x = in.x.data<T>();
  layer.w = in.w.data<T>();
  layer.s = data_or_null<T>(in.s);
  layer.d = data_or_null<T>(in.d);
  layer.noise = data_or_null<T>(in.noise);
  layer.noise_per_sample = has(in.noise) && in.noise->shape()[0] == conv.n;
  layer.strength = data_or_null<T>(in.strength);
  layer.bias = data_or_null<T>(in.bias);
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
    return wanted ? tensor.data<T>() : nullptr;
  }
};
Slot slot(const Tensor& like, bool wanted) {
  Slot s;
  s.wanted = wanted;
  s.tensor = wanted ? paddle::empty(like.shape(), like.dtype(), like.place()) : placeholder(like);
  return s;
}
Slot slot(const OptionalTensor& like, bool wanted) {
  return has(like) ? slot(*like, wanted) : Slot{};
}

// Gradients in the order of the inputs; entries of absent optional inputs stay undefined, as Paddle
// expects.
struct Grads {
  Slot x, w, s, d, noise, strength, bias;
  Grads(const Inputs& in, const Spec& spec, bool weight)
      : x(slot(in.x, spec.need_x)),
        w(slot(in.w, weight)),
        s(slot(in.s, spec.need_s)),
        d(slot(in.d, spec.need_d)),
        noise(slot(in.noise, spec.need_noise)),
        strength(slot(in.strength, spec.need_strength)),
        bias(slot(in.bias, spec.need_bias)) {}
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
    return parse(numbers, alpha, gain, clamp);
  }
  Inputs inputs(LinearConv* conv) const {
    return prepare(x, w, s, d, noise, strength, bias, filter, conv);
  }
};

void forward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Call call(arguments);
    Spec spec = call.spec(arguments);
    const Inputs in = call.inputs(&spec.conv);
    const LinearConv& c = spec.conv;
    Tensor y = paddle::empty({c.n, c.co, c.oh, c.ow}, in.x.dtype(), call.x.place());
    dispatch_compute(in.x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      layer_forward<T>(y.data<T>(), layer_inputs<T>(in, c), c, spec.act);
    });
    arguments.give({narrowed(y, call.x.dtype())});
  });
}

void backward(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Call call(arguments);
    const Tensor output = widened(arguments.tensor());
    const Tensor& grad_y = arguments.tensor();
    check_input(kOp, "grad", grad_y);
    const Tensor grad = widened(grad_y);
    Spec spec = call.spec(arguments);
    const Inputs in = call.inputs(&spec.conv);
    const bool skip_weight = spec.need_w && skip_weight_gradients();
    Grads grads(in, spec, spec.need_w && !skip_weight);
    if (skip_weight) grads.w.tensor = zeros_like(in.w);
    dispatch_compute(in.x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      layer_backward<T>(grads.pointers<T>(), layer_inputs<T>(in, spec.conv), output.data<T>(),
                        grad.data<T>(), spec.conv, spec.act);
    });
    arguments.give(grads.tensors(call.x.dtype()));
  });
}

void second_order(paddle::CustomOpKernelContext* context) {
  guarded(kOp, [&] {
    KernelArguments arguments(context);
    const Call call(arguments);
    const Tensor output = widened(arguments.tensor());
    const Tensor grad = widened(arguments.tensor());
    const OptionalTensor along_x = widened(arguments.optional());
    const OptionalTensor along_w = widened(arguments.optional());
    const OptionalTensor along_s = widened(arguments.optional());
    const OptionalTensor along_d = widened(arguments.optional());
    const OptionalTensor along_noise = widened(arguments.optional());
    const OptionalTensor along_strength = widened(arguments.optional());
    const OptionalTensor along_bias = widened(arguments.optional());
    Spec spec = call.spec(arguments);
    const Inputs in = call.inputs(&spec.conv);
    Grads grads(in, spec, spec.need_w);
    Tensor to_grad = paddle::empty(grad.shape(), grad.dtype(), grad.place());
    Tensor to_y = paddle::empty(grad.shape(), grad.dtype(), grad.place());
    dispatch_compute(in.x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const LayerDirections<T> directions{
          data_or_null<T>(along_x),   data_or_null<T>(along_w),     data_or_null<T>(along_s),
          data_or_null<T>(along_d),   data_or_null<T>(along_noise), data_or_null<T>(along_strength),
          data_or_null<T>(along_bias)};
      layer_second_order<T>(grads.pointers<T>(), to_grad.data<T>(), to_y.data<T>(), directions,
                            layer_inputs<T>(in, spec.conv), output.data<T>(), grad.data<T>(),
                            spec.conv, spec.act);
    });
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
                               const OptionalShape& filter, const std::vector<int>& numbers,
                               int64_t alpha, int64_t gain, int64_t clamp) {
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
                                  const OptionalType&, const OptionalType&) {
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
    .Inputs({PYGAN_OPERANDS})
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
