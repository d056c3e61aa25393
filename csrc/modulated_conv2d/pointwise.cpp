#include "modulated_conv2d/pointwise.h"

#include "modulated_conv2d/pointwise_kernels.h"

namespace pygan {
namespace {

template <typename T>
void run(const PointwiseMap<T>& p) {
  PYGAN_DISPATCH(pointwise_map(p));
}
template <typename T>
void run(const PointwiseDots<T>& p) {
  PYGAN_DISPATCH(pointwise_dots(p));
}

}  // namespace

bool pointwise_supports(const ConvShape& s) {
  const int64_t few = s.ci < s.co ? s.ci : s.co;
  return s.is_pointwise() && s.groups == 1 && few >= 1 && few <= kPointwiseChannels;
}

template <typename T>
void pointwise_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                       const ConvShape& s) {
  run(PointwiseMap<T>{s.n, s.co, s.ci, s.input_area(), y, x, w, s.ci, 1, x_scale, epilogue});
}

template <typename T>
void pointwise_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale,
                          const Epilogue<T>& epilogue, const ConvShape& s) {
  run(PointwiseMap<T>{s.n, s.ci, s.co, s.input_area(), dx, dy, w, 1, s.ci, dy_scale, epilogue});
}

template <typename T>
void pointwise_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                           const ConvShape& s) {
  if (s.co <= s.ci) {
    run(PointwiseDots<T>{s.n, s.ci, s.co, s.input_area(), dw, 1, s.ci, x, dy, x_scale, dy_scale});
  } else {
    run(PointwiseDots<T>{s.n, s.co, s.ci, s.input_area(), dw, s.ci, 1, dy, x, dy_scale, x_scale});
  }
}

#define PYGAN_INSTANTIATE(T)                                                               \
  template void pointwise_forward(T*, const T*, const T*, const T*, const Epilogue<T>&,    \
                                  const ConvShape&);                                       \
  template void pointwise_input_grad(T*, const T*, const T*, const T*, const Epilogue<T>&, \
                                     const ConvShape&);                                    \
  template void pointwise_weight_grad(T*, const T*, const T*, const T*, const T*, const ConvShape&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
