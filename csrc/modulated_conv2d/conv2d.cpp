#include "modulated_conv2d/conv2d.h"

#include "modulated_conv2d/direct.h"
#include "modulated_conv2d/epilogue_pass.h"
#include "modulated_conv2d/onednn.h"
#include "modulated_conv2d/plan.h"
#include "modulated_conv2d/pointwise.h"
#include "modulated_conv2d/winograd.h"

namespace pygan {
namespace {

thread_local const char* t_last_path = "";

void took(ConvPath path) { t_last_path = path_name(path); }

// The correlation as a form of the Winograd convolution, or its adjoint in x.
WinogradShape winograd_shape(const ConvShape& s, bool adjoint) {
  WinogradShape shape;
  shape.n = s.n;
  shape.ci = adjoint ? s.co : s.ci;
  shape.co = adjoint ? s.ci : s.co;
  shape.h = s.oh;
  shape.w = s.ow;
  shape.form = s.stride_y == 1 ? WinogradForm::same
               : adjoint       ? WinogradForm::transposed
                               : WinogradForm::strided;
  return shape;
}

// The paths that exist for float only: true if `path` computed the result.
bool float_forward(ConvPath path, float* y, const float* x, const float* w, const float* x_scale,
                   const Epilogue<float>& epilogue, const ConvShape& s) {
  if (path == ConvPath::onednn) return onednn_forward(y, x, w, x_scale, epilogue, s);
  if (path != ConvPath::winograd) return false;
  winograd_forward(y, x, w, /*transpose=*/false, x_scale, epilogue, winograd_shape(s, false));
  return true;
}
bool float_forward(ConvPath, double*, const double*, const double*, const double*,
                   const Epilogue<double>&, const ConvShape&) {
  return false;
}

bool float_input_grad(ConvPath path, float* dx, const float* dy, const float* w,
                      const float* dy_scale, const Epilogue<float>& epilogue, const ConvShape& s) {
  if (path == ConvPath::onednn) return onednn_input_grad(dx, dy, w, dy_scale, epilogue, s);
  if (path != ConvPath::winograd) return false;
  const WinogradShape shape = winograd_shape(s, true);
  const bool apart = shape.form == WinogradForm::transposed;  // it has no epilogue
  winograd_forward(dx, dy, w, /*transpose=*/true, dy_scale, apart ? Epilogue<float>{} : epilogue,
                   shape);
  if (apart) apply_epilogue<float>(dx, epilogue, s.n, s.ci, s.input_area());
  return true;
}
bool float_input_grad(ConvPath, double*, const double*, const double*, const double*,
                      const Epilogue<double>&, const ConvShape&) {
  return false;
}

bool float_weight_grad(ConvPath path, float* dw, const float* x, const float* dy,
                       const float* x_scale, const float* dy_scale, const ConvShape& s) {
  if (path == ConvPath::onednn) return onednn_weight_grad(dw, x, dy, x_scale, dy_scale, s);
  if (path != ConvPath::winograd) return false;
  winograd_weight_grad(dw, x, dy, x_scale, dy_scale, winograd_shape(s, false));
  return true;
}
bool float_weight_grad(ConvPath, double*, const double*, const double*, const double*,
                       const double*, const ConvShape&) {
  return false;
}

template <typename T>
ConvPath plan(ConvOp op, const ConvShape& shape) {
  return choose_path(op, shape, sizeof(T) == sizeof(float));
}

}  // namespace

template <typename T>
void conv_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                  const ConvShape& shape) {
  const ConvPath path = plan<T>(ConvOp::forward, shape);
  if (float_forward(path, y, x, w, x_scale, epilogue, shape)) return took(path);
  if (path == ConvPath::pointwise) {
    pointwise_forward(y, x, w, x_scale, epilogue, shape);
    return took(path);
  }
  direct_forward(y, x, w, x_scale, epilogue, shape);
  took(ConvPath::direct);
}

template <typename T>
void conv_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale, const Epilogue<T>& epilogue,
                     const ConvShape& shape) {
  const ConvPath path = plan<T>(ConvOp::input_grad, shape);
  if (float_input_grad(path, dx, dy, w, dy_scale, epilogue, shape)) return took(path);
  if (path == ConvPath::pointwise) {
    pointwise_input_grad(dx, dy, w, dy_scale, epilogue, shape);
    return took(path);
  }
  direct_input_grad(dx, dy, w, dy_scale, epilogue, shape);
  took(ConvPath::direct);
}

template <typename T>
void conv_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                      const ConvShape& shape) {
  const ConvPath path = plan<T>(ConvOp::weight_grad, shape);
  if (float_weight_grad(path, dw, x, dy, x_scale, dy_scale, shape)) return took(path);
  if (path == ConvPath::pointwise) {
    pointwise_weight_grad(dw, x, dy, x_scale, dy_scale, shape);
    return took(path);
  }
  direct_weight_grad(dw, x, dy, x_scale, dy_scale, shape);
  took(ConvPath::direct);
}

const char* conv_last_path() { return t_last_path; }

#define PYGAN_INSTANTIATE(T)                                                          \
  template void conv_forward(T*, const T*, const T*, const T*, const Epilogue<T>&,    \
                             const ConvShape&);                                       \
  template void conv_input_grad(T*, const T*, const T*, const T*, const Epilogue<T>&, \
                                const ConvShape&);                                    \
  template void conv_weight_grad(T*, const T*, const T*, const T*, const T*, const ConvShape&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
