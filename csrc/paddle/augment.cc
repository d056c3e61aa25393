// Registers pg_augment, the three operators on images that augmentation is made of, with their
// gradients of first and second order. They are linear in the images, or affine, so the gradient is
// the transposed operator, and the gradient of that the linear one.
#include "augment/color.h"
#include "augment/image_filter.h"
#include "augment/warp.h"
#include "paddle/device.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "augment";

// The attribute `which`, and what it says in messages.
enum Which { kWarp, kColor, kFilter, kOperators };
constexpr const char* kNames[kOperators] = {"warp", "color_transform", "image_filter"};

enum class Pass { full, linear, transposed };

using Shape = std::vector<int64_t>;

int colors_of(int64_t numbers) { return numbers == 1 + 1 + 5 ? 1 : numbers == 9 + 3 + 5 ? 3 : 0; }

void check(const Tensor& x, const Tensor& numbers, const OptionalTensor& noise, int which) {
  PD_CHECK(which >= 0 && which < kOperators, "pygan.augment: `which` must be 0, 1 or 2.");
  const char* const op = kNames[which];
  const Shape images = x.shape(), rows = numbers.shape();
  PD_CHECK(images.size() == 4, "pygan.", op, ": `images` must be [N, C, H, W].");
  PD_CHECK(numbers.dtype() == DataType::FLOAT64 && rows.size() == 2 && rows[0] == images[0],
           "pygan.", op, ": its numbers must be float64, and a row for each image.");
  const bool fits = which == kWarp    ? rows[1] == kMatrixSize
                    : which == kColor ? colors_of(rows[1]) != 0 && colors_of(rows[1]) <= images[1]
                                      : rows[1] % 2 == 1;
  PD_CHECK(fits, "pygan.", op, ": there are ", rows[1], " numbers for each image of ", images[1],
           " channels.");
  if (!has(noise)) return;
  PD_CHECK(which == kColor, "pygan.", op, ": takes no noise.");
  PD_CHECK(noise->dtype() == x.dtype() &&
               noise->shape() == Shape({images[0], colors_of(rows[1]), images[2], images[3]}),
           "pygan.", op, ": `noise` must be of the images' type and size.");
}

WarpParams warp_params(const Shape& x) { return {x[0], x[1], x[2], x[3]}; }
ColorParams color_params(const Shape& x, const Shape& rows) {
  return {x[0], x[1], x[2], x[3], colors_of(rows[1])};
}
ImageFilterParams filter_params(const Shape& x, const Shape& taps) {
  return {x[0], x[1], x[2], x[3], taps[1]};
}
ColorPass color_pass(Pass pass) {
  return pass == Pass::full     ? ColorPass::full
         : pass == Pass::linear ? ColorPass::linear
                                : ColorPass::transposed;
}

template <typename Launcher>
Launcher* launcher(Launcher* function, int which) {
  PD_CHECK(function != nullptr, "pygan.", kNames[which], ": this build of pygan has no kernels of ",
           "it for GPUs. Use impl='ref'.");
  return function;
}

void run_cuda(Device& device, Tensor& y, const Tensor& x, const Tensor& numbers,
              const OptionalTensor& noise, int which, Pass pass) {
  const Storage storage = storage_of(kNames[which], x.dtype());
  const auto* const rows = data_of<double>(numbers);
  const CudaBackend& backend = *device.backend();
  if (which == kWarp) {
    WarpCudaCall call;
    call.params = warp_params(x.shape());
    call.storage = storage;
    call.out = y.data();
    call.in = x.data();
    call.matrices = rows;
    call.transpose = pass == Pass::transposed;
    launcher(backend.warp, which)(call, device.context());
  } else if (which == kColor) {
    ColorCudaCall call;
    call.params = color_params(x.shape(), numbers.shape());
    call.storage = storage;
    call.pass = color_pass(pass);
    call.out = y.data();
    call.in = x.data();
    call.noise = has(noise) ? noise->data() : nullptr;
    call.rows = rows;
    launcher(backend.color, which)(call, device.context());
  } else {
    ImageFilterCudaCall call;
    call.params = filter_params(x.shape(), numbers.shape());
    call.storage = storage;
    call.out = y.data();
    call.in = x.data();
    call.taps = rows;
    call.transpose = pass == Pass::transposed;
    launcher(backend.image_filter, which)(call, device.context());
  }
}

template <typename T>
void run_cpu(Tensor& y, const Tensor& x, const Tensor& numbers, const OptionalTensor& noise,
             int which, Pass pass) {
  T* const to = mutable_data_of<T>(y);
  const T* const from = data_of<T>(x);
  const auto* const rows = data_of<double>(numbers);
  const bool transposed = pass == Pass::transposed;
  if (which == kWarp) {
    (transposed ? warp_transposed<T> : warp<T>)(to, from, rows, warp_params(x.shape()));
  } else if (which == kColor) {
    color<T>(to, from, data_or_null<T>(noise), rows, color_pass(pass),
             color_params(x.shape(), numbers.shape()));
  } else {
    (transposed ? image_filter_transposed<T>
                : image_filter<T>)(to, from, rows, filter_params(x.shape(), numbers.shape()));
  }
}

std::vector<Tensor> run(const Tensor& x, const Tensor& numbers, const OptionalTensor& noise,
                        int which, Pass pass) {
  check(x, numbers, noise, which);
  Tensor y = paddle::empty(x.shape(), x.dtype(), x.place());
  guarded(kNames[which], [&] {
    Device device(kNames[which], x);
    device.use("images", x);
    device.use("numbers", numbers);
    device.use("noise", noise);
    device.made("y", y);
    if (device.is_cuda()) {
      run_cuda(device, y, x, numbers, noise, which, pass);
      return true;
    }
    dispatch_floating(kNames[which], x.dtype(), [&](auto zero) {
      run_cpu<decltype(zero)>(y, x, numbers, noise, which, pass);
    });
    return true;
  });
  return {y};
}

std::vector<Tensor> forward(const Tensor& x, const Tensor& numbers, const OptionalTensor& noise,
                            int which) {
  return run(x, numbers, noise, which, Pass::full);
}

std::vector<Tensor> gradient(const Tensor& numbers, const Tensor& dy, int which) {
  return run(dy, numbers, paddle::none, which, Pass::transposed);
}

std::vector<Tensor> double_gradient(const Tensor& numbers, const OptionalTensor& ddx, int which) {
  PD_CHECK(has(ddx), "pygan.augment: the second-order gradient lacks its only input.");
  return run(*ddx, numbers, paddle::none, which, Pass::linear);
}

std::vector<Shape> forward_shape(const Shape& x, const Shape&, const paddle::optional<Shape>&,
                                 int) {
  return {x};
}
std::vector<Shape> gradient_shape(const Shape&, const Shape& dy, int) { return {dy}; }
std::vector<Shape> double_gradient_shape(const Shape&, const paddle::optional<Shape>& ddx, int) {
  PD_CHECK(ddx, "pygan.augment: the second-order gradient lacks its only input.");
  return {*ddx};
}

std::vector<DataType> forward_dtype(DataType x, DataType, const paddle::optional<DataType>&) {
  return {x};
}
std::vector<DataType> gradient_dtype(DataType, DataType dy) { return {dy}; }
std::vector<DataType> double_gradient_dtype(DataType, const paddle::optional<DataType>& ddx) {
  PD_CHECK(ddx, "pygan.augment: the second-order gradient lacks its only input.");
  return {*ddx};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

#define PYGAN_AUGMENT_ATTRIBUTES {"which: int"}

PD_BUILD_OP(pg_augment)
    .Inputs({"X", "Numbers", paddle::Optional("Noise")})
    .Outputs({"Y"})
    .Attrs(PYGAN_AUGMENT_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(pygan::binding::forward))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::forward_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::forward_dtype));

PD_BUILD_GRAD_OP(pg_augment)
    .Inputs({"Numbers", paddle::Grad("Y")})
    .Outputs({paddle::Grad("X")})
    .Attrs(PYGAN_AUGMENT_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(pygan::binding::gradient))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::gradient_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::gradient_dtype));

PD_BUILD_DOUBLE_GRAD_OP(pg_augment)
    .Inputs({"Numbers", paddle::Grad(paddle::Grad("X"))})
    .Outputs({paddle::Grad(paddle::Grad("Y"))})
    .Attrs(PYGAN_AUGMENT_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(pygan::binding::double_gradient))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::double_gradient_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::double_gradient_dtype));
