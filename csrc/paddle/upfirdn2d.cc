// Registers pg_upfirdn2d with its gradients of first and second order. The operator is linear in x,
// so the gradient is the transposed operator, and the gradient of that is the operator itself.
#include "upfirdn2d/upfirdn2d.h"

#include "paddle/device.h"

namespace pygan {
namespace binding {
namespace {

constexpr char kOp[] = "upfirdn2d";

// The attribute `geometry`: where its numbers are. The size of x lets the gradients do without x.
enum Geometry { kUpX, kUpY, kDownX, kDownY, kPadX0, kPadX1, kPadY0, kPadY1, kInH, kInW, kNumbers };

using Shape = std::vector<int64_t>;

// Everything about the operator except the taps' values and the number of planes.
Upfirdn2dParams params_of(const Shape& f, const std::vector<int>& geometry, bool flip,
                          int64_t gain) {
  PD_CHECK(geometry.size() == kNumbers, "pygan.upfirdn2d: `geometry` must hold ",
           static_cast<int>(kNumbers), " numbers.");
  PD_CHECK(f.size() == 1 || f.size() == 2, "pygan.upfirdn2d: `f` must have 1 or 2 axes.");
  Upfirdn2dParams p;
  p.up_x = geometry[kUpX];
  p.up_y = geometry[kUpY];
  p.down_x = geometry[kDownX];
  p.down_y = geometry[kDownY];
  PD_CHECK(p.up_x > 0 && p.up_y > 0 && p.down_x > 0 && p.down_y > 0,
           "pygan.upfirdn2d: `up` and `down` must be positive.");
  p.pad_x0 = geometry[kPadX0];
  p.pad_y0 = geometry[kPadY0];
  p.separable = f.size() == 1;
  p.taps_h = static_cast<int>(f.front());
  p.taps_w = static_cast<int>(f.back());
  p.in_h = geometry[kInH];
  p.in_w = geometry[kInW];
  p.out_h = upfirdn2d_out_size(p.in_h, p.up_y, p.down_y, p.pad_y0, geometry[kPadY1], p.taps_h);
  p.out_w = upfirdn2d_out_size(p.in_w, p.up_x, p.down_x, p.pad_x0, geometry[kPadX1], p.taps_w);
  PD_CHECK(p.taps_h > 0 && p.taps_w > 0 && p.out_h > 0 && p.out_w > 0,
           "pygan.upfirdn2d: the filter is larger than the upsampled and padded image.");
  p.flip = flip;
  p.gain = double_of(gain);
  return p;
}

void check_taps(const Tensor& f) {
  PD_CHECK(f.dtype() == DataType::FLOAT32 || f.dtype() == DataType::FLOAT64,
           "pygan.upfirdn2d: `f` must be float32 or float64.");
}
std::vector<double> taps_of(const Tensor& f) {
  if (f.dtype() == DataType::FLOAT64) {
    return {data_of<double>(f), data_of<double>(f) + f.numel()};
  }
  return {data_of<float>(f), data_of<float>(f) + f.numel()};
}

void run_cuda(Device& device, Tensor& y, const Tensor& x, const Tensor& f,
              const Upfirdn2dParams& p) {
  Upfirdn2dCudaCall call;
  call.params = p;
  call.storage = storage_of(kOp, x.dtype());
  call.y = y.data();
  call.x = x.data();
  call.taps = f.data();
  call.double_taps = f.dtype() == DataType::FLOAT64;
  device.backend()->upfirdn2d(call, device.context());
}

Shape shape_like(const Shape& images, int64_t h, int64_t w) { return {images[0], images[1], h, w}; }

// Runs `p` (the operator, or its transpose) on images x.
std::vector<Tensor> run(const Tensor& x, const Tensor& f, Upfirdn2dParams p) {
  const Shape shape = x.shape();
  PD_CHECK(shape.size() == 4 && shape[2] == p.in_h && shape[3] == p.in_w,
           "pygan.upfirdn2d: the images must be [N, C, ", p.in_h, ", ", p.in_w, "].");
  check_taps(f);
  p.planes = shape[0] * shape[1];
  Tensor y = paddle::empty(shape_like(shape, p.out_h, p.out_w), x.dtype(), x.place());
  guarded(kOp, [&] {
    Device device(kOp, x);
    device.use("x", x);
    device.use("f", f);
    device.made("y", y);
    if (device.is_cuda()) {
      run_cuda(device, y, x, f, p);
      return true;
    }
    const std::vector<double> taps = taps_of(f);
    p.taps = taps.data();
    dispatch_floating(kOp, x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      upfirdn2d<T>(mutable_data_of<T>(y), data_of<T>(x), p);
    });
    return true;
  });
  return {y};
}

std::vector<Tensor> forward(const Tensor& x, const Tensor& f, const std::vector<int>& geometry,
                            bool flip, int64_t gain) {
  return run(x, f, params_of(f.shape(), geometry, flip, gain));
}

std::vector<Tensor> gradient(const Tensor& f, const Tensor& dy, const std::vector<int>& geometry,
                             bool flip, int64_t gain) {
  return run(dy, f, transposed(params_of(f.shape(), geometry, flip, gain)));
}

std::vector<Tensor> double_gradient(const Tensor& f, const OptionalTensor& ddx,
                                    const std::vector<int>& geometry, bool flip, int64_t gain) {
  PD_CHECK(has(ddx), "pygan.upfirdn2d: the second-order gradient lacks its only input.");
  return forward(*ddx, f, geometry, flip, gain);
}

std::vector<Shape> forward_shape(const Shape& x, const Shape& f, const std::vector<int>& geometry,
                                 bool flip, int64_t gain) {
  const Upfirdn2dParams p = params_of(f, geometry, flip, gain);
  return {shape_like(x, p.out_h, p.out_w)};
}
std::vector<Shape> gradient_shape(const Shape& f, const Shape& dy, const std::vector<int>& geometry,
                                  bool flip, int64_t gain) {
  const Upfirdn2dParams p = params_of(f, geometry, flip, gain);
  return {shape_like(dy, p.in_h, p.in_w)};
}
std::vector<Shape> double_gradient_shape(const Shape& f, const paddle::optional<Shape>& ddx,
                                         const std::vector<int>& geometry, bool flip,
                                         int64_t gain) {
  const Upfirdn2dParams p = params_of(f, geometry, flip, gain);
  PD_CHECK(ddx, "pygan.upfirdn2d: the second-order gradient lacks its only input.");
  return {shape_like(*ddx, p.out_h, p.out_w)};
}

std::vector<DataType> forward_dtype(DataType x, DataType) { return {x}; }
std::vector<DataType> gradient_dtype(DataType, DataType dy) { return {dy}; }
std::vector<DataType> double_gradient_dtype(DataType, const paddle::optional<DataType>& ddx) {
  PD_CHECK(ddx, "pygan.upfirdn2d: the second-order gradient lacks its only input.");
  return {*ddx};
}

}  // namespace
}  // namespace binding
}  // namespace pygan

#define PYGAN_UPFIRDN2D_ATTRIBUTES {"geometry: std::vector<int>", "flip: bool", "gain: int64_t"}

PD_BUILD_OP(pg_upfirdn2d)
    .Inputs({"X", "F"})
    .Outputs({"Y"})
    .Attrs(PYGAN_UPFIRDN2D_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(pygan::binding::forward))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::forward_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::forward_dtype));

PD_BUILD_GRAD_OP(pg_upfirdn2d)
    .Inputs({"F", paddle::Grad("Y")})
    .Outputs({paddle::Grad("X")})
    .Attrs(PYGAN_UPFIRDN2D_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(pygan::binding::gradient))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::gradient_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::gradient_dtype));

PD_BUILD_DOUBLE_GRAD_OP(pg_upfirdn2d)
    .Inputs({"F", paddle::Grad(paddle::Grad("X"))})
    .Outputs({paddle::Grad(paddle::Grad("Y"))})
    .Attrs(PYGAN_UPFIRDN2D_ATTRIBUTES)
    .SetKernelFn(PD_KERNEL(pygan::binding::double_gradient))
    .SetInferShapeFn(PD_INFER_SHAPE(pygan::binding::double_gradient_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(pygan::binding::double_gradient_dtype));
