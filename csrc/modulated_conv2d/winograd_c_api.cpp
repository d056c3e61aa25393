// C entry points of the Winograd convolution for tests, which call it through ctypes with the
// instruction set and the number of threads of their choice.
#include "common/isa.h"
#include "modulated_conv2d/winograd_launch.h"

#define PYGAN_TEST_API extern "C" __attribute__((visibility("default")))

namespace {

// Sets the number of OpenMP threads for the lifetime of the object.
class Threads {
 public:
  explicit Threads(int count) : before_(pygan::max_threads()) { set(count); }
  ~Threads() { set(before_); }

 private:
  static void set(int count) {
#if defined(_OPENMP)
    omp_set_num_threads(count);
#else
    (void)count;
#endif
  }
  int before_;
};

pygan::WinogradShape shape_of(const int64_t sizes[5], int form) {
  pygan::WinogradShape shape;
  shape.n = sizes[0];
  shape.ci = sizes[1];
  shape.co = sizes[2];
  shape.h = sizes[3];
  shape.w = sizes[4];
  shape.form = static_cast<pygan::WinogradForm>(form);
  return shape;
}

pygan::WeightLayout layout_of(int bits) { return {(bits & 1) != 0, (bits & 2) != 0}; }

}  // namespace

// The best instruction set of this machine: 0 baseline, 1 avx2, 2 avx512.
PYGAN_TEST_API int pygan_test_cpu_isa() { return static_cast<int>(pygan::cpu_isa()); }

// sizes: n, ci, co, h, w. layout: 1 exchanged, 2 mirrored. form: 0 same, 1 strided, 2 transposed.
// parameters: noise strength, alpha, gain, clamp.
PYGAN_TEST_API void pygan_test_winograd_forward(int isa, int threads, float* y, const float* x,
                                                const float* w, int layout, const float* in_scale,
                                                const float* scale, const float* noise,
                                                int64_t noise_sample_stride, const float* bias,
                                                int act, const float parameters[4],
                                                const int64_t sizes[5], int form) {
  const Threads guard(threads);
  pygan::Epilogue<float> epilogue;
  epilogue.scale = scale;
  epilogue.noise = noise;
  epilogue.noise_sample_stride = noise_sample_stride;
  epilogue.bias = bias;
  epilogue.act = static_cast<pygan::EpilogueAct>(act);
  epilogue.strength = parameters[0];
  epilogue.alpha = parameters[1];
  epilogue.gain = parameters[2];
  epilogue.clamp = parameters[3];
  pygan::winograd_forward_with(pygan::winograd_kernels(static_cast<pygan::Isa>(isa)), y, x, w,
                               layout_of(layout), in_scale, epilogue, shape_of(sizes, form));
}

PYGAN_TEST_API void pygan_test_winograd_weight_grad(int isa, int threads, float* dw, const float* x,
                                                    const float* dy, const float* x_scale,
                                                    const float* dy_scale, const int64_t sizes[5],
                                                    int layout, int form) {
  const Threads guard(threads);
  pygan::winograd_weight_grad_with(pygan::winograd_kernels(static_cast<pygan::Isa>(isa)), dw, x, dy,
                                   x_scale, dy_scale, shape_of(sizes, form), layout_of(layout));
}
