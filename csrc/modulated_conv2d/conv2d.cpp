#include "modulated_conv2d/conv2d.h"

#include "common/scratch.h"
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

// The layout of the adjoint's weights, when `layout` is that of the correlation's: with stride 1 it
// is again a correlation, with mirrored taps.
WeightLayout adjoint_layout(const WeightLayout& layout, WinogradForm form) {
  return {!layout.exchanged, layout.mirrored != (form == WinogradForm::same)};
}

void run_winograd_forward(float* y, const float* x, const float* w, const float* x_scale,
                          const Epilogue<float>& epilogue, const ConvShape& s,
                          const WeightLayout& layout) {
  winograd_forward(y, x, w, layout, x_scale, epilogue, winograd_shape(s, false));
}

void run_winograd_input_grad(float* dx, const float* dy, const float* w, const float* dy_scale,
                             const Epilogue<float>& epilogue, const ConvShape& s,
                             const WeightLayout& layout) {
  const WinogradShape shape = winograd_shape(s, true);
  const bool apart = shape.form == WinogradForm::transposed;  // it has no epilogue
  winograd_forward(dx, dy, w, adjoint_layout(layout, shape.form), dy_scale,
                   apart ? Epilogue<float>{} : epilogue, shape);
  if (apart) apply_epilogue<float>(dx, epilogue, s.n, s.ci, s.input_area());
}

void run_winograd_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                              const float* dy_scale, const ConvShape& s,
                              const WeightLayout& layout) {
  winograd_weight_grad(dw, x, dy, x_scale, dy_scale, winograd_shape(s, false), layout);
}

// The planner asks for the paths of float with float only.
void run_winograd_forward(double*, const double*, const double*, const double*,
                          const Epilogue<double>&, const ConvShape&, const WeightLayout&) {}
void run_winograd_input_grad(double*, const double*, const double*, const double*,
                             const Epilogue<double>&, const ConvShape&, const WeightLayout&) {}
void run_winograd_weight_grad(double*, const double*, const double*, const double*, const double*,
                              const ConvShape&, const WeightLayout&) {}
bool onednn_forward(double*, const double*, const double*, const double*, const Epilogue<double>&,
                    const ConvShape&) {
  return false;
}
bool onednn_input_grad(double*, const double*, const double*, const double*,
                       const Epilogue<double>&, const ConvShape&) {
  return false;
}
bool onednn_weight_grad(double*, const double*, const double*, const double*, const double*,
                        const ConvShape&) {
  return false;
}

// w as [co, ci / groups, kh, kw]; w itself where it lies so.
template <typename T>
const T* plain_weights(const T* w, const ConvShape& s, const WeightLayout& layout,
                       Scratch& scratch) {
  if (layout.is_plain()) return w;
  T* plain = scratch.get<T>(static_cast<size_t>(s.weight_size()));
  const int64_t ci = s.ci_per_group(), co = s.co_per_group();
  arrange_weights<T>(plain, w, layout.exchanged ? ci : co, layout.exchanged ? co : ci, s.taps(),
                     s.groups, layout);
  return plain;
}

template <typename T>
ConvPath plan(ConvOp op, const ConvShape& shape, const WeightLayout& layout) {
  return choose_path(op, shape, sizeof(T) == sizeof(float), layout.is_plain());
}

}  // namespace

template <typename T>
void conv_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                  const ConvShape& shape, const WeightLayout& layout) {
  const ConvPath path = plan<T>(ConvOp::forward, shape, layout);
  if (path == ConvPath::winograd) {
    run_winograd_forward(y, x, w, x_scale, epilogue, shape, layout);
    return took(path);
  }
  if (path != ConvPath::direct) {
    Scratch scratch;
    const T* plain = plain_weights(w, shape, layout, scratch);
    if (path == ConvPath::pointwise) {
      pointwise_forward(y, x, plain, x_scale, epilogue, shape);
      return took(path);
    }
    if (onednn_forward(y, x, plain, x_scale, epilogue, shape)) return took(path);
  }
  direct_forward(y, x, w, x_scale, epilogue, shape, layout);
  took(ConvPath::direct);
}

template <typename T>
void conv_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale, const Epilogue<T>& epilogue,
                     const ConvShape& shape, const WeightLayout& layout) {
  const ConvPath path = plan<T>(ConvOp::input_grad, shape, layout);
  if (path == ConvPath::winograd) {
    run_winograd_input_grad(dx, dy, w, dy_scale, epilogue, shape, layout);
    return took(path);
  }
  if (path != ConvPath::direct) {
    Scratch scratch;
    const T* plain = plain_weights(w, shape, layout, scratch);
    if (path == ConvPath::pointwise) {
      pointwise_input_grad(dx, dy, plain, dy_scale, epilogue, shape);
      return took(path);
    }
    if (onednn_input_grad(dx, dy, plain, dy_scale, epilogue, shape)) return took(path);
  }
  direct_input_grad(dx, dy, w, dy_scale, epilogue, shape, layout);
  took(ConvPath::direct);
}

template <typename T>
void conv_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                      const ConvShape& shape, const WeightLayout& layout) {
  const ConvPath path = plan<T>(ConvOp::weight_grad, shape, layout);
  if (path == ConvPath::winograd) {
    run_winograd_weight_grad(dw, x, dy, x_scale, dy_scale, shape, layout);
    return took(path);
  }
  Scratch scratch;
  T* plain = layout.is_plain() ? dw : scratch.get<T>(static_cast<size_t>(shape.weight_size()));
  ConvPath taken = path;
  if (path == ConvPath::pointwise) {
    pointwise_weight_grad(plain, x, dy, x_scale, dy_scale, shape);
  } else if (path != ConvPath::onednn ||
             !onednn_weight_grad(plain, x, dy, x_scale, dy_scale, shape)) {
    direct_weight_grad(plain, x, dy, x_scale, dy_scale, shape);
    taken = ConvPath::direct;
  }
  if (plain != dw) {
    arrange_weights<T>(dw, plain, shape.co_per_group(), shape.ci_per_group(), shape.taps(),
                       shape.groups, layout);
  }
  took(taken);
}

const char* conv_last_path() { return t_last_path; }

#define PYGAN_INSTANTIATE(T)                                                                   \
  template void conv_forward(T*, const T*, const T*, const T*, const Epilogue<T>&,             \
                             const ConvShape&, const WeightLayout&);                           \
  template void conv_input_grad(T*, const T*, const T*, const T*, const Epilogue<T>&,          \
                                const ConvShape&, const WeightLayout&);                        \
  template void conv_weight_grad(T*, const T*, const T*, const T*, const T*, const ConvShape&, \
                                 const WeightLayout&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
