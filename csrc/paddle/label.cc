// Registers pg_label, the operators on maps of integers, with their gradients of first and second
// order: the convolution of a label map, the mean of every instance, and where instances meet.
//
// They are linear: the gradient of the gradient is the operator again. The mean is its own gradient
// as well, and edges have none.
#include <vector>

#include "labels/instances.h"
#include "labels/label_conv.h"
#include "paddle/device.h"
#include "paddle/kernel_arguments.h"
#include "paddle/module.h"

namespace pygan {
namespace binding {
namespace {

using Shape = std::vector<int64_t>;
using OptionalShape = paddle::optional<Shape>;

// What the attribute `spec` begins with, and what it says in messages.
enum Kind { kConvolution, kMean, kEdges, kKinds };
constexpr const char* kNames[kKinds] = {"label_conv2d", "instance_mean", "instance_edges"};

// The gradients see neither the weight nor the bias: an input of theirs would have to get a
// gradient of second order, which is zero. So its shape travels here.
struct Spec {
  int kind;
  LabelConv conv;  // all but the labels
  bool need_x, need_bias, has_bias;

  explicit Spec(const std::vector<int>& v) {
    PD_CHECK(v.size() == 12 && v[0] >= 0 && v[0] < kKinds,
             "pygan.label: internal error, a wrong specification.");
    kind = v[0];
    conv.channels = v[1];
    conv.labels = v[2];
    conv.kernel_y = v[3];
    conv.kernel_x = v[4];
    conv.stride_y = v[5];
    conv.stride_x = v[6];
    conv.pad_y = v[7];
    conv.pad_x = v[8];
    need_x = v[9] != 0;
    need_bias = v[10] != 0;
    has_bias = v[11] != 0;
    PD_CHECK(conv.channels >= 0 && conv.labels > 0 && conv.kernel_y > 0 && conv.kernel_x > 0 &&
                 conv.stride_y > 0 && conv.stride_x > 0 && conv.pad_y >= 0 && conv.pad_x >= 0,
             "pygan.label_conv2d: a size or stride is not positive, or padding negative.");
  }
  const char* name() const { return kNames[kind]; }
  Shape weight() const { return {conv.channels, conv.labels, conv.kernel_y, conv.kernel_x}; }
};

LabelConv shaped(const Spec& spec, const Shape& labels) {
  PD_CHECK(labels.size() == 3, "pygan.label_conv2d: the labels must be [N, H, W].");
  LabelConv conv = spec.conv;
  conv.samples = labels[0];
  conv.height = labels[1];
  conv.width = labels[2];
  PD_CHECK(conv.padded_height() >= conv.kernel_y && conv.padded_width() >= conv.kernel_x,
           "pygan.label_conv2d: the kernel of ", conv.kernel_y, " x ", conv.kernel_x,
           " pixels is larger than the padded map of ", conv.padded_height(), " x ",
           conv.padded_width(), ".");
  return conv;
}

// x [N, C, H, W] and its instances [N, H, W]; without x, one channel.
InstanceMap map_of(const Spec& spec, const Shape& x, const Shape& ids) {
  PD_CHECK(ids.size() == 3, "pygan.", spec.name(), ": the map must be [N, H, W].");
  if (spec.kind == kEdges) return {ids[0], 1, ids[1], ids[2]};
  PD_CHECK(x.size() == 4 && x[0] == ids[0] && x[2] == ids[1] && x[3] == ids[2],
           "pygan.instance_mean: `x` must be [N, C, H, W], and `instances` [N, H, W].");
  PD_CHECK(x[2] * x[3] < int64_t{1} << 31, "pygan.instance_mean: an image has ", x[2] * x[3],
           " pixels; there must be fewer than 2^31.");
  return {x[0], x[1], x[2], x[3]};
}

bool wide(const Spec& spec, const Tensor& ids) {
  const bool is_wide = ids.dtype() == DataType::INT64;
  PD_CHECK(is_wide || ids.dtype() == DataType::INT32, "pygan.", spec.name(),
           ": the map must be int32 or int64.");
  return is_wide;
}

template <typename Launcher>
Launcher* launcher(Launcher* function, const Spec& spec) {
  PD_CHECK(function != nullptr, "pygan.", spec.name(), ": this build of pygan has no kernels of ",
           "it for GPUs. Use impl='ref'.");
  return function;
}

const void* pointer(const OptionalTensor& t) { return has(t) ? t->data() : nullptr; }

// The result for a weight and a bias, or for directions along them; either may be absent.
Tensor convolve(Device& device, const Spec& spec, const OptionalTensor& weight,
                const OptionalTensor& bias, const Tensor& labels) {
  LabelConv conv = shaped(spec, labels.shape());
  PD_CHECK(has(weight) || has(bias), "pygan.label_conv2d: neither a weight nor a bias came.");
  const DataType type = has(weight) ? weight->dtype() : bias->dtype();
  conv.wide_labels = wide(spec, labels);
  PD_CHECK(!has(weight) || weight->shape() == spec.weight(),
           "pygan.label_conv2d: the weight's shape is not the specified one.");
  PD_CHECK(!has(bias) || (bias->dtype() == type && bias->numel() == conv.channels),
           "pygan.label_conv2d: `bias` must be [O], of the weight's type.");
  device.use("weight", weight);
  device.use("bias", bias);
  Tensor y = paddle::empty({conv.samples, conv.channels, conv.out_height(), conv.out_width()}, type,
                           labels.place());
  device.made("y", y);
  if (device.is_cuda()) {
    LabelConvCudaCall call;
    call.conv = conv;
    call.storage = storage_of(spec.name(), type);
    call.labels = labels.data();
    call.y = y.data();
    call.w = pointer(weight);
    call.bias = pointer(bias);
    launcher(device.backend()->label_conv, spec)(call, device.context());
  } else {
    dispatch_floating(spec.name(), type, [&](auto zero) {
      using T = decltype(zero);
      label_conv<T>(mutable_data_of<T>(y), labels.data(), data_or_null<T>(weight),
                    data_or_null<T>(bias), conv);
    });
  }
  return y;
}

Tensor mean_or_edges(Device& device, const Spec& spec, const Tensor& x, const Tensor& ids) {
  InstanceMap map = map_of(spec, x.shape(), ids.shape());
  map.wide_ids = wide(spec, ids);
  const bool edges = spec.kind == kEdges;
  Tensor y =
      edges ? paddle::empty({map.samples, 1, map.height, map.width}, DataType::FLOAT32, ids.place())
            : paddle::empty(x.shape(), x.dtype(), x.place());
  if (!edges) device.use("x", x);
  device.made("y", y);
  if (device.is_cuda()) {
    InstanceCudaCall call;
    call.map = map;
    call.storage = storage_of(spec.name(), y.dtype());
    call.out = y.data();
    call.in = edges ? nullptr : x.data();
    call.ids = ids.data();
    const CudaBackend& backend = *device.backend();
    launcher(edges ? backend.instance_edges : backend.instance_mean, spec)(call, device.context());
  } else if (edges) {
    instance_edges(y.data<float>(), ids.data(), map);
  } else {
    dispatch_floating(spec.name(), x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      instance_mean<T>(mutable_data_of<T>(y), data_of<T>(x), ids.data(), map);
    });
  }
  return y;
}

void forward(paddle::CustomOpKernelContext* context) {
  guarded("label", [&] {
    KernelArguments arguments(context);
    const Tensor& x = arguments.tensor();
    const Tensor& labels = arguments.tensor();
    const OptionalTensor bias = arguments.optional();
    const Spec spec(arguments.attribute<std::vector<int>>());
    Device device(spec.name(), labels);
    device.use("labels", labels);
    arguments.give({spec.kind == kConvolution ? convolve(device, spec, x, bias, labels)
                                              : mean_or_edges(device, spec, x, labels)});
  });
}

std::vector<Tensor> conv_gradients(Device& device, const Spec& spec, const Tensor& labels,
                                   const Tensor& dy) {
  LabelConv conv = shaped(spec, labels.shape());
  conv.wide_labels = wide(spec, labels);
  const Shape shape{conv.samples, conv.channels, conv.out_height(), conv.out_width()};
  PD_CHECK(dy.shape() == shape, "pygan.label_conv2d: the gradient must have the result's shape.");
  const bool skip = spec.need_x && skip_weight_gradients(), need_x = spec.need_x && !skip;
  const Shape bias_shape{conv.channels};
  Tensor dw = skip     ? paddle::full(spec.weight(), 0, dy.dtype(), dy.place())
              : need_x ? paddle::empty(spec.weight(), dy.dtype(), dy.place())
                       : placeholder(dy);
  Tensor dbias = spec.need_bias  ? paddle::empty(bias_shape, dy.dtype(), dy.place())
                 : spec.has_bias ? placeholder(dy)
                                 : Tensor();
  if (!need_x && !spec.need_bias) return {dw, dbias};
  device.use("dy", dy);
  if (need_x) device.made("gradient of weight", dw);
  if (spec.need_bias) device.made("gradient of bias", dbias);
  if (device.is_cuda()) {
    LabelConvCudaCall call;
    call.conv = conv;
    call.storage = storage_of(spec.name(), dy.dtype());
    call.labels = labels.data();
    call.dw = need_x ? dw.data() : nullptr;
    call.dbias = spec.need_bias ? dbias.data() : nullptr;
    call.dy = dy.data();
    launcher(device.backend()->label_conv_gradient, spec)(call, device.context());
  } else {
    dispatch_floating(spec.name(), dy.dtype(), [&](auto zero) {
      using T = decltype(zero);
      label_conv_gradient<T>(need_x ? mutable_data_of<T>(dw) : nullptr,
                             spec.need_bias ? mutable_data_of<T>(dbias) : nullptr, labels.data(),
                             data_of<T>(dy), conv);
    });
  }
  return {dw, dbias};
}

void backward(paddle::CustomOpKernelContext* context) {
  guarded("label", [&] {
    KernelArguments arguments(context);
    const Tensor& labels = arguments.tensor();
    const Tensor& dy = arguments.tensor();
    const Spec spec(arguments.attribute<std::vector<int>>());
    PD_CHECK(spec.kind != kEdges, "pygan.instance_edges: it has no gradient.");
    Device device(spec.name(), labels);
    device.use("labels", labels);
    arguments.give(spec.kind == kConvolution
                       ? conv_gradients(device, spec, labels, dy)
                       : std::vector<Tensor>{mean_or_edges(device, spec, dy, labels), Tensor()});
  });
}

void second_order(paddle::CustomOpKernelContext* context) {
  guarded("label", [&] {
    KernelArguments arguments(context);
    const Tensor& labels = arguments.tensor();
    const OptionalTensor ddx = arguments.optional();
    const OptionalTensor ddbias = arguments.optional();
    const Spec spec(arguments.attribute<std::vector<int>>());
    Device device(spec.name(), labels);
    device.use("labels", labels);
    if (spec.kind == kConvolution) {
      arguments.give({convolve(device, spec, ddx, ddbias, labels)});
      return;
    }
    PD_CHECK(spec.kind == kMean && has(ddx), "pygan.", spec.name(),
             ": the second-order gradient lacks its only input.");
    arguments.give({mean_or_edges(device, spec, *ddx, labels)});
  });
}

std::vector<Shape> infer_shape(const Shape& x, const Shape& labels, const OptionalShape& /*bias*/,
                               const std::vector<int>& numbers) {
  const Spec spec(numbers);
  if (spec.kind == kMean) return {x};
  if (spec.kind == kEdges) return {{labels[0], 1, labels[1], labels[2]}};
  // A dynamic graph may leave sizes open.
  const bool open = labels[1] < 0 || labels[2] < 0;
  if (open) return {{labels[0], x[0], -1, -1}};
  const LabelConv conv = shaped(spec, labels);
  return {{labels[0], x[0], conv.out_height(), conv.out_width()}};
}
std::vector<DataType> infer_type(const DataType& x, const DataType&,
                                 const paddle::optional<DataType>&) {
  return {x == DataType::INT32 || x == DataType::INT64 ? DataType::FLOAT32 : x};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

#define PYGAN_LABEL_ATTRIBUTES {"spec: std::vector<int>"}

// X is the weight of the convolution or the image of the mean; for edges, the labels once more.
PD_BUILD_OP(pg_label)
    .Inputs({"X", "Labels", paddle::Optional("Bias")})
    .Outputs({"Y"})
    .Attrs(PYGAN_LABEL_ATTRIBUTES)
    .SetKernelFn(pygan::binding::forward)
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::infer_type));

PD_BUILD_GRAD_OP(pg_label)
    .Inputs({"Labels", paddle::Grad("Y")})
    .Outputs({paddle::Grad("X"), paddle::Grad(paddle::Optional("Bias"))})
    .Attrs(PYGAN_LABEL_ATTRIBUTES)
    .SetKernelFn(pygan::binding::backward);

PD_BUILD_DOUBLE_GRAD_OP(pg_label)
    .Inputs({"Labels", paddle::Grad(paddle::Grad("X")),
             paddle::Grad(paddle::Grad(paddle::Optional("Bias")))})
    .Outputs({paddle::Grad(paddle::Grad("Y"))})
    .Attrs(PYGAN_LABEL_ATTRIBUTES)
    .SetKernelFn(pygan::binding::second_order);
