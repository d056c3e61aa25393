// C entry points through which tests and benchmarks reach the convolution engines without Paddle.
#include <cstring>
#include <exception>
#include <initializer_list>

#include "common/isa.h"
#include "common/parallel.h"
#include "modulated_conv2d/conv2d.h"
#include "modulated_conv2d/onednn.h"
#include "modulated_conv2d/plan.h"

#define PYGAN_EXPORT extern "C" __attribute__((visibility("default")))

namespace pygan {
namespace {

ConvShape shape_from(const int64_t* v) {
  ConvShape s;
  s.n = v[0], s.ci = v[1], s.co = v[2];
  s.h = v[3], s.w = v[4], s.oh = v[5], s.ow = v[6];
  s.kh = static_cast<int>(v[7]), s.kw = static_cast<int>(v[8]);
  s.stride_y = static_cast<int>(v[9]), s.stride_x = static_cast<int>(v[10]);
  s.dilation_y = static_cast<int>(v[11]), s.dilation_x = static_cast<int>(v[12]);
  s.pad_top = v[13], s.pad_left = v[14], s.groups = v[15];
  return s;
}

// options: strength, act, alpha, gain, clamp.
template <typename T>
Epilogue<T> epilogue_from(const void* scale, const void* noise, int64_t noise_sample_stride,
                          const void* bias, const double* options) {
  Epilogue<T> e;
  e.scale = static_cast<const T*>(scale);
  e.noise = static_cast<const T*>(noise);
  e.noise_sample_stride = noise_sample_stride;
  e.bias = static_cast<const T*>(bias);
  e.strength = static_cast<T>(options[0]);
  e.act = static_cast<EpilogueAct>(static_cast<int>(options[1]));
  e.alpha = static_cast<T>(options[2]);
  e.gain = static_cast<T>(options[3]);
  e.clamp = static_cast<T>(options[4]);
  return e;
}

template <typename T>
void convolve(ConvOp op, void* out, const void* a, const void* b, const void* a_scale,
              const void* b_scale, const Epilogue<T>& e, const ConvShape& s) {
  T* o = static_cast<T*>(out);
  const T *pa = static_cast<const T*>(a), *pb = static_cast<const T*>(b);
  const T *sa = static_cast<const T*>(a_scale), *sb = static_cast<const T*>(b_scale);
  switch (op) {
    case ConvOp::forward:
      return conv_forward(o, pa, pb, sa, e, s);
    case ConvOp::input_grad:
      return conv_input_grad(o, pa, pb, sa, e, s);
    case ConvOp::weight_grad:
      return conv_weight_grad(o, pa, pb, sa, sb, s);
  }
}

}  // namespace
}  // namespace pygan

// op 0: out = y, a = x, b = w; 1: out = dx, a = dy, b = w; 2: out = dw, a = x, b = dy.
// Returns 0, or 1 on an exception.
PYGAN_EXPORT int pygan_test_conv(int op, int is_double, void* out, const void* a, const void* b,
                                 const void* a_scale, const void* b_scale, const void* scale,
                                 const void* noise, int64_t noise_sample_stride, const void* bias,
                                 const double* options, const int64_t* shape) {
  using namespace pygan;
  try {
    const ConvOp which = static_cast<ConvOp>(op);
    const ConvShape s = shape_from(shape);
    if (is_double) {
      convolve(which, out, a, b, a_scale, b_scale,
               epilogue_from<double>(scale, noise, noise_sample_stride, bias, options), s);
    } else {
      convolve(which, out, a, b, a_scale, b_scale,
               epilogue_from<float>(scale, noise, noise_sample_stride, bias, options), s);
    }
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

PYGAN_EXPORT int pygan_test_set_conv_path(const char* name) { return pygan::set_conv_path(name); }

PYGAN_EXPORT int pygan_test_path_supports(const char* name, int op, int is_double,
                                          const int64_t* shape) {
  using namespace pygan;
  for (ConvPath path :
       {ConvPath::direct, ConvPath::pointwise, ConvPath::onednn, ConvPath::winograd}) {
    if (std::strcmp(name, path_name(path)) == 0) {
      return path_supports(path, static_cast<ConvOp>(op), shape_from(shape), !is_double);
    }
  }
  return 0;
}

PYGAN_EXPORT const char* pygan_test_last_path() { return pygan::conv_last_path(); }
PYGAN_EXPORT const char* pygan_test_onednn_status() { return pygan::onednn_status(); }
PYGAN_EXPORT const char* pygan_test_isa() { return pygan::isa_name(pygan::cpu_isa()); }

PYGAN_EXPORT void pygan_test_set_threads(int threads) {
#if defined(_OPENMP)
  omp_set_num_threads(threads);
#else
  (void)threads;
#endif
}
